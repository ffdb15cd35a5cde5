"""What stands in the sections of a run's page: settings, learning, evaluation, validation, read from their files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from neomflex_jax.commands.console import short
from neomflex_jax.commands.constraints import shown_constraints
from neomflex_jax.commands.evaluate import GAP, shown_columns
from neomflex_jax.commands.page.errors import where_it_errs
from neomflex_jax.commands.run_page import Evaluated, Validated
from neomflex_jax.errors import InputError
from neomflex_jax.files.json_values import read_json_object
from neomflex_jax.files.paths import is_file
from neomflex_jax.files.tables import numbers, read_table
from neomflex_jax.loose_types import JsonObject
from neomflex_jax.pages import Table

if TYPE_CHECKING:
    from validation.report.stored_report import StoredReport, StoredRun

SUMMARY = ("algorithm", "seed", "total_steps", "max_seconds", "neomflex_jax", "jax", "device")
LEARNING = ("steps", "day_cost", "share_outside_band")
MOST_CHUNKS = 400  # of a learning curve
PASSED = {True: "pass", False: "fail", None: "no value"}
COUNTS = ("agreed", "missed", "invented", "inside")  # of bus-steps outside the limits, recorded and in pandapower
ERRORS = {"max_abs": "largest", "p99_abs": "99 % below", "mean_abs": "mean", "bias": "bias"}
BANDS = {
    "controllable_rate": "controllable rate (MAPDN)",
    "share_of_buses_out": "share of buses out (MAPDN)",
    "outside_pu_h": "pu h outside",
}


def settings(config: JsonObject) -> Table:
    """Return the most telling settings of a run, name and value."""
    scenario = config.get("scenario")
    name = scenario.get("name") if isinstance(scenario, dict) else "not stated"
    return Table((), (("scenario", str(name)), *((key, str(config[key])) for key in SUMMARY if key in config)))


def about(config: JsonObject, n_steps: object) -> str:
    """Return what was trained, how and how long, in a line."""
    scenario = config.get("scenario")
    named = scenario if isinstance(scenario, dict) else {}
    steps = f", {n_steps:,} environment steps" if isinstance(n_steps, int) else ""
    of = f"{named.get('name', 'scenario not stated')}: {named.get('description') or 'no description'}"
    return f"{of}. Trained by {config.get('algorithm')}, seed {config.get('seed')}{steps}."


def config_json(config: JsonObject) -> str:
    """Return all settings as text."""
    return json.dumps(config, indent=2, ensure_ascii=False)


def learning(metrics: Path, power_flow: str) -> JsonObject | str:
    """Return the learning curve, of costs in `power_flow`, or a sentence that there is none yet."""
    if not metrics.is_file():
        return f"no {metrics.name} yet: nothing was learned"
    table = read_table(metrics, LEARNING)
    if table.empty:
        return "nothing was learned yet"
    steps, day_cost, share = (numbers(metrics, table, column) for column in LEARNING)
    chunks = f"{len(table):,} {'chunk' if len(table) == 1 else 'chunks'} of training"
    said = f"{chunks}, {steps[-1]:,.0f} environment steps; costs are of exploring policies, in {power_flow}."
    shown = np.unique(np.linspace(0, len(table) - 1, MOST_CHUNKS).astype(int))
    curves = {"steps": steps[shown], "cost": day_cost[shown], "share": share[shown]}
    return {"said": said} | {name: [float(f"{value:.6g}") for value in values] for name, values in curves.items()}


def said(result: Path) -> str:
    """Return what the training said of its policies and of learning; empty where it left no result."""
    from neomflex_jax.training.result import said_of

    return said_of(read_json_object(result)) if is_file(result) else ""


def limits(config: JsonObject) -> dict[str, float]:
    """Return the shares of steps that a training's constraints allow, by name; empty without any."""
    stated = config.get("constraints")
    return (
        {name: limit for name, limit in stated.items() if isinstance(limit, float)} if isinstance(stated, dict) else {}
    )


def evaluation(steps: pd.DataFrame, summary: pd.DataFrame, limits: Mapping[str, float]) -> Evaluated:
    """Return an evaluation's summary, from its step table and the sums of that, beside constraints."""
    from neomflex_jax.evaluation.constraints import constraint_table
    from neomflex_jax.evaluation.tables import RUN_FILE

    columns = shown_columns(summary) | ({GAP: "gap to optimum, %"} if GAP in summary else {})
    header = ("run", *(label.replace("\n", " ") for label in columns.values()))
    rows = [(str(row["run"]), *(short(float(row[name])) for name in columns)) for _, row in summary.iterrows()]
    days = f"{int(summary['n_days'].max())} days, as in {RUN_FILE}"
    constraints = shown_constraints(constraint_table(steps, limits)) if limits else None
    return Evaluated(days, Table(header, tuple(rows)), constraints)


def charts_of(report: StoredReport, charts: Callable[[JsonObject], list[JsonObject]]) -> tuple[JsonObject, ...]:
    """Return charts of a report's first judged run; none of one that lacks what they show."""
    try:
        return tuple(charts(next(run for run in report.content["runs"] if not run["reference"])))
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise _incomplete(report, error) from error


def _incomplete(report: StoredReport, error: Exception) -> InputError:
    return InputError(f"{report.path}: incomplete ({error!r:.60}); validate again")


def validation(report: StoredReport) -> tuple[Validated, ...]:
    """Return each run's verdict, criteria and errors.

    Raises
    ------
    InputError
        If the report lacks something, or holds it in another form.
    """
    try:
        return tuple(_validated(*both) for both in zip(report.runs, report.content["runs"], strict=True))
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise _incomplete(report, error) from error


def _validated(stored: StoredRun, run: JsonObject) -> Validated:
    counted = " (reference, not counted)" if stored.reference else ""
    tables = (_both_sides(run), _outside_limits(run), *_loading(run), _errors(run), _bands(run))
    return Validated(
        f"{stored.run}: record {stored.record_verdict}{counted}", where_it_errs(stored, run), _criteria(run), tables
    )


def _criteria(run: JsonObject) -> Table:
    rows = [(c["name"], short(c["value"]), short(c["limit"]), PASSED[c["passed"]]) for c in run["criteria"]]
    return Table(("criterion", "value", "limit", ""), tuple(rows))


def _both_sides(run: JsonObject) -> Table:
    """Return figures of the record beside pandapower's."""
    both = {name: each for name, each in run["metrics"].items() if isinstance(each, dict) and "pandapower" in each}
    rows = [(name, short(each["recorded"]), short(each["pandapower"])) for name, each in both.items()]
    return Table(("figure", "recorded", _program(run)), tuple(rows))


def _program(run: JsonObject) -> str:
    """Name of the program that judged a run."""
    return str(run.get("referee", "pandapower"))


def _outside_limits(run: JsonObject) -> Table:
    metrics, margins = run["metrics"], {margin["limits"]: margin["margin_pu"] for margin in run["budget"]["margins"]}
    rows = [
        (limits, *(f"{metrics[limits][kind]:,}" for kind in COUNTS), short(margins[limits]))
        for limits in ("hard", "band")
    ]
    return Table(("bus-steps outside", *COUNTS, "margin, pu"), tuple(rows))


def _loading(run: JsonObject) -> Iterator[Table]:
    """Yield tables of branches above the limits of loading, where the scenario has any."""
    loading = run["metrics"].get("loading")
    if loading is not None:
        rows = [(f"{limits} limits", *(f"{loading[limits][kind]:,}" for kind in COUNTS)) for limits in ("hard", "soft")]
        yield Table(("branch-steps above", *COUNTS), tuple(rows))
        largest = (loading["recorded_max_percent"], loading["max_percent"], loading["error"]["max_abs"])
        header = ("largest loading, % of the rating", "recorded", _program(run), "largest error")
        yield Table(header, ((str(loading["worst_branch"]), *map(short, largest)),))


def _errors(run: JsonObject) -> Table:
    whole = [row for row in run["budget"]["rows"] if row["axis"] == "all"]
    rows = [(row["quantity"], *(short(row["error"][name]) for name in ERRORS)) for row in whole]
    return Table((f"error, recorded - {_program(run)}", *ERRORS.values()), tuple(rows))


def _bands(run: JsonObject) -> Table:
    rows = [(band["band"], *(short(band[name]) for name in BANDS)) for band in run["operation"]["bands"]]
    return Table((f"band, in {_program(run)}", *BANDS.values()), tuple(rows))
