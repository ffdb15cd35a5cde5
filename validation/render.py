"""The report as text for people: a short table for the terminal, a page of Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from validation.metrics import SideBySide
from validation.statistics import ErrorSummary

if TYPE_CHECKING:
    from validation.report import Report, RunReport

SIDES = (
    ("mean_day_cost", "day cost, mean", "{:.3f}"),
    ("losses_mwh", "losses (MWh)", "{:.4f}"),
    ("bus_steps_outside_band", "bus-steps outside the band", "{:.0f}"),
    ("share_outside_band", "share outside the band (%)", "{:.3%}"),
    ("voltage_min_pu", "lowest voltage (pu)", "{:.5f}"),
    ("voltage_max_pu", "highest voltage (pu)", "{:.5f}"),
)
ERRORS = (
    ("vm_pu", "voltage (pu)"),
    ("loss_mw", "losses (MW)"),
    ("slack_p_mw", "slack power p (MW)"),
    ("slack_q_mvar", "slack power q (Mvar)"),
)


def render_table(report: Report) -> str:
    """Give a short plain-text table: both sides of each run, its verdict, and why it failed if it did."""
    rows = [["run", "power flow", "", "day cost", "losses MWh", "outside band", "max |dV| pu", "verdict"]]
    for run in report.runs:
        for side in ("recorded", "pandapower"):
            first = side == "recorded"
            figures = [_number(getattr(getattr(run.metrics, name), side), form) for name, _, form in SIDES[:2]]
            share = _number(getattr(run.metrics.share_outside_band, side), "{:.2%}")
            error = "" if first else _number(run.metrics.vm_pu.max_abs, "{:.1e}")
            head = [run.run, run.power_flow] if first else ["", ""]
            rows.append([*head, side, *figures, share, error, "" if first else run.verdict])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += [
        f"{run.run}: {run.verdict}: {', '.join(run.failed_criteria)}" for run in report.runs if run.failed_criteria
    ]
    return "\n".join([*lines, f"verdict: {report.verdict}"])


def render_markdown(report: Report) -> str:
    """Give the whole report as Markdown."""
    lines = ["# Validation against pandapower", "", f"Verdict: **{report.verdict}**", ""]
    lines += ["Versions: " + ", ".join(f"{name} {number}" for name, number in report.versions.items()) + ".", ""]
    for run in report.runs:
        lines += _run_section(run)
    return "\n".join(lines)


def _run_section(run: RunReport) -> list[str]:
    metrics = run.metrics
    lines = [f"## {run.run}: {run.verdict}", ""]
    lines += [f"Scenario {run.scenario} (hash {run.scenario_hash[:12]}), power flow `{run.power_flow}`, ", ""]
    lines[-2] += f"{metrics.n_days} days, {metrics.n_steps} steps; profiles {run.profiles_sha256[:12] or 'not stated'}."
    sides = [(label, *_both(getattr(metrics, name), form)) for name, label, form in SIDES]
    lines += _table(("figure", "recorded", "pandapower"), sides)
    errors = [(label, *_error_cells(getattr(metrics, name))) for name, label in ERRORS]
    lines += _table(("error, recorded - pandapower", "max abs", "99 % abs", "mean abs", "mean"), errors)
    worst = metrics.worst_voltage
    lines += [f"Largest voltage error: bus {worst.bus}, day {worst.day}, step {worst.step}.", ""]
    confusions = [
        (name, *(str(count) for count in (one.agreed, one.missed, one.invented, one.inside)))
        for name, one in (("hard limits", metrics.hard), ("band", metrics.band))
    ]
    lines += _table(("bus-steps outside", "agreed", "missed", "invented", "inside in both"), confusions)
    flows = (
        f"Power flows: {metrics.n_steps}, failed {metrics.failed_flows}, solved by a retry {metrics.retried_flows}; "
    )
    lines += [f"{flows}failed in the record {metrics.recorded_failures}.", ""]
    word = {True: "pass", False: "**fail**", None: "**no value**"}
    criteria = [(c.name, _number(c.value), _number(c.limit), word[c.passed]) for c in run.criteria]
    return lines + _table(("criterion", "value", "limit", ""), criteria)


def _both(figure: SideBySide, form: str) -> tuple[str, str]:
    return _number(figure.recorded, form), _number(figure.pandapower, form)


def _error_cells(error: ErrorSummary) -> list[str]:
    return [_number(value) for value in (error.max_abs, error.p99_abs, error.mean_abs, error.bias)]


def _number(value: float, form: str = "{:.3g}") -> str:
    return form.format(value) if math.isfinite(value) else "not available"


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    lines = [header, ("---",) * len(header), *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines] + [""]
