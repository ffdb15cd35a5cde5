"""Currents and losses from OpenDSS's voltages: with its primitive admittances, ``i = Y v`` into every conductor.

OpenDSS works out an element's currents just so; asked for element by element and step by step, they would take longer
than the power flows. Losses are what all elements that join nodes take, ``Re(sum v conj(i))``, sources left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from neomflex_jax.grid.from_opendss.conductors import admittance_of, nodes_of
from neomflex_jax.grid.from_opendss.engine import Engine

Block = tuple[tuple[int, ...], int, np.ndarray]  # nodes of the conductors, how many a terminal has, admittance


@dataclass(frozen=True, eq=False)
class Admittances:
    """Of all elements together, in siemens."""

    branches: csr_matrix  # (n_branch, n_node): currents into the conductors at every element's first terminal
    nodes: csr_matrix  # (n_node, n_node): currents out of the nodes

    def branch_i_ka(self, volts: np.ndarray) -> np.ndarray:
        """Currents of the branches at voltages (n, n_node), (n, n_branch)."""
        return np.abs((self.branches @ volts.T).T) / 1000

    def loss_mw(self, volts: np.ndarray) -> np.ndarray:
        """Losses at voltages (n, n_node), (n,)."""
        return (volts * np.conj((self.nodes @ volts.T).T)).sum(axis=1).real / 1e6


def read_blocks(engine: Engine, names: Iterable[str]) -> dict[str, Block]:
    """Read elements as they stand, after a solution."""
    found = {}
    for name in names:
        engine.Circuit.SetActiveElement(name)
        nodes = nodes_of(engine)
        found[name] = (nodes, len(nodes) // int(engine.CktElement.NumTerminals()), admittance_of(engine))
    return found


def put_together(blocks: Iterable[Block], n_node: int) -> Admittances:
    """Put elements together, in their order."""
    of_branches: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    of_nodes: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    n_branch = 0
    for nodes, n_first, y in blocks:
        place = np.array(nodes)
        live = np.flatnonzero(place >= 0)
        first = np.arange(n_first)
        of_branches.append(_entries(n_branch + first, place[live], y[np.ix_(first, live)]))
        of_nodes.append(_entries(place[live], place[live], y[np.ix_(live, live)]))
        n_branch += n_first
    return Admittances(_matrix(of_branches, (n_branch, n_node)), _matrix(of_nodes, (n_node, n_node)))


def _entries(rows: np.ndarray, columns: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    row, column = np.meshgrid(rows, columns, indexing="ij")
    return row.ravel(), column.ravel(), values.ravel()


def _matrix(entries: list[tuple[np.ndarray, np.ndarray, np.ndarray]], shape: tuple[int, int]) -> csr_matrix:
    row, column, value = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    return csr_matrix((value, (row, column)), shape=shape)
