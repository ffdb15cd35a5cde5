"""Writing a report's files; no verdict stands over other figures than its own, whenever this is cut off."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from neomflex_jax.files.spreadsheets import guarded
from neomflex_jax.files.whole_files import write_whole
from validation.report.markdown import render_markdown
from validation.report.report import Report
from validation.report.report_folder import PAGE, REPORT, STEPS, VALIDATION, hashes_of


def write_report(folder: Path, report: Report, steps: pd.DataFrame) -> None:
    """Write `report.json`, `report.md` and `pandapower_steps.csv` into a folder, made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    for headline in VALIDATION.headlines:
        (folder / headline).unlink(missing_ok=True)
    write_whole(folder / STEPS, steps.assign(run=steps["run"].map(guarded)).to_csv(index=False))
    write_whole(folder / PAGE, render_markdown(report))
    figures = [name for run in report.runs for name in run.figures if Path(name).name == name]
    write_whole(folder / REPORT, report.to_json(hashes_of(folder, (STEPS, PAGE, *figures))))
