"""The report as text for the terminal, and how numbers are written wherever a report is."""

from __future__ import annotations

import math
from collections.abc import Iterable

from validation.report.report import Report
from validation.verdict.criteria import TWIN_OF, TWIN_OF_OBSERVATION, TWIN_OF_TERM
from validation.verdict.headline import headline

SIDES = (
    ("mean_day_cost", "day cost, mean", "{:.3f}"),
    ("losses_mwh", "losses (MWh)", "{:.4f}"),
    ("bus_steps_outside_band", "bus-steps outside the band", "{:.0f}"),
    ("share_outside_band", "share outside the band (%)", "{:.3%}"),
    ("voltage_min_pu", "lowest voltage (pu)", "{:.5f}"),
    ("voltage_max_pu", "highest voltage (pu)", "{:.5f}"),
)


TABLE_HEADER = ("run", "power flow", "answer", "day cost", "losses MWh", "outside band", "max |dV| pu", "record")


def render_table(report: Report) -> str:
    """Render a report as plain text for a terminal.

    Parameters
    ----------
    report
        As `validate` returns it.

    Returns
    -------
    str
        A table with two rows a run (recorded, and in pandapower), remarks, the verdict, and the headline.
    """
    rows = [TABLE_HEADER, *table_rows(report)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(TABLE_HEADER))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, *details(report), *(line.text for line in headline(report))])


def table_rows(report: Report) -> list[tuple[str, ...]]:
    """Return two rows a run, under `TABLE_HEADER`: the record, then pandapower's answer and the record's verdict."""
    rows = []
    for run in report.runs:
        for side in ("recorded", "pandapower"):
            figures = [number(getattr(getattr(run.metrics, name), side), form) for name, _, form in SIDES[:2]]
            share = number(getattr(run.metrics.share_outside_band, side), "{:.2%}")
            error = number(run.metrics.vm_pu.max_abs, "{:.1e}")
            word = f"({run.record_verdict})" if run.reference else run.record_verdict
            agreement = ("", "") if side == "recorded" else (error, word)
            answer = side if side == "recorded" else run.referee
            rows.append((run.run, run.power_flow, answer, *figures, share, *agreement))
    return rows


def details(report: Report) -> list[str]:
    """Return lines: criteria that runs failed, remarks, and the verdict."""
    failed = [run for run in report.runs if run.failed_criteria]
    lines = [f"{run.run}: {run.verdict}: {', '.join(run.failed_criteria)}" for run in failed]
    return [*lines, *remarks(report), f"verdict: {report.verdict}, exit status {report.exit_status}"]


def remarks(report: Report) -> list[str]:
    """Return lines on what is beside the verdict: a sample, references, own tolerances, flattery, a swapped order."""
    lines = []
    if report.is_sample:
        lines.append(
            f"a first answer on {len(report.days)} sampled days of {report.n_days}, which validates nothing; "
            "leave out --quick for a verdict"
        )
    references = [run.run for run in report.runs if run.reference]
    if references:
        lines.append(f"shown beside the judged runs, not counted: {', '.join(references)}")
    for run in report.runs:
        if run.second_referee["agrees"] is False:
            lines.append(f"{run.run}: {run.second_referee['sentence']}")
        lines += [f"{run.run}: {sentence}" for sentence in missing_twin_sentences(run.failed_criteria)]
        if run.own_tolerances and not run.reference:
            lines.append(f"{run.run}: own tolerances: {', '.join(run.own_tolerances)}")
        if "day_cost_flattery_max" in run.failed_criteria:
            share = number(-run.metrics.day_cost_gap, "{:.1%}")
            lines.append(f"{run.run}: `{run.power_flow}` flatters it by {share} of its day cost in {run.referee}")
    for better, worse in report.ranking.swapped:
        lines.append(f"recorded, {better} costs less than {worse}; in {report.program} it is the other way round")
    return lines


MISSING = {  # the longest beginnings first
    TWIN_OF_TERM: ("what the reward term {} costs", "register_term_twin"),
    TWIN_OF_OBSERVATION: ("what is seen as {}", "register_observation_twin"),
    TWIN_OF: ("what {} did", "register_twin"),
}


def missing_twin_sentences(failed_criteria: Iterable[str]) -> list[str]:
    """Return a sentence for each thing without a twin: that it is believed, and what to register."""
    names: dict[str, list[str]] = {beginning: [] for beginning in MISSING}
    for criterion in failed_criteria:
        beginning = next((beginning for beginning in MISSING if criterion.startswith(beginning)), None)
        if beginning is not None:
            names[beginning].append(criterion.removeprefix(beginning))
    return [
        f"{what.format(', '.join(names[beginning]))} is believed as recorded: there is no twin; give one to "
        f"validation.{register}"
        for beginning, (what, register) in MISSING.items()
        if names[beginning]
    ]


def number(value: float, form: str = "{:.3g}") -> str:
    """Return a number as text, "not available" where it is not finite; what rounds to zero has no sign."""
    if not math.isfinite(value):
        return "not available"
    text = form.format(value)
    return form.format(0.0) if text == form.format(-0.0) else text
