"""The network as one dense impedance matrix: any topology, and the fastest form up to a few hundred buses.

``u = w + Z i`` per unit, for bus current injections i (positive into the grid): ``Z = T diag(z) T'`` on the spanning
tree with path matrix T, and for the branches L that close loops, with ``A`` their incidence on the buses,
``Z - Z A* (z_L + A' Z A*)^-1 A' Z``. Sources: R. D. Zimmerman, "Comprehensive distribution power flow", PhD thesis,
Cornell, 1995; compensation of loops, D. Shirmohammadi et al., IEEE Trans. Power Systems 3(2), 1988.

Arrays of bus values are (..., n_padded): buses without the slack in ascending position, then zeros up to a multiple of
`LANES`, which vector units like.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.grid.parts import STATIC, HostArray
from neomflex_jax.grid.topology import Topology, path_matrix, spanning_tree
from neomflex_jax.one_line import one_line

LANES = 16


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class DenseNetwork:
    """Matrices of a network; see the module's equations. Products are written for row vectors, ``i @ matrix``."""

    r: HostArray  # (n_padded, n_padded) real part of Z'
    x: HostArray  # (n_padded, n_padded) imaginary part of Z'
    flow_r: HostArray  # (n_padded, n_branch) currents of the branches' series impedances, from -> to, from injections
    flow_x: HostArray | None  # imaginary part of the same; None on a tree, where it is zero
    loop_flow: tuple[HostArray, HostArray] | None  # (n_branch,) circulating currents without any injection
    no_load: tuple[HostArray, HostArray]  # (n_padded,) voltages w without any injection, 1 in the padding
    n: int = field(metadata=STATIC)
    both: Array | None = None  # (2, n_padded, 2, n_padded) from parts of a current to parts of a rise; see `in_one`

    __repr__ = one_line

    def enter(self, values: Array) -> Array:
        """Arrange bus values without the slack, (..., n), in this network's layout."""
        return jnp.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, self.r.shape[0] - self.n)])

    def leave(self, values: Array) -> Array:
        """Bus values without the slack, (..., n), from this network's layout: the inverse of `enter`."""
        return values[..., : self.n]

    def largest(self, values: Array) -> Array:
        """Largest value over the buses."""
        return jnp.max(values, axis=-1)

    def aligned(self, values: Array, like: Array) -> Array:
        """Reshape bus values without batch axes so that they broadcast against `like`, both in this layout."""
        return values

    def total(self, weights: Array, values: Array) -> Array:
        """Sum of bus values, weighted without batch axes, both in this layout: what is left are the batch axes."""
        return jnp.sum(weights * values, axis=-1)

    def spread(self, weights: Array, amounts: Array) -> Array:
        """Bus values in this layout: amounts, which have the batch axes alone, times weights without any."""
        return amounts[..., None] * weights

    def drop(self, ir: Array, ii: Array) -> tuple[Array, Array]:
        """``Z i``, by three real products instead of four (C. F. Gauss), or `in_one`."""
        if self.both is not None:
            drop = jnp.tensordot(jnp.stack([ir, ii], axis=-2), self.both, 2)
            return drop[..., 0, :], drop[..., 1, :]
        both = (ir + ii) @ self.r
        return both - ii @ (self.r + self.x), both + ir @ (self.x - self.r)

    def in_one(self) -> DenseNetwork:
        """Return the same with one product of twice the size for `drop`: more operations, fewer passes through memory.

        An accelerator waits for its memory, a CPU's cores for operations.
        """
        both = jnp.stack([jnp.stack([self.r, self.x], axis=1), jnp.stack([-self.x, self.r], axis=1)])
        return replace(self, both=both)

    def linear_drop(self, ir: Array, ii: Array) -> tuple[Array, Array]:
        """``Z i`` by four products, of which those that nobody reads cost nothing."""
        return ir @ self.r - ii @ self.x, ir @ self.x + ii @ self.r

    def flows(self, ir: Array, ii: Array) -> tuple[Array, Array]:
        """Currents of all branches' series impedances, from -> to, shapes (..., n_branch)."""
        flow_r, flow_i = ir @ self.flow_r, ii @ self.flow_r
        if self.flow_x is not None:
            flow_r, flow_i = flow_r - ii @ self.flow_x, flow_i + ir @ self.flow_x
        if self.loop_flow is not None:
            flow_r, flow_i = flow_r + self.loop_flow[0], flow_i + self.loop_flow[1]
        return flow_r, flow_i


def dense_network(
    topology: Topology, r: HostArray, x: HostArray, slack_vm: HostArray, loop_ratio: HostArray | None
) -> DenseNetwork:
    """Build the matrices from per-unit impedances of the branches, shapes (n_branch,).

    `loop_ratio`, complex, (n_loop,): what is left of a loop branch's ratio when the buses are scaled along the tree;
    None where it is 1. Computes in float64 on the host for NumPy arrays, inside jit for traced ones.
    """
    known = all(isinstance(a, np.ndarray | np.generic) for a in (r, x, slack_vm, loop_ratio) if a is not None)
    xp = np if known else jnp
    # a copy, for JAX 0.10.2 mixes up the precisions of programs that share one NumPy array
    path, n = path_matrix(topology).copy(), topology.n_bus - 1
    loops = spanning_tree(topology).loop_branches
    no_load = slack_vm * xp.ones(n)
    if len(loops) == 0:
        z_r, z_x = path @ (r[:, None] * path.T), path @ (x[:, None] * path.T)
        # both parts depend on the slack's voltage, or custom_linear_solve cannot be transposed
        return _padded(xp, z_r, z_x, -path, None, None, (no_load, 0.0 * no_load), n)

    z_branch = r + 1j * x
    z = path @ (z_branch[:, None] * path.T)
    ends = np.zeros((topology.n_bus, len(loops)), complex)
    ends[np.array(topology.to_bus)[loops], np.arange(len(loops))] = -1.0
    start = np.zeros_like(ends)
    start[np.array(topology.from_bus)[loops], np.arange(len(loops))] = 1.0
    incidence = start * (1.0 if loop_ratio is None else loop_ratio) + ends  # (n_bus, n_loop), of voltages
    slack_part, incidence = incidence[topology.slack], incidence[topology.non_slack]
    drawn = incidence.conj()
    admittance = xp.linalg.inv(xp.diag(z_branch[loops]) + incidence.T @ z @ drawn)
    from_injection = admittance @ incidence.T @ z  # (n_loop, n) loop currents
    circulating = admittance @ (incidence.T @ no_load + slack_part * slack_vm)
    flow = np.zeros((topology.n_branch, len(loops)))
    flow[loops, np.arange(len(loops))] = 1.0
    per_loop = path.T @ drawn + flow  # what a loop's current adds to every branch
    full = z - z @ drawn @ from_injection
    w = no_load - z @ drawn @ circulating
    flows = (-path.T + per_loop @ from_injection).T
    return _padded(xp, full.real, full.imag, flows.real, flows.imag, per_loop @ circulating, (w.real, w.imag), n)


def _padded(
    xp: Any,
    z_r: HostArray,
    z_x: HostArray,
    flow_r: HostArray,
    flow_x: HostArray | None,
    loop_flow: HostArray | None,
    no_load: tuple[HostArray, HostArray],
    n: int,
) -> DenseNetwork:
    more = -n % LANES
    square, rows = ((0, more), (0, more)), ((0, more), (0, 0))
    return DenseNetwork(
        r=xp.pad(z_r.T, square),
        x=xp.pad(z_x.T, square),
        flow_r=xp.pad(flow_r, rows),
        flow_x=None if flow_x is None else xp.pad(flow_x, rows),
        loop_flow=None if loop_flow is None else (loop_flow.real, loop_flow.imag),
        no_load=(xp.pad(no_load[0], (0, more), constant_values=1.0), xp.pad(no_load[1], (0, more))),
        n=n,
    )
