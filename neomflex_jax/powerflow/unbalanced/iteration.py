"""The fixed point of the loads' branches: ``y <- start + impedance c(y)``, a whole batch at a time.

Voltages y are in per unit of the branch's voltage without load, so a branch of nominal power s draws, in MVA,
``c = (p k_p - j q k_q) y`` with k(m) from its model. Z-bus iterations of unbalanced feeders contract near their
operating point (A. Bernstein et al., arXiv:1702.03310; M. Bazrafshan, N. Gatsis, arXiv:1605.08511); the update undoes
most of what is left branch by branch, as `powerflow/methods/fixed_point.py` does, whose stop test this is too. Both
take loads as constant powers there, which costs steps where they are not, and nothing else.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax

from neomflex_jax.powerflow.stopping import UNTESTED
from neomflex_jax.powerflow.unbalanced.admittance import Follows
from neomflex_jax.powerflow.unbalanced.network import PortNetwork


class Iterate(NamedTuple):
    """Where a batch stands."""

    rise: Array  # (2 n_branch, ...)
    off: Array  # (...) squared largest |f| of the last evaluation
    evaluations: Array
    stopped: Array


def currents(network: PortNetwork, follows: Follows, p: Array, q: Array, rise: Array) -> Array:
    """Currents of the branches in real form, (2 n_branch, ...) as the rises; p and q (n_branch, ...)."""
    n_branch = p.shape[0]

    def column(values: Array) -> Array:
        return values.reshape(values.shape + (1,) * (p.ndim - 1))

    yr = column(network.start[:n_branch]) + rise[:n_branch]
    yi = column(network.start[n_branch:]) + rise[n_branch:]
    k_p, k_q = follows(column(network.r_squared) * (yr * yr + yi * yi))
    g, b = p * k_p, -q * k_q
    if network.within is not None:  # what the network has not in it already
        g, b = g - column(network.within[0]), b + column(network.within[1])
    return jnp.concatenate([g * yr - b * yi, g * yi + b * yr])


def evaluate(network: PortNetwork, follows: Follows, p: Array, q: Array, rise: Array) -> Array:
    """Rises that follow from the currents at other rises."""
    return network.impedance @ currents(network, follows, p, q, rise)


def solve_batch(
    network: PortNetwork, follows: Follows, p: Array, q: Array, tolerance: float, max_iterations: int
) -> tuple[Array, Array, Array]:
    """Solve for consumption (n_branch, n_cases) in MW and Mvar.

    Returns
    -------
    rise, converged, evaluations
        Voltages over those without load, (2 n_branch, n_cases), and one value a case.
    """
    n_branch = p.shape[0]
    first = evaluate(network, follows, p, q, jnp.zeros((2 * n_branch, *p.shape[1:]), p.dtype))
    first_r, first_i = first[:n_branch], first[n_branch:]

    def largest(squares: Array) -> Array:
        return jnp.max(squares, axis=0, initial=0.0)

    def advance(rise: Array) -> tuple[Array, Array]:
        new = evaluate(network, follows, p, q, rise)
        f = new - rise
        fr, fi = f[:n_branch], f[n_branch:]
        undone = jnp.concatenate([first_r * fr + first_i * fi, first_i * fr - first_r * fi])
        return new - undone, largest(fr * fr + fi * fi)

    def tested(state: Iterate) -> Iterate:
        rise, off = advance(state.rise)
        error = 2.0 * jnp.sqrt(off * jnp.minimum(off / state.off, 1.0))
        stopped = state.stopped | (error <= tolerance) | (off == 0.0)
        return Iterate(rise, off, state.evaluations + ~state.stopped, stopped)

    off = largest(first_r * first_r + first_i * first_i)
    rise, count = first, max(1, min(UNTESTED, max_iterations))
    for _ in range(count - 1):
        rise, off = advance(rise)
    state = Iterate(rise, off, jnp.full(off.shape, count, jnp.int32), jnp.zeros(off.shape, bool))

    def keep_going(state: Iterate) -> Array:
        given_up = ~jnp.isfinite(state.off)
        return ~jnp.all(state.stopped | given_up) & (jnp.max(state.evaluations, initial=0) < max_iterations)

    if max_iterations > count:
        state = lax.while_loop(keep_going, tested, tested(state))
    return state.rise, state.stopped, state.evaluations
