"""Nodes: where a grid has a voltage. Arrays over the grid run over them, and a feeder is asked for its own.

A bus of a balanced feeder is one node, a bus with several phases has a node for each of them. Buses are what users
name: a territory is a set of buses, and a device stands at a bus, at all of its nodes. Which those are is asked here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from neomflex_jax.one_line import one_line

BusLabel: TypeAlias = Any  # a number on a balanced grid, a name on one with phases


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

    @cached_property
    def bus_labels(self) -> tuple[BusLabel, ...]:
        """Label of every bus, (n_bus,)."""
        return tuple(self.at)

    @cached_property
    def bus_position(self) -> np.ndarray:
        """Position of each node's bus among the buses, (n_node,)."""
        position = {label: number for number, label in enumerate(self.at)}
        return np.array([position[label] for label in self.bus], int)
