"""The whole report as a page of Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from neomflex_jax.evaluation.operation import BandFigures
from validation.errors.budget import ALL
from validation.errors.metrics import SideBySide
from validation.errors.summary import ErrorSummary
from validation.report.render import SIDES, number, remarks, table
from validation.verdict.headline import headline

if TYPE_CHECKING:
    from validation.report.report import Report, RunReport

ERRORS = {
    "vm_pu": "voltage (pu)",
    "loss_mw": "losses (MW)",
    "slack_p_mw": "slack power p (MW)",
    "slack_q_mvar": "slack power q (Mvar)",
    "branch_i_ka": "branch current (kA)",
}
AXES = {"load_level": "load level", "slack_flow": "flow at the slack", "hour": "hour of the day"}
WORST = 5  # buses and branches that the page names; report.json has all
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


def render_markdown(report: Report) -> str:
    """Give the whole report as Markdown; figures are files beside the page."""
    lines = ["# Validation against pandapower", ""]
    for said in headline(report):
        lines += [f"**{said.text}**", ""]
    lines += [f"Verdict, of both: {report.verdict}, exit status {report.exit_status}.", ""]
    lines += [f"- {remark}" for remark in remarks(report)]
    lines += ["", "Versions: " + ", ".join(f"{name} {value}" for name, value in report.versions.items()) + ".", ""]
    if len(report.runs) > 1:
        lines += [
            f"Order of the runs by day cost, recorded against pandapower: Kendall's tau {report.ranking.tau:g}.",
            "",
        ]
    for run in report.runs:
        lines += _run_section(run)
    return "\n".join(lines)


def _run_section(run: RunReport) -> list[str]:
    metrics = run.metrics
    lines = [f"## {run.run}: record {run.record_verdict}{' (reference, not counted)' if run.reference else ''}", ""]
    lines += [f"Scenario {run.scenario} (hash {run.scenario_hash[:12]}), power flow `{run.power_flow}`, ", ""]
    lines[-2] += f"{metrics.n_days} days, {metrics.n_steps} steps; profiles {run.profiles_sha256[:12] or 'not stated'}."
    lines += [f"Policy of {agent}: {value[:12]}." for agent, value in run.policies_sha256.items()] + [""]
    word = {True: "pass", False: "**fail**", None: "**no value**"}
    criteria = [(c.name, number(c.value), number(c.limit), word[c.passed]) for c in run.criteria]
    lines += table(("criterion", "value", "limit", ""), criteria)
    sides = [(label, *_both(getattr(metrics, name), form)) for name, label, form in SIDES]
    gap = ("day cost, recorded - pandapower", number(metrics.day_cost_gap, "{:+.2%}"), "")
    lines += table(("figure", "recorded", "pandapower"), [*sides, gap])
    flows = (
        f"Power flows: {metrics.n_steps}, failed {metrics.failed_flows}, solved by a retry {metrics.retried_flows}; "
    )
    lines += [f"{flows}failed in the record {metrics.recorded_failures}.", ""]
    lines += [f"Second referee: {run.second_referee['sentence']}.", ""]
    lines += _violations(run) + _errors(run) + _closed_loop(run) + _operation(run)
    for name, caption in run.figures.items():
        lines += [f"![{caption}]({name})", ""]
    return lines


def _violations(run: RunReport) -> list[str]:
    metrics, margins = run.metrics, {margin.limits: margin for margin in run.budget.margins}
    rows = []
    for name, label, counts in (("hard", "hard limits", metrics.hard), ("band", "band", metrics.band)):
        margin = margins[name]
        cells = [label, *(str(count) for count in (counts.agreed, counts.missed, counts.invented, counts.inside))]
        rows.append([*cells, number(margin.margin_pu, "{:.5f}"), str(margin.invented), str(margin.unsolved)])
    header = ("bus-steps outside", "agreed", "missed", "invented", "inside in both")
    lines = table((*header, "margin (pu)", "invented with it", "unsolved"), rows)
    said = "margin: on these days nothing that pandapower solves is missed if the limits are tightened by more than it"
    return [*lines, f"{said}.", ""]


def _errors(run: RunReport) -> list[str]:
    budget = run.budget
    header = ("error, recorded - pandapower", "max abs", "99 % abs", "mean abs", "mean")
    lines = table(header, [(label, *_cells(budget.of(name)[ALL])) for name, label in ERRORS.items()])
    worst = run.metrics.worst_voltage
    lines += [f"Largest voltage error: bus {worst.bus}, day {worst.day}, step {worst.step}.", ""]
    lines += [f"Branch currents of the record: {budget.currents}.", ""]
    loading = budget.loading_percent
    percent = f"recorded {number(loading.recorded, '{:.1f} %')}, pandapower {number(loading.pandapower, '{:.1f} %')}"
    lines += [f"Largest branch loading ({loading.n_rated} branches have a rating): {percent}.", ""]
    for axis, label in AXES.items():
        groups = budget.of("vm_pu", axis)
        header = (f"voltage error (pu) by {label}", *header[1:])
        lines += table(header, [(group, *_cells(error)) for group, error in groups.items()])
    for quantity, axis in (("vm_pu", "bus"), ("branch_i_ka", "branch")):
        known = {group: error for group, error in budget.of(quantity, axis).items() if error.n_compared}
        groups = dict(sorted(known.items(), key=lambda item: -item[1].max_abs)[:WORST])
        header = (f"worst: {ERRORS[quantity]} by {axis}", *header[1:])
        lines += table(header, [(group, *_cells(error)) for group, error in groups.items()]) if groups else []
    return lines


def _closed_loop(run: RunReport) -> list[str]:
    loop = run.closed_loop
    if loop is None:
        return ["Closed loop: none; the policy did not act on pandapower's answers.", ""]
    parting = loop["parting"]
    apart = "the two runs stay together"
    if parting is not None:
        apart = (
            f"they part at day {parting['day']}, step {parting['step']}: {parting['what']} of {parting['where']} is "
        )
        apart += f"{number(parting['recorded'])} in the record and {number(parting['closed_loop'])} in the closed loop"
    share = number(loop["cost_gap_share"], "{:.3%}")
    lines = [f"Closed loop, the policy acting on pandapower's answers: cost apart by {share}; {apart}. "]
    lines[0] += (
        f"Largest difference of a voltage {number(loop['vm_gap_max_pu'])} pu; failed flows {loop['failed_flows']}."
    )
    worst = sorted(loop["days"], key=lambda day: -abs(day["cost_gap"]))[:WORST]
    rows = [
        (
            str(day["day"]),
            *(number(day[name], "{:.3f}") for name in ("recorded_cost", "cost", "cost_gap")),
            f"{day['recorded_outside_band']} / {day['outside_band']}",
        )
        for day in worst
    ]
    header = ("day, the furthest apart", "recorded cost", "closed loop", "gap", "bus-steps outside the band, both")
    return [*lines, "", *table(header, rows)]


def _operation(run: RunReport) -> list[str]:
    recorded, exact = run.recorded_operation, run.operation
    rows = [
        (label, *(number(getattr(side, name), form) for side in (recorded, exact)))
        for name, (label, form) in OPERATION.items()
    ]
    lines = table(("operation", "recorded", "pandapower"), rows)
    header = ("band, in pandapower", "controllable rate (MAPDN)", "buses outside (MAPDN)", "pu h outside", "worst bus")
    lines += table(header, [_band(figures) for figures in exact.bands])
    return lines


def _band(figures: BandFigures) -> Sequence[str]:
    shares = (number(value, "{:.2%}") for value in (figures.controllable_rate, figures.share_of_buses_out))
    return (
        figures.band,
        *shares,
        number(figures.outside_pu_h, "{:.4f}"),
        "none" if figures.worst_bus is None else str(figures.worst_bus),
    )


def _both(figure: SideBySide, form: str) -> tuple[str, str]:
    return number(figure.recorded, form), number(figure.pandapower, form)


def _cells(error: ErrorSummary) -> list[str]:
    return [number(value) for value in (error.max_abs, error.p99_abs, error.mean_abs, error.bias)]
