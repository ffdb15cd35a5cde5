"""Sums below and above every node of a tree, at a cost linear in the nodes, as small dense products.

``below = P' v`` and ``along = P v``, with ``P`` the tree's path matrix: 1 where the column's node lies on the way from
the root to the row's. Inside a piece of the tree (`clusters.py`) this is one product; between the pieces it is the same
sum on the tree that the pieces form, cut again until one product is left.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.grid.parts import HostArray
from neomflex_jax.one_line import one_line
from neomflex_jax.powerflow.network.clusters import cluster_tree

SIZE = 24  # slots of a piece: 16 is better for the smallest feeders, 32 for the largest, by a tenth each


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class TreeSums:
    """Sums for values of shape (n_cluster, size, ...); empty slots hold zeros."""

    path: HostArray  # (n_cluster, size, size)
    hanging: HostArray  # (n_hanging,) int32, the pieces that hang on another
    parent: HostArray  # (n_hanging,) int32, on which piece
    parent_slot: HostArray  # (n_hanging,) int32, on which of its slots
    above: (
        TreeSums | HostArray
    )  # the same for the tree of the pieces; at the end its (n_cluster, n_cluster) path matrix
    order: HostArray  # (n_node,) int32, flat slot of each node
    nodes: HostArray  # (n_cluster * size,) int32, node in each flat slot, n_node where empty

    __repr__ = one_line

    def below(self, values: Array) -> Array:
        """Sum of the values of a node and of all below it."""
        total = self._of_pieces(jnp.sum(values, 1), below=True)
        values = values.at[self.parent, self.parent_slot].add(total[self.hanging])
        return jnp.einsum("kji,kj...->ki...", self.path, values)

    def along(self, values: Array) -> Array:
        """Sum of the values of a node and of all above it."""
        inside = jnp.einsum("kij,kj...->ki...", self.path, values)
        entry = jnp.zeros_like(inside[:, 0]).at[self.hanging].set(inside[self.parent, self.parent_slot])
        return inside + self._of_pieces(entry, below=False)[:, None]

    def _of_pieces(self, values: Array, *, below: bool) -> Array:
        """Sum likewise on the tree of the pieces, values of shape (n_cluster, ...)."""
        if not isinstance(self.above, TreeSums):
            return jnp.einsum("ji,j...->i..." if below else "ij,j...->i...", self.above, values)
        inner = self.above.enter(values)
        return self.above.leave(self.above.below(inner) if below else self.above.along(inner))

    def enter(self, values: Array) -> Array:
        """Arrange values of nodes, (n_node, ...), in slots, (n_cluster, size, ...)."""
        slots = jnp.concatenate([values, jnp.zeros_like(values[:1])])[self.nodes]
        return slots.reshape(self.path.shape[:2] + values.shape[1:])

    def leave(self, values: Array) -> Array:
        """Values of nodes, (n_node, ...), from slots: the inverse of `enter`."""
        return values.reshape((-1, *values.shape[2:]))[self.order]


def tree_sums(parent: np.ndarray, order: np.ndarray, size: int = SIZE) -> TreeSums:
    """Prepare the sums for the tree given by each node's parent (-1 at the root) and an order with parents first."""
    pieces = cluster_tree(parent, order, size)
    hanging = np.flatnonzero(pieces.parent >= 0)
    n_piece = len(pieces.parent)
    # pieces are numbered in the order in which `order` meets them, so a piece comes after the one it hangs on
    many = n_piece > 2 * size
    above = tree_sums(pieces.parent, np.arange(n_piece), size) if many else path_sums(pieces.parent)
    index = np.int32
    return TreeSums(
        path=pieces.path,
        hanging=hanging.astype(index),
        parent=pieces.parent[hanging].astype(index),
        parent_slot=pieces.parent_slot[hanging].astype(index),
        above=above,
        order=pieces.slot.astype(index),
        nodes=pieces.nodes.ravel().astype(index),
    )


def path_sums(parent: np.ndarray) -> np.ndarray:
    """Path matrix of a small tree whose nodes come after their parents."""
    path = np.eye(len(parent))
    for node, above in enumerate(parent):
        if above >= 0:
            path[node] += path[above]
    return path
