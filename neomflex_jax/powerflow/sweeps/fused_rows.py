"""Sweeps on an accelerator: a kernel that goes over the buses row by row, a lane a case, tile after tile of cases.

A row holds one quantity of one bus for the `LANES` cases of a tile; rows are those of `depth_first.py`, row 0 is the
slack's. A bus's first child is the next row, so that a sum along the tree is carried from row to row in registers, and
goes through memory only where the tree forks. Each program of the kernel is one warp and takes one tile after another
(`tiles`), on scratch rows of its own, which stay in a cache: the scratch does not grow with the batch. A warp's lanes
stop together, other warps apart.

Written in Pallas for Triton, whose loops need carries that are arrays (a plain ``0`` is none) and whose loads and
stores are by lane: what a lane wrote it reads back itself, without a barrier.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from neomflex_jax.grid.topology import Topology
from neomflex_jax.powerflow.sweeps.depth_first import FIRST, GATHERS, HANDS_ON, LEAF, depth_first

LANES = 32  # of a warp, the least that runs together
PROGRAMS = (
    1056  # warps on the device: eight on each of an H200's 132 cores, whose fast memory holds their rows of 33 buses
)
ABOVE, FORKS, PLACE, BRANCH = range(4)  # rows of `tree_of`

Rows = Any  # a reference to rows in the device's memory, (..., n_row, LANES or cases)
Sums = tuple[Array, ...]


def tree_of(topology: Topology, place: np.ndarray, branch: np.ndarray) -> Array:
    """Whole numbers of each row, (4, n_bus): the row above, its flags, its `place` in the operands, and its branch."""
    tree = depth_first(topology)
    return jnp.asarray(np.stack([tree.above, tree.forks, place, branch]), int)  # as wide as JAX's own indices


def fused_call(
    kernel: Callable[..., None],
    shared: tuple[Array, ...],
    cases: tuple[Array, ...],
    results: tuple[jax.ShapeDtypeStruct, ...],
    n_scratch: int,
    interpret: bool,
) -> tuple[Array, ...]:
    """Call a kernel with references to `shared`, `cases`, `results` and its scratch rows; returns the results.

    Cases come last in all but `shared`, a whole number of tiles. Each scratch is (n_row, LANES).
    """
    n_row, n_programs = shared[0].shape[-1], min(PROGRAMS, cases[0].shape[-1] // LANES)
    scratch = jax.ShapeDtypeStruct((n_programs, n_row, LANES), cases[0].dtype)  # type: ignore[no-untyped-call]
    shapes = [each.shape for each in (*shared, *cases)] + [each.shape for each in results]
    whole = [pl.BlockSpec(shape, _at_once(len(shape))) for shape in shapes]
    own = pl.BlockSpec((None, n_row, LANES), lambda program: (program, 0, 0))
    found: tuple[Array, ...] = pl.pallas_call(
        kernel,
        grid=(n_programs,),
        in_specs=whole[: -len(results)],
        out_specs=(*whole[-len(results) :], *[own] * n_scratch),
        out_shape=(*results, *[scratch] * n_scratch),
        compiler_params=triton.CompilerParams(num_warps=1, num_stages=1),
        interpret=interpret,
    )(*shared, *cases)
    return found[: len(results)]


def _at_once(n_axes: int) -> Callable[[Any], tuple[int, ...]]:
    return lambda program: (0,) * n_axes


def rows_of_cases(values: Array) -> Array:
    """Turn cases (..., n) into rows (n, cases), cases of zeros added up to a whole number of tiles."""
    rows = values.reshape(-1, values.shape[-1]).T
    return jnp.pad(rows, ((0, 0), (0, -rows.shape[1] % LANES)))


def tiles(n_cases: int, solve: Callable[[Any], None]) -> None:
    """Call `solve` with each tile of this program's, a slice of the cases."""
    first, n_programs = (jnp.asarray(number, int) for number in (pl.program_id(0), pl.num_programs(0)))

    def one(state: Array) -> Array:
        solve(pl.ds(state * LANES, LANES))
        return state + n_programs

    lax.while_loop(lambda state: state < n_cases // LANES, one, first)


def read(rows: Rows, is_there: Array) -> Array:
    """Values of a row where there are any, else 0 without touching the memory."""
    return triton.load(rows, mask=jnp.broadcast_to(is_there, rows.shape), other=0.0)


def write(rows: Rows, values: Array, is_wanted: Array) -> None:
    """Keep values of a row where they are wanted."""
    triton.store(rows, values, mask=jnp.broadcast_to(is_wanted, rows.shape))


def backward(tree: Rows, sums: Sequence[Rows], visit: Callable[[Array, Sums], Sums]) -> Sums:
    """Sum from the ends towards the slack.

    `visit` is called with a row and what comes from below it, and returns what goes up; scratch rows `sums`, one for
    each, keep it where others hang on the same bus. Returns what arrives at the slack.
    """
    n_row, nothing = tree.shape[1], jnp.zeros(LANES, sums[0].dtype)

    def one(count: Array, carried: Sums) -> Sums:
        row = n_row - 1 - count
        above, forks = tree[ABOVE, row], tree[FORKS, row]
        is_leaf, gathers = (forks & LEAF) > 0, (forks & GATHERS) > 0
        hands_on, is_first = (forks & HANDS_ON) > 0, (forks & FIRST) > 0
        below = tuple(
            jnp.where(is_leaf, nothing, part) + read(rows.at[row, :], gathers)
            for rows, part in zip(sums, carried, strict=True)
        )
        going_up = visit(row, below)
        for rows, part in zip(sums, going_up, strict=True):
            before = read(rows.at[above, :], hands_on & ~is_first)
            write(rows.at[above, :], before + part, hands_on)
        return going_up

    carried = lax.fori_loop(0, n_row - 1, one, (nothing,) * len(sums))
    gathers = (tree[FORKS, 0] & GATHERS) > 0
    return tuple(part + jnp.where(gathers, rows[0, :], 0.0) for rows, part in zip(sums, carried, strict=True))


def forward(
    tree: Rows,
    sums: Sequence[Rows],
    visit: Callable[[Array, Sums, Sums], tuple[Sums, Sums]],
    start: Sums,
    kept: Sums,
) -> Sums:
    """Sum from the slack, whose sums are `start`, towards the ends.

    `visit` is called with a row, what comes from above and what is `kept` from row to row, and returns both anew; the
    scratch rows `sums`, one for each, keep what goes down where others hang on the row. Returns what is kept.
    """
    for rows, part in zip(sums, start, strict=True):
        rows[0, :] = part

    def one(count: Array, carried: tuple[Sums, Sums]) -> tuple[Sums, Sums]:
        row, (last, kept) = count + 1, carried
        above, forks = tree[ABOVE, row], tree[FORKS, row]
        gathers, hangs_apart = (forks & GATHERS) > 0, above != row - 1
        from_above = tuple(
            jnp.where(hangs_apart, read(rows.at[above, :], hangs_apart), part)
            for rows, part in zip(sums, last, strict=True)
        )
        going_down, kept = visit(row, from_above, kept)
        for rows, part in zip(sums, going_down, strict=True):
            write(rows.at[row, :], part, gathers)
        return going_down, kept

    return lax.fori_loop(0, tree.shape[1] - 1, one, (start, kept))[1]
