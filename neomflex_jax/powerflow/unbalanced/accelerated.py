"""Fixed points that a plain iteration does not settle: ``x <- x + f(x)`` by what the last steps told of f.

Of the last m steps dx and what f changed by in them, df, the combination g is taken that leaves the least of f, and all
of it is undone ::

    x <- x + share (f - (dx + df) g),   g = argmin |f - df g|

D. G. Anderson, "Iterative procedures for nonlinear integral equations", J. ACM 12(4), 1965; H. F. Walker, P. Ni, SIAM
J. Numer. Anal. 49(4), 2011. For linear f it is GMRES with a memory of m steps. One evaluation an iteration, no
Jacobian, no factorisation: power flows of feeders with phases settle in some twenty evaluations up to where voltages
collapse, also where a load stands at a kink of its model and the plain iteration goes to and fro between both sides.

A step after which f is more than twice as large is taken back and shortened; where that does not help, the case begins
anew from another start. What has not settled after `most` evaluations has no solution, or one that is out of reach.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

MEMORY = 6  # steps; with 3 it takes twice as many evaluations, with 10 as many
MOST = 100  # evaluations; most of what settles takes 15 to 35
LARGEST_GROWTH = 2.0  # of |f| in a step
LEAST_SHARE = 1 / 16  # of a step


class _State(NamedTuple):
    """Where a batch stands, cases last."""

    x: Array  # (n, ...)
    f: Array  # there; 0 where a case begins
    off: Array  # (...) largest |f|, infinite where a case begins
    steps: Array  # (m, n, ...) the last ones, 0 where there were none
    changes: Array  # (m, n, ...) of f in them
    share: Array  # (...) of the next step
    start: Array  # (...) number of the next start
    evaluations: Array
    settled: Array


def accelerated(
    change: Callable[[Array], Array],
    size_of: Callable[[Array], Array],
    starts: Sequence[Array],
    settled: Array,
    tolerance: Array | float,
    most: int = MOST,
) -> tuple[Array, Array, Array]:
    """Find x with ``|f(x)|`` within the tolerance, case by case.

    Parameters
    ----------
    change
        f of all cases, (n, ...) -> (n, ...).
    size_of
        Largest magnitude in it, (n, ...) -> (...).
    starts
        Where to begin, (n, ...) each; the next one is for cases that went astray.
    settled
        Cases that need nothing, (...) bool: their first start is returned.
    tolerance
        Of |f|.
    most
        Evaluations of a case.

    Returns
    -------
    x, settled, evaluations
        (n, ...), and a value a case.
    """
    x, memory = starts[0], (MEMORY, *starts[0].shape)
    one = jnp.ones(settled.shape, x.dtype)
    nothing, count = jnp.zeros(memory, x.dtype), jnp.zeros(settled.shape, jnp.int32)
    begin = _State(x, jnp.zeros_like(x), jnp.inf * one, nothing, nothing, one, count + 1, count, settled)

    def keep_going(s: _State) -> Array:
        return ~jnp.all(s.settled | (s.start > len(starts)) | (s.evaluations >= most))

    def go_on(s: _State) -> _State:
        new = s.x + s.share * (s.f - _combined(s))
        f = change(new)
        off = size_of(f)
        kept = (off < LARGEST_GROWTH * s.off) & ~s.settled  # NaN is not
        share = jnp.where(kept, jnp.minimum(2 * s.share, 1.0), s.share / 2)
        anew = ~s.settled & ((share < LEAST_SHARE) | ~jnp.isfinite(off))
        x, here = jnp.where(kept, new, s.x), jnp.where(kept, f, s.f)
        for number, start in enumerate(starts):
            x = jnp.where(anew & (s.start == number), start, x)
        steps, changes = _remembered(s.steps, new - s.x), _remembered(s.changes, f - s.f)
        return _State(
            x,
            jnp.where(anew, 0.0, here),
            jnp.where(anew, jnp.inf, jnp.where(kept, off, s.off)),
            jnp.where(anew, 0.0, steps),
            jnp.where(anew, 0.0, changes),
            jnp.where(anew, 1.0, share),
            s.start + anew,
            s.evaluations + ~s.settled,
            s.settled | (kept & (off <= tolerance)),
        )

    end = lax.while_loop(keep_going, go_on, begin)
    return end.x, end.settled, end.evaluations


def _combined(s: _State) -> Array:
    """What the last steps undo of f, (n, ...): the normal equations, by elimination in place.

    No LAPACK: its batched kernels wait for the threads that other pieces of a batch hold (`powerflow/batch.py`).
    """
    table = jnp.concatenate([s.changes, s.f[None]])
    table = jnp.sum(s.changes[:, None] * table[None], axis=2)  # (m, m + 1, ...)
    diagonal = jnp.stack([table[row, row] for row in range(MEMORY)])
    precision = np.finfo(np.dtype(s.x.dtype))
    least = float(precision.eps) * jnp.sum(diagonal, axis=0) + float(precision.tiny)
    for row in range(MEMORY):
        table = table.at[row, row].add(least)
    for row in range(MEMORY):
        pivot = table[row] / table[row, row]
        table = (table - table[:, row][:, None] * pivot[None]).at[row].set(pivot)
    return jnp.sum(table[:, -1][:, None] * (s.steps + s.changes), axis=0)


def _remembered(last: Array, newest: Array) -> Array:
    return jnp.concatenate([newest[None], last[:-1]])
