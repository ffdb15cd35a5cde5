"""Runs in which a feeder's own controls move taps: what passes, and what must not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from phases import SMALL, small_run, waves

from neomflex_jax.evaluation import Trajectory
from validation import compare, judge, replay, tolerances_for, validate
from validation.verdict.criteria import PASS

pytest.importorskip("opendssdirect", reason="OpenDSS is not installed (extra opendss)")

STEP, MOVED = 0.00625, "feeder_tap_ratio"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trajectory, Path]:
    folder = tmp_path_factory.mktemp("followed")
    return small_run(folder, head='feeder_controls = "follow"\n')


def failed(run: Trajectory) -> set[str]:
    metrics, _ = compare(run, replay(run))
    return {each.name for each in judge(metrics, tolerances_for("ac")) if each.passed is False}


def test_a_run_with_controls_followed_passes(recorded: tuple[Trajectory, Path], tmp_path: Path) -> None:
    run, profiles = recorded
    assert "feeder_controls" not in SMALL and len(np.unique(run.devices[MOVED])) > 5
    report = validate([run], tmp_path / "report", policies={"waves": waves(run.scenario)}, profiles=profiles)
    assert report.verdict == PASS
    values = {criterion.name: criterion.value for criterion in report.runs[0].criteria}
    assert values["feeder_controls_apart_share"] == values["feeder_controls_apart_max"] == 0


def test_a_tap_that_its_control_would_not_have_moved_is_found(recorded: tuple[Trajectory, Path]) -> None:
    run = recorded[0]
    taps, before = run.devices[MOVED].copy(), run.devices[f"{MOVED}_before"].copy()
    taps[5, 0] += 2 * STEP
    before[6, 0] += 2 * STEP
    moved = replace(run, devices={**run.devices, MOVED: taps, f"{MOVED}_before": before})
    assert {"vm_max_pu", "feeder_controls_apart_share", "feeder_controls_apart_max"} <= failed(moved)
    jumped = replace(run, devices={**run.devices, f"{MOVED}_before": before})
    assert "feeder_controls_apart_max" in failed(jumped)


def test_operations_that_were_not_paid_for_are_found(recorded: tuple[Trajectory, Path]) -> None:
    run = recorded[0]
    priced = replace(run.scenario, reward=replace(run.scenario.reward, feeder_operation_weight=1.0))
    assert "cost_max" in failed(replace(run, scenario=priced))
