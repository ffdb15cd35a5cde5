"""A pandapower net from a `Feeder`, element by element; every branch is one element, and both hold the same two-port.

A line has length 1 km, so that its impedance, conductance and capacitance ``c = b / (2 pi f)`` are the branch's. A
transformer has the `from` end as its high-voltage side; pandapower's ``trafo_model="pi"`` states its values at the
low-voltage side, as `grid.feeder` does, in per cent of the rating ``sn_mva``, vk with the sign of x::

    vkr = r sn / vn_lv^2    vk = |r + jx| sn / vn_lv^2    pfe = g vn_lv^2    i0 = |y| vn_lv^2 / sn
    ratio = (vn_hv / vn_lv) (1 + tap) (vn of the to bus / vn of the from bus),  vn_hv / vn_lv = rated_ratio

A branch that shows another impedance from its `to` end is an impedance, per unit of ``sn_mva`` at the `to` bus's vn.
Source: pandapower 3.5, build_branch.py.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.loose_types import Keywords
from neomflex_jax.matplotlib_import import load_matplotlib

if TYPE_CHECKING:
    from pandapower import pandapowerNet

F_HZ = 50.0  # what the net states and the capacitances divide by; the feeder's values hold at its own frequency
NO_RATING_KA = 99999.0  # pandapower's placeholder
# pandapower compares the mismatch per unit of the net's sn_mva, 10 MVA for case33bw: 1e-8 MVA and a digit to spare
TOLERANCE_MVA = 1e-10


def net_from_feeder(feeder: Feeder) -> pandapowerNet:
    """Build the net: buses by the feeder's labels, one external grid, all branches, shunts and loads.

    Raises
    ------
    InputError
        If the feeder has a transformer that pandapower cannot express, naming it.
    """
    load_matplotlib()  # which pandapower imports
    import pandapower

    net = pandapower.create_empty_network(name=feeder.name, sn_mva=feeder.s_base_mva, f_hz=F_HZ)
    labels = feeder.bus_labels
    for label, vn_kv in zip(labels, feeder.vn_kv, strict=True):
        pandapower.create_bus(net, vn_kv=float(vn_kv), index=label)
    pandapower.create_ext_grid(net, labels[feeder.topology.slack], vm_pu=float(feeder.slack_vm_pu))
    _hold_voltages(net, feeder)
    transformers, impedances = is_transformer(feeder), is_impedance(feeder)
    for branch in range(feeder.topology.n_branch):
        if impedances[branch]:
            pandapower.create_impedance(net, **_impedance(feeder, branch))
        elif transformers[branch]:
            pandapower.create_transformer_from_parameters(net, **transformer_row(feeder, branch))
        else:
            pandapower.create_line_from_parameters(net, **_line(feeder, branch))
    for bus, (label, p_mw, q_mvar) in enumerate(zip(labels, feeder.load_p_mw, feeder.load_q_mvar, strict=True)):
        shares = shares_in_percent(feeder, bus)
        if p_mw or q_mvar or any(shares.values()):
            pandapower.create_load(net, label, p_mw=float(p_mw), q_mvar=float(q_mvar), **shares)
    if feeder.shunts is not None:
        for label, p_mw, q_mvar in zip(labels, feeder.shunts.p_mw, feeder.shunts.q_mvar, strict=True):
            if p_mw or q_mvar:
                pandapower.create_shunt(net, label, p_mw=float(p_mw), q_mvar=float(q_mvar))
    return net


def _hold_voltages(net: pandapowerNet, feeder: Feeder) -> None:
    """Add the generators and the further external grids."""
    import pandapower

    held = feeder.held
    if held is None:
        return
    for row, position in enumerate(held.bus):
        label, vm_pu = feeder.bus_labels[position], float(held.vm_pu[row])
        if held.is_slack[row]:
            pandapower.create_ext_grid(net, label, vm_pu=vm_pu, va_degree=float(held.va_degree[row]))
        if not held.is_slack[row] or held.p_mw[row]:
            limits = {}
            if held.q_min_mvar is not None and held.q_max_mvar is not None and not held.is_slack[row]:
                limits = {"min_q_mvar": float(held.q_min_mvar[row]), "max_q_mvar": float(held.q_max_mvar[row])}
            pandapower.create_gen(net, label, p_mw=float(held.p_mw[row]), vm_pu=vm_pu, **limits)


def shares_in_percent(feeder: Feeder, bus: int) -> dict[str, float]:
    """Return what a load at a bus states of how it follows the voltage, by column; `bus` is its position."""
    shares = feeder.voltage_dependence
    if shares is None:
        return {}
    columns = {
        "const_i_p": "p_current",
        "const_z_p": "p_impedance",
        "const_i_q": "q_current",
        "const_z_q": "q_impedance",
    }
    return {f"{column}_percent": 100 * float(getattr(shares, name)[bus]) for column, name in columns.items()}


def is_transformer(feeder: Feeder) -> np.ndarray:
    """Which branches are transformers, (n_branch,): no plain lines, and one impedance from both ends."""
    parts = feeder.transformers
    if parts is None:
        return np.zeros(feeder.topology.n_branch, bool)
    return parts.present & ~is_impedance(feeder)


def is_impedance(feeder: Feeder) -> np.ndarray:
    """Which branches have another impedance from their to end, (n_branch,)."""
    rows = () if feeder.back is None else feeder.back.branch
    return np.isin(np.arange(feeder.topology.n_branch), rows)


def runpp_needs(feeder: Feeder) -> Keywords:
    """Return the options of `runpp` that the grid dictates: how closely it can stop, and from where it can start.

    Rounding leaves a mismatch of some ``eps V^2 / |z|`` at the ends of the shortest branch. Newton's method from 0
    degrees everywhere fails behind a transformer that turns the voltage by 150, or far from generators; it starts
    from the DC solution there, and only there, because that has no answer for branches without reactance.
    """
    level_kv = feeder.vn_kv[list(feeder.topology.to_bus)]
    largest_mva = np.max(level_kv**2 / np.hypot(feeder.r_ohm, feeder.x_ohm))
    if feeder.back is not None:
        from_to_end = level_kv[list(feeder.back.branch)] ** 2 / np.hypot(feeder.back.r_ohm, feeder.back.x_ohm)
        largest_mva = max(largest_mva, from_to_end.max())
    turns = feeder.held is not None or (
        feeder.transformers is not None and bool(feeder.transformers.shift_degree.any())
    )
    floor_mva = float(4 * np.finfo(np.float64).eps * largest_mva)
    follows = {} if feeder.voltage_dependence is None else {"voltage_depend_loads": True}
    return {"tolerance_mva": max(TOLERANCE_MVA, floor_mva), "init": "dc" if turns else "flat"} | follows


def _ends(feeder: Feeder, branch: int) -> tuple[int, int]:
    topology = feeder.topology
    return topology.from_bus[branch], topology.to_bus[branch]


def _line(feeder: Feeder, branch: int) -> Keywords:
    start, end = _ends(feeder, branch)
    rating_ka = float(feeder.max_i_ka[branch])
    g_us, b_us = _charging_us(feeder, branch)
    return {
        "from_bus": feeder.bus_labels[start],
        "to_bus": feeder.bus_labels[end],
        "length_km": 1.0,
        "r_ohm_per_km": float(feeder.r_ohm[branch]),
        "x_ohm_per_km": float(feeder.x_ohm[branch]),
        "c_nf_per_km": b_us * 1e3 / (2 * math.pi * F_HZ),
        "g_us_per_km": g_us,
        "max_i_ka": NO_RATING_KA if math.isnan(rating_ka) else rating_ka,
        "in_service": feeder.topology.in_service[branch],
    }


def _impedance(feeder: Feeder, branch: int) -> Keywords:
    back = feeder.back
    assert back is not None  # `is_impedance` said so
    start, end = _ends(feeder, branch)
    per_ohm, place = feeder.s_base_mva / float(feeder.vn_kv[end]) ** 2, back.branch.index(branch)
    return {
        "from_bus": feeder.bus_labels[start],
        "to_bus": feeder.bus_labels[end],
        "sn_mva": feeder.s_base_mva,
        "rft_pu": float(feeder.r_ohm[branch]) * per_ohm,
        "xft_pu": float(feeder.x_ohm[branch]) * per_ohm,
        "rtf_pu": float(back.r_ohm[place]) * per_ohm,
        "xtf_pu": float(back.x_ohm[place]) * per_ohm,
        "in_service": feeder.topology.in_service[branch],
    }


def transformer_row(feeder: Feeder, branch: int) -> Keywords:
    """Return the parameters of a branch as one of pandapower's transformers."""
    assert feeder.transformers is not None  # `is_transformer` said so
    start, end = _ends(feeder, branch)
    name = f"branch {feeder.bus_labels[start]}-{feeder.bus_labels[end]}"
    vn_lv_kv, rating_ka = float(feeder.vn_kv[end]), float(feeder.max_i_ka[branch])
    sn_mva = 1.0 if math.isnan(rating_ka) else math.sqrt(3) * vn_lv_kv * rating_ka
    r, x = float(feeder.r_ohm[branch]), float(feeder.x_ohm[branch])
    g_us, b_us = _charging_us(feeder, branch)
    if b_us > 0:
        raise InputError(
            f"feeder {feeder.name!r}: {name} is a transformer with b_us = {b_us:g}; pandapower's are magnetised by an "
            "inductance, b_us of 0 or less"
        )
    ratio, rated_ratio = float(feeder.transformers.ratio[branch]), float(feeder.transformers.rated_ratio[branch])
    tap = ratio * float(feeder.vn_kv[start]) / vn_lv_kv / rated_ratio - 1.0
    at_lv_mva = vn_lv_kv**2
    return {
        "hv_bus": feeder.bus_labels[start],
        "lv_bus": feeder.bus_labels[end],
        "sn_mva": sn_mva,
        "vn_hv_kv": rated_ratio * vn_lv_kv,
        "vn_lv_kv": vn_lv_kv,
        "vkr_percent": 100 * r * sn_mva / at_lv_mva,
        "vk_percent": 100 * math.copysign(math.hypot(r, x), x) * sn_mva / at_lv_mva,
        "pfe_kw": g_us * 1e-3 * at_lv_mva,
        "i0_percent": 100 * math.hypot(g_us, b_us) * 1e-6 * at_lv_mva / sn_mva,
        "shift_degree": float(feeder.transformers.shift_degree[branch]),
        "tap_side": "hv",
        "tap_changer_type": "Ratio",
        "tap_neutral": 0,
        "tap_pos": 1,
        "tap_min": 0,
        "tap_max": 1,
        "tap_step_percent": 100 * tap,
        "in_service": feeder.topology.in_service[branch],
    }


def _charging_us(feeder: Feeder, branch: int) -> tuple[float, float]:
    if feeder.charging is None:
        return 0.0, 0.0
    return float(feeder.charging.g_us[branch]), float(feeder.charging.b_us[branch])
