"""What every feeder is checked for: lengths, finite numbers, known buses, one voltage level a line, one whole grid."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.grid.columns import FeederColumns, Numbers
from neomflex_jax.grid.parts import (
    BackImpedances,
    Charging,
    HeldVoltages,
    Shunts,
    Transformers,
    VoltageDependence,
    Windings,
    summarise_labels,
)
from neomflex_jax.grid.topology import Topology, spanning_tree
from neomflex_jax.loose_types import Keywords

SLIGHTLY = 0.01  # share of |x| by which a line's r may lie below 0, as rounding in the sources of grids leaves it
Q_LIMITS = ("q_min_mvar", "q_max_mvar")
SAME_LEVEL = 1e-9  # relative difference of vn_kv up to which two buses are of one voltage level


def checked(columns: FeederColumns) -> Keywords:
    """Check columns and return the fields of a `Feeder` by name, arrays in float64."""
    try:
        return _fields(columns)
    except InputError as error:
        raise InputError(f"{columns.source}: {error}") if columns.source else error from error


def _fields(given: FeederColumns) -> Keywords:
    where = f"feeder {given.name!r}"
    labels = tuple(_whole(where, label) for label in given.bus_labels)
    topology = _topology(where, labels, given)
    bus = _Rows(where, tuple(f"bus {label}" for label in labels))
    branch = _Rows(where, tuple(f"branch {a}-{b}" for a, b in given.branches))
    found: Keywords = {
        "r_ohm": branch.column("r_ohm", given.r_ohm),
        "x_ohm": branch.column("x_ohm", given.x_ohm),
        "max_i_ka": branch.column("max_i_ka", given.max_i_ka, absent=np.nan),
        "load_p_mw": bus.column("load_p_mw", given.load_p_mw),
        "load_q_mvar": bus.column("load_q_mvar", given.load_q_mvar),
        "vn_kv": bus.column("vn_kv", given.vn_kv),
        "slack_vm_pu": np.float64(given.slack_vm_pu),
    }
    _check_values(where, bus, found)
    _check_connected(where, topology, labels)
    level_ratio = found["vn_kv"][list(topology.from_bus)] / found["vn_kv"][list(topology.to_bus)]
    transformers = _transformers(branch, given, level_ratio)
    _check_branches(branch, found, transformers, given)
    charging = _charging(branch, given)
    return found | {
        "topology": topology,
        "bus_labels": labels,
        "name": given.name,
        "charging": charging,
        "transformers": transformers,
        "windings": _windings(branch, topology, given),
        "shunts": _shunts(bus, given),
        "back": _back(branch, given, charging, transformers),
        "held": _held(where, labels, given),
        "voltage_dependence": _voltage_dependence(bus, given),
        "max_loading_percent": _loading_limits(branch, given),
        "own_devices": given.own_devices,
        "elements": given.elements,
    }


@dataclass(frozen=True)
class _Rows:
    """Buses or branches by name: makes arrays of their columns, and names the first bad row."""

    where: str
    rows: tuple[str, ...]

    def column(self, name: str, values: Numbers | None, absent: float | None = None) -> np.ndarray:
        if values is None:
            assert absent is not None  # a required column is never None
            return np.full(len(self.rows), absent)
        column = np.asarray(values, np.float64)
        if column.shape != (len(self.rows),):
            raise InputError(f"{self.where}: {name} has shape {column.shape}; expected ({len(self.rows)},)")
        if absent is None or np.isfinite(absent):
            self.refuse(~np.isfinite(column), name, column, "it must be finite")
        return column

    def refuse(self, bad: np.ndarray, name: str, column: np.ndarray, why: str) -> None:
        """Raise for the first bad row, if there is one."""
        if bad.any():
            row = int(np.argmax(bad))
            raise InputError(f"{self.where}: {self.rows[row]} has {name} = {column[row]:g}; {why}")


def _whole(where: str, label: float | str) -> int:
    if isinstance(label, str) or label != int(label):
        raise InputError(f"{where}: bus label {label!r} must be a whole number")
    return int(label)


def _topology(where: str, labels: tuple[int, ...], given: FeederColumns) -> Topology:
    branches, in_service = given.branches, given.in_service
    position = {label: index for index, label in enumerate(labels)}
    if len(labels) < 2:
        raise InputError(f"{where}: a feeder needs at least two buses")
    if len(position) != len(labels):
        repeated = sorted(label for label, count in Counter(labels).items() if count > 1)
        raise InputError(f"{where}: bus {repeated[0]} is listed more than once; every bus needs its own row")
    for a, b in branches:
        for label in (a, b):
            if label not in position:
                raise InputError(f"{where}: branch {a}-{b} ends at bus {label}, not a bus here")
        if a == b:
            raise InputError(f"{where}: branch {a}-{b} closes a loop on its own bus; it needs two buses")
    slack = labels[0] if given.slack_bus is None else given.slack_bus
    if slack not in position:
        raise InputError(f"{where}: slack_bus {slack} is not a bus; buses: {summarise_labels(labels)}")
    for value in in_service if in_service is not None else ():
        if value not in (0, 1):
            raise InputError(f"{where}: in_service = {value!r} must be 0 or 1")
    closed = (True,) * len(branches) if in_service is None else tuple(bool(value) for value in in_service)
    if len(closed) != len(branches):
        raise InputError(f"{where}: in_service has {len(closed)} entries for {len(branches)} branches")
    return Topology(
        n_bus=len(labels),
        slack=position[slack],
        from_bus=tuple(position[a] for a, _ in branches),
        to_bus=tuple(position[b] for _, b in branches),
        in_service=closed,
        further_slacks=tuple(
            position[one.bus] for one in given.held if one.va_degree is not None and one.bus in position
        ),
    )


def _check_values(where: str, bus: _Rows, fields: Keywords) -> None:
    kv, slack_vm_pu = fields["vn_kv"], fields["slack_vm_pu"]
    bus.refuse(kv <= 0, "vn_kv", kv, "it must be above 0")
    if not 0.5 <= slack_vm_pu <= 1.5:
        raise InputError(f"{where}: slack_vm_pu = {slack_vm_pu} must lie in 0.5 to 1.5")


def _check_branches(branch: _Rows, fields: Keywords, transformers: Transformers | None, given: FeederColumns) -> None:
    """Refuse impedances that no branch has; x may be below 0 (a series capacitor), r only in equivalents."""
    r, x, ratings = fields["r_ohm"], fields["x_ohm"], fields["max_i_ka"]
    merge = "r_ohm is at least 0, and one of them above or below (merge the two buses of a zero-impedance branch)"
    is_line = np.ones(len(r), bool) if transformers is None else ~transformers.present
    if given.equivalent is not None:
        is_line &= ~np.asarray(given.equivalent, bool)
    branch.refuse(is_line & (r < -SLIGHTLY * np.abs(x)), "r_ohm", r, merge)
    branch.refuse((r == 0) & (x == 0), "x_ohm", x, merge)
    unusable = (ratings <= 0) | np.isinf(ratings)
    branch.refuse(
        unusable, "max_i_ka", ratings, "a rating is above 0 and finite (leave it empty where it is not known)"
    )


def _check_connected(where: str, topology: Topology, labels: tuple[int, ...]) -> None:
    tree = spanning_tree(topology)
    if len(tree.order) < topology.n_bus:
        lost = [labels[bus] for bus in sorted(set(range(topology.n_bus)) - set(tree.order.tolist()))]
        raise InputError(
            f"{where} is not connected: no path from the slack bus {labels[topology.slack]} to "
            f"bus {summarise_labels(lost)}; add or close (in_service=1) a branch"
        )


def _loading_limits(branch: _Rows, given: FeederColumns) -> np.ndarray | None:
    limits = branch.column("max_loading_percent", given.max_loading_percent, absent=np.nan)
    why = "a limit is above 0 and finite (leave it empty where there is none)"
    branch.refuse((limits <= 0) | np.isinf(limits), "max_loading_percent", limits, why)
    return None if np.isnan(limits).all() else limits


def _charging(branch: _Rows, given: FeederColumns) -> Charging | None:
    charging = Charging(branch.column("g_us", given.g_us, absent=0.0), branch.column("b_us", given.b_us, absent=0.0))
    branch.refuse(charging.g_us < -1e-3, "g_us", charging.g_us, "a branch's conductance is at least 0; it loses power")
    return charging if charging.g_us.any() or charging.b_us.any() else None


def _transformers(branch: _Rows, given: FeederColumns, level_ratio: np.ndarray) -> Transformers | None:
    two_levels = np.abs(level_ratio - 1) > SAME_LEVEL
    if given.ratio is None:
        why = "a line joins buses of one voltage level; state `ratio` (1 for a transformer without taps) if it is none"
        branch.refuse(two_levels, "ends of two voltage levels, with the ratio", level_ratio, why)
    off_nominal = branch.column("ratio", given.ratio, absent=1.0)
    shift = branch.column("shift_degree", given.shift_degree, absent=0.0)
    rated = branch.column("rated_ratio", level_ratio if given.rated_ratio is None else given.rated_ratio)
    outside = (off_nominal < 0.5) | (off_nominal > 2)
    branch.refuse(outside, "ratio", off_nominal, "off-nominal, in per unit: between 0.5 and 2")
    branch.refuse(rated <= 0, "rated_ratio", rated, "it must be above 0")
    is_any = two_levels.any() or (off_nominal != 1).any() or shift.any() or (rated != 1).any()
    return Transformers(off_nominal, shift, rated) if is_any else None


def _back(
    branch: _Rows, given: FeederColumns, charging: Charging | None, transformers: Transformers | None
) -> BackImpedances | None:
    """Take the branches that have another impedance from their `to` end."""
    both = {name: branch.column(name, getattr(given, name), absent=np.nan) for name in ("back_r_ohm", "back_x_ohm")}
    r, x = both.values()
    stated = ~(np.isnan(r) & np.isnan(x))
    for name, values in both.items():
        branch.refuse(stated & ~np.isfinite(values), name, values, "it must be finite, or both empty")
    merge = "r and x may not both be 0 from either end (merge the two buses of a zero-impedance branch)"
    branch.refuse(stated & (r == 0) & (x == 0), "back_x_ohm", x, merge)
    plain = "a branch that has back_r_ohm has no charging, a ratio of 1 and no shift"
    if charging is not None:
        branch.refuse(stated & (charging.g_us != 0), "g_us", charging.g_us, plain)
        branch.refuse(stated & (charging.b_us != 0), "b_us", charging.b_us, plain)
    if transformers is not None:
        branch.refuse(stated & (transformers.ratio != 1), "ratio", transformers.ratio, plain)
        branch.refuse(stated & (transformers.shift_degree != 0), "shift_degree", transformers.shift_degree, plain)
    rows = np.flatnonzero(stated)
    return BackImpedances(r[rows], x[rows], tuple(rows.tolist())) if len(rows) else None


def _windings(branch: _Rows, topology: Topology, given: FeederColumns) -> Windings | None:
    """Find, for every branch of a three-winding transformer, the one that begins where it ends."""
    if not given.windings:
        return None
    parts = Counter(one.transformer for one in given.windings)
    begins = {(one.transformer, topology.from_bus[one.branch]): one.branch for one in given.windings}
    following = []
    for one in given.windings:
        name, values = branch.rows[one.branch], (one.from_g_us, one.from_b_us, one.to_g_us, one.to_b_us)
        if not np.isfinite(values).all():
            raise InputError(f"{branch.where}: the ends of {name} have an admittance that is not finite")
        found = -1 if one.transformer is None else begins.get((one.transformer, topology.to_bus[one.branch]))
        if found is None or (found >= 0 and parts[one.transformer] != 3):
            raise InputError(
                f"{branch.where}: {name} is one of {parts[one.transformer]} branches of transformer {one.transformer}; "
                "three windings have three, each of which begins where another ends"
            )
        following.append(found)
    admittances = ("from_g_us", "from_b_us", "to_g_us", "to_b_us")
    return Windings(
        **{name: np.array([getattr(one, name) for one in given.windings], float) for name in admittances},
        branch=tuple(one.branch for one in given.windings),
        next_branch=tuple(following),
    )


def _shunts(bus: _Rows, given: FeederColumns) -> Shunts | None:
    p_mw = bus.column("shunt_p_mw", given.shunt_p_mw, absent=0.0)
    shunts = Shunts(p_mw, bus.column("shunt_q_mvar", given.shunt_q_mvar, absent=0.0))
    return shunts if shunts.p_mw.any() or shunts.q_mvar.any() else None


def _voltage_dependence(bus: _Rows, given: FeederColumns) -> VoltageDependence | None:
    shares: dict[str, np.ndarray] = {}
    for power in "pq":
        pair = [f"{power}_current_share", f"{power}_impedance_share"]
        current, impedance = (bus.column(name, getattr(given, name), absent=0.0) for name in pair)
        bus.refuse(current + impedance > 1, " + ".join(pair), current + impedance, "shares of a load are at most 1")
        shares |= {f"{power}_current": current, f"{power}_impedance": impedance}
    return VoltageDependence(**shares) if any(share.any() for share in shares.values()) else None


def _held(where: str, labels: tuple[int, ...], given: FeederColumns) -> HeldVoltages | None:
    if not given.held:
        return None
    slack = labels[0] if given.slack_bus is None else given.slack_bus
    seen = {slack}
    for one in given.held:
        if one.bus not in labels:
            raise InputError(f"{where}: a voltage is held at bus {one.bus}, not a bus here")
        if one.bus in seen:
            raise InputError(
                f"{where}: the voltage of bus {one.bus} is held twice; a bus is held by one, or is the slack"
            )
        if not 0.5 <= one.vm_pu <= 1.5:
            raise InputError(f"{where}: bus {one.bus} is held at vm_pu = {one.vm_pu}; it must lie in 0.5 to 1.5")
        if not np.isfinite([one.p_mw, one.va_degree or 0.0]).all():
            raise InputError(f"{where}: bus {one.bus} has a p_mw or va_degree that is not finite")
        if one.q_min_mvar > one.q_max_mvar or np.isinf([one.q_min_mvar, one.q_max_mvar]).any():
            raise InputError(
                f"{where}: bus {one.bus} has q_min_mvar = {one.q_min_mvar} and q_max_mvar = {one.q_max_mvar}; the "
                "first is at most the second, and no limit is an empty cell"
            )
        seen.add(one.bus)
    q_min_mvar, q_max_mvar = (np.array([getattr(one, name) for one in given.held]) for name in Q_LIMITS)
    limited = bool((np.isfinite(q_min_mvar) | np.isfinite(q_max_mvar)).any())
    position = {label: index for index, label in enumerate(labels)}
    return HeldVoltages(
        vm_pu=np.array([one.vm_pu for one in given.held], float),
        p_mw=np.array([one.p_mw for one in given.held], float),
        va_degree=np.array([one.va_degree or 0.0 for one in given.held], float),
        bus=tuple(position[one.bus] for one in given.held),
        is_slack=tuple(one.va_degree is not None for one in given.held),
        q_min_mvar=q_min_mvar if limited else None,
        q_max_mvar=q_max_mvar if limited else None,
    )
