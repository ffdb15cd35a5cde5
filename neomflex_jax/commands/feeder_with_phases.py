"""What ``neomflex feeder show`` prints of a feeder with phases."""

from __future__ import annotations

from collections import Counter

import numpy as np

from neomflex_jax.commands.console import short
from neomflex_jax.grid import UnbalancedFeeder
from neomflex_jax.powerflow import PowerFlowResult

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
