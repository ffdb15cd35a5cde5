"""The fixed point of the loads' branches: ``y <- start + impedance c(y)``, a whole batch at a time.

Voltages y are in per unit of the branch's voltage without load, so a branch of nominal power s draws, in MVA,
``c = (p k_p - j q k_q) y`` with k(m) from its model; what devices feed in there is of
constant power beside it. Z-bus iterations of unbalanced feeders contract near their
operating point (A. Bernstein et al., arXiv:1702.03310; M. Bazrafshan, N. Gatsis, arXiv:1605.08511). As in
`powerflow/methods/fixed_point.py`, whose stop test this is too, an update undoes most of what is left branch by branch:
were all voltages to move with the branch's own by delta, what the currents make of it would move by
``a delta + b conj(delta)``, so with the misfit f the update solves ``delta = f + a delta + b conj(delta)``. First they
are taken from the first rise r, ``a = h r``, ``b = (h - 1) r``: h is 0 for constant powers, 1/2 for currents and 1 for
impedances, and in a mixture what it is at nominal load, worked out once. What has not settled after a few evaluations,
and is not near it, gets its own a and b, at the cost of two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import Array, lax

from neomflex_jax.powerflow.network.branch_arrays import LEAST, LEAST_DETERMINANT, NEAR
from neomflex_jax.powerflow.stopping import UNTESTED
from neomflex_jax.powerflow.sweeps.door import sums_by_quantity
from neomflex_jax.powerflow.unbalanced.admittance import Follows
from neomflex_jax.powerflow.unbalanced.branches import Consumption
from neomflex_jax.powerflow.unbalanced.network import PortNetwork
from neomflex_jax.powerflow.unbalanced.ports import Own, sources

Slopes: TypeAlias = tuple[Array, Array, Array, Array]  # parts of a and of b


class Iterate(NamedTuple):
    """Where a batch stands."""

    rise: Array  # (2 n_branch, ...)
    off: Array  # (...) squared largest |f| of the last evaluation
    evaluations: Array
    stopped: Array
    error: Array  # (...) estimated, of the rise


def currents(
    network: PortNetwork,
    follows: Callable[[Array], tuple[Array, Array]],
    drawn: Consumption,
    rise: Array,
    own: Own | None = None,
) -> Array:
    """Currents of the branches in real form, (2 n_branch, ...) as the rises; consumption (n_branch, ...).

    `follows`: k of p and q by the squared voltages, `Follows` say.
    """
    p, q = drawn.p, drawn.q
    n_branch = p.shape[0]

    def column(values: Array) -> Array:
        return values.reshape(values.shape + (1,) * (p.ndim - 1))

    start = column(network.start) if own is None else column(network.start) + own.shift
    yr, yi = start[:n_branch] + rise[:n_branch], start[n_branch:] + rise[n_branch:]
    m_squared = column(network.r_squared) * (yr * yr + yi * yi)
    k_p, k_q = follows(m_squared)
    g, b = p * k_p, -q * k_q
    if drawn.steady_p is not None and drawn.steady_q is not None:
        k = 1 / jnp.maximum(m_squared, LEAST)
        g, b = g + drawn.steady_p * k, b - drawn.steady_q * k
    if network.within is not None:  # what the network has not in it already
        g, b = g - column(network.within[0]), b + column(network.within[1])
    return jnp.concatenate([g * yr - b * yi, g * yi + b * yr])


def evaluate(network: PortNetwork, follows: Follows, drawn: Consumption, rise: Array, own: Own | None = None) -> Array:
    """Rises that follow from the currents at other rises."""
    return rises_of(network, currents(network, follows, drawn, rise, own), own)


def rises_of(network: PortNetwork, drawn: Array, own: Own | None = None) -> Array:
    """Rises that the branches' currents make, (2 n_branch, ...)."""
    sums = network.sums.branch if network.by_sums else None
    rise = network.impedance @ drawn if sums is None else sums_by_quantity(sums, drawn)
    if own is None or network.ports is None:
        return rise
    return rise + network.ports.branch @ sources(own.gain, network.ports.seen_by_branch @ drawn)


def solve_batch(
    network: PortNetwork,
    follows: Follows,
    drawn: Consumption,
    own: Own | None,
    tolerance: float,
    max_iterations: int,
) -> tuple[Array, Array, Array]:
    """Solve for consumption (n_branch, n_cases), with each case's own taps and capacitors if there are any.

    Returns
    -------
    rise, converged, evaluations
        Voltages over those without load, (2 n_branch, n_cases), and one value a case.
    """
    p, n_branch = drawn.p, drawn.p.shape[0]
    rise = evaluate(network, follows, drawn, jnp.zeros((2 * n_branch, *p.shape[1:]), p.dtype), own)
    off = largest(rise)
    (real, imaginary), h = (rise[:n_branch], rise[n_branch:]), network.own_slope[:, None]
    first = (h * real, h * imaginary, (h - 1) * real, (h - 1) * imaginary)

    def advance(rise: Array, slopes: Slopes) -> tuple[Array, Array]:
        f = evaluate(network, follows, drawn, rise, own) - rise
        return rise + _undone(f[:n_branch], f[n_branch:], slopes), largest(f)

    def tested(state: Iterate, slopes: Slopes) -> Iterate:
        rise, off = advance(state.rise, slopes)
        error = 2.0 * jnp.sqrt(off * jnp.minimum(off / state.off, 1.0))
        stopped = state.stopped | (error <= tolerance) | (off == 0.0)
        return Iterate(rise, off, state.evaluations + ~state.stopped, stopped, error)

    count = max(1, min(UNTESTED, max_iterations))
    for _ in range(count - 1):
        rise, off = advance(rise, first)
    state = Iterate(rise, off, jnp.full(off.shape, count, jnp.int32), jnp.zeros(off.shape, bool), off)

    def keep_going(state: Iterate) -> Array:
        given_up = ~jnp.isfinite(state.off)
        return ~jnp.all(state.stopped | given_up) & (jnp.max(state.evaluations, initial=0) < max_iterations)

    def go_on(state: Iterate) -> Iterate:
        slopes = _slopes(network, follows, drawn, state.rise, own)
        return lax.while_loop(keep_going, lambda state: tested(state, slopes), state)

    def near(state: Iterate) -> Array:
        return keep_going(state) & jnp.all(state.stopped | (state.error <= NEAR * tolerance))

    if max_iterations > count:
        state = tested(state, first)
        state = lax.cond(near(state), lambda state: tested(state, first), lambda state: state, state)
        state = lax.cond(keep_going(state), go_on, lambda state: state, state)
    return state.rise, state.stopped, state.evaluations


@jax.jit
def own_slope(network: PortNetwork, follows: Follows, nominal: Consumption) -> Array:
    """Share h of the first rise by which rises follow one of all voltages at nominal load, (n_branch,)."""
    n_branch = nominal.p.shape[0]
    none = jnp.zeros((2 * n_branch,), nominal.p.dtype)
    rise = evaluate(network, follows, nominal, none)
    ar, ai, *_ = _slopes(network, follows, nominal, none, None)
    real, imaginary = rise[:n_branch], rise[n_branch:]
    squared = real**2 + imaginary**2
    some = squared > LEAST
    return jnp.where(some, jnp.clip((ar * real + ai * imaginary) / jnp.where(some, squared, 1.0), 0.0, 1.0), 0.0)


def largest(parts: Array) -> Array:
    """Squared largest of complex values, (2 n_branch, ...) -> (...)."""
    n_branch = parts.shape[0] // 2
    return jnp.max(parts[:n_branch] ** 2 + parts[n_branch:] ** 2, axis=0, initial=0.0)


def _undone(fr: Array, fi: Array, slopes: Slopes) -> Array:
    """Solution of ``delta = f + a delta + b conj(delta)`` branch by branch: ``((1 - conj a) f + b conj f) / det``."""
    ar, ai, br, bi = slopes
    det = (1 - ar) ** 2 + ai**2 - br**2 - bi**2
    safe = jnp.where(det > LEAST_DETERMINANT, det, 1.0)  # near collapse: the plain update
    real = ((1 - ar) * fr - ai * fi + br * fr + bi * fi) / safe
    imaginary = ((1 - ar) * fi + ai * fr + bi * fr - br * fi) / safe
    kept = det > LEAST_DETERMINANT
    return jnp.concatenate([jnp.where(kept, real, fr), jnp.where(kept, imaginary, fi)])


def _slopes(network: PortNetwork, follows: Follows, drawn: Consumption, rise: Array, own: Own | None) -> Slopes:
    """Parts of a and b at a state: how currents follow y and conj(y), summed over all branches by the impedances."""
    n_branch = drawn.p.shape[0]
    one, none = jnp.ones_like(drawn.p), jnp.zeros_like(drawn.p)

    def along(direction: Array) -> Array:
        change = jax.jvp(lambda rise: currents(network, follows, drawn, rise, own), (rise,), (direction,))[1]
        return rises_of(network, change, own)  # linear

    real, turned = along(jnp.concatenate([one, none])), along(jnp.concatenate([none, one]))  # a + b and j (a - b)
    sum_r, sum_i, difference_r, difference_i = real[:n_branch], real[n_branch:], turned[n_branch:], -turned[:n_branch]
    return (
        (sum_r + difference_r) / 2,
        (sum_i + difference_i) / 2,
        (sum_r - difference_r) / 2,
        (sum_i - difference_i) / 2,
    )
