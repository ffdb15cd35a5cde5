"""What stands over results, in lines: whether the record is the referee's, and whether the policy is any good.

The two have nothing to do with each other: a record of a policy that is worse than no control may be exact. A policy is
held against no control and against the best rule among runs of the same days, by the referee's cost where there is a
report; without anything to hold it against the line says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from validation.verdict.criteria import INCOMPLETE, PASS, POLICY_CRITERIA, worst_verdict
from validation.verdict.run_kinds import NO_CONTROL, POLICY, RULE

GOOD, UNSURE, BAD = "good", "unsure", "bad"
SAME_SHARE, SAME = 1e-6, 1e-9  # costs nearer to each other than this share or this much are called equal
TIMES_FROM = 2.0  # from here on a cost is so many times another, below it is so many percent more


@dataclass(frozen=True)
class Line:
    """A sentence, and what it says: GOOD, UNSURE or BAD news."""

    text: str
    tone: str


class Outcome(Protocol):
    """What a run cost and broke: a run of a report, of a stored one, or of an evaluation's tables."""

    @property
    def run(self) -> str:
        """The run's name."""

    @property
    def kind(self) -> str:
        """What it is, one of `run_kinds.KINDS`."""

    @property
    def mean_day_cost(self) -> float:
        """Mean cost of a day; NaN if there is none."""

    @property
    def hard_violations(self) -> int:
        """Steps x buses outside the hard limits."""

    @property
    def hard_violations_allowed(self) -> int:
        """Largest number of them that passes."""

    @property
    def loading_violations(self) -> int | None:
        """Steps x branches loaded above their hard limits; None where nothing limits loadings."""

    @property
    def loading_violations_allowed(self) -> int:
        """As many pass."""


class JudgedRun(Outcome, Protocol):
    """A run of a report."""

    @property
    def record_verdict(self) -> str:
        """PASS, FAIL or INCOMPLETE, of the criteria on the record alone."""

    @property
    def failed_criteria(self) -> tuple[str, ...]:
        """Names of criteria that do not hold or have no value."""

    @property
    def own_tolerances(self) -> Iterable[str]:
        """Names of limits that are not the method's own."""


class AnyReport(Protocol):
    """A report, just made or read back."""

    @property
    def runs(self) -> Sequence[JudgedRun]:
        """All runs."""

    @property
    def judged(self) -> Sequence[JudgedRun]:
        """Runs whose verdict counts."""

    @property
    def days(self) -> tuple[int, ...]:
        """Numbers of the replayed days."""

    @property
    def program(self) -> str:
        """Name of the program that answered."""

    @property
    def is_sample(self) -> bool:
        """True if days were left out."""


def headline(report: AnyReport) -> list[Line]:
    """Return the lines of a report: one on its records, and one on each policy."""
    record = _record_line(report)
    return [record, *policy_lines(report.runs, _where(report), sure=record.tone == GOOD)]


def not_confirmed(outcomes: Sequence[Outcome], where: str, program: str) -> list[Line]:
    """Return the lines of results without a report.

    Parameters
    ----------
    outcomes
        The results.
    where
        Names the power flow that they are from.
    program
        Name of the program that would judge them.
    """
    record = Line(f"record not confirmed by {program}: not validated", UNSURE)
    if not outcomes:
        return [record, Line("policy: not compared: not evaluated either", UNSURE)]
    return [record, *policy_lines(outcomes, where, sure=False)]


def policy_lines(outcomes: Sequence[Outcome], where: str = "", *, sure: bool) -> list[Line]:
    """Return a line on each policy against the runs beside it, all of equal days and power flow.

    Parameters
    ----------
    where
        What the comparison rests on, for example ", on 6 sampled days": the end of each line.
    sure
        True if the referee confirmed what is compared; nothing is GOOD news otherwise.
    """
    policies = [each for each in outcomes if each.kind == POLICY]
    if not policies:
        return [Line("policy: none, yardsticks alone", UNSURE)]
    idle = next((each for each in outcomes if each.kind == NO_CONTROL and math.isfinite(each.mean_day_cost)), None)
    rules = [each for each in outcomes if each.kind == RULE and math.isfinite(each.mean_day_cost)]
    rule = min(rules, key=lambda each: each.mean_day_cost, default=None)
    names = [f"policy {each.run}" if len(policies) > 1 else "policy" for each in policies]
    return [_policy_line(name, each, idle, rule, where, sure) for name, each in zip(names, policies, strict=True)]


def _record_line(report: AnyReport) -> Line:
    judged = report.judged
    verdict = worst_verdict(run.record_verdict for run in judged)
    faults = {run.run: [name for name in run.failed_criteria if name not in POLICY_CRITERIA] for run in judged}
    named = [
        f"{run}: {', '.join(names)}" if len(judged) > 1 else ", ".join(names) for run, names in faults.items() if names
    ]
    if report.is_sample and verdict == PASS:
        return Line(f"record not confirmed by {report.program}: {INCOMPLETE} (a sample of the days)", UNSURE)
    if verdict != PASS:
        tone = UNSURE if verdict == INCOMPLETE else BAD
        return Line(
            f"record not confirmed by {report.program}: {verdict} ({'; '.join(named) or 'no reason stated'})", tone
        )
    own = sorted({name for run in judged for name in run.own_tolerances if name not in POLICY_CRITERIA})
    return Line(
        f"record confirmed by {report.program}: " + PASS + (f" (own tolerances: {', '.join(own)})" if own else ""), GOOD
    )


def _where(report: AnyReport) -> str:
    n_days = len(report.days)
    return f", on {n_days} sampled day{'s' if n_days > 1 else ''}" if report.is_sample else ""


def _policy_line(
    name: str, policy: Outcome, idle: Outcome | None, rule: Outcome | None, where: str, sure: bool
) -> Line:
    cost, violations = policy.mean_day_cost, _violations(policy, idle)
    if not math.isfinite(cost):
        return Line(f"{name}: not compared: its day cost is not a number; {violations}{where}", BAD)
    overloads = policy.loading_violations or 0
    broken = policy.hard_violations > policy.hard_violations_allowed or overloads > policy.loading_violations_allowed
    against_idle = None if idle is None else _costs(cost, idle.mean_day_cost, "no control")
    against_rule = None if rule is None else _costs(cost, rule.mean_day_cost, f"{rule.run} (best rule)")
    compared = [found.text for found in (against_idle, against_rule) if found is not None]
    said = f"costs {', '.join(compared)}"
    if against_idle is None:
        alone = "no run without control is beside it"
        text = f"not compared: {alone}; {violations}"
        if against_rule is not None:
            text = f"{said}, {violations}; not compared with no control: {alone}"
        return Line(f"{name}: {text}{where}", BAD if broken else UNSURE)
    worse = against_idle.more > 0
    text = f"worse than no control, {violations}, {said}" if worse else f"{said}, {violations}"
    doubtful = not sure or against_idle.more == 0 or policy.hard_violations + overloads > 0
    doubtful |= against_rule is not None and against_rule.more > 0
    return Line(f"{name}: {text}{where}", BAD if broken or worse else UNSURE if doubtful else GOOD)


@dataclass(frozen=True)
class _Difference:
    text: str  # "12 % more than no control", "4.3 times no control", "as much as no control"
    more: int  # 1: it costs more, 0: as much, -1: less


def _costs(cost: float, other: float, name: str) -> _Difference:
    """Return how two costs differ, in words and by sign; where the other is not above 0, without shares of it."""
    if abs(cost - other) <= SAME_SHARE * abs(other) + SAME:
        return _Difference(f"as much as {name}", 0)
    word, more = ("more than", 1) if cost > other else ("less than", -1)
    if other <= 0:
        return _Difference(f"{_figure(abs(cost - other))} a day {word} {name}", more)
    if cost / other >= TIMES_FROM:
        return _Difference(f"{_figure(cost / other)} times {name}", more)
    return _Difference(f"{_figure(100 * abs(cost - other) / other)} % {word} {name}", more)


def _figure(value: float) -> str:
    """Return a positive number with two or three significant digits, never with an exponent, as text."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2g}" if value <= 99 else f"{math.floor(10 * value) / 10:.1f}"  # 99.98 % less is not 100 %


def _violations(policy: Outcome, idle: Outcome | None) -> str:
    """Return what hard limits are broken, of voltages and, where loadings are limited, of these apart."""
    if policy.loading_violations is None or not policy.hard_violations + policy.loading_violations:
        others = 0 if idle is None else idle.hard_violations
        return _counted(policy.hard_violations, policy.hard_violations_allowed, others)
    voltage = _counted(
        policy.hard_violations, policy.hard_violations_allowed, 0 if idle is None else idle.hard_violations
    )
    others = 0 if idle is None else idle.loading_violations or 0
    loading = _counted(policy.loading_violations, policy.loading_violations_allowed, others)
    return f"{voltage} of voltage and {loading} of loading"


def _counted(count: int, allowed: int, of_no_control: int) -> str:
    if not count:
        return "no hard violations"
    notes = [f"{allowed:,} tolerated"] if allowed else []
    notes += [f"no control: {of_no_control:,}"] if of_no_control else []
    return f"{count:,} hard violation{'s' if count > 1 else ''}" + (f" ({', '.join(notes)})" if notes else "")
