"""Runs on feeders with phases that were read from a pandapower net, judged by `runpp_3ph`."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandapower as pp
import pytest
from pandapower.networks import ieee_european_lv_asymmetric
from phases import answered, play, random_steps, small_run, waves

import neomflex_jax as nf
from neomflex_jax.evaluation import Trajectory
from neomflex_jax.grid.unbalanced.write_folder import write_unbalanced_feeder
from validation import compare, judge, replay, tolerances_for, validate
from validation.recompute.phase_set_points import phase_set_points_of
from validation.referee.phase_net import open_phase_net
from validation.referee.runpp import NON_FINITE, NOT_CONVERGED, OK
from validation.verdict.criteria import FAIL, PASS, verdict_of

sys.path.insert(0, str(Path(__file__).parents[1] / "unbalanced"))
from test_pandapower_phases import small_net

TASK = """
name = "street"
feeder = "{folder}"
power_flow = "ac"
step_hours = 3.0
steps_per_day = 8

[[territories]]
agent = "north"
buses = ["0", "1", "2"]
[[territories]]
agent = "south"
buses = ["3"]

[[batteries]]
bus = "3"
capacity_mwh = 0.1
power_mw = 0.004
s_mva = 0.005
phases = [1]
[[pv_inverters]]
bus = "2"
p_max_mw = 0.006
s_mva = 0.007

[loading]
loading_soft_percent = 20.0
loading_hard_percent = 400.0
[limits]
hard_min_pu = 0.7
hard_max_pu = 1.2
[reward]
unbalance_weight = 2.0
[rules]
first_observation = "devices_at_zero"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A net's file, and beside it the feeder's folder."""
    folder = tmp_path_factory.mktemp("street")
    net = small_net()
    for table in ("load", "asymmetric_load"):
        net[table]["scaling"] = 0.2
    pp.to_json(net, str(folder / "net.json"))
    feeder = nf.Feeder.from_pandapower(folder / "net.json")
    assert isinstance(feeder, nf.UnbalancedFeeder)
    write_unbalanced_feeder(feeder, folder / "feeder")
    return folder


@pytest.fixture(scope="module")
def feeder(folder: Path) -> nf.UnbalancedFeeder:
    feeder = nf.load_feeder(folder / "feeder")
    assert isinstance(feeder, nf.UnbalancedFeeder)
    return feeder


@pytest.fixture(scope="module")
def recorded(folder: Path) -> tuple[Trajectory, Path]:
    return small_run(folder, task=TASK.format(folder=folder / "net.json"))  # played with the phases that it has


@pytest.mark.slow
def test_a_whole_validation_passes(recorded: tuple[Trajectory, Path], tmp_path: Path) -> None:
    run, profiles = recorded
    report = validate([run], tmp_path / "report", policies={"waves": waves(run.scenario)}, profiles=profiles)
    (judged,) = report.runs
    assert report.verdict == PASS, [each for each in judged.criteria if not each.passed]
    assert judged.referee == report.program == "pandapower"
    values = {criterion.name: criterion.value for criterion in judged.criteria}
    assert values["vm_max_pu"] < 1e-6 and values["power_balance_max_mw"] < 1e-6 and values["closed_loop_gap_max"] < 1e-5
    assert values["closed_loop_spot_max_pu"] == 0.0  # in a net read anew, bit by bit
    assert set(judged.budget.of("vm_pu", "phase")) == {"1", "2", "3"}
    stored = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    assert stored["runs"][0]["referee"] == "pandapower"


def test_own_sgens_follow_solar_in_both_calculations(
    recorded: tuple[Trajectory, Path], feeder: nf.UnbalancedFeeder
) -> None:
    """They were taken by Demand in the second one, which failed runs that were right."""
    run, _ = recorded
    loads = [load.name for load in feeder.loads]
    own = [place for place, name in enumerate(loads) if "sgen" in name]
    assert {loads[place].partition(".")[0] for place in own} == {"sgen", "asymmetric_sgen"}
    by_solar = np.outer(run.solar, feeder.load_p_mw[own])
    assert np.ptp(run.solar) > 0.1 and np.abs(by_solar - np.outer(run.demand, feeder.load_p_mw[own])).max() > 1e-3
    np.testing.assert_allclose(run.load_p_mw[:, own], by_solar, atol=1e-8)
    metrics, _ = compare(answered(run, play(feeder, phase_set_points_of(run, feeder))), replay(run))
    criteria = judge(metrics, tolerances_for("ac"))
    assert verdict_of(criteria) == PASS, [each for each in criteria if not each.passed]


def test_every_step_is_that_of_runpp_3ph(feeder: nf.UnbalancedFeeder) -> None:
    at = (feeder.node_labels.index("2.2"), feeder.node_labels.index("3.3"))
    hold_together(feeder, at, 2)


@pytest.mark.slow
def test_every_step_is_that_of_runpp_3ph_on_the_european_feeder(tmp_path: Path) -> None:
    pp.to_json(ieee_european_lv_asymmetric("on_peak_566"), str(tmp_path / "net.json"))
    feeder = nf.Feeder.from_pandapower(tmp_path / "net.json")
    assert isinstance(feeder, nf.UnbalancedFeeder)
    hold_together(feeder, (900, 1801), 5)


def hold_together(feeder: nf.UnbalancedFeeder, at: tuple[int, ...], n_steps: int) -> None:
    """Compare random steps in float64."""
    points = random_steps(feeder, n_steps, at)
    ours, theirs = play(feeder, points), open_phase_net(feeder, at).solve(points)
    assert (theirs["status"] == OK).all() and (theirs["attempts"] == 1).all()
    assert np.abs(np.asarray(ours.vm_pu) - theirs["vm_pu"]).max() < 1e-8
    assert np.abs(np.asarray(ours.va_degree) - theirs["va_degree"]).max() < 1e-6
    # the admittance that holds our source's voltage rounds the power that it feeds in, to a few watts
    for name, atol in (("loss_mw", 5e-6), ("slack_p_mw", 5e-6), ("slack_q_mvar", 5e-6), ("branch_i_ka", 1e-8)):
        np.testing.assert_allclose(theirs[name], np.asarray(getattr(ours, name)), rtol=1e-6, atol=atol, err_msg=name)


@pytest.mark.slow
def test_faults_are_found(recorded: tuple[Trajectory, Path], feeder: nf.UnbalancedFeeder) -> None:
    """A load on the wrong phase, and a line of other impedance."""
    run, _ = recorded
    replayed, points = replay(run), phase_set_points_of(run, feeder)
    line = next(place for place, element in enumerate(feeder.elements) if element.name == "line.0")
    load = next(place for place, one in enumerate(feeder.loads) if one.name == "asymmetric_load.0.a")
    other_line = replace(feeder.elements[line], y_siemens=0.8 * feeder.elements[line].y_siemens)
    moved = replace(feeder.loads[load], nodes=(feeder.loads[load].nodes[0] + 1, feeder.loads[load].nodes[1]))
    put = {"elements": [*feeder.elements], "loads": [*feeder.loads]}
    for name, place, one, verdict in (
        ("elements", line, feeder.elements[line], PASS),
        ("elements", line, other_line, FAIL),
        ("loads", load, moved, FAIL),
    ):
        changed = [*put[name]]
        changed[place] = one
        flow = play(replace(feeder, **{name: tuple(changed)}), points)
        metrics, _ = compare(answered(run, flow), replayed)
        criteria = judge(metrics, tolerances_for("ac"))
        assert verdict_of(criteria) == verdict, [each for each in criteria if not each.passed]


def test_what_does_not_settle_is_a_status(feeder: nf.UnbalancedFeeder) -> None:
    points = random_steps(feeder, 1)
    points.load_p_mw[0, 0] = np.nan
    found = open_phase_net(feeder).solve(points)
    assert found["status"][0] in (NOT_CONVERGED, NON_FINITE) and np.isnan(found["vm_pu"]).all()


def test_another_net_is_refused(folder: Path, feeder: nf.UnbalancedFeeder, tmp_path: Path) -> None:
    assert feeder.circuit is not None
    with pytest.raises(nf.InputError, match=r"load\.0 consumes 0\.012 MW, and in the feeder 0\.0132"):
        loads = (replace(feeder.loads[0], p_mw=feeder.loads[0].p_mw * 1.1), *feeder.loads[1:])
        open_phase_net(replace(feeder, loads=loads))
    with pytest.raises(nf.InputError, match=r"has element trafo\.0, other than the feeder"):
        open_phase_net(replace(feeder, elements=tuple(each for each in feeder.elements if each.name != "trafo.0")))
    net = tmp_path / "net.json"
    net.write_text((folder / "net.json").read_text(encoding="utf-8").replace("f_hz", "f_hz ", 1), encoding="utf-8")
    with pytest.raises(nf.InputError, match="says something else"):
        open_phase_net(replace(feeder, circuit=replace(feeder.circuit, path=net)))
    net.unlink()
    with pytest.raises(nf.InputError, match="is gone"):
        open_phase_net(replace(feeder, circuit=replace(feeder.circuit, path=net)))
