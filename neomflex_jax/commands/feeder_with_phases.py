"""What ``neomflex feeder`` prints of a feeder with phases."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from neomflex_jax.commands.console import short
from neomflex_jax.grid import UnbalancedFeeder
from neomflex_jax.powerflow import PowerFlowResult

if TYPE_CHECKING:
    from validation.referee.phase_check import PhaseCheck

Rows = list[tuple[str, str]]


def contents(feeder: UnbalancedFeeder) -> Rows:
    """Return a line on each part of the feeder."""
    kinds = Counter(element.kind for element in feeder.elements)
    levels = np.unique(np.round(feeder.v_base_kv, 6))[::-1]
    connected = Counter(f"{load.n_phases}-phase {load.connection}" for load in feeder.loads)
    phases = Counter(str(label).rpartition(".")[2] for label in feeder.node_labels)
    load = f"{feeder.n_load}, {short(feeder.load_p_mw.sum())} MW, {short(feeder.load_q_mvar.sum())} Mvar"
    return [
        ("buses", f"{feeder.n_bus}, {len(feeder.three_phase_buses)} of them with three phases"),
        ("nodes", f"{feeder.n_node}: {_counted(phases, 'phase {}')}"),
        ("elements", _counted(kinds, "{}")),
        ("transformers' windings", str(len(feeder.taps))),
        ("voltage levels to ground", ", ".join(f"{level:g} kV" for level in levels)),
        ("slack", f"bus {feeder.bus_labels[feeder.topology.slack]}"),
        ("loads", f"{load}; {_counted(connected, '{}')}"),
    ]


def _counted(counts: Counter[str], text: str) -> str:
    return ", ".join(f"{count} {text.format(name)}" for name, count in sorted(counts.items()))


def nominal_answer(feeder: UnbalancedFeeder, flow: PowerFlowResult) -> Rows:
    """Return lines on voltages, unbalance, losses and import."""
    if not bool(flow.converged):
        return [("solved", "no")]
    vm_pu, vuf = np.asarray(flow.vm_pu), np.asarray(flow.vuf_percent)
    ends = [("lowest voltage", int(vm_pu.argmin())), ("highest voltage", int(vm_pu.argmax()))]
    rows = [(what, f"{vm_pu[node]:.4f} pu at {feeder.node_labels[node]}") for what, node in ends]
    if vuf.size:
        rows.append(("largest unbalance", f"{vuf.max():.2f} % at bus {feeder.three_phase_buses[int(vuf.argmax())]}"))
    return [
        *rows,
        ("losses", f"{short(float(flow.loss_mw))} MW"),
        ("import", f"{short(float(flow.slack_p_mw))} MW, {short(float(flow.slack_q_mvar))} Mvar"),
    ]


def found(feeder: UnbalancedFeeder, flow: PowerFlowResult) -> dict[str, object]:
    """Return what a machine is told of the feeder and of its nominal power flow, NaN where there is no solution."""
    solved, vuf = bool(flow.converged), np.asarray(flow.vuf_percent)
    figures = {
        "vm_min_pu": flow.vm_pu.min(),
        "vm_max_pu": flow.vm_pu.max(),
        "loss_mw": flow.loss_mw,
        "slack_p_mw": flow.slack_p_mw,
        "slack_q_mvar": flow.slack_q_mvar,
        "vuf_max_percent": vuf.max() if vuf.size else np.nan,
    }
    nominal = {name: float(value) if solved else np.nan for name, value in figures.items()}
    return {
        "feeder": feeder.name,
        "n_bus": feeder.n_bus,
        "n_node": feeder.n_node,
        "n_element": len(feeder.elements),
        "n_load": feeder.n_load,
        "load_p_mw": float(feeder.load_p_mw.sum()),
        "load_q_mvar": float(feeder.load_q_mvar.sum()),
        "nominal": {"method": "ac", "converged": solved, **nominal},
    }


def comparison(check: PhaseCheck, program: str) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows: nominal answers of both, how far they are apart, and the largest difference over all cases."""
    nominal = slice(1)
    lowest = [f"{np.abs(volts[0]).min():.9f}" for volts in (check.own, check.theirs)]
    imported = [f"{slack[0].real:z.9f}" for slack in (check.own_slack_mva, check.their_slack_mva)]
    off = [("voltages, pu", check.off_pu), ("import, MVA", check.off_mva)]
    header = ("", "ours,\nnominal", f"{program},\nnominal", "difference,\nnominal", "largest difference,\nall cases")
    return header, [
        ("lowest voltage, pu", *lowest, "", ""),
        ("import, MW", *imported, "", ""),
        *((what, "", "", f"{largest(nominal):.2g}", f"{largest():.2g}") for what, largest in off),
    ]


def verdict(check: PhaseCheck, within_pu: float, program: str) -> str:
    """Return AGREES, DIFFERS or NO SOLUTION, and a line on each finding."""
    cases, word = check.unsolved, "AGREES" if check.agrees(within_pu) else "DIFFERS"
    said = [f"{check.n_compared} of {cases.n_cases} cases solved by both"]
    if check.n_compared:
        where = f"max |dV| = {check.off_pu():.2g} pu, at node {check.worst_node}"
        said = [f"{said[0]}; {where} (allowed: {within_pu:g} pu)"]
    if cases.neither:
        said.append(
            f"{cases.neither} have no solution, neither here nor in {program}: the feeder cannot carry its loads"
        )
    if cases.ours:
        said.append(f"{cases.ours} have an answer in {program}, and none here")
    if cases.pandapower:
        said.append(f"{cases.pandapower} have an answer here, and {program} finds none")
    if word == "DIFFERS" and not cases.disputed and not np.isfinite(check.own[0]).all():
        word = "NO SOLUTION"
    return f"{word}: " + "\n".join(said)
