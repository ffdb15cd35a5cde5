"""The verdict on runs of feeders with phases: what passes, and each planted fault that must not."""

import dataclasses
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from phases import answered, ask_opendss, play, random_steps, small_run, waves

import neomflex_jax as nf
from neomflex_jax.evaluation import Trajectory
from neomflex_jax.grid.unbalanced import GROUND, Element, Load
from validation import compare, judge, render_markdown, replay, tolerances_for, validate
from validation.recompute.load_models import drawn_mw
from validation.recompute.phase_set_points import PhaseSetPoints, phase_set_points_of
from validation.referee.replay import Replay
from validation.verdict.criteria import FAIL, PASS, verdict_of

pytest.importorskip("opendssdirect", reason="OpenDSS is not installed (extra opendss)")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trajectory, Path]:
    return small_run(tmp_path_factory.mktemp("small13"))


@pytest.fixture(scope="module")
def run(recorded: tuple[Trajectory, Path]) -> Trajectory:
    return recorded[0]


@pytest.fixture(scope="module")
def feeder() -> nf.UnbalancedFeeder:
    feeder = nf.load_feeder("ieee13")
    assert isinstance(feeder, nf.UnbalancedFeeder)
    return feeder


@pytest.fixture(scope="module")
def points(run: Trajectory, feeder: nf.UnbalancedFeeder) -> PhaseSetPoints:
    return phase_set_points_of(run, feeder)


@pytest.fixture(scope="module")
def replayed(run: Trajectory) -> Replay:
    return replay(run)


@pytest.fixture(scope="module")
def failed_on(run: Trajectory, points: PhaseSetPoints, replayed: Replay) -> Callable[[nf.UnbalancedFeeder], set[str]]:
    """Criteria that fail if the run's steps were played on a feeder, and OpenDSS's answers are what they are."""

    def failed(played: nf.UnbalancedFeeder, drawn: PhaseSetPoints = points) -> set[str]:
        flow = play(played, drawn)
        assert np.asarray(flow.converged).all()
        return failures(answered(run, flow), replayed)

    return failed


def failures(run: Trajectory, replayed: Replay) -> set[str]:
    """Names of the criteria that do not hold; the verdict is FAIL with any."""
    metrics, _ = compare(run, replayed)
    criteria = judge(metrics, tolerances_for("ac"))
    found = {criterion.name for criterion in criteria if criterion.passed is False}
    assert verdict_of(criteria) == (FAIL if found else PASS)
    return found


def test_a_whole_validation_passes(recorded: tuple[Trajectory, Path], tmp_path: Path) -> None:
    run, profiles = recorded
    report = validate([run], tmp_path / "report", policies={"waves": waves(run.scenario)}, profiles=profiles)
    (judged,) = report.runs
    assert report.verdict == PASS and judged.referee == report.program == "OpenDSS"
    values = {criterion.name: criterion.value for criterion in judged.criteria}
    assert values["vm_max_pu"] < 1e-6 and values["power_balance_max_mw"] < 1e-6 and values["closed_loop_gap_max"] < 1e-5
    assert values["closed_loop_spot_opendss_max_pu"] == 0.0  # in a circuit opened anew, bit by bit
    assert judged.closed_loop is not None and judged.closed_loop["parting"] is None
    by_phase = judged.budget.of("vm_pu", "phase")
    assert set(by_phase) == {"1", "2", "3"}
    assert sum(error.n_compared for error in by_phase.values()) == run.vm_pu.size
    page = render_markdown(report)
    assert "record confirmed by OpenDSS: PASS" in page and "voltage error (pu) by phase" in page
    stored = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    assert stored["runs"][0]["referee"] == "OpenDSS" and "opendssdirect.py" in stored["versions"]
    assert {row["group"] for row in stored["runs"][0]["budget"]["rows"] if row["axis"] == "phase"} == {"1", "2", "3"}


def test_loadings_with_limits_are_judged_too(tmp_path: Path) -> None:
    limits = "loading_soft_percent = 60.0\nloading_hard_percent = 300.0\nloading_observed = true"
    more = f'[loading]\n{limits}\n[loading.branch_limits]\n"line.650632.1" = 90.0\n"capacitor.cap1.2" = 400.0\n'
    run, profiles = small_run(tmp_path, more=more)
    conductors = dict(zip(run.branches, run.branch_loading_percent.T, strict=True))
    assert "capacitor.cap1.1" not in conductors and "transformer.reg1.1" in conductors
    over = int((conductors["line.650632.1"] > 90).sum())
    assert over > 0 and conductors["capacitor.cap1.2"].max() < 400
    report = validate([run], tmp_path / "report", policies={"waves": waves(run.scenario)}, profiles=profiles)
    (judged,) = report.runs
    values = {criterion.name: criterion.value for criterion in judged.criteria}
    assert values["loading_error_max_percent"] < 1e-3 and values["cost_max"] < 0.005
    assert values["closed_loop_gap_max"] < 1e-5 and judged.loading_violations == over
    shifted = dataclasses.replace(run, branch_loading_percent=run.branch_loading_percent * np.float32(0.99))
    assert "loading_error_max_percent" in failures(shifted, replay(run))


def test_finished_days_are_taken_up_again(run: Trajectory, replayed: Replay, tmp_path: Path) -> None:
    replay(run, resume_folder=tmp_path)
    (first, _) = sorted(tmp_path.glob("*.npz"))
    first.unlink()
    same_answers(replay(run, resume_folder=tmp_path), replayed)


@pytest.mark.slow
def test_days_are_solved_alike_by_workers(run: Trajectory, replayed: Replay) -> None:
    same_answers(replay(run, n_workers=2), replayed)


def same_answers(one: Replay, other: Replay) -> None:
    for name in ("vm_pu", "va_degree", "vuf_percent", "loss_mw", "branch_i_ka", "surplus_mw"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_what_loads_draw_is_what_opendss_says(replayed: Replay) -> None:
    """Import and injections are drawn or lost: the loads' models, a second time, at OpenDSS's voltages."""
    assert np.abs(replayed.surplus_mw).max() < 1e-6


@pytest.mark.parametrize("name", ["load_models", "generation", "transformers"])
def test_what_loads_of_every_model_draw_is_what_opendss_says(name: str) -> None:
    feeder = nf.Feeder.from_opendss(Path(__file__).parents[1] / "unbalanced" / "circuits" / f"{name}.dss")
    points = random_steps(feeder, 5)
    found = ask_opendss(feeder, points)
    drawn = drawn_mw(feeder, points.load_p_mw, found["vm_pu"], found["va_degree"])
    np.testing.assert_allclose(found["slack_p_mw"] - found["loss_mw"], drawn, rtol=0, atol=1e-7)


# Faults in what was played


def with_element(feeder: nf.UnbalancedFeeder, name: str, change: Callable[[Element], Element]) -> nf.UnbalancedFeeder:
    assert name in {element.name for element in feeder.elements}
    return replace(feeder, elements=tuple(change(e) if e.name == name else e for e in feeder.elements))


def with_load(feeder: nf.UnbalancedFeeder, name: str, change: Callable[[Load], Load]) -> nf.UnbalancedFeeder:
    assert name in {load.name for load in feeder.loads}
    return replace(feeder, loads=tuple(change(load) if load.name == name else load for load in feeder.loads))


Failed = Callable[..., set[str]]


def test_without_a_fault_nothing_fails(failed_on: Failed, feeder: nf.UnbalancedFeeder, run: Trajectory) -> None:
    # costs and observations are those of the voltages in float32
    assert not failed_on(feeder) - {"observation_max", "cost_max"}


def test_two_phases_swapped(failed_on: Failed, feeder: nf.UnbalancedFeeder) -> None:
    def swap(element: Element) -> Element:
        first, second, *rest = element.nodes
        return replace(element, nodes=(second, first, *rest))

    assert {"vm_max_pu", "vuf_max_percent"} <= failed_on(with_element(feeder, "line.692675", swap))


def test_a_delta_load_as_wye(failed_on: Failed, feeder: nf.UnbalancedFeeder) -> None:
    def as_wye(load: Load) -> Load:
        assert load.connection == "delta"
        return replace(load, connection="wye", nodes=(*load.nodes, GROUND), v_nominal_kv=load.v_nominal_kv / 3**0.5)

    assert "vm_max_pu" in failed_on(with_load(feeder, "load.671", as_wye))


def test_a_regulator_one_tap_off(failed_on: Failed, feeder: nf.UnbalancedFeeder) -> None:
    winding = next(element for element in feeder.elements if element.name == "transformer.reg1").windings[1]
    assert "vm_max_pu" in failed_on(feeder.with_taps({("transformer.reg1", 2): winding.tap - winding.step}))


def test_a_lines_mutual_impedance_dropped(failed_on: Failed, feeder: nf.UnbalancedFeeder) -> None:
    def without(element: Element) -> Element:
        half = len(element.nodes) // 2
        series = -element.y_siemens[:half, half:]
        own = np.linalg.inv(np.diag(np.diag(np.linalg.inv(series))))
        change = np.block([[own - series, series - own], [series - own, own - series]])
        return replace(element, y_siemens=element.y_siemens + change)

    assert "vm_max_pu" in failed_on(with_element(feeder, "line.650632", without))


def test_a_capacitor_left_in(
    run: Trajectory, points: PhaseSetPoints, feeder: nf.UnbalancedFeeder, replayed: Replay, tmp_path: Path
) -> None:
    """The circuit has none of it, and what is played does."""
    assert feeder.circuit is not None
    for path in feeder.circuit.path.parent.iterdir():
        more = "\ndisable capacitor.cap2\n" if path.suffix == ".dss" else ""
        (tmp_path / path.name).write_text(path.read_text(encoding="utf-8") + more, encoding="utf-8")
    clean = nf.Feeder.from_opendss(tmp_path / feeder.circuit.path.name)
    answers = ask_opendss(clean, points)
    exact = replace(replayed, **{name: values for name, values in answers.items() if hasattr(replayed, name)})
    assert "vm_max_pu" not in failures(answered(run, play(clean, points)), exact)
    (left,) = (element for element in feeder.elements if element.name == "capacitor.cap2")
    left_in = replace(clean, elements=(*clean.elements, left))
    assert "vm_max_pu" in failures(answered(run, play(left_in, points)), exact)


def test_a_load_on_the_wrong_phase(failed_on: Failed, feeder: nf.UnbalancedFeeder) -> None:
    wrong = feeder.node_labels.index("675.2")
    moved = with_load(feeder, "load.675a", lambda load: replace(load, nodes=(wrong, *load.nodes[1:])))
    assert "vm_max_pu" in failed_on(moved)


def test_one_third_of_a_load_lost(failed_on: Failed, feeder: nf.UnbalancedFeeder, points: PhaseSetPoints) -> None:
    place = [load.name for load in feeder.loads].index("load.671")
    lost = with_load(feeder, "load.671", lambda load: replace(load, n_phases=2))  # of its three branches
    kept = np.where(np.arange(feeder.n_load) == place, 2 / 3, 1.0)
    drawn = replace(points, load_p_mw=points.load_p_mw * kept, load_q_mvar=points.load_q_mvar * kept)
    assert "vm_max_pu" in failed_on(lost, drawn)


def test_one_third_of_a_load_lost_in_the_record_too(run: Trajectory, feeder: nf.UnbalancedFeeder) -> None:
    """Voltages then fit the record's loads, and the loads do not fit Demand."""
    place = [load.name for load in feeder.loads].index("load.671")
    load_p_mw = run.load_p_mw * np.where(np.arange(feeder.n_load) == place, 2 / 3, 1.0).astype(np.float32)
    lost = dataclasses.replace(run, load_p_mw=load_p_mw)
    assert "p_injection_max_mw" in failures(lost, replay(lost))


def test_vminpu_ignored(failed_on: Failed, feeder: nf.UnbalancedFeeder) -> None:
    ignored = tuple(replace(load, model=replace(load.model, v_min_pu=1e-9, v_low_pu=1e-9)) for load in feeder.loads)
    assert "vm_max_pu" in failed_on(replace(feeder, loads=ignored))


def test_one_nan(run: Trajectory, replayed: Replay) -> None:
    vm_pu = run.vm_pu.copy()
    vm_pu[3, 7] = np.nan
    assert "non_finite_values" in failures(dataclasses.replace(run, vm_pu=vm_pu), replayed)


def test_a_device_on_another_phase(run: Trajectory, replayed: Replay, feeder: nf.UnbalancedFeeder) -> None:
    """What the inverter at phase 2 delivered is recorded at phase 3."""
    p_mw = run.p_injection_mw.copy()
    right, wrong = (feeder.node_labels.index(f"634.{phase}") for phase in (2, 3))
    p_mw[:, [right, wrong]] = p_mw[:, [wrong, right]]
    assert "p_injection_max_mw" in failures(dataclasses.replace(run, p_injection_mw=p_mw), replayed)


def test_a_run_on_other_loads_is_refused(run: Trajectory) -> None:
    with pytest.raises(nf.InputError, match="other loads than feeder 'ieee13'"):
        replay(dataclasses.replace(run, load_buses=run.load_buses[::-1]))


def test_a_scenario_may_name_the_circuit_itself(run: Trajectory, replayed: Replay, feeder: nf.UnbalancedFeeder) -> None:
    assert feeder.circuit is not None
    scenario = replace(run.scenario, feeder=str(feeder.circuit.path))
    found = replay(dataclasses.replace(run.rows(slice(0, 8)), scenario=scenario))
    np.testing.assert_allclose(found.vm_pu, replayed.vm_pu[:8], rtol=0, atol=1e-12)
    assert np.abs(found.surplus_mw).max() < 1e-6


def test_a_replay_without_opendss_names_the_extra(run: Trajectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opendssdirect", None)
    with pytest.raises(nf.InputError, match=r"neomflex-jax\[opendss\]"):
        replay(run)
