"""The two lines over results, in the terminal: what they are made from without a report, and their colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from neomflex_jax.commands.console import console

if TYPE_CHECKING:
    from neomflex_jax.scenario import Scenario
    from validation.verdict.headline import Line, Outcome

COLOURS = {"good": "green", "unsure": "yellow", "bad": "red"}


@dataclass(frozen=True)
class TabledRun:
    """A run as the tables of an evaluation have it: a `validation.verdict.headline.Outcome`."""

    run: str
    kind: str
    mean_day_cost: float
    hard_violations: int
    hard_violations_allowed: int = 0
    loading_violations: int | None = None  # None where nothing limits loadings
    loading_violations_allowed: int = 0


def tabled_runs(summary: pd.DataFrame) -> list[Outcome]:
    """Return the runs of a run summary, and no control, which its columns know where it is no run of the tables.

    A table without rows has none.
    """
    from neomflex_jax.evaluation.loading_columns import LOADING_VIOLATIONS, NO_CONTROL_LOADING
    from neomflex_jax.evaluation.tables import NO_CONTROL_MEAN_COST, NO_CONTROL_VIOLATIONS
    from validation.verdict.run_kinds import NO_CONTROL, kind_of_name

    if summary.empty:
        return []
    costs = summary[["run", "mean_day_cost", "voltage_violations"]].itertuples(index=False)
    overloads = list(map(int, summary[LOADING_VIOLATIONS])) if LOADING_VIOLATIONS in summary else [None] * len(summary)
    runs: list[Outcome] = [
        TabledRun(run, kind_of_name(run), float(cost), int(violations), loading_violations=overload)
        for (run, cost, violations), overload in zip(costs, overloads, strict=True)
    ]
    if NO_CONTROL_MEAN_COST in summary and all(run.kind != NO_CONTROL for run in runs):
        cost, violations = (float(summary[name].iloc[0]) for name in (NO_CONTROL_MEAN_COST, NO_CONTROL_VIOLATIONS))
        if math.isfinite(cost) and math.isfinite(violations):
            overload = int(summary[NO_CONTROL_LOADING].iloc[0]) if NO_CONTROL_LOADING in summary else None
            runs.append(TabledRun("no control", NO_CONTROL, cost, int(violations), loading_violations=overload))
    return runs


def judging_program(scenario: Scenario) -> str:
    """Return the name of the program that judges runs of a scenario: pandapower, or OpenDSS where it has phases."""
    from neomflex_jax.grid import load_feeder
    from validation.referee.solvers import program_for

    return program_for(load_feeder(scenario.feeder))


def print_headline(lines: Sequence[Line]) -> None:
    """Print each line in the colour of what it says."""
    for line in lines:
        console.print(line.text, style=COLOURS[line.tone])
