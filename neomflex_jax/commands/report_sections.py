"""What a run's page says: settings, learning, evaluation, validation."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from neomflex_jax.commands import run_page as html
from neomflex_jax.commands.console import short
from neomflex_jax.commands.evaluate import COLUMNS
from neomflex_jax.errors import InputError
from neomflex_jax.files.tables import numbers, read_table

if TYPE_CHECKING:
    from validation.report.stored_report import StoredReport, StoredRun

MOST_PNG_BYTES = 16 * 1024 * 1024
SUMMARY = ("algorithm", "seed", "total_steps", "max_seconds", "neomflex_jax", "jax", "device")
LEARNING = ("steps", "day_cost", "share_outside_band")
DAYS_SHOWN = (0, 1)


def settings(config: Mapping[str, Any]) -> list[str]:
    """Show what the run was made with."""
    scenario = config.get("scenario")
    name = scenario.get("name") if isinstance(scenario, dict) else "not stated"
    rows = [("scenario", str(name)), *((key, str(config[key])) for key in SUMMARY if key in config)]
    everything = json.dumps(config, indent=2, ensure_ascii=False)
    return [html.heading("Settings"), html.table(("", ""), rows), html.details("config.json", everything)]


def learning(metrics: Path, power_flow: str) -> list[str]:
    """Show the learning curve, of costs in `power_flow`; says so if there is none yet."""
    from neomflex_jax.plots.learning import draw

    parts = [html.heading("Learning")]
    if not metrics.is_file():
        return [*parts, html.paragraph(f"no {metrics.name} yet: nothing was learned")]
    table = read_table(metrics, LEARNING)
    if table.empty:
        return [*parts, html.paragraph("nothing was learned yet")]
    steps, day_cost, share = (numbers(metrics, table, column) for column in LEARNING)
    caption = f"{len(table)} chunks of training, {steps[-1]:,.0f} environment steps"
    return [*parts, html.drawn(draw(steps, day_cost, share, power_flow), caption)]


def evaluation(steps: pd.DataFrame, summary: pd.DataFrame) -> list[str]:
    """Show an evaluation's summary and figures, from its step table and that one's sums."""
    from neomflex_jax.evaluation.tables import RUN_FILE
    from neomflex_jax.plots import draw_figure

    rows = [[str(row["run"]), *(short(float(row[name])) for name in COLUMNS)] for _, row in summary.iterrows()]
    header = ("run", *(label.replace("\n", " ") for label in COLUMNS.values()))
    days = int(summary["n_days"].max())
    parts = [html.heading("Evaluation"), html.paragraph(f"{days} days, as in {RUN_FILE}"), html.table(header, rows)]
    run = "controlled" if "controlled" in set(steps["run"]) else str(steps["run"].iloc[0])
    few = [day for day in DAYS_SHOWN if day in set(steps.loc[steps["run"] == run, "day"])] or None
    figures: list[tuple[str, Any, dict[str, Any]]] = [("comparison", None, {}), ("voltage", few, _overlay(steps, run))]
    if any(name.startswith("battery_soc_bus_") for name in steps.columns):
        figures.append(("soc", few, {}))
    figures.append(("dispatch", few, {}))
    for name, chosen, options in figures:
        parts.append(html.drawn(draw_figure(name, steps, run, chosen, **options), f"{name}: {run}"))
    return parts


def validation(report: StoredReport) -> list[str]:
    """Show a validation's verdict, criteria, errors and figures."""
    try:
        changed, both = report.changed_files, zip(report.runs, report.content["runs"], strict=True)
        return [part for stored, run in both for part in _run(report.path.parent, stored, run, changed)]
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise InputError(f"{report.path}: incomplete ({error!r:.60}); validate again") from error


def _run(folder: Path, stored: StoredRun, run: Mapping[str, Any], changed: Collection[str]) -> list[str]:
    counted = " (reference, not counted)" if stored.reference else ""
    metrics, word = run["metrics"], {True: "pass", False: "fail", None: "no value"}
    parts = [html.heading(f"{stored.run}: record {stored.record_verdict}{counted}", 3)]
    parts.append(
        html.table(
            ("criterion", "value", "limit", ""),
            [(c["name"], short(c["value"]), short(c["limit"]), word[c["passed"]]) for c in run["criteria"]],
        )
    )
    sides = [name for name, figure in metrics.items() if isinstance(figure, dict) and "pandapower" in figure]
    rows = [(name, short(metrics[name]["recorded"]), short(metrics[name]["pandapower"])) for name in sides]
    parts.append(html.table(("figure", "recorded", "pandapower"), rows))
    margins = {margin["limits"]: margin["margin_pu"] for margin in run["budget"]["margins"]}
    kinds = ("agreed", "missed", "invented", "inside")
    counts = [
        (name, *(f"{metrics[name][kind]:,}" for kind in kinds), short(margins[name])) for name in ("hard", "band")
    ]
    parts.append(html.table(("bus-steps outside", *kinds, "margin, pu"), counts))
    errors = [row for row in run["budget"]["rows"] if row["axis"] == "all"]
    names = ("max_abs", "p99_abs", "mean_abs", "bias")
    cells = [(row["quantity"], *(short(row["error"][name]) for name in names)) for row in errors]
    parts.append(html.table(("error, recorded - pandapower", "largest", "99 % below", "mean", "bias"), cells))
    bands = [
        (band["band"], short(band["controllable_rate"]), short(band["share_of_buses_out"]), short(band["outside_pu_h"]))
        for band in run["operation"]["bands"]
    ]
    header = ("band, in pandapower", "controllable rate (MAPDN)", "share of buses out (MAPDN)", "pu h outside")
    parts.append(html.table(header, bands))
    own = {name: caption for name, caption in run["figures"].items() if Path(name).name == name and name not in changed}
    figures = [(folder / name, caption) for name, caption in own.items()]
    return [*parts, *(html.image(png, str(caption)) for path, caption in figures if (png := _png(path)))]


def _png(path: Path) -> bytes | None:
    """Read an image that lies in the report's own folder; None if there is none, or it is none."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > MOST_PNG_BYTES:
        return None
    content = path.read_bytes()
    return content if content.startswith(html.PNG) else None


def _overlay(steps: pd.DataFrame, run: str) -> dict[str, Any]:
    others = np.setdiff1d(steps["run"].unique(), [run])
    return {"overlay": ("baseline",)} if "baseline" in others else {}
