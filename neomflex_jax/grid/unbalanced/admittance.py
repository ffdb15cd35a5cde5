"""The admittance matrix Y of a feeder's nodes, from the primitive ones of what joins them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np
from scipy.sparse import coo_matrix

from neomflex_jax.grid.unbalanced.element import Element
from neomflex_jax.grid.unbalanced.load import Load


def assemble(
    n_node: int, elements: Sequence[Element], loads: Sequence[Load] = (), branches: Collection[int] = ()
) -> coo_matrix:
    """Y in siemens, (n_node, n_node): of the elements, and of the loads' branches that are listed at nominal power."""
    listed = set(branches)
    blocks = [(np.array(element.nodes, int), element.y_siemens) for element in elements]
    blocks += [block for place, block in enumerate(_load_blocks(loads)) if place in listed]
    rows, columns, values = [np.zeros(0, int)], [np.zeros(0, int)], [np.zeros(0, complex)]
    for nodes, y in blocks:
        real = np.flatnonzero(nodes >= 0)
        row, column = np.meshgrid(nodes[real], nodes[real], indexing="ij")
        rows.append(row.ravel())
        columns.append(column.ravel())
        values.append(y[np.ix_(real, real)].ravel())
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    total = coo_matrix(entries, shape=(n_node, n_node))
    total.sum_duplicates()
    return total


def _load_blocks(loads: Sequence[Load]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Nodes and nominal admittance of every branch of the loads."""
    for load in loads:
        y = complex(load.p_mw, -load.q_mvar) / load.n_phases / load.v_nominal_kv**2
        for pair in load.branches:
            yield np.array(pair), y * np.array([[1, -1], [-1, 1]])
