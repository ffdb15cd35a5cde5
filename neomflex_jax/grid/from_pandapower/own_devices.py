"""A net's own PV and storages as devices of a scenario, with the ratings that the net states.

A PV inverter has ``p_max_mw = max_p_mw`` (or ``p_mw scaling`` where that is not stated) and ``s_mva = sn_mva``, or else
the circle that leaves its largest stated q under full sun, ``sqrt(p_max_mw^2 + q^2)``. A battery has ``power_mw``, the
largest of its stated active powers, the capacity ``max_e_mwh``, a window from ``min_e_mwh`` to it and ``soc_percent``.
Where its q limits leave any, ``s_mva = sn_mva``. A static generator that is ``controllable`` may be curtailed;
pandapower writes False for those that do not say. Several of a kind at one bus are one device: ratings and capacities
add up, fractions are means by capacity.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from neomflex_jax.devices import Battery, PvInverter
from neomflex_jax.fields import check_choice
from neomflex_jax.grid.elements import Element
from neomflex_jax.grid.from_pandapower.convert import fused_buses
from neomflex_jax.grid.from_pandapower.rows import Rows

if TYPE_CHECKING:
    from pandapower import pandapowerNet

TAKES = {"none": (), "sgen": ("sgen",), "all": ("sgen", "storage")}  # choices, and the tables that each takes from
MIDDLE = 50.0  # per cent: the charge of a storage that states none
SAME = 0.99  # of a rating and the q limit that restates it, rounded
MOST_JOINED = 2  # names of devices at one bus that are joined in full
OwnT = TypeVar("OwnT")  # what an element is read as


@dataclass(frozen=True)
class OwnDevices:
    """Devices made of a net's elements, and the net without these."""

    net: pandapowerNet  # a copy with what was taken out of service, the net itself where nothing was
    batteries: tuple[Battery, ...] = ()
    pv_inverters: tuple[PvInverter, ...] = ()
    pv_rows: Mapping[str, Mapping[int, float]] = field(default_factory=dict)  # by label: rows of net.sgen, their MW
    left: tuple[str, ...] = ()  # titles of what was not taken, and why
    wider: tuple[str, ...] = ()  # titles of what may give more q as a device than the net allows, and how much that is


class _Pv(NamedTuple):
    row: int
    name: str
    p_max_mw: float
    s_mva: float
    curtailable: bool
    wider: str


class _Storage(NamedTuple):
    row: int
    name: str
    capacity_mwh: float
    power_mw: float
    least_mwh: float
    now_mwh: float
    efficiency: float  # one way
    s_mva: float  # 0: no reactive power
    wider: str


def take_devices(net: pandapowerNet, which: str, *, battery_hours: float = 4.0) -> OwnDevices:
    """Make devices of a pandapower net's own PV ("sgen") or of its PV and storages ("all"); "none" takes nothing.

    Static generators of sun are taken, and those whose type names no source.

    Parameters
    ----------
    battery_hours
        Capacity over power of a storage that states no ``max_e_mwh``.

    Raises
    ------
    InputError
        On another choice, or a rating that is no number.
    """
    check_choice("take_devices", which, tuple(TAKES))
    if which == "none":
        return OwnDevices(net)
    without = copy.deepcopy(net)
    label_of = fused_buses(net)
    inverters: list[PvInverter] = []
    batteries: list[Battery] = []
    pv_rows: dict[str, dict[int, float]] = {}
    left: list[str] = []
    wider: list[str] = []
    names: set[str] = set()
    for bus, pvs in _by_bus(net, "sgen", label_of, _pv_of, left).items():
        inverter = _inverter(bus, pvs, _name(pvs, names))
        inverters.append(inverter)
        pv_rows[inverter.label] = {pv.row: pv.p_max_mw for pv in pvs}
        wider += [pv.wider for pv in pvs if pv.wider]
        without.sgen.loc[[pv.row for pv in pvs], "in_service"] = False
    if "storage" in TAKES[which]:
        read_storage = partial(_storage_of, battery_hours=battery_hours)
        for bus, storages in _by_bus(net, "storage", label_of, read_storage, left).items():
            batteries.append(_battery(bus, storages, _name(storages, names)))
            wider += [storage.wider for storage in storages if storage.wider]
            without.storage.loc[[storage.row for storage in storages], "in_service"] = False
    return OwnDevices(without, tuple(batteries), tuple(inverters), pv_rows, tuple(left), tuple(wider))


def _by_bus(
    net: pandapowerNet, table: str, label_of: Mapping[int, int], read: Callable[[Rows], OwnT | str], left: list[str]
) -> dict[int, list[OwnT]]:
    """Read the elements in service that are supplied, by the feeder's bus; tell of those that are no such device."""
    rows = Rows.of(net, table).in_service()
    kept: dict[int, list[OwnT]] = {}
    for row, bus in enumerate(rows.labels("bus")):
        if bus not in label_of:
            continue
        found = read(rows.where(np.arange(len(rows)) == row))
        if isinstance(found, str):
            left.append(f"{rows.title(row)}: {found}")
        else:
            kept.setdefault(label_of[bus], []).append(found)
    return dict(sorted(kept.items()))


def _pv_of(one: Rows) -> _Pv | str:
    """Read the ratings of one static generator, or return why it is no PV inverter."""
    kind = one.texts("type")[0]
    if not Element("sgen", 0, "", 0, 0.0, 0.0, kind).is_sunny:
        return f"type {kind!r}"
    stated = _number(one, "max_p_mw")
    p_max_mw = stated if stated > 0 else _number(one, "p_mw") * _number(one, "scaling", 1.0)
    if not p_max_mw > 0:
        return f"p_mw = {p_max_mw:g}"
    s_mva = _number(one, "sn_mva")
    if not s_mva > 0:
        s_mva = math.hypot(p_max_mw, _largest_q(one))
    curtailable = "controllable" in one.frame and bool(one.frame["controllable"].eq(True).iloc[0])
    return _Pv(one.numbers_of_rows[0], one.texts("name")[0], p_max_mw, s_mva, curtailable, _wider(one, s_mva))


def _storage_of(one: Rows, battery_hours: float) -> _Storage | str:
    """Read the ratings of one storage, or return why it is no battery."""
    scaling = _number(one, "scaling", 1.0)
    powers_mw = [scaling * _number(one, "p_mw"), *(_number(one, name, 0.0) for name in ("min_p_mw", "max_p_mw"))]
    power_mw = max(map(abs, powers_mw)) or _number(one, "sn_mva", 0.0)
    if not power_mw > 0:
        return "it states no active power"
    capacity_mwh = _number(one, "max_e_mwh", battery_hours * power_mw)
    if not capacity_mwh > 0:
        return f"max_e_mwh = {capacity_mwh:g}"
    least_mwh = min(max(_number(one, "min_e_mwh", 0.0), 0.0), capacity_mwh)
    if least_mwh >= capacity_mwh:
        return f"min_e_mwh = {least_mwh:g} is not below max_e_mwh = {capacity_mwh:g}"
    now_mwh = _number(one, "soc_percent", MIDDLE) / 100.0 * capacity_mwh
    efficiency = _number(one, "efficiency_percent", 100.0)
    efficiency = efficiency / 100.0 if efficiency > 1 else efficiency  # SimBench states 0.95 there
    q_mvar = _largest_q(one)
    s_mva = max(_number(one, "sn_mva", math.hypot(power_mw, q_mvar)), power_mw) if q_mvar else 0.0
    return _Storage(
        row=one.numbers_of_rows[0],
        name=one.texts("name")[0],
        capacity_mwh=capacity_mwh,
        power_mw=power_mw,
        least_mwh=least_mwh,
        now_mwh=min(max(now_mwh, least_mwh), capacity_mwh),
        efficiency=efficiency if 0 < efficiency <= 1 else 1.0,
        s_mva=s_mva,
        wider=_wider(one, s_mva),
    )


def _number(one: Rows, column: str, absent: float = math.nan) -> float:
    return float(one.numbers(column, absent=absent, or_empty=True)[0])


def _largest_q(one: Rows) -> float:
    return max(abs(_number(one, name, 0.0)) for name in ("min_q_mvar", "max_q_mvar"))


def _wider(one: Rows, s_mva: float) -> str:
    """Return what a message says of q limits inside the circle of the rating, which a device does not keep at low p."""
    q_mvar = _largest_q(one)
    return f"{one.title(0)}: {q_mvar:g} Mvar" if 0 < q_mvar < SAME * s_mva else ""


def _name(found: Iterable[_Pv | _Storage], taken: set[str]) -> str:
    """Return a name of letters, digits, _ and - from those of elements at one bus; empty without, or if it is taken."""
    own = [re.sub(r"[^A-Za-z0-9_-]+", "_", each.name).strip("_") for each in found]
    known = [name for name in own if name]
    if len(own) > MOST_JOINED and known:
        known = [known[0], f"{len(own) - 1}_more"]
    name = "_and_".join(known)
    if name in taken:
        return ""
    taken.add(name)
    return name


def _inverter(bus: int, found: list[_Pv], name: str) -> PvInverter:
    p_max_mw, s_mva = (_rounded(sum(values)) for values in ((pv.p_max_mw for pv in found), (pv.s_mva for pv in found)))
    return PvInverter(bus, p_max_mw, s_mva, curtailable=all(pv.curtailable for pv in found), name=name)


def _battery(bus: int, found: list[_Storage], name: str) -> Battery:
    capacity_mwh = sum(each.capacity_mwh for each in found)
    efficiency = _rounded(sum(each.efficiency * each.capacity_mwh for each in found) / capacity_mwh)
    s_mva = _rounded(sum(each.s_mva for each in found))
    return Battery(
        bus=bus,
        capacity_mwh=_rounded(capacity_mwh),
        power_mw=_rounded(sum(each.power_mw for each in found)),
        soc_min=_rounded(sum(each.least_mwh for each in found) / capacity_mwh),
        soc_max=1.0,
        soc_initial=_rounded(sum(each.now_mwh for each in found) / capacity_mwh),
        charge_efficiency=efficiency,
        discharge_efficiency=efficiency,
        s_mva=s_mva or None,
        name=name,
    )


def _rounded(value: float) -> float:
    """Return a sum without the rounding errors of adding up: 12 digits."""
    return float(f"{value:.12g}")
