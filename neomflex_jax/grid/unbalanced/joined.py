"""Which buses the elements of an unbalanced feeder join, and how closely."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from neomflex_jax.grid.nodes import Nodes
from neomflex_jax.grid.topology import Topology
from neomflex_jax.grid.unbalanced.element import Element


def topology_of(nodes: Nodes, elements: Sequence[Element], source: Element) -> Topology:
    """Topology over the buses: a branch from the first bus of an element to each other one that it has.

    A branch is in service if any admittance lies between the two buses, which an open switch does not have.
    """
    joined = list(_joined(nodes, elements))
    slack = next(node for node in source.nodes if node >= 0)
    start, end = (tuple(pair[side] for pair, _, _ in joined) for side in (0, 1))
    closed = tuple(bool(np.any(block)) for _, block, _ in joined)
    return Topology(len(nodes.bus_labels), int(nodes.bus_position[slack]), start, end, closed)


def joined_z_pu(nodes: Nodes, elements: Sequence[Element], v_base_kv: np.ndarray) -> np.ndarray:
    """Impedance of each branch of `topology_of` by its largest admittance, in per unit of 1 MVA; infinite if open."""
    found = []
    for _, block, (rows, columns) in _joined(nodes, elements):
        y_pu = np.abs(block) * np.outer(v_base_kv[rows], v_base_kv[columns])
        found.append(1 / y_pu.max() if y_pu.max() > 0 else np.inf)
    return np.array(found, float)


Ends = tuple[np.ndarray, np.ndarray]  # nodes of the conductors at both buses


def _joined(nodes: Nodes, elements: Sequence[Element]) -> Iterator[tuple[tuple[int, int], np.ndarray, Ends]]:
    """Pairs of buses, the admittances between them, and the nodes that these join."""
    for element in elements:
        own = np.array(element.nodes, int)
        bus = np.where(own >= 0, nodes.bus_position[own], -1)
        first, *others = dict.fromkeys(bus[bus >= 0].tolist())
        for other in others:
            rows, columns = np.flatnonzero(bus == first), np.flatnonzero(bus == other)
            yield (first, other), element.y_siemens[np.ix_(rows, columns)], (own[rows], own[columns])
