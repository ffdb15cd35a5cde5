"""Runs whose devices move a feeder's regulators and switch its capacitors: what passes, and what must not."""

import dataclasses
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from phases import OPERATED, answered, play, small_run, waves

import neomflex_jax as nf
from neomflex_jax.evaluation import Trajectory
from validation import compare, judge, replay, tolerances_for, validate
from validation.recompute.phase_set_points import phase_set_points_of
from validation.referee.replay import Replay
from validation.verdict.criteria import PASS

pytest.importorskip("opendssdirect", reason="OpenDSS is not installed (extra opendss)")

SWING = 1.0  # so that positions move


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trajectory, Path]:
    return small_run(tmp_path_factory.mktemp("operated"), OPERATED, SWING)


@pytest.fixture(scope="module")
def replayed(recorded: tuple[Trajectory, Path]) -> Replay:
    return replay(recorded[0])


def test_taps_and_capacitors_are_replayed_step_by_step(recorded: tuple[Trajectory, Path], tmp_path: Path) -> None:
    run, profiles = recorded
    feeder = nf.load_feeder("ieee13")
    points = phase_set_points_of(run, feeder)
    assert points.tapped == (("transformer.reg1", 2), ("transformer.reg2", 2), ("transformer.reg3", 2))
    assert points.switched == ("capacitor.cap1", "capacitor.cap2")
    positions = np.asarray(run.tap_position)
    assert points.taps is not None and points.steps is not None
    np.testing.assert_allclose(points.taps, 1 - 0.00625 * positions[:, [0, 1, 1]], atol=1e-9)
    assert len(np.unique(positions)) > 4 and len(np.unique(points.steps, axis=0)) > 1
    report = validate([run], tmp_path / "report", policies={"waves": waves(run.scenario, SWING)}, profiles=profiles)
    assert report.verdict == PASS
    values = {criterion.name: criterion.value for criterion in report.runs[0].criteria}
    assert values["vm_max_pu"] < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["tap", "capacitor"])
def test_one_tap_off_and_a_capacitor_left_in_are_found(
    fault: str, recorded: tuple[Trajectory, Path], replayed: Replay
) -> None:
    """Each step is played with the fault by the feeder as it then stands, bound anew."""
    run, feeder = recorded[0], nf.load_feeder("ieee13")
    points = phase_set_points_of(run, feeder)
    assert points.taps is not None and points.steps is not None
    found = {True: [], False: []}
    for faulty, flows in found.items():
        for row in range(len(points)):
            taps = points.taps[row] + 0.00625 * np.array([faulty and fault == "tap", 0, 0])
            steps = points.steps[row] | int(faulty and fault == "capacitor")
            own = feeder.with_taps(dict(zip(points.tapped, taps.clip(0.9, 1.1).tolist(), strict=True)))
            own = own.with_steps(dict(zip(points.switched, steps.tolist(), strict=True)))
            flows.append(play(own, points.rows(slice(row, row + 1))))
    failed = {}
    for faulty, flows in found.items():
        together = {
            field.name: None
            if getattr(flows[0], field.name) is None
            else np.concatenate([getattr(f, field.name) for f in flows])
            for field in dataclasses.fields(flows[0])
        }
        metrics, _ = compare(answered(run, replace(flows[0], **together)), replayed)
        failed[faulty] = {each.name for each in judge(metrics, tolerances_for("ac")) if each.passed is False}
    assert failed[False] == set()
    assert "vm_max_pu" in failed[True]
