"""The network as a radial tree: backward and forward sums at a cost linear in the buses, no n x n array.

Backward: the current of the branch above a bus is the sum of the injections below it, ``J = T' i``. Forward: a bus's
voltage rise is the sum of ``z J`` on its way from the slack, ``u - w = T (z J)``. Source: the backward/forward sweep,
D. Shirmohammadi et al., IEEE Trans. Power Systems 3(2), 1988.

The sums run over pieces of the tree (`clusters.py`): inside a piece as one small dense product, between the pieces on
the tree that the pieces form, cut again until one product is left. Arrays of bus values are (n_cluster, ..., size) with
the batch between; empty slots hold zeros.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.grid.feeder import STATIC, HostArray
from neomflex_jax.grid.topology import Topology, spanning_tree
from neomflex_jax.powerflow.clusters import cluster_tree

SIZE = 32  # nodes a piece: tuned on CPUs with wide vector units


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class TreeSums:
    """Sums below and above every node of a tree, for values of shape (n_cluster, ..., size)."""

    path: HostArray  # (n_cluster, size, size)
    hanging: HostArray  # (n_hanging,) int32, the pieces that hang on another
    parent: HostArray  # (n_hanging,) int32, on which piece
    parent_slot: HostArray  # (n_hanging,) int32, on which of its slots
    above: (
        TreeSums | HostArray
    )  # the same for the tree of the pieces; at the end its (n_cluster, n_cluster) path matrix
    order: HostArray  # (n_node,) int32, flat slot of each node
    nodes: HostArray  # (n_cluster * size,) int32, node in each flat slot, n_node where empty

    def below(self, values: Array) -> Array:
        """Sum of the values of a node and of all below it."""
        total = self._of_pieces(jnp.sum(values, -1), below=True)
        values = values.at[self.parent, ..., self.parent_slot].add(total[self.hanging])
        return jnp.einsum("k...j,kji->k...i", values, self.path)

    def along(self, values: Array) -> Array:
        """Sum of the values of a node and of all above it."""
        inside = jnp.einsum("k...j,kij->k...i", values, self.path)
        entry = jnp.zeros_like(inside[..., 0]).at[self.hanging].set(inside[self.parent, ..., self.parent_slot])
        return inside + self._of_pieces(entry, below=False)[..., None]

    def _of_pieces(self, values: Array, *, below: bool) -> Array:
        """Sum likewise on the tree of the pieces, values of shape (n_cluster, ...)."""
        if not isinstance(self.above, TreeSums):
            return jnp.einsum("ji,j...->i..." if below else "ij,j...->i...", self.above, values)
        inner = self.above.enter(values)
        return self.above.leave(self.above.below(inner) if below else self.above.along(inner))

    def enter(self, values: Array) -> Array:
        """Take values (n_node, ...) into slots, (n_cluster, ..., size)."""
        empty = jnp.zeros_like(values[:1])
        slots = jnp.concatenate([values, empty])[self.nodes]
        return jnp.moveaxis(slots.reshape(self.path.shape[:2] + values.shape[1:]), 1, -1)

    def leave(self, values: Array) -> Array:
        """Undo `enter`."""
        flat = jnp.moveaxis(values, -1, 1)
        return flat.reshape((-1, *flat.shape[2:]))[self.order]


def tree_sums(parent: np.ndarray, order: np.ndarray, size: int = SIZE) -> TreeSums:
    """Prepare the sums for the tree given by each node's parent (-1 at the root) and an order with parents first."""
    pieces = cluster_tree(parent, order, size)
    hanging = np.flatnonzero(pieces.parent >= 0)
    n_piece = len(pieces.parent)
    # pieces are numbered in the order in which `order` meets them, so a piece comes after the one it hangs on
    if n_piece > 2 * size:
        above: TreeSums | np.ndarray = tree_sums(pieces.parent, np.arange(n_piece), size)
    else:
        above = np.eye(n_piece)
        for piece in hanging:
            above[piece] += above[pieces.parent[piece]]
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


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class TreeNetwork:
    """A radial network; the same interface as `DenseNetwork`."""

    sums: TreeSums
    r: HostArray  # (n_cluster, size) impedance of the branch above each bus
    x: HostArray
    branch_bus: HostArray  # (n_branch,) int32, bus below a branch (without the slack); n where the branch is open
    branch_sign: HostArray  # (n_branch,) -1 where from -> to leads away from the slack, 1 towards, 0 open
    no_load: tuple[HostArray, HostArray]  # (n_cluster, size), 1 in empty slots
    n: int = field(metadata=STATIC)

    batch_axis = 1

    def enter(self, values: Array) -> Array:
        """Take bus values without the slack, (..., n), into this network's layout."""
        return self.sums.enter(jnp.moveaxis(values, -1, 0))

    def leave(self, values: Array) -> Array:
        """Undo `enter`."""
        return jnp.moveaxis(self.sums.leave(values), 0, -1)

    def largest(self, values: Array) -> Array:
        """Largest value over the buses."""
        return jnp.max(values, axis=(0, -1))

    def between(self, values: Array, like: Array) -> Array:
        """Give bus values of no batch axes those of `like`."""
        return values.reshape(values.shape[:1] + (1,) * (like.ndim - 2) + values.shape[1:])

    def drop(self, ir: Array, ii: Array) -> tuple[Array, Array]:
        """``Z i``: backward, then forward."""
        below = self.sums.below(jnp.stack([ir, ii], 1))
        r, x = self.between(self.r, ir), self.between(self.x, ir)
        jr, ji = below[:, 0], below[:, 1]
        along = self.sums.along(jnp.stack([r * jr - x * ji, r * ji + x * jr], 1))
        return along[:, 0], along[:, 1]

    linear_drop = drop

    def flows(self, ir: Array, ii: Array) -> tuple[Array, Array]:
        """Currents of all branches' series impedances, from -> to, shapes (..., n_branch)."""
        below = self.leave(self.sums.below(jnp.stack([ir, ii], 1)))
        below = jnp.pad(below, [(0, 0)] * (below.ndim - 1) + [(0, 1)])[..., self.branch_bus] * self.branch_sign
        return below[0], below[1]


def tree_network(topology: Topology, r: HostArray, x: HostArray, slack_vm: HostArray) -> TreeNetwork:
    """Prepare a radial network from per-unit impedances of the branches, shapes (n_branch,)."""
    xp = np if all(isinstance(a, np.ndarray | np.generic) for a in (r, x, slack_vm)) else jnp
    tree, others = spanning_tree(topology), topology.non_slack
    position = np.full(topology.n_bus + 1, -1)  # the slack, and what lies above it, is -1
    position[others] = np.arange(len(others))
    sums = tree_sums(position[tree.parent[others]], position[tree.order[1:]])
    above = np.append(tree.parent_branch[others], 0)[sums.nodes]  # branch above each slot's bus
    filled = sums.nodes < len(others)
    shape = sums.path.shape[:2]
    branch_bus = np.full(topology.n_branch, len(others), np.int32)
    branch_sign = np.zeros(topology.n_branch)
    branch_bus[tree.parent_branch[others]] = np.arange(len(others))
    branch_sign[tree.parent_branch[others]] = -tree.direction[others]
    no_load = xp.where(filled, slack_vm, 1.0).reshape(shape)
    return TreeNetwork(
        sums=sums,
        r=(r[above] * filled).reshape(shape),
        x=(x[above] * filled).reshape(shape),
        branch_bus=branch_bus,
        branch_sign=branch_sign,
        no_load=(no_load, 0.0 * no_load),  # both depend on the slack's voltage, see `dense_network`
        n=len(others),
    )
