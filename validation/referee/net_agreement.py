"""Comparison of a pandapower net with a `Feeder`: the referee must not judge another grid."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.grid.feeder import Feeder
from validation.referee.feeder_net import is_impedance, is_transformer, shares_in_percent

if TYPE_CHECKING:
    import pandas as pd
    from pandapower import pandapowerNet

NameT = TypeVar("NameT", int, str)  # of a bus or a branch
RELATIVE = 1e-9  # both are decimal numbers from the same publication, apart by rounding of conversions alone
NEUTRAL: dict[
    str, dict[str, float | bool | str]
] = {  # columns that silently change what an element does, with the value that leaves it alone
    "load": {"scaling": 1.0, "in_service": True},
    "line": {"parallel": 1},
    "trafo": {"parallel": 1, "tap_side": "hv", "tap_changer_type": "Ratio", "tap_neutral": 0, "tap_pos": 1},
    "shunt": {"step": 1, "in_service": True},
    "bus": {"in_service": True},
    "ext_grid": {"in_service": True},
    "gen": {"in_service": True, "scaling": 1.0, "slack": False},
    "impedance": dict.fromkeys(("gf_pu", "bf_pu", "gt_pu", "bt_pu"), 0.0),
}


def check_agreement(net: pandapowerNet, feeder: Feeder) -> None:
    """Compare buses, slack, loads, shunts and branches by bus label.

    Raises
    ------
    InputError
        On the first difference, naming bus or branch and both values.
    """
    where = f"pandapower's net for feeder {feeder.name!r}"
    if sorted(net.bus.index) != sorted(feeder.bus_labels):
        raise InputError(f"{where} has other buses than the feeder: {sorted(net.bus.index)[:12]}")
    for element, columns in NEUTRAL.items():
        for column, neutral in columns.items():
            if column in net[element] and not (net[element][column] == neutral).all():
                raise InputError(f"{where}: {element}.{column} is not {neutral} everywhere")
    slack = feeder.bus_labels[feeder.topology.slack]
    _compare_held(where, net, feeder, slack)
    _compare_shares(where, net, feeder)
    _compare(where, "vn_kv of bus", net.bus["vn_kv"].to_dict(), dict(zip(feeder.bus_labels, feeder.vn_kv, strict=True)))
    nothing = np.zeros(feeder.n_bus)
    shunts = feeder.shunts
    _compare_consumption(where, net, feeder, "load", feeder.load_p_mw, feeder.load_q_mvar)
    _compare_consumption(
        where,
        net,
        feeder,
        "shunt",
        nothing if shunts is None else shunts.p_mw,
        nothing if shunts is None else shunts.q_mvar,
    )
    transformers, impedances = is_transformer(feeder), is_impedance(feeder)
    lines, ends = ~(transformers | impedances), ("from_bus", "to_bus")
    _compare_branches(where, "branch", net.line, ends, _of_lines(net), feeder, lines)
    _compare_branches(where, "impedance", net.impedance, ends, _of_impedances(net), feeder, impedances)
    _compare_branches(where, "transformer", net.trafo, ("hv_bus", "lv_bus"), _of_trafos(net), feeder, transformers)


def rows_of_branches(net: pandapowerNet, feeder: Feeder) -> tuple[np.ndarray, np.ndarray]:
    """Find every branch's row in the net's line and in its transformer table, (n_branch,) each, -1 where not there.

    Branches are found by the labels of their ends, parallel ones by impedance too; `check_agreement` comes first.
    """
    transformers = is_transformer(feeder)
    lines = ~(transformers | is_impedance(feeder))
    return (
        _rows_of(feeder, lines, net.line, ("from_bus", "to_bus"), _of_lines(net)),
        _rows_of(feeder, transformers, net.trafo, ("hv_bus", "lv_bus"), _of_trafos(net)),
    )


def rows_of_impedances(net: pandapowerNet, feeder: Feeder) -> np.ndarray:
    """Find the row in the impedance table of every branch with two impedances, as `rows_of_branches` does."""
    return _rows_of(feeder, is_impedance(feeder), net.impedance, ("from_bus", "to_bus"), _of_impedances(net))


def _rows_of(
    feeder: Feeder, which: np.ndarray, table: pd.DataFrame, ends: tuple[str, str], theirs: dict[str, pd.Series[float]]
) -> np.ndarray:
    topology, labels = feeder.topology, feeder.bus_labels
    own = [
        (_ends(labels[start], labels[end]), closed, r, x, row)
        for row, (start, end, closed, r, x) in enumerate(
            zip(topology.from_bus, topology.to_bus, topology.in_service, feeder.r_ohm, feeder.x_ohm, strict=True)
        )
        if which[row]
    ]
    rows = np.full(topology.n_branch, -1)
    if len(table):
        r, x = theirs["r_ohm"], theirs["x_ohm"] if "x_ohm" in theirs else theirs["|z| in ohm"]
        named = [_ends(a, b) for a, b in zip(table[ends[0]], table[ends[1]], strict=True)]
        closed = table["in_service"].to_numpy(bool)
        ordered = sorted(zip(named, closed, np.asarray(r), np.asarray(x), range(len(table)), strict=True))
        for branch, match in zip(sorted(own), ordered, strict=True):
            rows[branch[-1]] = match[-1]
    return rows


def _compare_shares(where: str, net: pandapowerNet, feeder: Feeder) -> None:
    """Compare how every load follows the voltage."""
    buses = net.load["bus"].tolist()
    named = [f"{bus} (load {row})" for row, bus in enumerate(buses)]
    of_each = [shares_in_percent(feeder, feeder.bus_position(bus)) for bus in buses]
    for column in ("const_z_p_percent", "const_i_p_percent", "const_z_q_percent", "const_i_q_percent"):
        theirs = net.load[column] if column in net.load else [0.0] * len(buses)
        own = [shares.get(column, 0.0) for shares in of_each]
        _compare(where, f"{column} at bus", dict(zip(named, theirs, strict=True)), dict(zip(named, own, strict=True)))


def _compare_held(where: str, net: pandapowerNet, feeder: Feeder, slack: int) -> None:
    """Compare the external grids' voltages and angles, and the generators' voltages and powers."""
    supplied, held = {slack: (feeder.slack_vm_pu, 0.0)}, feeder.held
    produced: dict[int, tuple[float, float]] = {}
    if held is not None:
        for row, position in enumerate(held.bus):
            label = feeder.bus_labels[position]
            if held.is_slack[row]:
                supplied[label] = (held.vm_pu[row], held.va_degree[row])
            if not held.is_slack[row] or held.p_mw[row]:
                produced[label] = (held.vm_pu[row], held.p_mw[row])
    if sorted(net.ext_grid["bus"]) != sorted(supplied):
        raise InputError(f"{where} is supplied at buses {list(net.ext_grid['bus'])}, the feeder at {sorted(supplied)}")
    for own, table, columns in (
        (supplied, net.ext_grid, {"vm_pu": "slack voltage in pu", "va_degree": "slack angle in degrees"}),
        (produced, net.gen, {"vm_pu": "generator's voltage in pu", "p_mw": "generator's power in MW"}),
    ):
        for place, (column, what) in enumerate(columns.items()):
            theirs = dict(zip(table["bus"], table[column], strict=True))
            _compare(where, f"{what} at bus", theirs, {bus: stated[place] for bus, stated in own.items()})


def _compare_consumption(
    where: str, net: pandapowerNet, feeder: Feeder, element: str, p_mw: np.ndarray, q_mvar: np.ndarray
) -> None:
    for column, own in (("p_mw", p_mw), ("q_mvar", q_mvar)):
        theirs = dict.fromkeys(feeder.bus_labels, 0.0) | net[element].groupby("bus")[column].sum().to_dict()
        _compare(where, f"{element} {column} at bus", theirs, dict(zip(feeder.bus_labels, own, strict=True)))


def _compare_branches(
    where: str,
    what: str,
    table: pd.DataFrame,
    ends: tuple[str, str],
    theirs: dict[str, pd.Series[float]],
    feeder: Feeder,
    which: np.ndarray,
) -> None:
    topology, labels = feeder.topology, feeder.bus_labels
    own = _of_feeder(feeder)
    named = [_ends(labels[topology.from_bus[row]], labels[topology.to_bus[row]]) for row in np.flatnonzero(which)]
    their_named = [_ends(a, b) for a, b in zip(table[ends[0]], table[ends[1]], strict=True)]
    for quantity, values in theirs.items():
        stated = dict(_numbered(their_named, values))
        _compare(where, f"{quantity} of {what}", stated, dict(_numbered(named, own[quantity][which])))


def _of_feeder(feeder: Feeder) -> dict[str, np.ndarray]:
    """Every quantity of the branches by which a net's elements are compared, (n_branch,)."""
    nothing = np.zeros(feeder.topology.n_branch)
    charging, parts = feeder.charging, feeder.transformers
    g_us = nothing if charging is None else charging.g_us
    b_us = nothing if charging is None else charging.b_us
    own = {
        "r_ohm": feeder.r_ohm,
        "x_ohm": feeder.x_ohm,
        "|z| in ohm": np.copysign(np.hypot(feeder.r_ohm, feeder.x_ohm), feeder.x_ohm),
        "g_us": g_us,
        "b_us": b_us,
        "|y| in us": np.hypot(g_us, b_us),
        "in_service": np.asarray(feeder.topology.in_service, float),
    }
    if feeder.back is not None:
        for name in ("r_ohm", "x_ohm"):
            own[f"back_{name}"] = nothing.copy()
            own[f"back_{name}"][list(feeder.back.branch)] = getattr(feeder.back, name)
    if parts is not None:
        own |= {"ratio": parts.ratio, "shift_degree": parts.shift_degree, "rated_ratio": parts.rated_ratio}
    return own


def _of_lines(net: pandapowerNet) -> dict[str, pd.Series[float]]:
    line = net.line
    length_km = line["length_km"]
    return {
        "r_ohm": line["r_ohm_per_km"] * length_km,
        "x_ohm": line["x_ohm_per_km"] * length_km,
        "g_us": line["g_us_per_km"] * length_km,
        "b_us": line["c_nf_per_km"] * length_km * 2e-3 * math.pi * net.f_hz,
        "in_service": line["in_service"].astype(float),
    }


def _of_impedances(net: pandapowerNet) -> dict[str, pd.Series[float]]:
    impedance = net.impedance
    if impedance.empty:
        return {}
    per_unit_ohm = net.bus["vn_kv"][impedance["to_bus"]].to_numpy() ** 2 / impedance["sn_mva"]
    return {
        "r_ohm": impedance["rft_pu"] * per_unit_ohm,
        "x_ohm": impedance["xft_pu"] * per_unit_ohm,
        "back_r_ohm": impedance["rtf_pu"] * per_unit_ohm,
        "back_x_ohm": impedance["xtf_pu"] * per_unit_ohm,
        "in_service": impedance["in_service"].astype(float),
    }


def _of_trafos(net: pandapowerNet) -> dict[str, pd.Series[float]]:
    """Magnitudes instead of reactances: a reactance far below its resistance has few digits in vk and vkr."""
    trafo, vn_kv = net.trafo, net.bus["vn_kv"]
    if trafo.empty:
        return {}
    at_lv_ohm = trafo["vn_lv_kv"] ** 2 / trafo["sn_mva"] / 100
    rated_ratio = trafo["vn_hv_kv"] / trafo["vn_lv_kv"]
    level_ratio = vn_kv[trafo["hv_bus"]].to_numpy() / vn_kv[trafo["lv_bus"]].to_numpy()
    return {
        "r_ohm": trafo["vkr_percent"] * at_lv_ohm,
        "|z| in ohm": trafo["vk_percent"] * at_lv_ohm,
        "g_us": trafo["pfe_kw"] * 1e3 / trafo["vn_lv_kv"] ** 2,
        "|y| in us": trafo["i0_percent"] * 1e2 / at_lv_ohm,
        "ratio": rated_ratio * (1 + trafo["tap_step_percent"] / 100) / level_ratio,
        "shift_degree": trafo["shift_degree"],
        "rated_ratio": rated_ratio,
        "in_service": trafo["in_service"].astype(float),
    }


def _ends(a: int, b: int) -> str:
    return f"{min(a, b)}-{max(a, b)}"


def _numbered(ends: list[str], values: Iterable[float]) -> list[tuple[str, float]]:
    """Name branches by their ends; those of equal ends (parallel ones) are told apart by a count, in order of value."""
    seen: dict[str, int] = {}
    named = []
    for end, value in sorted(zip(ends, (float(value) for value in values), strict=True)):
        seen[end] = seen.get(end, 0) + 1
        named.append((end if seen[end] == 1 else f"{end} ({seen[end]})", value))
    return named


def _compare(where: str, what: str, theirs: Mapping[NameT, float], own: Mapping[NameT, float]) -> None:
    if theirs.keys() != own.keys():
        odd = sorted(theirs.keys() ^ own.keys(), key=str)[0]
        raise InputError(f"{where}: {what} {odd} is in one of the two only")
    for name, value in own.items():
        if not np.isclose(theirs[name], value, rtol=RELATIVE, atol=1e-12):
            raise InputError(f"{where}: {what} {name} is {theirs[name]}, in the feeder {value}")
