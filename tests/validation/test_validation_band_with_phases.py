"""Runs on feeders with phases whose regulators and banks follow a dead band: worked out again, a step off is found."""

import dataclasses
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from phases import answered, small_run, waves

import neomflex_jax as nf
from neomflex_jax.evaluation import Trajectory
from neomflex_jax.fields import with_overrides
from neomflex_jax.grid.unbalanced import GROUND, Load
from validation import validate
from validation.recompute.device_limits import device_excess
from validation.recompute.phase_set_points import phase_set_points_of
from validation.verdict.criteria import PASS

pytest.importorskip("opendssdirect", reason="OpenDSS is not installed (extra opendss)")

HEAD = {"from_bus": "650", "to_bus": "rg60", "steps": 16, "step_percent": 0.625, "control": "band"}
ONE = HEAD | {"bus": "rg60", "phases": [1], "vm_set_pu": 1.02, "dead_band_pu": 0.01, "controlled_bus": "671"}
TWO = HEAD | {"bus": "650", "phases": [2, 3], "vm_set_pu": 1.03, "dead_band_pu": 0.015, "delay": 2}
BANK = {"bus": "675", "step_mvar": 0.6, "control": "band", "vm_set_pu": 0.99, "dead_band_pu": 0.03}


def table(name: str, fields: dict[str, object]) -> str:
    """A table of a scenario file."""
    rows = [f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}" for key, value in fields.items()]
    return "\n".join((f"[[{name}]]", *rows, ""))


DEVICES = table("tap_changers", ONE) + table("tap_changers", TWO) + table("capacitor_banks", BANK)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trajectory, Path]:
    return small_run(tmp_path_factory.mktemp("banded"), f"\n{DEVICES}")


def test_it_is_worked_out_again_in_open_and_closed_loop(recorded: tuple[Trajectory, Path], tmp_path: Path) -> None:
    run, profiles = recorded
    assert np.ptp(run.tap_position, axis=0).min() >= 2 and np.ptp(run.capacitor_steps) == 1
    report = validate([run], tmp_path / "report", policies={"waves": waves(run.scenario)}, profiles=profiles)
    assert report.verdict == PASS
    feeder = nf.load_feeder("ieee13")
    assert device_excess(run, feeder).max() < 1e-6
    for what in ({"phases": [2]}, {"controlled_bus": "rg60"}, {"vm_set_pu": 0.95}):
        other = with_overrides(run.scenario, {"tap_changers": [ONE | what, TWO]})
        assert device_excess(dataclasses.replace(run, scenario=other), feeder).max() >= 1, what


def test_a_position_off_the_rule_fails_though_all_else_fits(recorded: tuple[Trajectory, Path], tmp_path: Path) -> None:
    """One step too high in one step of the run, and back: counters, energies and voltages are that position's."""
    run, profiles = recorded
    position, before, moved, made = (
        np.array(getattr(run, f"tap_{name}")) for name in ("position", "position_before", "moved", "made")
    )
    row = 4
    position[row, 0] += 1
    before[row + 1, 0] += 1
    moved[row, 0] += 1
    moved[row + 1, 0] -= 1
    operations = np.abs(moved[:, 0]).reshape(-1, run.scenario.steps_per_day)
    made[:, 0] = np.cumsum(operations, axis=1).ravel()
    own = {"tap_position": position, "tap_position_before": before, "tap_moved": moved, "tap_made": made}
    changed = dataclasses.replace(run, **own)
    faulty = answered(changed, _played(changed))
    report = validate([faulty], tmp_path / "report", policies={"waves": waves(run.scenario)}, profiles=profiles)
    failed = {criterion.name for criterion in report.runs[0].criteria if criterion.passed is False}
    assert "device_limit_max" in failed and not failed & {"vm_max_pu", "energy_max_mwh"}, failed
    assert report.verdict != PASS


def _played(run: Trajectory) -> nf.PowerFlowResult:
    """Our own answers to the record's set-points and positions, in double precision."""
    feeder = nf.load_feeder("ieee13")
    points = phase_set_points_of(run, feeder)
    devices = [Load(f"d{node}", (node, GROUND), 1, "wye", 1.0, 0.0, 0.0) for node in points.device_nodes]
    assert points.taps is not None and points.steps is not None
    with jax.enable_x64(True):
        solver = nf.bind(
            replace(feeder, loads=(*feeder.loads, *devices)), taps=points.tapped, capacitors=points.switched
        )
        setting = nf.Setting(tap_ratio=points.taps, capacitor_share=points.steps.astype(float))
        p_mw = np.concatenate([points.load_p_mw, -points.device_p_mw], axis=1)
        q_mvar = np.concatenate([points.load_q_mvar, -points.device_q_mvar], axis=1)
        return solver.solve(p_mw, q_mvar, setting=setting)
