"""What controls measure and move, in arrays: nodes, conductors, windings, settings of all of a feeder's controls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.grid.unbalanced.control import CapacitorControl, OtherControl, RegulatorControl
from neomflex_jax.grid.unbalanced.element import GROUND, Element, Winding
from neomflex_jax.grid.unbalanced.feeder import UnbalancedFeeder
from neomflex_jax.powerflow.unbalanced.port_rows import Chosen

CHOICES = {"max": -1, "min": -2, "avg": -3}  # of the phases, in the place of a position
LARGEST_CHANGE = 400  # steps that are asked for at once; beyond, none has so many


class Measured(NamedTuple):
    """What one control measures; nodes by their place among the plan's, -1 for ground."""

    ends: np.ndarray  # (n_phase, 2) nodes between which its voltages are
    choice: int  # position of a phase, or one of `CHOICES`
    meters: np.ndarray  # (n_phase,) currents into the conductors of these phases, among all that are measured
    current_choice: int
    terminal: np.ndarray  # (n, 2) nodes and meters of its terminal, for powers


class RegulatorPlan(NamedTuple):
    """One regulator control."""

    control: RegulatorControl
    measured: Measured
    local: np.ndarray  # (2,) nodes of its winding's first phase, for `v_limit`
    v_base: float  # rated volts across a phase of its winding
    tap: float  # present
    winding: Winding  # whose tap it moves
    moves: np.ndarray  # (LARGEST_CHANGE + 1,) steps that it makes of those asked for


class CapacitorPlan(NamedTuple):
    """One capacitor control."""

    control: CapacitorControl
    measured: Measured
    override: Measured
    shares: tuple[float, ...]  # of the bank with no step in, one, ...
    steps_in: int  # at present


class Plan(NamedTuple):
    """All controls of a feeder, and what the power flow must have for them."""

    regulators: tuple[RegulatorPlan, ...]
    capacitors: tuple[CapacitorPlan, ...]
    chosen: Chosen
    nodes: np.ndarray  # (n_measured,) positions of the nodes that they measure
    v_base: np.ndarray  # (n_measured + 1,) volts of 1 pu there, and 0 for ground, the last


def plan_of(feeder: UnbalancedFeeder) -> Plan:
    """Plan of a feeder's controls.

    Raises
    ------
    InputError
        If it has none, or one that is not followed, by name.
    """
    if not feeder.controls:
        raise InputError(f"feeder {feeder.name!r} has no controls to follow; solve it without")
    for other in feeder.controls:
        if isinstance(other, OtherControl):
            raise InputError(
                f"{other.name} is not followed: {other.reason}; leave it out by "
                f"feeder.without_controls({other.name!r}), or disable it in the file"
            )
    elements, meters = {element.name: element for element in feeder.elements}, _Meters()
    regulators = [each for each in feeder.controls if isinstance(each, RegulatorControl)]
    capacitors = [each for each in feeder.controls if isinstance(each, CapacitorControl)]
    every: list[RegulatorControl | CapacitorControl] = [*regulators, *capacitors]
    for control in every:
        _check_there(control, elements)
    by_position = [_regulator(each, elements, meters) for each in regulators]
    banks = [_capacitor(each, elements, meters) for each in capacitors]
    nodes = _nodes_of(by_position, banks)
    place = np.append(np.full(feeder.n_node, -1), -1)
    place[nodes] = np.arange(len(nodes))
    regulator_plans = tuple(
        each._replace(measured=_placed(each.measured, place), local=place[each.local]) for each in by_position
    )
    capacitor_plans = tuple(
        each._replace(measured=_placed(each.measured, place), override=_placed(each.override, place)) for each in banks
    )
    chosen = Chosen(
        tuple((each.transformer, each.tap_winding) for each in regulators),
        tuple(each.capacitor for each in capacitors),
        tuple(meters.found),
    )
    return Plan(regulator_plans, capacitor_plans, chosen, nodes, np.append(1000 * feeder.v_base_kv[nodes], 0.0))


def _nodes_of(regulators: Sequence[RegulatorPlan], capacitors: Sequence[CapacitorPlan]) -> np.ndarray:
    """Positions of the nodes that controls measure, ascending."""
    measured = [each.measured for each in regulators] + [each.measured for each in capacitors]
    measured += [each.override for each in capacitors]
    found = [each.ends.ravel() for each in measured] + [each.terminal[:, 0] for each in measured]
    every = np.unique(np.concatenate([*found, *(each.local for each in regulators)]))
    return every[every >= 0]


def _placed(measured: Measured, place: np.ndarray) -> Measured:
    """Return it with nodes by their place among the plan's."""
    terminal = np.stack([place[measured.terminal[:, 0]], measured.terminal[:, 1]], axis=1)
    return measured._replace(ends=place[measured.ends], terminal=terminal)


class _Meters:
    """Conductors whose currents are measured, each once."""

    def __init__(self) -> None:
        self.found: list[tuple[str, int]] = []

    def places(self, element: Element, conductors: Sequence[int]) -> np.ndarray:
        for conductor in conductors:
            if (element.name, conductor) not in self.found:
                self.found.append((element.name, conductor))
        return np.array([self.found.index((element.name, conductor)) for conductor in conductors], int)


def _check_there(control: RegulatorControl | CapacitorControl, elements: dict[str, Element]) -> None:
    """Refuse a control of what is not there."""
    if isinstance(control, RegulatorControl):
        element = elements.get(control.transformer)
        n_windings = 0 if element is None else len(element.windings)
        if not (1 <= control.winding <= n_windings and 1 <= control.tap_winding <= n_windings):
            raise InputError(f"{control.name}: {control.transformer} has no such winding")
        return
    element, bank = elements.get(control.element), elements.get(control.capacitor)
    if bank is None or bank.kind != "capacitor":
        raise InputError(f"{control.name}: there is no {control.capacitor}")
    if element is None or not 1 <= control.terminal <= element.n_terminals:
        raise InputError(f"{control.name}: there is no terminal {control.terminal} of {control.element}")


def _choice(text: str, n_phases: int, name: str) -> int:
    if text in CHOICES:
        return CHOICES[text]
    number = int(text) if text.isdigit() else 0
    if not 1 <= number <= n_phases:
        raise InputError(f"{name}: phase {text!r} must be 1 .. {n_phases}, or one of {', '.join(CHOICES)}")
    return number - 1


def _regulator(control: RegulatorControl, elements: dict[str, Element], meters: _Meters) -> RegulatorPlan:
    element = elements[control.transformer]
    first, size = (control.winding - 1) * element.n_conductors, element.n_conductors
    winding = element.windings[control.winding - 1]
    n_phases = max(1, size - 1)
    ends = _phases(element, first, n_phases, winding.connection)
    measured_ends = np.array([control.remote], int) if control.remote else ends
    conductors = list(range(first, first + size))
    choice = 0 if control.remote else _choice(control.phase, n_phases, control.name)
    terminal = np.stack([np.array(element.nodes, int)[conductors], meters.places(element, conductors)], axis=1)
    measured = Measured(measured_ends, choice, meters.places(element, conductors[:n_phases]), choice, terminal)
    across = winding.kv * 1000 / (3**0.5 if winding.connection == "wye" and n_phases > 1 else 1.0)
    tapped = element.windings[control.tap_winding - 1]
    step = tapped.step
    if step <= 0:
        raise InputError(f"{control.name}: {control.transformer} has no taps to move")
    asked = np.arange(LARGEST_CHANGE + 1)
    # 70 % of the way, at least one step; in the very arithmetic of OpenDSS, whose 0.7 x 10 steps may be 6
    moves = np.clip(np.trunc(0.7 * np.abs(asked * step) / step), 1, max(control.max_tap_change, 1))
    return RegulatorPlan(control, measured, ends[0], across, tapped.tap, tapped, moves)


def _phases(element: Element, first: int, n_phases: int, connection: str) -> np.ndarray:
    """Nodes across the phases of a winding, (n_phase, 2)."""
    nodes = element.nodes[first : first + element.n_conductors]
    if connection == "wye" or n_phases == 1:
        other = nodes[n_phases:] or (GROUND,)
        return np.array([(node, other[0]) for node in nodes[:n_phases]], int)
    return np.array([(nodes[k], nodes[(k + 1) % n_phases]) for k in range(n_phases)], int)


def _capacitor(control: CapacitorControl, elements: dict[str, Element], meters: _Meters) -> CapacitorPlan:
    element, bank = elements[control.element], elements[control.capacitor]
    first = (control.terminal - 1) * element.n_conductors
    nodes = np.array(element.nodes, int)
    terminal = np.arange(first, first + element.n_conductors)
    n_phases = (
        element.n_conductors if element.kind in ("line", "capacitor", "reactor") else max(1, element.n_conductors - 1)
    )
    n_bank = bank.n_conductors
    is_delta = bank.n_terminals == 1
    across = nodes[terminal[:n_phases]]
    ends = np.stack([across, np.roll(across, -1) if is_delta and n_phases > 1 else np.full(n_phases, GROUND)], axis=1)
    to_ground = np.stack([across, np.full(n_phases, GROUND)], axis=1)
    choice = _choice(control.pt_phase, n_phases, control.name)
    current_choice = _choice(control.ct_phase, n_phases, control.name)
    # a single phase's current is at the first terminal, whichever terminal is measured: so has OpenDSS it
    metered = terminal[: min(n_bank, n_phases)] if current_choice < 0 else np.arange(n_phases)
    measured = Measured(
        ends if choice >= 0 else to_ground,
        choice,
        meters.places(element, metered.tolist()) if control.kind == "current" else np.zeros(0, int),
        current_choice,
        np.stack([nodes[terminal], meters.places(element, terminal.tolist())], axis=1)
        if control.kind == "kvar"
        else np.zeros((0, 2), int),
    )
    override = measured
    if control.v_nodes:
        own = np.array(control.v_nodes, int)
        own_ends = np.stack([own, np.roll(own, -1) if is_delta else np.full(len(own), GROUND)], axis=1)
        chosen = _choice(control.pt_phase, len(own), control.name)
        override = measured._replace(ends=own_ends if chosen >= 0 else np.stack([own, own * 0 + GROUND], axis=1))
    return CapacitorPlan(control, measured, override, bank.step_shares, bank.steps_in)
