"""The one way to make a `Feeder`: from plain sequences, checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.grid.feeder import Charging, Feeder, Shunts, Transformers, summarise_labels
from neomflex_jax.grid.topology import Topology, spanning_tree

Numbers = Sequence[float] | np.ndarray
# share of the other by which r or x may lie below 0: a transformer without one of them has, as a pi, a little of it
SLIGHTLY = 0.01
SAME_LEVEL = 1e-9  # relative difference of vn_kv up to which two buses are of one voltage level


def build_feeder(
    *,
    name: str,
    bus_labels: Sequence[int],
    vn_kv: Numbers,
    load_p_mw: Numbers,
    load_q_mvar: Numbers,
    branches: Sequence[tuple[int, int]],
    r_ohm: Numbers,
    x_ohm: Numbers,
    in_service: Sequence[bool] | None = None,
    max_i_ka: Numbers | None = None,
    g_us: Numbers | None = None,
    b_us: Numbers | None = None,
    ratio: Numbers | None = None,
    shift_degree: Numbers | None = None,
    rated_ratio: Numbers | None = None,
    shunt_p_mw: Numbers | None = None,
    shunt_q_mvar: Numbers | None = None,
    slack_bus: int | None = None,
    slack_vm_pu: float = 1.0,
) -> Feeder:
    """Validate and build a feeder; `branches` holds (from, to) by bus label, in the two-port of `grid.feeder`.

    What is left out is absent: charging, shunts, ratings; without `ratio` there is no transformer; without
    `rated_ratio` it is the ratio of the ends' `vn_kv`; all branches are in service; the slack is the first bus.

    Raises
    ------
    InputError
        On a column of the wrong length, a value that is not finite, a repeated or unknown bus label, a line between
        two voltage levels, an impedance that is not positive, or a feeder that is not connected, naming bus or branch.
    """
    where = f"feeder {name!r}"
    labels = tuple(_whole(where, label) for label in bus_labels)
    topology = _topology(where, labels, branches, in_service, slack_bus)
    bus = _Columns(where, tuple(f"bus {label}" for label in labels))
    branch = _Columns(where, tuple(f"branch {a}-{b}" for a, b in branches))
    feeder = Feeder(
        r_ohm=branch("r_ohm", r_ohm),
        x_ohm=branch("x_ohm", x_ohm),
        max_i_ka=branch("max_i_ka", max_i_ka, absent=np.nan),
        load_p_mw=bus("load_p_mw", load_p_mw),
        load_q_mvar=bus("load_q_mvar", load_q_mvar),
        vn_kv=bus("vn_kv", vn_kv),
        slack_vm_pu=np.float64(slack_vm_pu),
        topology=topology,
        bus_labels=labels,
        name=name,
    )
    _check_values(where, bus, branch, feeder)
    _check_connected(where, feeder)
    level_ratio = feeder.vn_kv[list(topology.from_bus)] / feeder.vn_kv[list(topology.to_bus)]
    return replace(
        feeder,
        charging=_charging(branch, g_us, b_us),
        transformers=_transformers(branch, ratio, shift_degree, rated_ratio, level_ratio),
        shunts=_shunts(bus, shunt_p_mw, shunt_q_mvar),
    )


@dataclass(frozen=True)
class _Columns:
    """Turns a column of numbers into an array, one entry a row."""

    where: str
    rows: tuple[str, ...]

    def __call__(self, name: str, values: Numbers | None, absent: float | None = None) -> np.ndarray:
        if values is None:
            assert absent is not None  # a required column is no None
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


def _topology(
    where: str,
    labels: tuple[int, ...],
    branches: Sequence[tuple[int, int]],
    in_service: Sequence[bool] | None,
    slack_bus: int | None,
) -> Topology:
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
    slack = labels[0] if slack_bus is None else slack_bus
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
    )


def _check_values(where: str, bus: _Columns, branch: _Columns, feeder: Feeder) -> None:
    r, x, kv = feeder.r_ohm, feeder.x_ohm, feeder.vn_kv
    bus.refuse(kv <= 0, "vn_kv", kv, "it must be above 0")
    merge = "r_ohm and x_ohm are at least 0 and one of them above (merge the two buses of a zero-impedance branch)"
    branch.refuse(r < -SLIGHTLY * np.abs(x), "r_ohm", r, merge)
    branch.refuse((x < -SLIGHTLY * np.abs(r)) | ((r == 0) & (x == 0)), "x_ohm", x, merge)
    ratings = feeder.max_i_ka
    unusable = (ratings <= 0) | np.isinf(ratings)
    branch.refuse(
        unusable, "max_i_ka", ratings, "a rating is above 0 and finite (leave it empty where it is not known)"
    )
    if not 0.5 <= feeder.slack_vm_pu <= 1.5:
        raise InputError(f"{where}: slack_vm_pu = {feeder.slack_vm_pu} must lie in 0.5 to 1.5")


def _check_connected(where: str, feeder: Feeder) -> None:
    topology, labels = feeder.topology, feeder.bus_labels
    tree = spanning_tree(topology)
    if len(tree.order) < topology.n_bus:
        lost = [labels[bus] for bus in sorted(set(range(topology.n_bus)) - set(tree.order.tolist()))]
        raise InputError(
            f"{where} is not connected: no path from the slack bus {labels[topology.slack]} to "
            f"bus {summarise_labels(lost)}; add or close (in_service=1) a branch"
        )


def _charging(branch: _Columns, g_us: Numbers | None, b_us: Numbers | None) -> Charging | None:
    charging = Charging(branch("g_us", g_us, absent=0.0), branch("b_us", b_us, absent=0.0))
    branch.refuse(charging.g_us < -1e-3, "g_us", charging.g_us, "a branch's conductance is at least 0; it loses power")
    return charging if charging.g_us.any() or charging.b_us.any() else None


def _transformers(
    branch: _Columns,
    ratio: Numbers | None,
    shift_degree: Numbers | None,
    rated_ratio: Numbers | None,
    level_ratio: np.ndarray,
) -> Transformers | None:
    two_levels = np.abs(level_ratio - 1) > SAME_LEVEL
    if ratio is None:
        why = "a line joins buses of one voltage level; state `ratio` (1 for a transformer without taps) if it is none"
        branch.refuse(two_levels, "ends of two voltage levels, with the ratio", level_ratio, why)
    off_nominal = branch("ratio", ratio, absent=1.0)
    shift = branch("shift_degree", shift_degree, absent=0.0)
    rated = branch("rated_ratio", level_ratio if rated_ratio is None else rated_ratio)
    outside = (off_nominal < 0.5) | (off_nominal > 2)
    branch.refuse(outside, "ratio", off_nominal, "off-nominal, in per unit: between 0.5 and 2")
    branch.refuse(rated <= 0, "rated_ratio", rated, "it must be above 0")
    is_any = two_levels.any() or (off_nominal != 1).any() or shift.any() or (rated != 1).any()
    return Transformers(off_nominal, shift, rated) if is_any else None


def _shunts(bus: _Columns, p_mw: Numbers | None, q_mvar: Numbers | None) -> Shunts | None:
    shunts = Shunts(bus("shunt_p_mw", p_mw, absent=0.0), bus("shunt_q_mvar", q_mvar, absent=0.0))
    return shunts if shunts.p_mw.any() or shunts.q_mvar.any() else None
