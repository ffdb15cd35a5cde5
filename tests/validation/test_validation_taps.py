"""Tap changers and capacitor banks before the referee: pandapower's own positions, and what a record invents."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from test_validation_closed_loop import play

import neomflex_jax as nf
from neomflex_jax.agents.policy_files import Policies
from neomflex_jax.environment.make import evaluation_environment
from neomflex_jax.evaluation import Trajectory, record
from neomflex_jax.evaluation.tables import step_metrics
from neomflex_jax.fields import with_overrides
from neomflex_jax.grid import load_feeder
from neomflex_jax.plots import draw_figure
from neomflex_jax.yardsticks.controller import Schedule
from validation import closed_loop, validate
from validation.recompute.device_limits import device_excess

TAP_CHANGERS = [
    {"bus": 1, "from_bus": 0, "to_bus": 1, "steps": 4, "delay": 2, "operation_cost": 0.01},
    {"bus": 6, "from_bus": 5, "to_bus": 6, "steps": 3, "step_percent": 0.5, "operations_per_day": 9},
]
CAPACITOR_BANKS = [{"bus": 17, "step_mvar": 0.1, "steps": 3, "operation_cost": 0.02}, {"bus": 30, "step_mvar": 0.3}]


@pytest.fixture(scope="module")
def played() -> tuple[Trajectory, Policies]:
    """A day of random networks."""
    return play("ac", n_days=1, tap_changers=TAP_CHANGERS, capacitor_banks=CAPACITOR_BANKS)


def failed(run: Trajectory, policies: Policies, folder: Path) -> set[str]:
    """Criteria that are not met, but for the limits that random networks break."""
    [judged] = validate([run], folder, policies={run.run: policies}).runs
    return {one.name for one in judged.criteria if one.passed is not True} - {"hard_violations"}


def test_a_run_is_pandapowers_in_open_and_closed_loop(played: tuple[Trajectory, Policies], tmp_path: Path) -> None:
    run, policies = played
    assert np.ptp(run.tap_position, axis=0).min() >= 1 and np.ptp(run.capacitor_steps, axis=0).max() >= 1
    assert (run.tap_position == np.round(run.tap_position)).all()
    assert np.abs(run.tap_moved[:, 1]).sum() <= 9
    assert failed(run, policies, tmp_path) == set()
    assert "steps with a position by the record's request |" in (tmp_path / "report.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("name", "change", "found"),
    [
        ("tap_position", lambda position: position + np.float32(1.0), "energy_max_mwh"),
        ("capacitor_moved", lambda moved: moved * np.float32(2.0), "energy_max_mwh"),
        ("tap_made", lambda made: made * np.float32(0.0), "device_limit_max"),
    ],
)
def test_faults_are_found(
    played: tuple[Trajectory, Policies],
    tmp_path: Path,
    name: str,
    change: Callable[[np.ndarray], np.ndarray],
    found: str,
) -> None:
    run, policies = played
    faulty = dataclasses.replace(run, **{name: change(getattr(run, name))})
    assert found in failed(faulty, policies, tmp_path)


def test_band_control_is_worked_out_again_in_open_and_closed_loop(tmp_path: Path) -> None:
    band = {"control": "band", "dead_band_pu": 0.02}
    tap = TAP_CHANGERS[0] | band | {"vm_set_pu": 1.02}
    banks = [bank | band | {"vm_set_pu": 0.99} for bank in CAPACITOR_BANKS]
    run, policies = play("ac", n_days=1, tap_changers=[tap, TAP_CHANGERS[1]], capacitor_banks=banks)
    assert np.abs(run.tap_moved[:, 0]).max() == 1 and np.abs(run.capacitor_moved).max() == 1
    assert failed(run, policies, tmp_path) == set()
    for what in ({"vm_set_pu": 1.0}, {"delay": 1}, {"controlled_bus": 17}):
        other = with_overrides(run.scenario, {"tap_changers": [tap | what, TAP_CHANGERS[1]]})
        found = device_excess(dataclasses.replace(run, scenario=other), load_feeder(other.feeder))
        assert found.max() >= 1.0, what


def test_a_request_between_two_positions_is_decided_as_the_record_did() -> None:
    """2.5 of 4 steps: a request a little apart is rounded to the record's side, one that is farther is not.

    Every step counts but the pause after the first.
    """
    env = evaluation_environment(nf.make("neom33", power_flow="ac", tap_changers=[TAP_CHANGERS[0]]))
    entry = int(env.action_layout.by_device["tap_target"][0])

    def asking(request: float) -> np.ndarray:
        fractions = np.zeros(len(env.action_layout.controls) + 1, np.float32)
        fractions[entry] = request
        return fractions[env.action_layout.slots]

    run = record(env, Schedule(jnp.asarray(asking(0.625))[None]), "asking", n_days=1)
    for more, same, by_record in ((0.0, True, 0), (5e-4, True, 47), (5e-3, False, 0)):
        split = {agent: values for agent, values in env.split(asking(0.625 + more), "action").items()}
        loop = closed_loop(run, lambda seen, split=split: split)
        assert np.array_equal(loop.played.tap_position, run.tap_position) == same
        assert loop.days[0].positions_by_record == by_record


def test_positions_are_drawn_over_days(played: tuple[Trajectory, Policies]) -> None:
    figure = draw_figure("positions", step_metrics(played[0]), "networks")
    labels = [line.get_label() for line in figure.axes[0].lines]
    assert {"tap changer at bus 1", "capacitor bank at bus 30"} <= set(labels)
