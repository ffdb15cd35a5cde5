"""A kind of device that the referee has no twin of: believed as recorded, named, and never validated."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_validation_closed_loop import OPTIONS, play

from neomflex_jax.agents.policy_files import Policies
from neomflex_jax.errors import InputError
from neomflex_jax.evaluation import Trajectory
from validation import closed_loop, compare, judge, replay, tolerances_for, validate
from validation.recompute.record import record_of
from validation.recompute.twins import TWINS, register_twin, twins_of, without_twin

UNKNOWN = "flexible_loads"


@pytest.fixture(scope="module")
def played() -> tuple[Trajectory, Policies]:
    """A day with every kind of device and every option."""
    return play("ac", n_days=1, **OPTIONS)


@pytest.fixture
def run(played: tuple[Trajectory, Policies], monkeypatch) -> Trajectory:
    """The day, and a referee that does not know one of its kinds."""
    monkeypatch.delitem(TWINS, UNKNOWN)
    return played[0]


def test_every_packaged_kind_has_a_twin(played: tuple[Trajectory, Policies]) -> None:
    scenario = played[0].scenario
    assert without_twin(scenario) == ()
    assert sum(len(devices) for _, devices in twins_of(scenario)) == len(scenario.devices) == 6
    with pytest.raises(InputError, match="there is a twin of 'batteries' already"):
        register_twin(TWINS["batteries"])


def test_the_verdict_is_incomplete_and_names_the_kind(
    run: Trajectory, played: tuple[Trajectory, Policies], tmp_path: Path
) -> None:
    report = validate([run], tmp_path, policies={run.run: played[1]})
    assert report.verdict == "INCOMPLETE" and report.exit_status == 2
    [judged] = report.runs
    missing = {"twin_of_flexible_loads", "closed_loop_gap_max", "cost_max", "observation_max"}
    assert set(judged.failed_criteria) == missing
    assert all(one.passed is None for one in judged.criteria if one.name in missing)
    sentence = "what flexible_loads did is believed as recorded"
    assert sentence in (tmp_path / "report.md").read_text()
    assert json.loads((tmp_path / "report.json").read_text())["verdict"] == "INCOMPLETE"


def test_what_its_devices_did_is_believed(run: Trajectory, played: tuple[Trajectory, Policies]) -> None:
    metrics, _ = compare(run, replay(run))
    assert metrics.vm_pu.max_abs < 1e-5 and metrics.p_injection_max_mw < 1e-6
    assert metrics.mean_day_cost.pandapower == pytest.approx(metrics.mean_day_cost.recorded, rel=1e-4)
    record = record_of(run)
    bus = record.feeder.bus_position(run.scenario.flexible_loads[0].bus)
    extra_mw = record.set_points.load_p_extra_mw
    assert extra_mw is not None
    assert np.flatnonzero(np.abs(extra_mw).max(axis=0) > 1e-6).tolist() == [bus]
    shed_mw = np.asarray(run.demand, float) * record.feeder.load_p_mw[bus] - run.load_p_mw[:, bus]
    np.testing.assert_allclose(extra_mw[:, bus], -shed_mw, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "found"), [("battery_soc", "energy_max_mwh"), ("pv_p_mw", "p_injection_max_mw"), ("vm_pu", "vm_max_pu")]
)
def test_a_fault_of_what_is_known_still_fails(run: Trajectory, name: str, found: str) -> None:
    faulty = dataclasses.replace(run, **{name: getattr(run, name) * np.float32(0.99)})
    criteria = judge(compare(faulty, replay(run))[0], tolerances_for("ac"))
    assert found in {one.name for one in criteria if one.passed is False}


def test_no_closed_loop_is_played_without_it(run: Trajectory, played: tuple[Any, Policies]) -> None:
    with pytest.raises(InputError, match="has flexible_loads, and there is no twin of such devices"):
        closed_loop(run, played[1])
