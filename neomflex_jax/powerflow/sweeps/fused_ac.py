"""The loop of `fixed_point.py` on a tree as one kernel of an accelerator, with its stop test inside.

    backward, from the ends:    J_k = conj(s_k / u_k) - y_k u_k + sum of the J below        currents of the branches
    forward, from the slack:    g_k = g_above + z_k J_k                                     rises, G(u) - w

As in `ac_kernel.py`, whose notation and source these are: s and J positive into the grid, w the slack's voltage. The
rows are those of `fused_rows.py`; the rises are iterated where the results lie, beside them two rows a bus for J and
two for the first rise. So a flow reads its injections and writes its rises, 16 bytes a bus, however often it iterates.
Matrix products solve what cases set of their own; derivatives are those of `ac.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from neomflex_jax.powerflow.network.per_unit import PerUnitFeeder
from neomflex_jax.powerflow.stopping import UNTESTED
from neomflex_jax.powerflow.sweeps.depth_first import depth_first
from neomflex_jax.powerflow.sweeps.fused_rows import (
    BRANCH,
    LANES,
    PLACE,
    Rows,
    Sums,
    backward,
    forward,
    fused_call,
    rows_of_cases,
    tiles,
    tree_of,
    write,
)

Solved = tuple[Array, Array, Array, Array]  # rises' real and imaginary part, whether it converged, evaluations
State = tuple[Array, Array, Array, Array, Array]  # largest |f| squared, stopped, evaluations, their count, goes on


def solve_fused(
    grid: PerUnitFeeder, p: Array, q: Array, tolerance: float, max_iterations: int, *, interpret: bool = False
) -> Solved:
    """Solve cases of injections without the slack, shapes (..., n_bus - 1), per unit, to `tolerance` per unit.

    Returns
    -------
    rise_r, rise_i, converged, evaluations
        Voltages' rises ``u - w``, shapes (..., n_bus - 1), and of each case whether and when it stopped, shapes (...).
    """
    tree, n, dtype, axes = depth_first(grid.topology), p.shape[-1], np.dtype(p.dtype), p.shape[:-1]
    place = np.append(0, tree.bus), np.append(0, tree.branch)
    numbers = [grid.r, grid.x, jnp.reshape(grid.slack_vm, 1)]
    if grid.bus_admittance is not None:
        numbers += [grid.network.leave(part) for part in grid.bus_admittance]
    shared = tree_of(grid.topology, *place), *(jnp.asarray(each, dtype) for each in numbers)
    p, q = rows_of_cases(p), rows_of_cases(q)
    rise, case = jax.ShapeDtypeStruct(p.shape, dtype), jax.ShapeDtypeStruct(p.shape[1:], np.int32)  # type: ignore[no-untyped-call]
    kernel = partial(_kernel, tolerance, max_iterations, len(numbers))
    found = fused_call(kernel, shared, (p, q), (rise, rise, case, case), 4, interpret)
    rise_r, rise_i, converged, evaluations = (part[..., : math.prod(axes)] for part in found)
    rise_r, rise_i = (part.T.reshape(*axes, n) for part in (rise_r, rise_i))
    return rise_r, rise_i, converged.reshape(axes) > 0, evaluations.reshape(axes)


def _kernel(tolerance: float, max_iterations: int, n_numbers: int, tree: Rows, *references: Rows) -> None:
    """Solve this program's tiles; references in the order of `solve_fused`."""
    numbers, (p, q, rise_r, rise_i), (converged, evaluations), scratch = (
        references[:n_numbers],
        references[n_numbers : n_numbers + 4],
        references[n_numbers + 4 : n_numbers + 6],
        references[n_numbers + 6 :],
    )

    def tile(cases: object) -> None:
        one = _Tile(tree, numbers, (p, q, rise_r, rise_i), scratch, cases)
        converged[cases], evaluations[cases] = one.solve(tolerance, max_iterations)

    tiles(p.shape[1], tile)


class _Tile:
    """The statements for one tile of cases."""

    def __init__(
        self,
        tree: Rows,
        numbers: Sequence[Rows],
        by_bus: Sequence[Rows],
        scratch: Sequence[Rows],
        cases: object,
    ) -> None:
        self.tree, self.cases = tree, cases
        self.r, self.x, self.slack_vm, *self.admittance = numbers
        self.p, self.q, self.rise_r, self.rise_i = by_bus
        self.j_r, self.j_i, self.first_r, self.first_i = scratch  # a branch's current, then g; the first rise
        self.nothing = jnp.zeros(LANES, self.p.dtype)

    def solve(self, tolerance: float, max_iterations: int) -> tuple[Array, Array]:
        """Iterate until each case has stopped or given up; returns whether, 0 or 1, and when, shapes (LANES,)."""

        def again(state: State) -> State:
            before, stopped, evaluations, count, _ = state
            off = self.evaluate(count == 0)
            count += 1
            ratio = off / before
            error_squared = 4.0 * off * jnp.where(ratio < 1.0, ratio, 1.0)
            close = ((error_squared <= tolerance**2) | (off == 0.0)) & (count > UNTESTED)
            evaluations = evaluations + (1 - stopped)
            stopped = jnp.where(close, 1, stopped)
            left = jnp.max(jnp.where(off < jnp.inf, 1 - stopped, 0))  # NaN and infinity have given up
            goes_on = ((left > 0) | (count <= UNTESTED)) & (count < max_iterations)
            return off, stopped, evaluations, count, goes_on.astype(jnp.int32)

        none = jnp.zeros(LANES, jnp.int32)
        begin = (self.nothing, none, none, jnp.int32(0), jnp.int32(1))
        _, stopped, evaluations, _, _ = lax.while_loop(lambda state: state[-1] > 0, again, begin)
        return stopped, evaluations

    def evaluate(self, is_first: Array) -> Array:
        """Evaluate G and update the rises, of which the first evaluation takes 0; returns the largest |f| squared."""
        sums = self.j_r, self.j_i
        backward(self.tree, sums, partial(self.current, is_first))
        down = partial(self.drop, is_first)
        return forward(self.tree, sums, down, (self.nothing, self.nothing), (self.nothing,))[0]

    def current(self, is_first: Array, row: Array, below: Sums) -> Sums:
        """J of a row, of what comes from below it."""
        place = self.tree[PLACE, row]
        rise_r, ui = self.rise(is_first, place)
        ur, p, q = self.slack_vm[0] + rise_r, self.p[place, self.cases], self.q[place, self.cases]
        scale = 1.0 / (ur * ur + ui * ui)
        jr, ji = below[0] + (p * ur + q * ui) * scale, below[1] + (p * ui - q * ur) * scale
        if self.admittance:
            g, b = (part[place] for part in self.admittance)
            jr, ji = jr - (g * ur - b * ui), ji - (g * ui + b * ur)
        self.j_r[row, :] = jr
        self.j_i[row, :] = ji
        return jr, ji

    def drop(self, is_first: Array, row: Array, above: Sums, off: Sums) -> tuple[Sums, Sums]:
        """Rise g of a row, of what comes from above; ``u <- u + f - d conj(f)``, where d is the first g."""
        place, branch = self.tree[PLACE, row], self.tree[BRANCH, row]
        r, x, jr, ji = self.r[branch], self.x[branch], self.j_r[row, :], self.j_i[row, :]
        gr, gi = above[0] + (r * jr - x * ji), above[1] + (r * ji + x * jr)
        write(self.first_r.at[row, :], gr, is_first)
        write(self.first_i.at[row, :], gi, is_first)
        dr, di = self.first_r[row, :], self.first_i[row, :]
        rise_r, rise_i = self.rise(is_first, place)
        fr, fi = gr - rise_r, gi - rise_i
        self.rise_r[place, self.cases] = gr - (dr * fr + di * fi)
        self.rise_i[place, self.cases] = gi - (di * fr - dr * fi)
        return (gr, gi), (jnp.maximum(off[0], fr * fr + fi * fi),)

    def rise(self, is_first: Array, place: Array) -> Sums:
        """Rise of a bus, as it stands."""
        found = self.rise_r[place, self.cases], self.rise_i[place, self.cases]
        return tuple(jnp.where(is_first, self.nothing, part) for part in found)
