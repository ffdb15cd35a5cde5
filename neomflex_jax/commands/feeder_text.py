"""What ``neomflex feeder`` prints, as rows and sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import numpy as np

from neomflex_jax.commands.console import short
from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.grid.parts import summarise_labels
from neomflex_jax.grid.topology import spanning_tree
from neomflex_jax.loose_types import PandapowerNet
from neomflex_jax.powerflow import PowerFlowResult, nominal_power_flow

if TYPE_CHECKING:
    from validation.referee.feeder_check import FeederCheck

Rows = list[tuple[str, ...]]
QUANTITIES = {
    "vm_pu": "voltage, pu",
    "loss_mw": "losses, MW",
    "slack_p_mw": "slack p, MW",
    "slack_q_mvar": "slack q, Mvar",
}
NET_ELEMENTS = (
    *("bus", "line", "trafo", "trafo3w", "impedance", "switch", "load", "sgen", "storage", "shunt", "ward", "motor"),
    *("asymmetric_load", "asymmetric_sgen"),
)


def contents(feeder: Feeder) -> Rows:
    """Return a line on each part of the feeder."""
    topology = feeder.topology
    n_closed, n_branch = sum(topology.in_service), topology.n_branch
    rated = np.isfinite(feeder.max_i_ka)
    levels = np.unique(np.round(feeder.vn_kv, 6))[::-1]
    loaded = (feeder.load_p_mw != 0) | (feeder.load_q_mvar != 0)
    slack = feeder.bus_labels[topology.slack]
    return [
        ("buses", f"{feeder.n_bus}, numbered {min(feeder.bus_labels)} to {max(feeder.bus_labels)}"),
        ("branches in service", str(n_closed)),
        ("branches open", str(n_branch - n_closed)),
        ("loops", str(len(spanning_tree(topology).loop_branches))),
        ("voltage levels", ", ".join(f"{level:g} kV" for level in levels)),
        ("transformers", _transformers(feeder)),
        ("line charging", "no" if feeder.charging is None else "yes"),
        ("shunts", _shunts(feeder)),
        ("ratings known", f"{int(rated.sum())} of {n_branch} branches"),
        ("slack", f"bus {slack} at {float(feeder.slack_vm_pu):g} pu"),
        *_held(feeder),
        (
            "loads",
            f"{int(loaded.sum())} buses, {short(feeder.load_p_mw.sum())} MW, {short(feeder.load_q_mvar.sum())} Mvar",
        ),
    ]


def _held(feeder: Feeder) -> Rows:
    """What few feeders have: voltages held beside the slack's, two impedances, loads that follow the voltage."""
    rows: Rows = []
    if feeder.held is not None:
        rows.append(("voltages held beside the slack's", f"{len(feeder.held.bus)} buses"))
    if feeder.back is not None:
        rows.append(("another impedance from their to end", f"{len(feeder.back.branch)} branches"))
    if feeder.voltage_dependence is not None:
        follows = np.any([share != 0 for share in vars(feeder.voltage_dependence).values()], axis=0)
        rows.append(("loads that follow the voltage", f"{int(follows.sum())} buses"))
    return rows


def _transformers(feeder: Feeder) -> str:
    parts = feeder.transformers
    if parts is None:
        return "none"
    return str(int(parts.present.sum()))


def _shunts(feeder: Feeder) -> str:
    if feeder.shunts is None:
        return "none"
    count = int(((feeder.shunts.p_mw != 0) | (feeder.shunts.q_mvar != 0)).sum())
    return f"{count} buses, {short(feeder.shunts.p_mw.sum())} MW, {short(feeder.shunts.q_mvar.sum())} Mvar at 1 pu"


def nominal_flow(feeder: Feeder) -> tuple[PowerFlowResult, str]:
    """Solve the nominal loads in double precision, by `newton` where `ac` has no answer; returns the method too."""
    with jax.enable_x64(True):
        for method in ("ac", "newton"):
            flow = jax.tree.map(np.asarray, nominal_power_flow(feeder, method))
            if bool(flow.converged):
                break
    return flow, method


def found(feeder: Feeder, flow: PowerFlowResult, method: str) -> dict[str, object]:
    """Return what a machine is told of a feeder and of its nominal power flow, NaN where there is no solution."""
    topology, solved = feeder.topology, bool(flow.converged)
    rated = np.isfinite(feeder.max_i_ka)
    facts: dict[str, object] = {
        "feeder": feeder.name,
        "n_bus": feeder.n_bus,
        "n_branch": topology.n_branch,
        "n_in_service": sum(topology.in_service),
        "n_loops": len(spanning_tree(topology).loop_branches),
        "slack_bus": feeder.bus_labels[topology.slack],
        "slack_vm_pu": float(feeder.slack_vm_pu),
        "load_p_mw": float(feeder.load_p_mw.sum()),
        "load_q_mvar": float(feeder.load_q_mvar.sum()),
    }
    figures = {
        "vm_min_pu": flow.vm_pu.min(),
        "vm_max_pu": flow.vm_pu.max(),
        "loss_mw": flow.loss_mw,
        "slack_p_mw": flow.slack_p_mw,
        "slack_q_mvar": flow.slack_q_mvar,
        "loading_max_percent": flow.branch_loading_percent[rated].max() if rated.any() else np.nan,
    }
    nominal = {name: float(value) if solved else np.nan for name, value in figures.items()}
    return facts | {"nominal": {"method": method, "converged": solved, **nominal}}


def nominal_answer(feeder: Feeder, flow: PowerFlowResult) -> Rows:
    """Return lines on the lowest and highest voltage, losses, import and the highest loading."""
    if not bool(flow.converged):
        tried = f"neither ac nor newton finds one; residual {short(float(flow.residual_mva))} MVA"
        return [("no solution", f"{tried}. The feeder cannot carry its loads: look at units and impedances")]
    lowest, highest = int(flow.vm_pu.argmin()), int(flow.vm_pu.argmax())
    rows = [
        ("lowest voltage", f"{flow.vm_pu[lowest]:.6f} pu at bus {feeder.node_labels[lowest]}"),
        ("highest voltage", f"{flow.vm_pu[highest]:.6f} pu at bus {feeder.node_labels[highest]}"),
        ("losses", f"{1e3 * float(flow.loss_mw):z.4f} kW"),
        ("slack", f"{float(flow.slack_p_mw):z.6f} MW, {float(flow.slack_q_mvar):z.6f} Mvar"),
    ]
    loading = np.where(np.isfinite(feeder.max_i_ka), flow.branch_loading_percent, -np.inf)
    branch = int(loading.argmax())
    if not np.isfinite(loading[branch]):
        return [*rows, ("highest loading", "not available: no ratings")]
    topology = feeder.topology
    ends = (feeder.bus_labels[side[branch]] for side in (topology.from_bus, topology.to_bus))
    return [*rows, ("highest loading", f"{loading[branch]:.2f} % in branch {'-'.join(str(label) for label in ends)}")]


def conversion(net: PandapowerNet, feeder: Feeder) -> Rows:
    """Return rows: elements of the net, in service and in all, beside what the feeder has of them."""
    n_transformers = _transformers(feeder) if feeder.transformers is not None else "0"
    of_feeder = {
        "bus": f"{feeder.n_bus} buses",
        "line": f"{feeder.topology.n_branch - int(n_transformers)} branches that are no transformer",
        "trafo": f"{n_transformers} branches",
        "impedance": "a branch each",
        "trafo3w": "a branch between every two closed windings, rated as the one at its end, and shunts",
        **dict.fromkeys(("sgen", "storage", "motor", "asymmetric_load", "asymmetric_sgen"), "in the load"),
        "ward": "in the load and the shunts",
        "load": f"{short(feeder.load_p_mw.sum())} MW, {short(feeder.load_q_mvar.sum())} Mvar in all",
        "shunt": _shunts(feeder),
    }
    rows: Rows = []
    for element in NET_ELEMENTS:
        table = net.get(element)
        if table is None or table.empty:
            continue
        stated = str(len(table))
        if "in_service" in table:
            off = int((~table["in_service"].astype(bool)).sum())
            stated += f" ({off} out of service)" if off else ""
        rows.append((element, stated, of_feeder.get(element, "")))
    return rows


def changes(net: PandapowerNet, feeder: Feeder, fused: dict[int, int]) -> list[str]:
    """Return sentences on buses that closed switches join into one, and on elements that are left out."""
    lines = []
    joined = [bus for bus, label in fused.items() if bus != label]
    if joined:
        pairs = ", ".join(f"{bus} as {fused[bus]}" for bus in joined[:8])
        lines.append(f"fused by closed switches: {len(joined)} buses ({pairs}{', ...' if len(joined) > 8 else ''})")
    lost = sorted({int(bus) for bus in net.bus.index} - set(fused))
    if lost:
        lines.append(f"left out, not connected or out of service: bus {summarise_labels(lost)}")
    stated = len(net["line"]) + len(net["trafo"]) + 3 * len(net.get("trafo3w", ())) + len(net.get("impedance", ()))
    dropped = stated - feeder.topology.n_branch
    if dropped > 0:
        lines.append(
            f"no branch of the feeder: {dropped} lines or transformers (the charging of those hanging open stays)"
        )
    return lines


def comparison(check: FeederCheck) -> tuple[tuple[str, ...], Rows]:
    """Header and rows: nominal answers of both, how far they are apart, and the largest difference over all cases."""
    rows: Rows = []
    for quantity, title in QUANTITIES.items():
        own, theirs = (getattr(answers, quantity)[0] for answers in (check.own, check.pandapower))
        if quantity == "vm_pu":
            title, own, theirs = "lowest voltage, pu", own.min(), theirs.min()
        apart = [f"{check.largest(quantity, cases):.2g}" for cases in (slice(1), slice(None))]
        rows.append((title, f"{float(own):z.9f}", f"{float(theirs):z.9f}", *apart))
    return (
        "",
        "ours,\nnominal",
        "pandapower,\nnominal",
        "difference,\nnominal",
        "largest difference,\nall cases",
    ), rows


def verdict(check: FeederCheck, within_pu: float, method: str) -> str:
    """Return AGREES, DIFFERS or NO SOLUTION, and a line on each finding."""
    n, both = len(check.compared), int(check.compared.sum())
    said = [f"{both} of {n} cases solved by both"]
    if both:
        where = f"max |dV| = {check.largest('vm_pu'):.2g} pu, at bus {check.worst_bus}"
        said = [f"{said[0]}; {where} (allowed: {within_pu:g} pu)"]
    said += check.unsolved.sentences("cases", method, "--method")
    if not check.compared.all() and check.unlike_in_parallel is not None:
        said.append(check.unlike_in_parallel)
    nominal = [answers.solved[0] for answers in (check.own, check.pandapower)]
    if not any(nominal):
        p_mw, q_mvar = (short(float(load.sum())) for load in (check.feeder.load_p_mw, check.feeder.load_q_mvar))
        said.append(f"the nominal loads, {p_mw} MW and {q_mvar} Mvar in all, are among those without a solution")
    word = "DIFFERS" if check.differs(within_pu) else "AGREES" if all(nominal) else "NO SOLUTION"
    return f"{word}: " + "\n".join(said)
