"""Newton's steps for ``F(u) = 0`` whose Jacobian is close to the identity, shortened until they lower |F|.

BiCGSTAB solves a step without the Jacobian written down: H. A. van der Vorst, SIAM J. Sci. Stat. Comput. 13(2), 1992.
Far from where a factorised Jacobian was worked out it can stagnate; then the Jacobian is written down and factorised.
The step rule: J. E. Dennis, R. B. Schnabel, "Numerical Methods for Unconstrained Optimization", 1983, section 6.3.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array, lax

Voltage = tuple[Array, Array]  # real and imaginary part
LinearSolve = Callable[[Callable[[Voltage], Voltage], Voltage], Voltage]

FIRST_EVALUATIONS = (
    8  # of the fixed point of `ac`, which leads near the upper solution: Newton's steps go on from there
)
HALVINGS = 6  # a step shorter than 1/64 of Newton's means that there is no solution to go to
MOST_PRODUCTS = 100  # pairs of them, in a linear solve


def newton_steps(
    function: Callable[[Voltage], Voltage],
    start: Voltage,
    *,
    done: Array,
    count: Array,
    tolerance: float,
    max_iterations: int | Array,
    solve_linear: LinearSolve,
) -> tuple[Voltage, Array, Array]:
    """Go Newton's steps from `start` until |F| is within the tolerance.

    Parameters
    ----------
    function
        F of one case.
    start
        Where to begin.
    done, count
        True leaves the start as it is, shape (); how many iterations went before, shape ().
    tolerance, max_iterations
        When to stop.
    solve_linear
        How a step is solved, `krylov_solve` or `dense_solve`.

    Returns
    -------
    u, converged, count
        Where the steps led, whether |F| is within the tolerance there, and the iterations, those before among them.
    """

    def keep_going(carry: tuple[Voltage, Array, Array, Array]) -> Array:
        _, count, moved, converged = carry
        return ~converged & (count < max_iterations) & (moved > 0)

    def body(carry: tuple[Voltage, Array, Array, Array]) -> tuple[Voltage, Array, Array, Array]:
        u, count, _, _ = carry
        off, jacobian = jax.linearize(function, u)
        u, off, share = _shortened(function, u, off, solve_linear(jacobian, off))
        return u, count + 1, share, _norm(off) <= tolerance

    u, count, _, converged = lax.while_loop(keep_going, body, (start, count, jnp.ones((), start[0].dtype), done))
    return u, converged, count


def _norm(off: Voltage) -> Array:
    """Largest magnitude over the buses, shape ()."""
    return jnp.sqrt(jnp.max(off[0] ** 2 + off[1] ** 2))


def _shortened(
    function: Callable[[Voltage], Voltage], u: Voltage, off: Voltage, step: Voltage
) -> tuple[Voltage, Voltage, Array]:
    """Go the longest share 1, 1/2, 1/4, ... of the step that lowers |F|.

    Returns
    -------
    u, off, share
        The new voltages, F there, and the share of the step, 0 if none lowers |F|.
    """

    def keep_going(carry: tuple[Array, Array, Voltage, Voltage]) -> Array:
        share, lower, _, _ = carry
        return ~lower & (share > 0.5**HALVINGS)

    def halve(carry: tuple[Array, Array, Voltage, Voltage]) -> tuple[Array, Array, Voltage, Voltage]:
        share = carry[0] * 0.5
        new = jax.tree.map(lambda value, change: value - share * change, u, step)
        new_off = function(new)
        return share, _norm(new_off) < _norm(off), new, new_off  # NaN is not lower

    start = (jnp.full((), 2.0, u[0].dtype), jnp.zeros((), bool), u, off)
    share, lower, new, new_off = lax.while_loop(keep_going, halve, start)
    u, off = jax.tree.map(lambda taken, kept: jnp.where(lower, taken, kept), (new, new_off), (u, off))
    return u, off, jnp.where(lower, share, 0.0)


def krylov_solve(linear: Callable[[Voltage], Voltage], right_side: Voltage) -> Voltage:
    """Solve a linear system, or its transpose, by BiCGSTAB, which needs products with the map alone."""

    def iterate(linear: Callable[[Voltage], Voltage], right_side: Voltage) -> Voltage:
        precise = right_side[0].dtype == jnp.float64
        solution: Voltage = jax.scipy.sparse.linalg.bicgstab(  # type: ignore[no-untyped-call]
            linear, right_side, tol=1e-12 if precise else 1e-6, maxiter=MOST_PRODUCTS
        )[0]
        return solution

    return lax.custom_linear_solve(linear, right_side, iterate, transpose_solve=iterate)


def dense_solve(linear: Callable[[Voltage], Voltage], right_side: Voltage) -> Voltage:
    """Solve a linear system by its matrix, (2 n_bus, 2 n_bus), written down and factorised."""
    n_bus, both = len(right_side[0]), jnp.concatenate(right_side)

    def column(unit: Array) -> Array:
        return jnp.concatenate(linear((unit[:n_bus], unit[n_bus:])))

    solution = jnp.linalg.solve(jax.vmap(column, out_axes=1)(jnp.eye(2 * n_bus, dtype=both.dtype)), both)
    return solution[:n_bus], solution[n_bus:]
