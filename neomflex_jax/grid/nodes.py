"""Nodes: where a grid has a voltage. Arrays over the grid run over them, and a feeder is asked for its own.

A bus of a balanced feeder is one node, a bus with several phases has a node for each of them. Buses are what users
name: a territory is a set of buses, and a device stands at a bus, at all of its nodes. Which those are is asked here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.loose_types import BusLabel
from neomflex_jax.one_line import one_line

PHASES = ("1", "2", "3")  # others are neutrals


@dataclass(frozen=True)
class Nodes:
    """Labels of nodes in array order, bus after bus; hashable."""

    labels: tuple[int | str, ...]  # (n_node,) a bus's own label where it is one node
    bus: tuple[BusLabel, ...]  # (n_node,) label of each node's bus

    __repr__ = one_line

    @staticmethod
    def one_a_bus(bus_labels: Sequence[int]) -> Nodes:
        """Nodes of a balanced grid."""
        return Nodes(tuple(bus_labels), tuple(bus_labels))

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def at(self) -> dict[BusLabel, np.ndarray]:
        """Positions of each bus's nodes by the bus's label, buses in their order."""
        found: dict[BusLabel, list[int]] = {}
        for position, bus in enumerate(self.bus):
            found.setdefault(bus, []).append(position)
        return {bus: np.array(positions) for bus, positions in found.items()}

    def of_element(self, bus: BusLabel, row: int) -> list[int]:
        """Return where an element at a bus, in a `row` of its source, consumes: at all nodes of the bus."""
        places: list[int] = self.at[bus].tolist()
        return places

    @cached_property
    def bus_labels(self) -> tuple[BusLabel, ...]:
        """Label of every bus, (n_bus,)."""
        return tuple(self.at)

    @cached_property
    def three_phase_buses(self) -> tuple[BusLabel, ...]:
        """Labels of the buses that have the phases 1, 2 and 3, in their order."""
        labels = set(self.labels)
        return tuple(bus for bus in self.bus_labels if all(f"{bus}.{phase}" in labels for phase in PHASES))

    @cached_property
    def bus_position(self) -> np.ndarray:
        """Position of each node's bus among the buses, (n_node,)."""
        position = {label: number for number, label in enumerate(self.at)}
        return np.array([position[label] for label in self.bus], int)

    def of_phases(self, bus: BusLabel, phases: Sequence[int]) -> np.ndarray:
        """Return positions of a bus's nodes by their phases.

        Parameters
        ----------
        bus
            Its label.
        phases
            Numbers of phases; empty for all that the bus has, neutrals left out.

        Returns
        -------
        np.ndarray
            In the order of `phases`.

        Raises
        ------
        InputError
            If the bus does not have one of them; the end of a sentence that begins with what asks for it.
        """
        own = {str(self.labels[node]).removeprefix(f"{bus}."): int(node) for node in self.at[bus]}
        if not phases:
            return np.array([node for phase, node in own.items() if phase in PHASES] or list(own.values()))
        if self.labels[self.at[bus][0]] == bus:
            raise InputError(f"has phases = {list(phases)}, and the feeder is balanced, without phases; leave them out")
        for phase in phases:
            if str(phase) not in own:
                known = ", ".join(phase for phase in own if phase in PHASES)
                raise InputError(f"has phase {phase}, which bus {bus} does not have; it has {known}")
        return np.array([own[str(phase)] for phase in phases])
