"""Comparison and verdict: what is sound passes, and every planted fault is found by the criterion meant for it."""

import csv
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from test_validation_replay import record_random

import neomflex_jax as nf
from neomflex_jax.agents.policy import NoControl
from neomflex_jax.environment import evaluation_environment
from neomflex_jax.errors import InputError
from neomflex_jax.evaluation import Trajectory, record
from validation import Criterion, Replay, Tolerances, compare, render_table, replay, tolerances_for, validate
from validation.errors.summary import Confusion, ErrorSummary, confusion, outside, summarise
from validation.recompute.cost import local_cost
from validation.verdict.criteria import FAIL, INCOMPLETE, PASS, judge, verdict_of

BAD_STEP = 60
OPEN_LOOP = dataclasses.replace(Tolerances(), closed_loop_gap_max=None)  # of trajectories without their policies

EVIL = "=<script>alert(1)</script>\n# head [x](javascript:1) <img src=x onerror=y>"


@pytest.fixture(scope="module")
def random_run() -> Trajectory:
    return record_random("ac")


@pytest.fixture(scope="module")
def idle_run() -> Trajectory:
    env = evaluation_environment(nf.make("neom33", power_flow="ac"))
    return record(env, NoControl(env.action_size), "idle", n_days=1)


@pytest.fixture(scope="module")
def random_replay(random_run: Trajectory) -> Replay:
    """For faults that leave the set-points alone."""
    return replay(random_run)


def failed_criteria(run: Trajectory, replayed: Replay | None = None) -> set[str]:
    metrics, _ = compare(run, replayed or replay(run))
    return {one.name for one in judge(metrics, tolerances_for(run.power_flow)) if not one.passed}


def changed(run: Trajectory, name: str, change: Callable[[np.ndarray], None]) -> Trajectory:
    """Copy the run with one array edited in place by `change`."""
    values = np.array(getattr(run, name))
    change(values)
    return dataclasses.replace(run, **{name: values})


def position(run: Trajectory, bus: int) -> int:
    return run.bus_labels.index(bus)


def test_ac_agrees_with_pandapower(random_run: Trajectory, random_replay: Replay, idle_run: Trajectory) -> None:
    idle_replay = replay(idle_run)
    for run, replayed in ((random_run, random_replay), (idle_run, idle_replay)):
        metrics, _ = compare(run, replayed)
        assert metrics.vm_pu.max_abs < 1e-5
        assert metrics.vm_pu.n_compared == run.n_steps * 33
        assert metrics.mean_day_cost.recorded == pytest.approx(metrics.mean_day_cost.pandapower, rel=1e-4)
        assert metrics.losses_mwh.recorded == pytest.approx(metrics.losses_mwh.pandapower, rel=1e-5)
    assert failed_criteria(idle_run, idle_replay) == set()


def test_calibrated_is_near_but_not_equal() -> None:
    run = record_random("calibrated")
    metrics, _ = compare(run, replay(run))
    assert 1e-4 < metrics.vm_pu.max_abs < 0.01
    assert metrics.cost_max < Tolerances().cost_max
    assert metrics.p_injection_max_mw < Tolerances().p_injection_max_mw


# ---- planted faults ----


def test_flipped_battery_sign_is_found(random_run: Trajectory) -> None:
    def flip(battery_p_mw: np.ndarray) -> None:
        battery_p_mw[:, 1] *= -1

    found = failed_criteria(changed(random_run, "battery_p_mw", flip))
    assert {"p_injection_max_mw", "vm_max_pu", "slack_p_max_mw"} <= found


def test_two_swapped_buses_are_found(random_run: Trajectory, random_replay: Replay) -> None:
    a, b = position(random_run, 7), position(random_run, 8)

    def swap(vm_pu: np.ndarray) -> None:
        vm_pu[:, [a, b]] = vm_pu[:, [b, a]]

    faulty = changed(random_run, "vm_pu", swap)
    assert failed_criteria(faulty, random_replay) >= {"vm_max_pu"}
    metrics, _ = compare(faulty, random_replay)
    assert metrics.worst_voltage.bus in (7, 8)


def test_load_q_left_unscaled_is_found(random_run: Trajectory, random_replay: Replay) -> None:
    nominal = nf.load_feeder("case33bw").load_q_mvar
    left = np.outer(random_run.load_q_factor - 1.0, nominal)
    unscaled = dataclasses.replace(random_run, q_injection_mvar=random_run.q_injection_mvar + left)
    assert failed_criteria(unscaled, random_replay) == {"q_injection_max_mvar"}
    owned_up = dataclasses.replace(unscaled, load_q_factor=np.ones_like(random_run.load_q_factor))
    assert {"load_q_factor_max", "slack_q_max_mvar", "vm_max_pu"} <= failed_criteria(owned_up)


def test_voltages_shifted_by_one_step_are_found(random_run: Trajectory, random_replay: Replay) -> None:
    shifted = dataclasses.replace(random_run, vm_pu=np.roll(random_run.vm_pu, 1, axis=0))
    assert {"vm_max_pu", "cost_max"} <= failed_criteria(shifted, random_replay)


def test_nan_voltage_is_found(random_run: Trajectory, random_replay: Replay) -> None:
    def break_one(vm_pu: np.ndarray) -> None:
        vm_pu[BAD_STEP, 5] = np.nan

    assert "non_finite_values" in failed_criteria(changed(random_run, "vm_pu", break_one), random_replay)


def test_step_that_does_not_converge_is_counted_not_hidden(random_run: Trajectory) -> None:
    def overload(values: np.ndarray) -> None:
        values[BAD_STEP] = 6.0

    overloaded = changed(changed(random_run, "demand", overload), "load_q_factor", overload)
    replayed = replay(overloaded)
    metrics, series = compare(overloaded, replayed)
    assert {"failed_flows", "missed_hard_violations"} <= failed_criteria(overloaded, replayed)
    assert metrics.failed_flows == 1
    assert metrics.n_bus_steps == random_run.n_steps * 33
    assert series.outside_hard[BAD_STEP].all() and series.outside_band[BAD_STEP].all()
    collapsed = 100 * (0.97 - 0.5) * 32  # every bus but the slack at 0.5 pu
    assert series.cost[BAD_STEP] == pytest.approx(3 * 100 + collapsed)  # and the penalty of each of three agents
    assert metrics.vm_pu.n_compared == (random_run.n_steps - 1) * 33


def test_step_that_the_environment_could_not_solve_is_counted(idle_run: Trajectory) -> None:
    answers = {name: np.array(getattr(idle_run, name)) for name in ("vm_pu", "loss_mw", "slack_p_mw", "slack_q_mvar")}
    for values in answers.values():
        values[3] = np.nan
    failed = dataclasses.replace(idle_run, converged=np.arange(48) != 3, **answers)
    assert failed_criteria(failed) == {"recorded_failures", "cost_max", "observation_max"}


def test_pv_at_the_neighbouring_bus_is_found(random_run: Trajectory, random_replay: Replay) -> None:
    here, there = position(random_run, 16), position(random_run, 17)

    def move(p_injection_mw: np.ndarray) -> None:
        p_injection_mw[:, here] -= random_run.pv_p_mw[:, 1]
        p_injection_mw[:, there] += random_run.pv_p_mw[:, 1]

    assert failed_criteria(changed(random_run, "p_injection_mw", move), random_replay) >= {"p_injection_max_mw"}


def test_wrong_reward_is_found(random_run: Trajectory, random_replay: Replay) -> None:
    def discount(local_reward: np.ndarray) -> None:
        local_reward[:, 0] *= 0.99

    assert "cost_max" in failed_criteria(changed(random_run, "local_reward", discount), random_replay)


def test_missed_hard_violation_is_found(random_run: Trajectory, random_replay: Replay) -> None:
    inside = dataclasses.replace(random_run, vm_pu=np.clip(random_run.vm_pu, 0.901, None))
    assert random_run.vm_pu.min() < 0.9, "the random actions no longer break a hard limit: choose another key"
    assert "missed_hard_violations" in failed_criteria(inside, random_replay)


# ---- parts ----


def test_cost_equals_the_environments_on_its_own_voltages() -> None:
    options = {"solar_penalty": True, "load_q": "held_from_day_start"}
    env = evaluation_environment(nf.make("neom33", power_flow="lindistflow", **options))
    run = record(env, NoControl(env.action_size), "idle", n_days=1)
    cost = local_cost(
        run.scenario,
        env.feeder,
        vm_pu=np.asarray(run.vm_pu, float),
        loss_mw=np.asarray(run.loss_mw, float),
        battery_p_mw=np.asarray(run.battery_p_mw, float),
        step=run.step,
    )
    np.testing.assert_allclose(cost, -run.local_reward, rtol=1e-5, atol=1e-4)
    metrics, _ = compare(run, replay(run))
    assert metrics.load_q_factor_max == 0.0


def test_cost_by_hand() -> None:
    scenario, feeder = nf.load_scenario("neom33", on_violation="end_day"), nf.load_feeder("case33bw")
    vm_pu = np.ones((3, 33))
    vm_pu[0, 0], vm_pu[0, 1], vm_pu[0, 31] = 0.5, 0.96, 1.05  # the slack does not count towards the excess
    vm_pu[1, 20] = 1.2
    vm_pu[2, 4] = np.nan
    vm_pu[0, 0] = 0.95
    costs = local_cost(
        scenario, feeder, vm_pu=vm_pu, loss_mw=np.full(3, 0.33), battery_p_mw=np.zeros((3, 3)), step=np.arange(3)
    )
    np.testing.assert_allclose(costs[0], [1.0 + 5 * 0.12, 5 * 0.13, 2.0 + 5 * 0.08], atol=1e-12)
    np.testing.assert_array_equal(costs[1:], 100.0)


def test_confusion_by_hand() -> None:
    truth = outside(np.array([[0.96, 0.98, np.nan], [1.04, 1.0, 0.97]]), 0.97, 1.03)
    recorded = outside(np.array([[0.96, 0.96, 1.0], [1.02, 1.0, 0.97]]), 0.97, 1.03)
    np.testing.assert_array_equal(truth, [[True, False, True], [True, False, False]])
    assert confusion(recorded, truth) == Confusion(agreed=1, missed=2, invented=1, inside=2)


def test_error_summary_by_hand() -> None:
    summary = summarise(np.array([1.0, 2.0, np.nan, 4.0]), np.array([1.0, 3.0, 0.0, 2.0]))
    assert summary == ErrorSummary(max_abs=2.0, p99_abs=pytest.approx(1.98), mean_abs=1.0, bias=1 / 3, n_compared=3)
    assert np.isnan(summarise(np.array([np.nan]), np.array([1.0])).max_abs)


def test_verdicts() -> None:
    good, bad, unknown = Criterion("a", 1.0, 2.0), Criterion("b", 3.0, 2.0), Criterion("c", np.nan, 2.0)
    assert verdict_of([good]) == PASS
    assert verdict_of([good, unknown]) == INCOMPLETE
    assert verdict_of([unknown, bad]) == FAIL


def test_tolerances_are_checked() -> None:
    assert tolerances_for("ac").vm_max_pu < tolerances_for("calibrated").vm_max_pu
    assert {tolerances_for(method).missed_hard_violations for method in ("ac", "calibrated", "lindistflow", "dc")} == {
        0
    }
    with pytest.raises(InputError, match="unknown power-flow method"):
        tolerances_for("exact")
    with pytest.raises(InputError, match="vm_max_pu"):
        Tolerances(vm_max_pu=float("nan"))


# ---- the report ----


def test_report_round_trip(random_run: Trajectory, idle_run: Trajectory, tmp_path: Path) -> None:
    steps = []
    random_run = first_rows(random_run, 48)
    report = validate(
        [random_run, idle_run],
        tmp_path / "out",
        dataclasses.replace(OPEN_LOOP, hard_violations=10_000),  # random actions break limits
        metadata={"policy": "sha"},
        on_step=lambda *at: steps.append(at),
    )
    assert report.passed and report.verdict == PASS
    assert steps[-1] == (96, 96)
    stored = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert set(stored.pop("files_sha256")) == {"pandapower_steps.csv", "report.md"}
    assert stored == report.as_dict()
    assert stored["schema_version"] == 4
    assert stored["metadata"] == {"policy": "sha"}
    assert stored["runpp_options"]["lightsim2grid"] is False
    assert set(stored["versions"]) >= {"neomflex_jax", "python", "jax", "numpy", "pandapower"}
    first = stored["runs"][0]
    assert first["scenario_hash"] == random_run.scenario.hash()
    assert first["profiles_sha256"] == "ab" * 32
    judged = {name for name in vars(Tolerances()) if not name.startswith(("closed_loop", "profile"))}
    without = ("loading", "vuf", "feeder_controls")  # no limits, no phases
    judged = {name for name in judged if not any(each in name for each in without)}
    assert {one["name"] for one in first["criteria"]} == judged
    with (tmp_path / "out" / "pandapower_steps.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["run"] == "random"]
    assert len(rows) == random_run.n_steps
    traced = sum(float(row["cost"]) for row in rows)
    assert traced == pytest.approx(first["metrics"]["mean_day_cost"]["pandapower"], rel=1e-12)
    assert np.mean(first["day_cost"]) == pytest.approx(traced, rel=1e-12)
    largest = max(abs(float(row["voltage_error_pu"])) for row in rows)
    assert largest == pytest.approx(first["metrics"]["vm_pu"]["max_abs"], rel=1e-9)


def test_failure_is_named_everywhere(idle_run: Trajectory, tmp_path: Path) -> None:
    def raise_voltage(vm_pu: np.ndarray) -> None:
        vm_pu[3, 30] += 0.01

    report = validate([changed(idle_run, "vm_pu", raise_voltage)], tmp_path, OPEN_LOOP)
    assert report.verdict == FAIL and not report.passed
    assert report.runs[0].failed_criteria == ("vm_max_pu", "cost_max", "observation_max")
    assert "idle: FAIL: vm_max_pu" in render_table(report)
    page = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "**record not confirmed by pandapower: FAIL (vm_max_pu, cost_max, observation_max)**" in page
    assert "| vm_max_pu | 0.01 | 1e-05 | **fail** |" in page


def test_nothing_to_compare_is_incomplete_and_valid_json(idle_run: Trajectory, tmp_path: Path) -> None:
    nothing = {name: np.full_like(getattr(idle_run, name), np.nan) for name in ("vm_pu", "loss_mw")}
    blind = dataclasses.replace(idle_run, run=EVIL, converged=np.zeros(48, bool), **nothing)
    lenient = dataclasses.replace(OPEN_LOOP, recorded_failures=48, cost_max=1e9, observation_max=1e9)
    report = validate([blind], tmp_path, lenient)
    assert report.verdict == INCOMPLETE
    stored = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert stored["runs"][0]["metrics"]["vm_pu"]["max_abs"] is None
    page = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "not available" in page and "verdict: INCOMPLETE" in render_table(report)
    for tag in ("<script", "<img", "[x](", "\n# "):  # the run's name is text, and no Markdown or HTML
        assert tag not in page.split("\n", 1)[1]
    assert "&lt;script>" in page and "\\[x\\](javascript:1)" in page


def first_rows(run: Trajectory, n: int) -> Trajectory:
    return run.rows(slice(n))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda run: first_rows(run, 0), "has no steps"),
        (lambda run: first_rows(run, 40), "truncated"),
        (lambda run: dataclasses.replace(run, vm_pu=run.vm_pu[:, :32]), "vm_pu has shape"),
        (lambda run: dataclasses.replace(run, battery_p_mw=run.battery_p_mw[:, :2]), "battery_p_mw has shape"),
        (lambda run: dataclasses.replace(run, loss_mw=run.loss_mw[:-1]), "loss_mw has shape"),
        (lambda run: dataclasses.replace(run, bus_labels=run.bus_labels[::-1]), "has other buses"),
        (lambda run: dataclasses.replace(run, dataset_index=run.dataset_index + 1), "middle of a day"),
        (lambda run: changed(run, "dataset_index", lambda rows: rows.__setitem__(5, 7)), "missing or mixed"),
        (lambda run: changed(run, "pv_q_mvar", lambda q: q.__setitem__((7, 1), np.nan)), "pv_q_mvar at step 7"),
        (lambda run: changed(run, "action", lambda action: action.__setitem__(7, np.nan)), "action is nan at step 7"),
    ],
)
def test_unusable_trajectory_is_refused_and_nothing_is_written(
    idle_run: Trajectory, tmp_path: Path, spoil: Callable[[Trajectory], Trajectory], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        validate([spoil(idle_run)], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_runs_need_names_of_their_own(idle_run: Trajectory, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="different names"):
        validate([idle_run, idle_run], tmp_path)
    with pytest.raises(InputError, match="no run"):
        validate([], tmp_path)
