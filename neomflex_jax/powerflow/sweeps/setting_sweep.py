"""`ac_sweep.py` for cases with ratios and shunts of their own: the machine code of `setting_kernel.py`."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.native.code import lanes_of
from neomflex_jax.native.xla_call import Kernel
from neomflex_jax.powerflow.network.per_unit import PerUnitFeeder
from neomflex_jax.powerflow.network.setting import Own
from neomflex_jax.powerflow.sweeps.ac_sweep import Solved, at_least_a_vector, call_sweep
from neomflex_jax.powerflow.sweeps.depth_first import depth_first
from neomflex_jax.powerflow.sweeps.setting_kernel import DOWNWARD, OPERANDS, ROW_VECTORS, UPWARD, write_kernel

SIZES = (("p", 0), ("p", 1), ("factor", 1))
KERNEL = Kernel("neomflex_sweep_with_settings", write_kernel, OPERANDS, SIZES)


def solve_by_sweeps(grid: PerUnitFeeder, own: Own, p: Array, q: Array, tolerance: float, max_iterations: int) -> Solved:
    """Solve cases as `ac_sweep.solve_by_sweeps` does, with their own parts of the grid.

    Those have the injections' leading axes, or none where all cases share them.
    """
    n, lanes = p.shape[-1], lanes_of(np.dtype(p.dtype))
    g, b = (jnp.zeros(n), jnp.zeros(n)) if own.bus_admittance is None else own.bus_admittance
    factor = jnp.zeros(0) if own.tap_factor is None else own.tap_factor
    parts, differs = [], []
    for part in (g, b, factor):
        differs.append(part.ndim > 1)
        rows = part.reshape(-1, part.shape[-1]) if differs[-1] else jnp.broadcast_to(part, (lanes, *part.shape))
        parts.append(jnp.asarray(at_least_a_vector(rows, lanes), p.dtype))
    further = (parts[2], *_taps(grid, own), np.array(differs, np.int32))
    return call_sweep(KERNEL, ROW_VECTORS, grid, parts[:2], p, q, tolerance, max_iterations, further)


def _taps(grid: PerUnitFeeder, own: Own) -> tuple[np.ndarray, np.ndarray]:
    """`tap_row` and `tap` of `setting_kernel.py`, shapes (n_tap,) and (n_bus,), in the order of the factors."""
    tap = np.zeros(grid.topology.n_bus, np.int32)
    if grid.taps is None or own.tap_factor is None:
        return np.zeros(0, np.int32), tap
    row_below = {int(branch): row for row, branch in enumerate(depth_first(grid.topology).branch, start=1)}
    tap_row = np.array([row_below[grid.tap_branches[place]] for place in grid.taps.order], np.int32)
    tap[tap_row] = np.where(grid.taps.downward, DOWNWARD, UPWARD)
    return tap_row, tap
