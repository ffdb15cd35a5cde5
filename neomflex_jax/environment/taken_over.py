"""Windings and capacitors of a feeder with phases that a scenario's devices take over.

A device that sets the ratio of a branch moves the taps of the transformers there, at its to end: those of its phases,
all of them together (ganged) where it names none. Where the ratio would be ``1 + k step``, the winding is at
``1 - k step`` of its rated voltage, so that positions above 0 lower the voltage behind it, as on balanced feeders. One
that sets a shunt takes over the capacitors at its bus and phases, of which ``position / steps`` is in. Steps are the
feeder's own: they are whole there, as they are in OpenDSS.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.devices.device import Turn
from neomflex_jax.devices.stepped import SteppedDevice
from neomflex_jax.environment.step.dispatch import Delivered
from neomflex_jax.errors import InputError
from neomflex_jax.grid import UnbalancedFeeder
from neomflex_jax.grid.unbalanced.element import Element
from neomflex_jax.loose_types import BusLabel
from neomflex_jax.powerflow import Setting
from neomflex_jax.scenario import Scenario

NEAR = 1e-3  # relative: as near as stated figures come to those of the feeder


def _movers(scenario: Scenario) -> tuple[list[SteppedDevice], list[SteppedDevice]]:
    """Devices that set ratios, and those that set shunts, in the order of the kinds."""
    ratios: list[SteppedDevice] = []
    shunts: list[SteppedDevice] = []
    for kind in scenario.kinds:
        for device in scenario.of(kind) if kind.turn == Turn.GRID else ():
            if not isinstance(device, SteppedDevice):
                raise InputError(f"{device.noun} {device.label!r}: a feeder with phases has whole steps to move alone")
            (shunts if device.tap_branch is None else ratios).append(device)
    return ratios, shunts


def tapped_windings(scenario: Scenario, feeder: UnbalancedFeeder) -> tuple[tuple[tuple[str, int], ...], ...]:
    """Windings of each device that sets a ratio, by the transformer's name and their number from 1.

    Raises
    ------
    InputError
        If there is none, it has other steps or a smaller range, or another device moves it too.
    """
    found = tuple(tuple(_windings(device, feeder)) for device in _movers(scenario)[0])
    _refuse_twice([each for own in found for each in own])
    return found


def switched_capacitors(scenario: Scenario, feeder: UnbalancedFeeder) -> tuple[tuple[str, ...], ...]:
    """Names of the capacitors of each device that sets a shunt.

    Raises
    ------
    InputError
        If there is none, their rating is another one, or another device switches them too.
    """
    found = tuple(tuple(_capacitors(device, feeder)) for device in _movers(scenario)[1])
    _refuse_twice([each for own in found for each in own])
    return found


def setting_of(scenario: Scenario, feeder: UnbalancedFeeder, delivered: Delivered) -> Setting | None:
    """Taps and shares that devices set in one step; None without such devices."""
    own = [delivered.by_table[kind.table] for kind in scenario.kinds if scenario.of(kind)]
    ratios = [each.tap_ratio for each in own if each.tap_ratio is not None]
    shunts = [each.shunt_mvar for each in own if each.shunt_mvar is not None]
    taps = shares = None
    if ratios:
        taps = 2.0 - jnp.concatenate(ratios)[_owners(_tapped(scenario, feeder))]  # 1 - k step for 1 + k step
    if shunts:
        whole = jnp.asarray([_size(device) * device.steps for device in _movers(scenario)[1]], shunts[0].dtype)
        shares = (jnp.concatenate(shunts) / whole)[_owners(_switched(scenario, feeder))]
    return None if taps is None and shares is None else Setting(tap_ratio=taps, capacitor_share=shares)


def _size(device: SteppedDevice) -> float:
    """How much a step is, in the unit of the kind's field."""
    return float(getattr(device, device.step_field))


_tapped = lru_cache(maxsize=8)(tapped_windings)
_switched = lru_cache(maxsize=8)(switched_capacitors)


def _owners(owned: tuple[tuple[object, ...], ...]) -> np.ndarray:
    return np.array([number for number, own in enumerate(owned) for _ in own], int)


def neutral(n_tap: int, n_capacitor: int) -> Setting | None:
    """All positions 0: rated voltages, and no capacitor in."""
    if not (n_tap or n_capacitor):
        return None
    taps: Array | None = jnp.ones(n_tap) if n_tap else None
    return Setting(tap_ratio=taps, capacitor_share=jnp.zeros(n_capacitor) if n_capacitor else None)


def _windings(device: SteppedDevice, feeder: UnbalancedFeeder) -> Iterator[tuple[str, int]]:
    where, none = f"{device.noun} {device.label!r}", True
    assert device.tap_branch is not None
    from_bus, to_bus = device.tap_branch
    for element in feeder.elements:
        ends = [_bus_and_phases(feeder, element, terminal) for terminal in range(element.n_terminals)]
        buses = [bus for bus, _ in ends]
        if not element.windings or from_bus not in buses or to_bus not in buses:
            continue
        place = buses.index(to_bus)
        if device.phases and not ends[place][1] <= set(device.phases):
            continue
        none, winding = False, element.windings[place]
        if abs(100 * winding.step - _size(device)) > NEAR * _size(device):
            raise InputError(
                f"{where}: {element.name} has steps of {100 * winding.step:g} per cent; step_percent = "
                f"{_size(device)} must be that"
            )
        reach = min(1 - winding.min_tap, winding.max_tap - 1) + NEAR * winding.step
        if device.steps * winding.step > reach:
            raise InputError(
                f"{where}: {element.name} has {int(reach / winding.step)} steps on each side; steps = {device.steps} "
                "must be no more"
            )
        yield element.name, place + 1
    if none:
        joined = sorted({f"{b[0]}-{b[1]}" for b in _transformer_ends(feeder)})
        raise InputError(
            f"{where}: no transformer joins bus {from_bus} to bus {to_bus} with such phases; feeder "
            f"{feeder.name!r} has {', '.join(joined) or 'none'}"
        )


def _transformer_ends(feeder: UnbalancedFeeder) -> Iterator[tuple[BusLabel, ...]]:
    for element in feeder.elements:
        if element.windings:
            yield tuple(_bus_and_phases(feeder, element, terminal)[0] for terminal in range(2))


def _capacitors(device: SteppedDevice, feeder: UnbalancedFeeder) -> Iterator[str]:
    where, rating, names = f"{device.noun} {device.label!r}", 0.0, []
    for element in feeder.elements:
        if element.kind != "capacitor":
            continue
        bus, phases = _bus_and_phases(feeder, element, 0)
        if bus != device.bus or (device.phases and not phases <= set(device.phases)):
            continue
        names.append(element.name)
        base = np.array([feeder.v_base_kv[node] for node in element.nodes[: element.n_conductors]])
        rating += float((element.whole_siemens.imag.diagonal()[: len(base)] * base**2).sum())
    if not names:
        at = sorted({str(_bus_and_phases(feeder, each, 0)[0]) for each in feeder.elements if each.kind == "capacitor"})
        raise InputError(
            f"{where}: feeder {feeder.name!r} has no capacitor at bus {device.bus} with such phases; it has some at "
            f"{', '.join(at) or 'no bus'}"
        )
    if abs(rating - _size(device) * device.steps) > 0.02 * rating:  # rated voltages differ from bases
        raise InputError(
            f"{where}: {', '.join(names)} of feeder {feeder.name!r} have {rating:.4g} Mvar; steps x step_mvar = "
            f"{_size(device) * device.steps:.4g} must be that"
        )
    yield from names


def _bus_and_phases(feeder: UnbalancedFeeder, element: Element, terminal: int) -> tuple[BusLabel, set[int]]:
    """Bus of a terminal and which of the phases 1 to 3 it is joined to."""
    first = terminal * element.n_conductors
    nodes = [node for node in element.nodes[first : first + element.n_conductors] if node >= 0]
    if not nodes:
        return "", set()
    numbers = [str(feeder.node_labels[node]).rpartition(".")[2] for node in nodes]
    return feeder.nodes.bus[nodes[0]], {int(number) for number in numbers if number in ("1", "2", "3")}


def _refuse_twice(names: list[object]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two devices of the scenario move {name}; leave one out")
