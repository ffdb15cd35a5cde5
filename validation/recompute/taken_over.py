"""Windings and capacitors of a feeder with phases that devices take over, worked out a second time from labels.

At position k a winding is at ``1 - k step_percent / 100`` of its rated voltage; of a bank, ``position / steps`` is in.
"""

from __future__ import annotations

import numpy as np

from neomflex_jax.devices import CapacitorBank, TapChanger
from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.grid import UnbalancedFeeder
from neomflex_jax.scenario import Scenario

Taps = tuple[tuple[tuple[str, int], ...], np.ndarray]  # windings; per step and winding in per unit
Steps = tuple[tuple[str, ...], np.ndarray]  # capacitors; per step and capacitor how many are in


def taps_of(scenario: Scenario, feeder: UnbalancedFeeder, position: np.ndarray | None, n_steps: int) -> Taps | None:
    """Taps at positions (n_steps, n_device), at 0 where there are None; None without tap changers."""
    if not scenario.of(TapChanger):
        return None
    names, columns = [], []
    for number, device in enumerate(scenario.of(TapChanger)):
        at = np.zeros(n_steps) if position is None else np.asarray(position[:, number], np.float64)
        for name, windings in _transformers(feeder).items():
            ends = [winding[0] for winding in windings]
            if not {device.from_bus, device.to_bus} <= set(ends):
                continue
            winding = ends.index(device.to_bus)
            if not device.phases or windings[winding][1] <= set(device.phases):
                names.append((name, winding + 1))
                columns.append(1.0 - at * device.step_percent / 100)
    return tuple(names), np.stack(columns, axis=1)


def steps_of(scenario: Scenario, feeder: UnbalancedFeeder, position: np.ndarray | None, n_steps: int) -> Steps | None:
    """Steps of capacitors at positions (n_steps, n_device), at 0 where there are None; None without banks."""
    if not scenario.of(CapacitorBank):
        return None
    names, columns = [], []
    for number, device in enumerate(scenario.of(CapacitorBank)):
        at = np.zeros(n_steps) if position is None else np.asarray(position[:, number], np.float64)
        for element in feeder.elements:
            bus, phases = _end(feeder, element.nodes[: element.n_conductors])
            fits = element.name.startswith("capacitor.") and bus == device.bus
            if fits and (not device.phases or phases <= set(device.phases)):
                names.append(element.name)
                columns.append(np.round(at * (len(element.step_shares) - 1) / device.steps))
    return tuple(names), np.stack(columns, axis=1).astype(int)


def recorded_positions(trajectory: Trajectory, name: str) -> np.ndarray | None:
    """Recorded positions; None where the run has no such devices."""
    values = getattr(trajectory, name, None)
    return None if values is None else np.asarray(values, np.float64)


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
