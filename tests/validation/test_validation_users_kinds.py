"""A user's own kind of device: INCOMPLETE without a twin, PASS with one, closed loop and all, and its faults found."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from test_validation_closed_loop import play

import neomflex_jax as nf
from neomflex_jax.agents.policy_files import Policies
from neomflex_jax.devices import (
    Control,
    CostTerm,
    Delivery,
    Device,
    Observable,
    Recorded,
    Surroundings,
    Turn,
    registry,
    stacked,
)
from neomflex_jax.evaluation import Trajectory
from validation import compare, judge, register_twin, replay, tolerances_for, validate
from validation.recompute import twins
from validation.recompute.devices.twin import FeedIn, Part, Store, Twin

KEPT = 0.9  # of a heater's warmth from step to step


class HeaterParams(NamedTuple):
    power_mw: np.ndarray
    cost: np.ndarray


def cold(params: HeaterParams, delivered: Delivery, weight: float, step_hours: float) -> Array:
    return params.cost * (1.0 - delivered.store)


@dataclass(frozen=True)
class Heater(Device):
    """Heats as asked, and loses a tenth of its warmth in MWh every step."""

    table: ClassVar = "heaters"
    noun: ClassVar = "heater"
    prefix: ClassVar = "heater"
    turn: ClassVar = Turn.STORAGE
    controls: ClassVar = (Control("heater_p", "below 0: share of the power that heats", lasting=True),)
    recorded: ClassVar = (
        Recorded("heater_p_mw", "MW", "power into the grid"),
        Recorded("heater_warmth_mwh", "MWh", "warmth after the step", before="heater_warmth_before_mwh"),
    )
    observables: ClassVar = (Observable("warmth of {}", "MWh", 0.0, 1.0),)
    costs: ClassVar = (CostTerm("cold", cold, priced=lambda heater: heater.cost > 0),)

    bus: int
    power_mw: float = 0.2
    cost: float = 3.0  # of each MWh of warmth below 1
    name: str = ""

    @staticmethod
    def stack(devices: Sequence["Heater"]) -> HeaterParams:
        return stacked(HeaterParams, devices)

    @staticmethod
    def first(params: HeaterParams) -> Array:
        return jnp.full(params.power_mw.shape, 0.5)

    @staticmethod
    def random(key: Array, params: HeaterParams) -> Array:
        return Heater.first(params)

    @staticmethod
    def middle(params: HeaterParams) -> Array:
        return Heater.first(params)

    @staticmethod
    def step(params: HeaterParams, requests: Mapping[str, Array], store: Array, around: Surroundings) -> Delivery:
        heat_mw = jnp.maximum(-requests["heater_p"], 0.0) * params.power_mw
        warmth_mwh = KEPT * store + heat_mw * around.step_hours
        return Delivery(-heat_mw, None, warmth_mwh, jnp.zeros_like(heat_mw), {"heater_p_mw": -heat_mw})

    @staticmethod
    def kept(store: Array) -> dict[str, Array]:
        return {"heater_warmth_mwh": store}

    @staticmethod
    def observe(params: HeaterParams, store: Array) -> tuple[Array, ...]:
        return (store,)


class Warmth(Store[Heater]):
    entry: ClassVar = "warmth"
    before: ClassVar = "heater_warmth_before_mwh"
    after: ClassVar = "heater_warmth_mwh"

    def size_mwh(self, device: Heater) -> float:
        return 1.0

    def energy_mwh(self, device: Heater, values: np.ndarray) -> np.ndarray:
        return values

    def observed(self, device: Heater, values: np.ndarray) -> np.ndarray:
        return values

    def gap_mwh(self, part: Part[Heater]) -> np.ndarray:
        return part[self.after] - KEPT * part[self.before] + part["heater_p_mw"] * part.scenario.step_hours


class HeaterTwin(Twin[Heater]):
    table: ClassVar = "heaters"
    delivered: ClassVar = ("heater_p_mw",)
    feed_in: ClassVar = FeedIn("heater_p_mw")
    store: ClassVar = Warmth()

    def excess(self, part: Part[Heater]) -> np.ndarray:
        p_mw = part["heater_p_mw"]
        return np.maximum(p_mw, -p_mw - part.device.power_mw)

    def costs(self, device: Heater, scenario: nf.Scenario, recorded: Mapping[str, np.ndarray]) -> Iterator[np.ndarray]:
        yield device.cost * (1.0 - recorded["heater_warmth_mwh"])


@pytest.fixture(autouse=True)
def forgets_twins() -> Iterator[None]:
    """What a test registers is unknown to the next one."""
    yield
    twins.TWINS.pop(Heater.table, None)


@pytest.fixture(scope="module")
def played() -> Iterator[tuple[Trajectory, Policies]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_registered", list(registry.PACKAGED))
        nf.register_device(Heater)
        yield play("ac", n_days=1, heaters=[{"bus": 24}, {"bus": 30, "power_mw": 0.1}])


def test_it_passes_with_a_twin_and_is_incomplete_without(played: tuple[Trajectory, Policies], tmp_path: Path) -> None:
    run, policy = played
    assert run.heater_p_mw.min() < -0.01, "nothing was heated"
    without = validate([run], tmp_path, policies={run.run: policy})
    assert without.verdict == "INCOMPLETE" and "twin_of_heaters" in without.runs[0].failed_criteria
    register_twin(HeaterTwin())
    report = validate([run], tmp_path, policies={run.run: policy})
    unmet = {one.name: one.value for one in report.runs[0].criteria if not one.passed}
    assert set(unmet) <= {"hard_violations"}, unmet  # random actors may break limits; their record is right
    assert report.runs[0].closed_loop is not None and report.runs[0].record_verdict == "PASS"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("heater_p_mw", "energy_max_mwh"),
        ("heater_warmth_before_mwh", "energy_jump_max_mwh"),
        ("heater_warmth_mwh", "cost_max"),
    ],
)
def test_its_faults_are_found(played: tuple[Trajectory, Policies], name: str, found: str) -> None:
    run = played[0]
    register_twin(HeaterTwin())
    faulty = dataclasses.replace(run, **{name: getattr(run, name) * np.float32(0.9)})
    criteria = judge(compare(faulty, replay(run))[0], tolerances_for("ac"))
    assert found in {one.name for one in criteria if one.passed is False}
