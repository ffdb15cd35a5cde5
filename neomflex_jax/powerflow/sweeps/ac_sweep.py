"""The iteration of `ac` on a radial network, on a CPU: `fixed_point.py`'s, by backward and forward sweeps.

A sweep needs some forty operations a bus where an impedance matrix needs as many products as there are buses, but they
follow one another along the tree, which array programs are slow at. So the sweeps are machine code (`ac_kernel.py`,
compiled when it is first needed), called from inside jit. Importing this module loads LLVM: only `door.py` and
`trials.py` import it. One call runs on one core, however large its batch; calls from several threads, which `batch.py`
makes, run beside each other. XLA does not look inside: `jax.shard_map` has to be told ``check_vma=False``, and a batch
that jit alone spreads over devices is gathered.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.grid.topology import Topology
from neomflex_jax.native.code import lanes_of
from neomflex_jax.native.xla_call import Kernel, registered
from neomflex_jax.powerflow.network.per_unit import PerUnitFeeder
from neomflex_jax.powerflow.sweeps.ac_kernel import OPERANDS, ROW_VECTORS, write_kernel
from neomflex_jax.powerflow.sweeps.depth_first import depth_first

KERNEL = Kernel("neomflex_sweep", write_kernel, OPERANDS, sizes=(("p", 0), ("p", 1)))
Solved = tuple[Array, Array, Array, Array]  # rises' real and imaginary part, whether it converged, evaluations


def solve_by_sweeps(grid: PerUnitFeeder, p: Array, q: Array, tolerance: float, max_iterations: int) -> Solved:
    """Solve cases of injections without the slack, shapes (..., n_bus - 1), per unit, to `tolerance` per unit.

    Returns
    -------
    rise_r, rise_i, converged, evaluations
        Voltages' rises ``u - w``, shapes (..., n_bus - 1), and of each case whether and when it stopped, shapes (...).
    """
    n = p.shape[-1]
    zeros = (jnp.zeros(n), jnp.zeros(n))
    admittance = zeros if grid.bus_admittance is None else [grid.network.leave(part) for part in grid.bus_admittance]
    bus = depth_first(grid.topology).bus
    by_row = [jnp.pad(jnp.asarray(values)[bus], (1, 0)) for values in admittance]
    return call_sweep(KERNEL, ROW_VECTORS, grid, by_row, p, q, tolerance, max_iterations)


def call_sweep(
    kernel: Kernel,
    row_vectors: int,
    grid: PerUnitFeeder,
    admittance: Sequence[Array],
    p: Array,
    q: Array,
    tolerance: float,
    max_iterations: int,
    further: Sequence[Array | np.ndarray] = (),
) -> Solved:
    """Call a kernel that takes `ac_kernel.OPERANDS` and `further` ones; what it returns is `solve_by_sweeps`'s."""
    tree, n, dtype = depth_first(grid.topology), p.shape[-1], np.dtype(p.dtype)
    lanes, axes = lanes_of(dtype), p.shape[:-1]
    p, q = (at_least_a_vector(values.reshape(-1, n), lanes) for values in (p, q))
    impedance = [jnp.pad(values[tree.branch], (1, 0)) for values in (grid.r, grid.x)]
    numbers = (*_masks(grid.topology), *impedance, *admittance, grid.slack_vm, p, q, tolerance)
    cases, rise, scratch = (
        jax.ShapeDtypeStruct(shape, kind)  # type: ignore[no-untyped-call]
        for shape, kind in ((p.shape[:1], np.int32), (p.shape, dtype), (((n + 1) * row_vectors * lanes,), dtype))
    )
    call = jax.ffi.ffi_call(registered(kernel, dtype), (rise, rise, cases, cases, scratch))
    row, values = tree.row[grid.topology.non_slack], [jnp.asarray(value, dtype) for value in numbers]
    rise_r, rise_i, converged, evaluations, _ = call(tree.above, row, *values, np.int32(max_iterations), *further)
    n_cases = math.prod(axes)
    rise_r, rise_i = (part[:n_cases].reshape(*axes, n) for part in (rise_r, rise_i))
    return rise_r, rise_i, (converged[:n_cases] > 0).reshape(axes), evaluations[:n_cases].reshape(axes)


def at_least_a_vector(cases: Array, lanes: int) -> Array:
    """Add cases of zeros, (n_cases, ...), where there are fewer than a vector has lanes."""
    return jnp.pad(cases, ((0, lanes - len(cases)), (0, 0))) if len(cases) < lanes else cases


@lru_cache(maxsize=32)
def _masks(topology: Topology) -> tuple[np.ndarray, np.ndarray]:
    """`branches` and `adds` of `ac_kernel.py`, shapes (n_bus,)."""
    tree = depth_first(topology)
    last = np.zeros(topology.n_bus, np.int32)  # row that hangs on each, 0 at an end
    last[tree.above[1:]] = np.arange(1, topology.n_bus)
    return (last > 0).astype(np.float32), (last[tree.above] != np.arange(topology.n_bus)).astype(np.float32)
