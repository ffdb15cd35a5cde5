"""The network as a radial tree cut into pieces: a cost linear in the buses, no n x n array.

Inside piece k, ``Z_k = P diag(z) P'`` is its impedance matrix from where it hangs on another piece, with P the piece's
path matrix. Where pieces hang on a bus, that bus has a second slot without impedance of its own, a hook. It takes the
current J of all that hangs there; so one product a piece gives all voltage rises but the rise E of the piece's own
hook:

    u - w = Z_k (i, J) + E,   J = sum of the currents of the pieces at and below the hook,
                              E = sum of ``Z_k (i, J)`` over the hooks on the way from the slack.

J and E are sums on the tree of pieces and hooks. Source: the backward/forward sweep, D. Shirmohammadi et al., IEEE
Trans. Power Systems 3(2), 1988, with pieces in the place of branches.

Arrays of bus values are (n_piece, SIZE, ...), the batch last: a piece's slots are rows to copy, and vector units work
along the batch. The last slots of a piece are its hooks; empty slots draw nothing and have no impedance.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from neomflex_jax.grid.parts import STATIC, HostArray
from neomflex_jax.grid.topology import Topology, spanning_tree
from neomflex_jax.one_line import one_line
from neomflex_jax.powerflow.network.clusters import Clusters, cluster_tree
from neomflex_jax.powerflow.network.tree_sums import SIZE, TreeSums, path_sums, tree_sums

DENSE_LINKS = 128  # hooks, up to which one dense product sums between the pieces


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Links:
    """Sums between many pieces: on the tree of the pieces, then of the hooks."""

    sums: TreeSums
    hook_slot: HostArray  # (n_hook,) int32, which of all pieces' hook slots a hook is
    slot_node: HostArray  # (n_piece * hooks,) int32, node of the tree in a hook slot, any where it is empty

    __repr__ = one_line

    def below(self, total: Array) -> Array:
        """Sum what lies below each hook slot, (n_piece * hooks, ...), of the pieces' totals, (n_piece, ...)."""
        nothing = jnp.zeros((len(self.hook_slot), *total.shape[1:]), total.dtype)
        sums = self.sums
        return sums.leave(sums.below(sums.enter(jnp.concatenate([total, nothing]))))[self.slot_node]

    def along(self, rise: Array) -> Array:
        """Sum what lies above each piece, (n_piece, ...), of the hook slots' rises, (n_piece * hooks, ...)."""
        n_piece = len(self.sums.order) - len(self.hook_slot)
        nothing = jnp.zeros((n_piece, *rise.shape[1:]), rise.dtype)
        sums = self.sums
        return sums.leave(sums.along(sums.enter(jnp.concatenate([nothing, rise[self.hook_slot]]))))[:n_piece]


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class TreeNetwork:
    """A radial network; the same interface as `DenseNetwork`."""

    r: HostArray  # (n_piece, SIZE, SIZE) real part of the pieces' Z
    x: HostArray  # (n_piece, SIZE, SIZE) imaginary part
    path: HostArray  # (n_piece, SIZE, SIZE) 1 where a slot's current flows through the branch above the column's
    links: Links | HostArray  # a matrix (n_piece * hooks, n_piece): 1 where the piece lies below the hook
    order: HostArray  # (n,) int32, flat slot of each bus
    buses: HostArray  # (n_piece * SIZE,) int32, bus in each flat slot, n where there is none
    branch_bus: HostArray  # (n_branch,) int32, bus below a branch (without the slack); n where the branch is open
    branch_sign: HostArray  # (n_branch,) -1 where from -> to leads away from the slack, 1 towards, 0 open
    no_load: tuple[HostArray, HostArray]  # (n_piece, SIZE), 1 in empty slots
    hooks: int = field(metadata=STATIC)  # of a piece, at most

    __repr__ = one_line

    def enter(self, values: Array) -> Array:
        """Arrange bus values without the slack, (..., n), in this network's layout."""
        rows = jnp.moveaxis(values, -1, 0)
        slots = jnp.concatenate([rows, jnp.zeros_like(rows[:1])])[self.buses]
        return slots.reshape(self.r.shape[:2] + rows.shape[1:])

    def leave(self, values: Array) -> Array:
        """Bus values without the slack, (..., n), from this network's layout: the inverse of `enter`."""
        return jnp.moveaxis(values.reshape((-1, *values.shape[2:]))[self.order], 0, -1)

    def largest(self, values: Array) -> Array:
        """Largest value over the buses."""
        return jnp.max(values, axis=(0, 1))

    def aligned(self, values: Array, like: Array) -> Array:
        """Reshape bus values without batch axes so that they broadcast against `like`, both in this layout."""
        return values if values.ndim == like.ndim else values.reshape(values.shape[:2] + (1,) * (like.ndim - 2))

    def total(self, weights: Array, values: Array) -> Array:
        """Sum of bus values, weighted without batch axes, both in this layout: what is left are the batch axes."""
        return jnp.sum(self.aligned(weights, values) * values, axis=(0, 1))

    def spread(self, weights: Array, amounts: Array) -> Array:
        """Bus values in this layout: amounts, which have the batch axes alone, times weights without any."""
        return weights.reshape(weights.shape[:2] + (1,) * amounts.ndim) * amounts

    def drop(self, ir: Array, ii: Array) -> tuple[Array, Array]:
        """``Z i``, by three real products instead of four (C. F. Gauss)."""
        ir, ii = self._hooked(ir), self._hooked(ii)
        both = _products(self.r, ir + ii)
        dr, di = both - _products(self.r + self.x, ii), both + _products(self.x - self.r, ir)
        return self._entered(dr), self._entered(di)

    def linear_drop(self, ir: Array, ii: Array) -> tuple[Array, Array]:
        """``Z i`` by four products, of which those that nobody reads cost nothing."""
        ir, ii = self._hooked(ir), self._hooked(ii)
        dr = _products(self.r, ir) - _products(self.x, ii)
        di = _products(self.x, ir) + _products(self.r, ii)
        return self._entered(dr), self._entered(di)

    def flows(self, ir: Array, ii: Array) -> tuple[Array, Array]:
        """Currents of all branches' series impedances, from -> to, shapes (..., n_branch)."""
        return self._flow(ir), self._flow(ii)

    def _flow(self, current: Array) -> Array:
        below = self.leave(jnp.einsum("kji,kj...->ki...", self.path, self._hooked(current)))
        return jnp.pad(below, [(0, 0)] * (below.ndim - 1) + [(0, 1)])[..., self.branch_bus] * self.branch_sign

    def _hooked(self, current: Array) -> Array:
        """Currents of all slots, those of the hooks replaced by what flows there, J."""
        if self.hooks == 0:
            return current
        first = current.shape[1] - self.hooks
        total = jnp.sum(current[:, :first], axis=1)
        links = self.links
        below = links.below(total) if isinstance(links, Links) else jnp.tensordot(links, total, 1)
        below = below.reshape(-1, self.hooks, *below.shape[1:])
        return lax.dynamic_update_slice_in_dim(current, below, first, axis=1)  # in place, unlike a concatenation

    def _entered(self, rise: Array) -> Array:
        """Add E, the rise of the hook on which the piece hangs."""
        if self.hooks == 0:
            return rise
        at_hooks = rise[:, rise.shape[1] - self.hooks :]
        at_hooks = at_hooks.reshape(-1, *rise.shape[2:])
        links = self.links
        entry = links.along(at_hooks) if isinstance(links, Links) else jnp.tensordot(links.T, at_hooks, 1)
        return rise + entry[:, None]


def _products(matrices: Array, values: Array) -> Array:
    return jnp.einsum("kij,kj...->ki...", matrices, values)


def tree_network(topology: Topology, r: HostArray, x: HostArray, slack_vm: HostArray) -> TreeNetwork:
    """Prepare a radial network from per-unit impedances of the branches, shapes (n_branch,)."""
    xp = np if all(isinstance(a, np.ndarray | np.generic) for a in (r, x, slack_vm)) else jnp
    tree, others = spanning_tree(topology), topology.non_slack
    position = np.full(topology.n_bus + 1, -1)  # the slack, and what lies above it, is -1
    position[others] = np.arange(len(others))
    pieces, hooked = pieces_with_hooks(position[tree.parent[others]], position[tree.order[1:]])
    n_piece, capacity = pieces.nodes.shape
    hooks = max(len(slots) for slots in hooked)

    buses = np.full((n_piece, SIZE), len(others))
    buses[:, :capacity] = pieces.nodes
    path = np.zeros((n_piece, SIZE, SIZE))
    path[:, :capacity, :capacity] = pieces.path
    for piece, slots in enumerate(hooked):
        for hook, slot in enumerate(slots):
            path[piece, SIZE - hooks + hook] = path[piece, slot]
    filled = buses < len(others)
    above = np.append(tree.parent_branch[others], 0)[buses]  # branch above each slot's bus
    turned = path.transpose(0, 2, 1)
    z_r, z_x = (path @ ((z[above] * filled)[:, :, None] * turned) for z in (r, x))

    branch_bus = np.full(topology.n_branch, len(others), np.int32)
    branch_sign = np.zeros(topology.n_branch)
    branch_bus[tree.parent_branch[others]] = np.arange(len(others))
    branch_sign[tree.parent_branch[others]] = -tree.direction[others]
    no_load = xp.where(filled, slack_vm, 1.0)
    return TreeNetwork(
        r=z_r,
        x=z_x,
        path=path,
        links=_links(pieces, hooked, hooks),
        order=(pieces.slot // capacity * SIZE + pieces.slot % capacity).astype(np.int32),
        buses=buses.ravel().astype(np.int32),
        branch_bus=branch_bus,
        branch_sign=branch_sign,
        no_load=(no_load, 0.0 * no_load),  # both depend on the slack's voltage, see `dense_network`
        hooks=hooks,
    )


def pieces_with_hooks(parent: np.ndarray, order: np.ndarray, size: int = SIZE) -> tuple[Clusters, list[list[int]]]:
    """Cut a tree into the largest pieces that leave room for their hooks; the slots with a hook, of each piece."""
    for capacity in range(size, 0, -1):
        pieces = cluster_tree(parent, order, capacity)
        hooked = [
            sorted({int(slot) for slot in pieces.parent_slot[pieces.parent == piece]})
            for piece in range(len(pieces.parent))
        ]
        if capacity + max(len(slots) for slots in hooked) <= size:  # at half the size at the latest
            break
    return pieces, hooked


def _links(pieces: Clusters, hooked: list[list[int]], hooks: int) -> Links | np.ndarray:
    """Prepare the sums on the tree in which every piece hangs on a hook and every hook on its piece."""
    n_piece = len(pieces.parent)
    slot_of = {
        (piece, slot): piece * hooks + hook for piece, slots in enumerate(hooked) for hook, slot in enumerate(slots)
    }
    keys = list(zip(pieces.parent.tolist(), pieces.parent_slot.tolist(), strict=True))
    hangs_on = np.array([slot_of.get(key, -1) for key in keys])  # hook slot of each piece, -1 at the root
    if n_piece * hooks <= DENSE_LINKS:
        matrix = np.zeros((n_piece * hooks, n_piece))
        at_or_below = path_sums(pieces.parent)
        for hanging in np.flatnonzero(hangs_on >= 0):
            matrix[hangs_on[hanging]] += at_or_below[:, hanging]
        return matrix
    hook_slot = np.array(sorted(slot_of.values()))
    node = np.zeros(n_piece * hooks, np.int32)
    node[hook_slot] = n_piece + np.arange(len(hook_slot))
    parent = np.concatenate([np.where(hangs_on >= 0, node[hangs_on], -1), hook_slot // hooks])
    order: list[int] = []
    for piece in range(n_piece):  # a piece comes after the one it hangs on
        order += [piece, *(int(node[piece * hooks + hook]) for hook in range(len(hooked[piece])))]
    return Links(tree_sums(parent, np.array(order)), hook_slot.astype(np.int32), node)
