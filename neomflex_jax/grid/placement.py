"""Batteries and PV for territories, by their share of the feeder's nominal load, beside those that a grid has.

``sum of p_max_mw = pv_share x load``, ``sum of battery power_mw = battery_share x load``, each cut by the territories'
shares of the load and rounded. The usual shares are about those of the 33-bus task (3.0 MW of PV and 1.5 MW of
batteries of 4 hours on 3.7 MW).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neomflex_jax.devices import Battery, PvInverter
from neomflex_jax.errors import InputError
from neomflex_jax.grid.feeder import AnyFeeder
from neomflex_jax.grid.load_by_bus import nominal_load_mw
from neomflex_jax.grid.partition import nominal_load_mva
from neomflex_jax.loose_types import BusLabel

LEAST_SHARE = 0.1  # of the mean territory's load: what one with hardly any load counts as
STEPS = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)  # sensible figures of a decade, as ratings are made


@dataclass(frozen=True)
class Placement:
    """Devices: those that a grid has, then suggested ones, the first territory's first."""

    batteries: tuple[Battery, ...] = ()
    pv_inverters: tuple[PvInverter, ...] = ()

    @property
    def buses(self) -> set[BusLabel]:
        """Labels of the buses with a device."""
        return {device.bus for device in (*self.batteries, *self.pv_inverters)}


NOTHING = Placement()


def place_devices(
    feeder: AnyFeeder,
    territories: Sequence[Sequence[BusLabel]],
    *,
    pv_share: float = 0.8,
    battery_share: float = 0.4,
    battery_hours: float = 4.0,
    inverter_oversize: float = 1.1,
    pv_per_agent: int | None = None,
    batteries_per_agent: int | None = None,
    own: Placement = NOTHING,
) -> Placement:
    """Suggest PV and batteries at each territory's heaviest buses, PV first; equal calls, equal answers.

    Parameters
    ----------
    territories
        Bus labels of each.
    pv_share, battery_share
        Total PV and total battery power over the feeder's nominal active load.
    battery_hours
        Capacity over power.
    inverter_oversize
        ``s_mva`` over ``p_max_mw``; 1.1 leaves 0.46 of the active power for reactive power under full sun.
    pv_per_agent, batteries_per_agent
        How many new devices each; fewer where a territory has fewer buses, and 0 is none. If not given, 1 in every
        territory without a device of the grid's own.
    own
        What the grid has; a bus with one of a kind gets no other.

    Raises
    ------
    InputError
        If a share or number is not usable, somebody is left without any device, or the feeder has no load to go by.
    """
    _check_sizes(inverter_oversize, pv_share=pv_share, battery_share=battery_share, battery_hours=battery_hours)
    _check_numbers(pv_per_agent=pv_per_agent, batteries_per_agent=batteries_per_agent)
    batteries, inverters = list(own.batteries), list(own.pv_inverters)
    positions = [[feeder.bus_position(bus) for bus in buses] for buses in territories]
    for labels, own_buses, mw in zip(territories, positions, _counted_load_mw(feeder, positions), strict=True):
        n_usual = int(own.buses.isdisjoint(labels))
        n_pv, n_batteries = (n_usual if number is None else number for number in (pv_per_agent, batteries_per_agent))
        if n_usual and n_pv + n_batteries == 0:
            raise InputError(
                "pv_per_agent and batteries_per_agent are both 0; every agent needs a device to act with, and the "
                f"territory of bus {labels[0]} has none"
            )
        buses = _heaviest_first(feeder, own_buses)
        pv_buses = _without(own.pv_inverters, buses)[:n_pv]
        for bus in pv_buses:
            p_max_mw = sensible(pv_share * mw / len(pv_buses))
            inverters.append(PvInverter(bus, p_max_mw, round(inverter_oversize * p_max_mw, 6)))
        turned = buses[len(pv_buses) % len(buses) :] + buses[: len(pv_buses) % len(buses)]  # past those with new PV
        battery_buses = _without(own.batteries, turned)[:n_batteries]
        for bus in battery_buses:
            power_mw = sensible(battery_share * mw / len(battery_buses))
            batteries.append(Battery(bus, round(battery_hours * power_mw, 6), power_mw))
    return Placement(tuple(batteries), tuple(inverters))


def _check_sizes(inverter_oversize: float, **shares: float) -> None:
    for name, share in shares.items():
        if not 0 < share < math.inf:
            raise InputError(f"{name} = {share} must be above 0 (for no such devices, set their number to 0)")
    if not 1 <= inverter_oversize < math.inf:
        raise InputError(f"inverter_oversize = {inverter_oversize} must be at least 1")


def _check_numbers(**numbers: int | None) -> None:
    for name, number in numbers.items():
        if number is not None and number < 0:
            raise InputError(f"{name} = {number} must be at least 0")


def _without(devices: Sequence[Battery] | Sequence[PvInverter], buses: list[BusLabel]) -> list[BusLabel]:
    taken = {device.bus for device in devices}
    return [bus for bus in buses if bus not in taken]


def _counted_load_mw(feeder: AnyFeeder, positions: list[list[int]]) -> np.ndarray:
    """Nominal load that each territory's devices are sized by: its own or `LEAST_SHARE`; the sum is the feeder's."""
    load_mw = nominal_load_mw(feeder)
    if not load_mw.any():
        raise InputError(f"feeder {feeder.name!r} has no load; sizes of devices cannot follow from it")
    own_mw = np.array([load_mw[own].sum() for own in positions])
    own_mw = np.maximum(own_mw, LEAST_SHARE * own_mw.mean())
    return own_mw * (load_mw.sum() / own_mw.sum())


def _heaviest_first(feeder: AnyFeeder, own: list[int]) -> list[BusLabel]:
    """Labels of the buses with load, heaviest first, of equal ones the later first; the slack only if it is all."""
    load_mva, slack = nominal_load_mva(feeder), feeder.topology.slack
    ranked = sorted(own, key=lambda bus: (bus == slack, -load_mva[bus], -bus))
    usable = [bus for bus in ranked if load_mva[bus] > 0 and bus != slack] or ranked[:1]
    return [feeder.bus_labels[bus] for bus in usable]


def sensible(value: float) -> float:
    """Round to the nearest of 1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8 times a power of ten, by ratio."""
    decade = 10.0 ** math.floor(math.log10(value))
    choices = [*(step * decade for step in STEPS), 10.0 * decade]
    nearest = min(choices, key=lambda choice: abs(math.log(choice / value)))
    return float(f"{nearest:.3g}")
