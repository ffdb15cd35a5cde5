"""What a notebook shows of a report: its headline, and a row a run; every name is escaped."""

from __future__ import annotations

from neomflex_jax.pages import Table, fill_template
from validation.verdict.headline import BAD, GOOD, UNSURE, AnyReport, headline

COLOURS = {GOOD: "#009E73", UNSURE: "#E69F00", BAD: "#D55E00"}
HEADER = ("run", "kind", "mean day cost, {}", "outside hard limits", "record")


def notebook_cell(report: AnyReport) -> str:
    """Return HTML without a script."""
    rows = [
        (run.run, run.kind, f"{run.mean_day_cost:.4g}", f"{run.hard_violations:,}", run.record_verdict)
        for run in report.runs
    ]
    table = Table(tuple(name.format(report.program) for name in HEADER), tuple(rows))
    return fill_template("validation.report", "notebook.html", lines=headline(report), table=table, colours=COLOURS)
