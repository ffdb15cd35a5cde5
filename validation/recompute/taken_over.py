"""Windings and capacitors of a feeder with phases that devices take over, worked out a second time from labels.

At position k a winding is at ``1 - k step_percent / 100`` of its rated voltage; of capacitors so many steps are in as
give ``k step_mvar``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.grid import UnbalancedFeeder
from neomflex_jax.grid.unbalanced.element import Element
from neomflex_jax.scenario import Scenario
from validation.recompute.twins import sets_of

Positions = Mapping[str, np.ndarray]  # (n_steps, n_device) by recorded name
Taps = tuple[tuple[tuple[str, int], ...], np.ndarray | None]  # windings; per step and winding in per unit
Steps = tuple[tuple[str, ...], np.ndarray | None]  # capacitors; per step and capacitor how many are in


def recorded_positions(trajectory: Trajectory) -> Positions:
    """Positions of a run, by recorded name."""
    names = [sets.position for sets, _ in sets_of(trajectory.scenario)]
    return {name: np.asarray(getattr(trajectory, name), np.float64) for name in names}


def taps_of(scenario: Scenario, feeder: UnbalancedFeeder, positions: Positions, n_steps: int) -> Taps:
    """Taps at positions, at 0 where there are none; None without devices that set ratios."""
    names, columns = [], []
    for sets, devices in sets_of(scenario):
        for number, device in enumerate(devices) if sets.tap is not None else ():
            from_bus, to_bus, step_percent = sets.tap(device)  # type: ignore[misc]  # it is there
            for name, windings in _transformers(feeder).items():
                ends = [bus for bus, _ in windings]
                if not {from_bus, to_bus} <= set(ends):
                    continue
                winding = ends.index(to_bus)
                if not device.phases or windings[winding][1] <= set(device.phases):
                    names.append((name, winding + 1))
                    columns.append(1.0 - _at(positions, sets.position, number, n_steps) * step_percent / 100)
    return tuple(names), np.stack(columns, axis=1) if columns else None


def steps_of(scenario: Scenario, feeder: UnbalancedFeeder, positions: Positions, n_steps: int) -> Steps:
    """Steps of capacitors at positions, at 0 where there are none; None without devices that set shunts."""
    names, columns = [], []
    for sets, devices in sets_of(scenario):
        for number, device in enumerate(devices) if sets.shunt is not None else ():
            bus, step_mvar = sets.shunt(device)  # type: ignore[misc]  # it is there
            own = []
            for element in feeder.elements:
                at, phases = _end(feeder, element.nodes[: element.n_conductors])
                fits = element.name.startswith("capacitor.") and at == bus
                if fits and (not device.phases or phases <= set(device.phases)):
                    own.append(element)
            rating = sum(_rating_mvar(feeder, element) for element in own)
            share = _at(positions, sets.position, number, n_steps) * step_mvar / rating
            names += [element.name for element in own]
            columns += [np.round(share * (len(element.step_shares) - 1)).astype(int) for element in own]
    return tuple(names), np.stack(columns, axis=1) if columns else None


def _at(positions: Positions, name: str, number: int, n_steps: int) -> np.ndarray:
    return positions[name][:, number] if name in positions else np.zeros(n_steps)


def _rating_mvar(feeder: UnbalancedFeeder, element: Element) -> float:
    """What a capacitor feeds in at its nodes' base voltages with all its steps in."""
    base_kv = feeder.v_base_kv[list(element.nodes[: element.n_conductors])]
    return float((element.whole_siemens.imag.diagonal()[: len(base_kv)] * base_kv**2).sum())


def _transformers(feeder: UnbalancedFeeder) -> dict[str, list[tuple[object, set[int]]]]:
    """Bus and phases of every winding, by transformer."""
    return {
        element.name: [
            _end(feeder, element.nodes[start : start + element.n_conductors])
            for start in range(0, len(element.nodes), element.n_conductors)
        ]
        for element in feeder.elements
        if element.windings
    }


def _end(feeder: UnbalancedFeeder, nodes: tuple[int, ...]) -> tuple[object, set[int]]:
    labels = [str(feeder.node_labels[node]).rpartition(".") for node in nodes if node >= 0]
    phases = {int(number) for _, _, number in labels if number in ("1", "2", "3")}
    return (feeder.nodes.bus[next(node for node in nodes if node >= 0)] if labels else ""), phases
