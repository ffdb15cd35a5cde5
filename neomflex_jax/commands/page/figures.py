"""The figures on top of a page: what a day costs and breaks, of the policy beside no control."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from neomflex_jax.commands.console import short
from neomflex_jax.commands.result_kinds import NO_CONTROL_RUNS
from neomflex_jax.loose_types import JsonObject

if TYPE_CHECKING:
    from validation.report.stored_report import StoredReport


@dataclass(frozen=True)
class Card:
    """One figure: of the policy, and of no control where that is known."""

    label: str
    unit: str
    policy: str
    beside: str = ""  # no control's


@dataclass(frozen=True)
class Figures:
    """Cards, and the sentence on what they are from."""

    source: str
    cards: tuple[Card, ...]


Read = Callable[[JsonObject], float | None]
OF_REPORT: tuple[tuple[str, str, Read], ...] = (  # of a run's metrics in a report, the referee's side
    ("cost of a day", "", lambda metrics: metrics["mean_day_cost"]["pandapower"]),
    ("losses of a day", "MWh", lambda metrics: metrics["losses_mwh"]["pandapower"] / metrics["n_days"]),
    ("outside the band", "% of buses x steps", lambda metrics: 100 * metrics["share_outside_band"]["pandapower"]),
    ("outside the hard limits", "buses x steps", lambda metrics: metrics["hard"]["agreed"] + metrics["hard"]["missed"]),
    ("lowest voltage", "pu", lambda metrics: metrics["voltage_min_pu"]["pandapower"]),
    ("highest voltage", "pu", lambda metrics: metrics["voltage_max_pu"]["pandapower"]),
)
OF_SUMMARY: tuple[Read, ...] = (  # the same of a row of run_summary.csv
    lambda row: row["mean_day_cost"],
    lambda row: row["total_losses_mwh"] / row["n_days"],
    lambda row: 100 * row["share_outside_band"],
    lambda row: row["voltage_violations"],
    lambda row: row["min_voltage_pu"],
    lambda row: row["max_voltage_pu"],
)


def figures_of_report(report: StoredReport) -> Figures:
    """Return the referee's figures of a report's first judged run beside those of no control."""
    from validation.verdict.run_kinds import NO_CONTROL

    runs = report.content["runs"]
    policy = next(run for run in runs if not run["reference"])
    idle = next((run for run in runs if run["kind"] == NO_CONTROL), None)
    both = [None if run is None else run["metrics"] for run in (policy, idle)]
    cards = tuple(Card(label, unit, *(_shown(read, metrics) for metrics in both)) for label, unit, read in OF_REPORT)
    n_days = len(report.days)
    of = f"{n_days} sampled days" if report.is_sample else f"all {n_days} days"
    return Figures(f"Figures of {of}, every step solved by {report.program}.", cards)


def figures_of_tables(summary: pd.DataFrame, run: str, played_in: str) -> Figures:
    """Return the figures of an evaluation's run summary; `played_in` names the power flow."""
    rows = {str(row["run"]): {str(name): value for name, value in row.items()} for _, row in summary.iterrows()}
    policy, idle = rows[run], next((rows[name] for name in NO_CONTROL_RUNS if name in rows and name != run), None)
    cards = [
        Card(label, unit, _shown(read, policy), _shown(read, idle))
        for (label, unit, _), read in zip(OF_REPORT, OF_SUMMARY, strict=True)
    ]
    if idle is None and policy.get("no_control_mean_day_cost") is not None:
        cards[0] = Card(cards[0].label, "", cards[0].policy, short(policy["no_control_mean_day_cost"]))
    n_days = int(policy["n_days"])
    return Figures(f"Figures of {n_days} days, not validated: from {played_in}.", tuple(cards))


def _shown(read: Read, row: JsonObject | None) -> str:
    """Return a figure as text; empty where there is no such run, n/a for what the run has not."""
    if row is None:
        return ""
    try:
        return short(read(row))
    except TypeError:
        return "n/a"
