"""The iteration of `ac` on a feeder with phases, on a CPU: `unbalanced/iteration.py`'s, as machine code.

The loads' models take a dozen array operations on all branches and cases, each a pass through memory, between sums
that are machine code already (`sum_sweep.py`); in `branch_kernel.py` both are one loop on vectors of cases. One call
runs on one core, and only `door.py` and `trials.py` import this.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.native.code import lanes_of
from neomflex_jax.native.xla_call import Kernel, registered
from neomflex_jax.powerflow.network.branch_arrays import BranchArrays, Case, PortArrays
from neomflex_jax.powerflow.sweeps import port_kernel
from neomflex_jax.powerflow.sweeps.ac_sweep import at_least_a_vector
from neomflex_jax.powerflow.sweeps.branch_kernel import BRANCH_VECTORS, OPERANDS, POWER_VECTORS, write_kernel
from neomflex_jax.powerflow.sweeps.port_kernel import PORT_BRANCH_VECTORS, PORT_OPERANDS, PORT_VECTORS
from neomflex_jax.powerflow.sweeps.sum_arrays import SumArrays
from neomflex_jax.powerflow.sweeps.sum_sweep import rows_of_sums

SIZES = (("load_p", 0), ("numbers", 0), ("first", 0), ("load_p", 1), ("fed_p", 1))
KERNEL = Kernel("neomflex_branches", write_kernel, OPERANDS, SIZES)
WITH_PORTS = Kernel("neomflex_branches_with_ports", port_kernel.write_kernel, PORT_OPERANDS, (*SIZES, ("change", 1)))


def solve_by_branches(
    sums: SumArrays, branches: BranchArrays, case: Case, tolerance: float, max_iterations: int
) -> tuple[Array, Array, Array, Array]:
    """Solve cases, (n_cases, n_load) and (n_cases, n_device_node), to `tolerance` per unit.

    Returns
    -------
    rise, converged, evaluations, drawn
        Rises of the branches' voltages and their currents there, (n_cases, 2 n_branch), real parts first, and of each
        case whether and when it stopped.
    """
    operands, shapes, n_scratch = _operands(sums, branches, case, tolerance, max_iterations, BRANCH_VECTORS)
    dtype, n_cases = np.dtype(case.load_p.dtype), len(case.load_p)
    call = jax.ffi.ffi_call(registered(KERNEL, dtype), (*shapes, _shape((n_scratch,), dtype)))
    rise, drawn, converged, evaluations, _ = call(*operands)
    return rise[:n_cases], converged[:n_cases] > 0, evaluations[:n_cases], drawn[:n_cases]


def solve_with_ports(
    sums: SumArrays,
    branches: BranchArrays,
    case: Case,
    ports: PortArrays,
    change: Array,
    tolerance: float,
    max_iterations: int,
) -> tuple[Array, Array, Array, Array, Array]:
    """Solve cases with taps and capacitors of their own, changes (n_cases, n_port).

    Returns
    -------
    rise, converged, evaluations, drawn, added
        As `solve_by_branches`, and the sources at the ports, (n_cases, 2 n_port).
    """
    operands, shapes, n_scratch = _operands(sums, branches, case, tolerance, max_iterations, PORT_BRANCH_VECTORS)
    dtype, (n_cases, n_port), n_branch = np.dtype(case.load_p.dtype), change.shape, len(branches.owner)
    lanes = lanes_of(dtype)
    n_scratch += (PORT_VECTORS + 2 * n_port) * n_port * lanes
    by_branch = ports.by_branch[:n_port, :n_branch], ports.by_branch[n_port:, :n_branch]
    to_branch = ports.to_branch[:n_branch, :n_port], ports.to_branch[n_branch:, :n_port]
    arrays = (ports.seen[:n_port], ports.seen[n_port:], *ports.own, *by_branch, *to_branch)
    added = _shape((max(n_cases, lanes), 2 * n_port), dtype)
    call = jax.ffi.ffi_call(registered(WITH_PORTS, dtype), (*shapes, added, _shape((n_scratch,), dtype)))
    given = [values.astype(dtype) for values in (*arrays, at_least_a_vector(change, lanes))]
    rise, drawn, converged, evaluations, sources, _ = call(*operands, *given)
    found = rise[:n_cases], converged[:n_cases] > 0, evaluations[:n_cases], drawn[:n_cases], sources[:n_cases]
    return found


def _operands(
    sums: SumArrays, branches: BranchArrays, case: Case, tolerance: float, max_iterations: int, branch_vectors: int
) -> tuple[list[Any], list[jax.ShapeDtypeStruct], int]:
    """What both kernels take, the shapes of what they return, and how much memory they need beside it."""
    dtype, (n_cases, n_load) = np.dtype(case.load_p.dtype), case.load_p.shape
    lanes, n_branch, n_row = lanes_of(dtype), len(branches.owner), len(sums.first) - 1
    nothing = jnp.zeros((n_cases, 0), dtype)
    given = [nothing if values is None else values for values in case]
    padded = [at_least_a_vector(values.astype(dtype), lanes) for values in given]
    n_scratch = 2 * (n_branch + n_row) + branch_vectors * n_branch
    n_scratch += POWER_VECTORS * (n_load + 1 + given[2].shape[1] + 1)
    rows, numbers = len(padded[0]), branches.numbers.astype(dtype)
    values, counts = _shape((rows, 2 * n_branch), dtype), _shape((rows,), np.dtype(np.int32))
    limits = jnp.asarray(tolerance, dtype), np.int32(max_iterations)
    operands = [*rows_of_sums(sums, dtype, 2 * n_branch), *branches[:3], numbers, *padded, *limits]
    return operands, [values, values, counts, counts], n_scratch * lanes


def _shape(shape: tuple[int, ...], dtype: np.dtype[Any]) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)  # type: ignore[no-untyped-call]
