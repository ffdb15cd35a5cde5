"""Two lines over results: is the record pandapower's, and is the policy any good? Neither may stand for the other."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import neomflex_jax as nf
from neomflex_jax.agents.policy import NoControl
from neomflex_jax.commands.console import short
from neomflex_jax.commands.headlines import TabledRun, tabled_runs
from neomflex_jax.commands.train import _note
from neomflex_jax.environment import evaluation_environment
from neomflex_jax.evaluation import Trajectory, record
from neomflex_jax.training.run_log import Progress
from neomflex_jax.yardsticks import Schedule
from validation import idle_policy, render_table, tolerances_for, validate
from validation.report.render import number
from validation.report.stored_report import read_report
from validation.verdict.headline import BAD, GOOD, UNSURE, Line, headline, not_confirmed, policy_lines
from validation.verdict.run_kinds import NO_CONTROL, OTHER, POLICY, RULE, kind_of, kind_of_name


def policy(cost: float, violations: int = 0, allowed: int = 0) -> TabledRun:
    return TabledRun("controlled", POLICY, cost, violations, allowed)


def idle(cost: float, violations: int = 0) -> TabledRun:
    return TabledRun("baseline", NO_CONTROL, cost, violations)


ALWAYS = np.float32(-0.9)  # what a wasteful policy asks of every device
VOLT_VAR, DROOP = TabledRun("volt_var", RULE, 90.0, 0), TabledRun("mapdn_droop", RULE, 75.0, 0)


# ---- the policy's line ----


@pytest.mark.parametrize(
    ("runs", "said", "tone"),
    [
        ([policy(5), idle(100)], "policy: costs 95 % less than no control, no hard violations", GOOD),
        (
            [policy(84), idle(1680), VOLT_VAR, DROOP],
            "policy: costs 95 % less than no control, 12 % more than mapdn_droop (best rule), no hard violations",
            UNSURE,
        ),
        (
            [policy(60), idle(100), VOLT_VAR, DROOP],
            "policy: costs 40 % less than no control, 20 % less than mapdn_droop (best rule), no hard violations",
            GOOD,
        ),
        (
            [policy(430, 2), idle(100)],
            "policy: worse than no control, 2 hard violations, costs 4.3 times no control",
            BAD,
        ),
        ([policy(112), idle(100)], "policy: worse than no control, no hard violations, costs 12 % more than", BAD),
        (
            [policy(12957, 10609), idle(1513, 4)],
            "policy: worse than no control, 10,609 hard violations (no control: 4), costs 8.6 times no control",
            BAD,
        ),
        ([policy(5, 1), idle(100)], "policy: costs 95 % less than no control, 1 hard violation", BAD),
        ([policy(5, 3, 7), idle(100)], "95 % less than no control, 3 hard violations (7 tolerated)", UNSURE),
        ([policy(100), idle(100)], "policy: costs as much as no control, no hard violations", UNSURE),
        ([policy(0.02), idle(100)], "costs 99.9 % less than no control", GOOD),
        ([policy(123456), idle(1)], "costs 123,456 times no control", BAD),
        ([policy(-3), idle(-5)], "policy: worse than no control, no hard violations, costs 2 a day more than", BAD),
        ([policy(-5), idle(0)], "policy: costs 5 a day less than no control", GOOD),
        ([policy(math.nan), idle(5)], "policy: not compared: its day cost is not a number; no hard violations", BAD),
        (
            [policy(5)],
            "policy: not compared: no run without control is beside it; no hard violations",
            UNSURE,
        ),
        ([policy(5, 2)], "policy: not compared: no run without control is beside it; 2 hard violations", BAD),
        (
            [policy(60), VOLT_VAR, DROOP],
            "policy: costs 20 % less than mapdn_droop (best rule), no hard violations; not compared with no control: "
            "no run without control is beside it",
            UNSURE,
        ),
        ([policy(5), idle(math.nan)], "not compared: no run without control", UNSURE),
        ([idle(5), VOLT_VAR], "policy: none, yardsticks alone", UNSURE),
    ],
)
def test_a_policy_is_held_against_no_control_and_the_best_rule(runs: list[TabledRun], said: str, tone: str) -> None:
    [line] = policy_lines(runs, sure=True)
    assert said in line.text
    assert line.tone == tone


def test_nothing_is_good_news_before_pandapower_confirmed_it() -> None:
    record_line, line = not_confirmed([policy(5), idle(100)], ", in `dc` alone", "pandapower")
    assert record_line == Line("record not confirmed by pandapower: not validated", UNSURE)
    assert line == Line("policy: costs 95 % less than no control, no hard violations, in `dc` alone", UNSURE)
    record_line, line = not_confirmed([], "", "OpenDSS")
    assert record_line.text == "record not confirmed by OpenDSS: not validated"
    assert line == Line("policy: not compared: not evaluated either", UNSURE)


def test_several_policies_have_a_line_each() -> None:
    other = dataclasses.replace(policy(200.0), run="other")
    lines = policy_lines([policy(50.0), other, idle(100.0)], sure=True)
    assert [line.text.split(":")[0] for line in lines] == ["policy controlled", "policy other"]
    assert [line.tone for line in lines] == [GOOD, BAD]


def test_the_tables_know_no_control_where_it_is_no_run_of_theirs() -> None:
    table = pd.DataFrame({"run": ["controlled", "volt_var"], "mean_day_cost": [1.0, 2.0], "voltage_violations": [0, 3]})
    assert [run.kind for run in tabled_runs(table)] == [POLICY, RULE]
    known = table.assign(no_control_mean_day_cost=9.0, no_control_voltage_violations=4)
    assert tabled_runs(known)[-1] == TabledRun("no control", NO_CONTROL, 9.0, 4)
    beside = pd.concat([known, known.head(1).assign(run="baseline")])
    assert [run.run for run in tabled_runs(beside)] == ["controlled", "volt_var", "baseline"]
    assert tabled_runs(pd.DataFrame()) == []
    assert [kind_of_name(name) for name in ("no_control", "perfect_foresight")] == [NO_CONTROL, OTHER]


@pytest.mark.parametrize(
    ("voltage", "loading", "of_no_control", "said", "tone"),
    [
        (0, 0, 4, "no hard violations", GOOD),
        (0, 2, 0, "no hard violations of voltage and 2 hard violations of loading", BAD),
        (3, 1, 4, "3 hard violations of voltage and 1 hard violation (no control: 4) of loading", BAD),
    ],
)
def test_violations_of_loading_are_told_apart(voltage: int, loading: int, of_no_control: int, said: str, tone: str):
    run = dataclasses.replace(policy(5, voltage), loading_violations=loading)
    beside = dataclasses.replace(idle(100), loading_violations=of_no_control)
    (line,) = policy_lines([run, beside], sure=True)
    assert line == Line(f"policy: costs 95 % less than no control, {said}", tone)


def test_tables_know_violations_of_loading() -> None:
    columns = {"run": ["controlled"], "mean_day_cost": [5.0], "voltage_violations": [0], "loading_violations": [2]}
    columns |= {"no_control_mean_day_cost": [9.0], "no_control_voltage_violations": [1]}
    both = tabled_runs(pd.DataFrame(columns | {"no_control_loading_violations": [7]}))
    assert [run.loading_violations for run in both] == [2, 7]
    without = {name: values for name, values in columns.items() if name != "loading_violations"}
    assert [run.loading_violations for run in tabled_runs(pd.DataFrame(without))] == [None, None]


# ---- of a report ----


@pytest.fixture(scope="module")
def idle_day() -> Trajectory:
    env = evaluation_environment(nf.make("neom33", power_flow="ac"))
    return record(env, NoControl(env.action_size), "baseline", n_days=1)


@pytest.fixture(scope="module")
def wasteful(idle_day: Trajectory) -> Trajectory:
    """A record which pandapower confirms, of a policy that makes much reactive power for nothing."""
    env = evaluation_environment(nf.make("neom33", power_flow="ac"))
    always = jnp.full((env.scenario.steps_per_day, *env.action_mask.shape), ALWAYS)
    return record(env, Schedule(always), "controlled", n_days=1)


def test_a_confirmed_record_says_nothing_of_a_policy_worse_than_no_control(
    wasteful: Trajectory, idle_day: Trajectory, tmp_path: Path
) -> None:
    zeros = idle_policy(wasteful.scenario)

    def acting(observations: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {agent: action + ALWAYS for agent, action in zeros(observations).items()}

    report = validate([wasteful, idle_day], tmp_path, policies={"controlled": acting}, references=("baseline",))
    record_line, line = headline(report)
    assert record_line == Line("record confirmed by pandapower: PASS", GOOD)
    assert line.text.startswith("policy: worse than no control, ") and line.tone == BAD
    run = report.runs[0]
    assert (run.record_verdict, run.kind, report.runs[1].kind) == ("PASS", POLICY, NO_CONTROL)
    assert run.failed_criteria == (("hard_violations",) if run.hard_violations else ())
    assert report.exit_status == (1 if run.hard_violations else 0)
    stored = read_report(tmp_path)
    assert headline(stored) == [record_line, line], "the stored report says the same"
    page = (tmp_path / "report.md").read_text(encoding="utf-8")
    for text in (render_table(report), page):
        assert record_line.text in text and line.text in text


def test_hard_violations_fail_policies_alone_and_may_be_tolerated(idle_day: Trajectory, tmp_path: Path) -> None:
    """The limits are drawn so closely that an idle day breaks them, in pandapower too."""
    limits = dataclasses.replace(idle_day.scenario.limits, hard_min_pu=0.965, hard_max_pu=1.035)
    rewards = dataclasses.replace(idle_day.scenario.reward, violation_penalty=0.0)
    tight = dataclasses.replace(idle_day.scenario, limits=limits, reward=rewards)
    outside = int(((idle_day.vm_pu < 0.965) | (idle_day.vm_pu > 1.035)).sum())
    assert outside > 0
    run = dataclasses.replace(idle_day, run="controlled", scenario=tight)
    run = dataclasses.replace(run, power_flow="calibrated")  # of which no closed loop is asked
    report = validate([run], tmp_path)
    assert report.runs[0].failed_criteria == ("hard_violations",) and report.exit_status == 1
    assert report.runs[0].hard_violations == outside
    record_line, line = headline(report)
    assert record_line == Line("record confirmed by pandapower: PASS", GOOD)
    assert f"{outside} hard violations" in line.text and line.tone == BAD
    tolerant = validate([run], tmp_path, dataclasses.replace(tolerances_for("calibrated"), hard_violations=outside))
    assert tolerant.exit_status == 0 and f"({outside} tolerated)" in headline(tolerant)[1].text
    low = dataclasses.replace(run, vm_pu=run.vm_pu - np.float32(0.02))
    said = headline(validate([low], tmp_path))[0].text
    assert "FAIL (vm_max_pu" in said and "hard_violations" not in said, "what a policy breaks is no fault of the record"
    yardstick = validate([run], tmp_path, schedules=("controlled",))
    assert yardstick.exit_status == 0 and headline(yardstick)[1].text == "policy: none, yardsticks alone"


def test_a_record_that_differs_is_not_confirmed_and_names_why(idle_day: Trajectory, tmp_path: Path) -> None:
    vm_pu = idle_day.vm_pu.copy()
    vm_pu[3, 30] += np.float32(0.01)
    spoilt = dataclasses.replace(idle_day, run="controlled", vm_pu=vm_pu)
    report = validate([spoilt, idle_day], tmp_path, references=("baseline",))
    record_line, line = headline(report)
    assert record_line.text.startswith("record not confirmed by pandapower: FAIL (vm_max_pu, ")
    assert record_line.tone == BAD and line.tone != GOOD


def test_no_control_is_known_by_what_it_does(idle_day: Trajectory, wasteful: Trajectory) -> None:
    renamed = dataclasses.replace(idle_day, run="my own name")
    assert kind_of(renamed, reference=True, schedule=False) == NO_CONTROL
    assert kind_of(renamed, reference=False, schedule=False) == POLICY, "a policy that does nothing is one"
    impostor = dataclasses.replace(wasteful, run="baseline")
    assert kind_of(impostor, reference=True, schedule=False) == OTHER
    assert kind_of(impostor, reference=False, schedule=True) == RULE
    assert kind_of(dataclasses.replace(wasteful, run="perfect_foresight"), reference=False, schedule=True) == OTHER


# ---- no zero has a sign ----


@pytest.mark.parametrize("value", [-0.0, -1e-9])
def test_no_printed_zero_has_a_sign(value: float) -> None:
    assert number(value, "{:.2%}") == "0.00%" and number(value, "{:+.3f}") == "+0.000"
    assert short(-0.0) == "0" and number(-0.0) == "0"
    note = _note(Progress(1, 2, 1.0, 1.0, 0.5, {"day_cost": 0.0, "share_outside_band": value}))
    assert "outside band 0.0 %" in note and "day reward 0 " in note
