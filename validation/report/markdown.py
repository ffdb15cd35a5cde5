"""The whole report as a page of Markdown: tables from here, sentences from `templates/report.md`."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from neomflex_jax.pages import Table, fill_template
from validation.errors.budget import ALL
from validation.errors.summary import ErrorSummary
from validation.report.render import SIDES, number, remarks
from validation.report.report import Report, RunReport
from validation.verdict.headline import headline

ERRORS = {
    "vm_pu": "voltage (pu)",
    "loss_mw": "losses (MW)",
    "slack_p_mw": "slack power p (MW)",
    "slack_q_mvar": "slack power q (Mvar)",
    "branch_i_ka": "branch current (kA)",
}
AXES = {"load_level": "load level", "slack_flow": "flow at the slack", "hour": "hour of the day"}
WORST = 5  # days, buses and branches on the page; report.json has all
OPERATION = {
    "losses_mwh": ("losses (MWh)", "{:.4f}"),
    "q_loss_mvar": ("Q loss, MAPDN: mean abs q of PV (Mvar)", "{:.4f}"),
    "pv_curtailed_mwh": ("PV curtailed (MWh)", "{:.3f}"),
    "pv_curtailed_share": ("PV curtailed, share of what the sun offered", "{:.2%}"),
    "load_curtailed_mwh": ("load curtailed (MWh)", "{:.3f}"),
    "equivalent_full_cycles": ("equivalent full cycles of the batteries", "{:.2f}"),
    "soc_change_mwh": ("energy in the batteries, end minus start (MWh)", "{:+.3f}"),
    "peak_import_mw": ("peak import (MW)", "{:.3f}"),
    "peak_export_mw": ("peak export (MW)", "{:.3f}"),
}
SPECIAL = re.compile(r"[\\`*\[\]]")
PASSED = {True: "pass", False: "**fail**", None: "**no value**"}
ERROR_HEADER = ("max abs", "99 % abs", "mean abs", "mean")
BAND_HEADER = ("controllable rate (MAPDN)", "buses outside (MAPDN)", "pu h outside", "worst bus")
DAY_HEADER = ("recorded cost", "closed loop", "gap")
DAY_COUNTS = {  # recorded / in closed loop; the latter where loadings are limited
    "outside_band": "bus-steps outside the band, both",
    "loading_violations": "branch-steps above hard limits, both",
}
DAY_STEPS = {"positions_by_record": "steps with a position by the record's request"}  # where there are positions


@dataclass(frozen=True)
class Section:
    """A run and its tables, in the order in which they stand."""

    run: RunReport
    criteria: Table
    figures: Table
    violations: Table
    loading: Table | None  # None: nothing limits loadings
    errors: Table
    errors_by_group: tuple[Table, ...]
    closed_loop: Table | None  # None: the policy did not act on pandapower's answers
    operation: Table
    bands: Table


def render_markdown(report: Report) -> str:
    """Render the whole report as a page of Markdown.

    Parameters
    ----------
    report
        As `validate` returns it.

    Returns
    -------
    str
        The text of ``report.md``; it shows figures that lie beside it.
    """
    report = dataclasses.replace(report, runs=tuple(map(_named_plainly, report.runs)))
    values = {"headline": headline(report), "remarks": remarks(report), "sections": list(map(_section, report.runs))}
    return fill_template("validation.report", "report.md", report=report, number=number, **values)


def _named_plainly(run: RunReport) -> RunReport:
    """Return a run whose names, which are users', mean nothing in Markdown or HTML."""
    figures = {quote(name): _plain(caption) for name, caption in run.figures.items()}
    return dataclasses.replace(run, run=_plain(run.run), scenario=_plain(run.scenario), figures=figures)


def _plain(text: str) -> str:
    """Escape what a Markdown page would read as a tag, a link, a picture, emphasis, code or a new line."""
    return SPECIAL.sub(r"\\\g<0>", " ".join(text.split())).replace("<", "&lt;")


def _section(run: RunReport) -> Section:
    return Section(
        run=run,
        criteria=_criteria(run),
        figures=_figures(run),
        violations=_violations(run),
        loading=_loading(run),
        errors=_errors(
            f"error, recorded - {run.referee}", {label: run.budget.of(name)[ALL] for name, label in ERRORS.items()}
        ),
        errors_by_group=tuple(_errors_by_group(run)),
        closed_loop=_closed_loop(run),
        operation=_operation(run),
        bands=_bands(run),
    )


def _criteria(run: RunReport) -> Table:
    rows = [(c.name, number(c.value), number(c.limit), PASSED[c.passed]) for c in run.criteria]
    return Table(("criterion", "value", "limit", ""), tuple(rows))


def _figures(run: RunReport) -> Table:
    """Return figures of the record beside pandapower's."""
    both = [(label, getattr(run.metrics, name), form) for name, label, form in SIDES]
    rows = [(label, number(side.recorded, form), number(side.pandapower, form)) for label, side, form in both]
    gap = (f"day cost, recorded - {run.referee}", number(run.metrics.day_cost_gap, "{:+.2%}"), "")
    return Table(("figure", "recorded", run.referee), (*rows, gap))


def _violations(run: RunReport) -> Table:
    metrics, margins = run.metrics, {margin.limits: margin for margin in run.budget.margins}
    rows = []
    for name, label, counts in (("hard", "hard limits", metrics.hard), ("band", "band", metrics.band)):
        margin = margins[name]
        kinds = (counts.agreed, counts.missed, counts.invented, counts.inside)
        rest = (number(margin.margin_pu, "{:.5f}"), str(margin.invented), str(margin.unsolved))
        rows.append((label, *map(str, kinds), *rest))
    header = ("bus-steps outside", "agreed", "missed", "invented", "inside in both")
    return Table((*header, "margin (pu)", "invented with it", "unsolved"), tuple(rows))


def _loading(run: RunReport) -> Table | None:
    """Steps x branches above the limits of loading."""
    loading = run.metrics.loading
    if loading is None:
        return None
    sides = (("hard limits", loading.hard), ("soft limits", loading.soft))
    rows = [(label, *map(str, (one.agreed, one.missed, one.invented, one.inside))) for label, one in sides]
    return Table(("branch-steps above", "agreed", "missed", "invented", "below in both"), tuple(rows))


def _errors(what: str, errors: Mapping[str, ErrorSummary]) -> Table:
    """Return a row for each error by its label."""
    rows = [
        (label, *map(number, (error.max_abs, error.p99_abs, error.mean_abs, error.bias)))
        for label, error in errors.items()
    ]
    return Table((what, *ERROR_HEADER), tuple(rows))


def _errors_by_group(run: RunReport) -> Iterator[Table]:
    """Yield tables: voltage errors by group of steps, then the buses and branches with the largest errors."""
    by_phase = run.budget.of("vm_pu", "phase")  # nothing without phases
    if by_phase:
        yield _errors("voltage error (pu) by phase", by_phase)
    for axis, label in AXES.items():
        yield _errors(f"voltage error (pu) by {label}", run.budget.of("vm_pu", axis))
    for quantity, axis in (("vm_pu", "bus"), ("branch_i_ka", "branch")):
        known = [(group, error) for group, error in run.budget.of(quantity, axis).items() if error.n_compared]
        worst = dict(sorted(known, key=lambda item: -item[1].max_abs)[:WORST])
        if worst:
            yield _errors(f"worst: {ERRORS[quantity]} by {axis}", worst)


def _closed_loop(run: RunReport) -> Table | None:
    """Return the days whose cost changes most when the policy acts on pandapower's answers."""
    if run.closed_loop is None:
        return None
    worst = sorted(run.closed_loop["days"], key=lambda day: -abs(day["cost_gap"]))[:WORST]
    counts, steps = ({name: each[name] for name in each if name in worst[0]} for each in (DAY_COUNTS, DAY_STEPS))
    rows = [
        (
            str(day["day"]),
            *(number(day[name], "{:.3f}") for name in ("recorded_cost", "cost", "cost_gap")),
            *(f"{day[f'recorded_{name}']} / {day[name]}" for name in counts),
            *(str(day[name]) for name in steps),
        )
        for day in worst
    ]
    return Table(("day, the furthest apart", *DAY_HEADER, *counts.values(), *steps.values()), tuple(rows))


def _operation(run: RunReport) -> Table:
    sides = (run.recorded_operation, run.operation)
    rows = [
        (label, *(number(getattr(side, name), form) for side in sides)) for name, (label, form) in OPERATION.items()
    ]
    return Table(("operation", "recorded", run.referee), tuple(rows))


def _bands(run: RunReport) -> Table:
    rows = [
        (
            band.band,
            number(band.controllable_rate, "{:.2%}"),
            number(band.share_of_buses_out, "{:.2%}"),
            number(band.outside_pu_h, "{:.4f}"),
            "none" if band.worst_bus is None else str(band.worst_bus),
        )
        for band in run.operation.bands
    ]
    return Table((f"band, in {run.referee}", *BAND_HEADER), tuple(rows))
