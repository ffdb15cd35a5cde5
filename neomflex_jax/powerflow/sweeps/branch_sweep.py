"""The iteration of `ac` on a feeder with phases, on a CPU: `unbalanced/iteration.py`'s, as machine code.

The loads' models take a dozen array operations on all branches and cases, each a pass through memory, between sums
that are machine code already (`sum_sweep.py`); in `branch_kernel.py` both are one loop on vectors of cases. One call
runs on one core, and only `door.py` and `trials.py` import this.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.native.code import lanes_of
from neomflex_jax.native.xla_call import Kernel, registered
from neomflex_jax.powerflow.sweeps.ac_sweep import at_least_a_vector
from neomflex_jax.powerflow.sweeps.branch_arrays import BranchArrays, Case
from neomflex_jax.powerflow.sweeps.branch_kernel import BRANCH_VECTORS, OPERANDS, POWER_VECTORS, write_kernel
from neomflex_jax.powerflow.sweeps.sum_arrays import SumArrays
from neomflex_jax.powerflow.sweeps.sum_sweep import rows_of_sums

SIZES = (("load_p", 0), ("numbers", 0), ("first", 0), ("load_p", 1), ("fed_p", 1))
KERNEL = Kernel("neomflex_branches", write_kernel, OPERANDS, SIZES)


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
    dtype, (n_cases, n_load) = np.dtype(case.load_p.dtype), case.load_p.shape
    lanes, n_branch, n_row = lanes_of(dtype), len(branches.owner), len(sums.first) - 1
    nothing = jnp.zeros((n_cases, 0), dtype)
    given = [nothing if values is None else values for values in case]
    padded = [at_least_a_vector(values.astype(dtype), lanes) for values in given]
    n_scratch = 2 * (n_branch + n_row) + BRANCH_VECTORS * n_branch
    n_scratch += POWER_VECTORS * (n_load + 1 + given[2].shape[1] + 1)
    rows = len(padded[0])
    values, counts, scratch = (
        jax.ShapeDtypeStruct(shape, kind)  # type: ignore[no-untyped-call]
        for shape, kind in (((rows, 2 * n_branch), dtype), ((rows,), np.int32), ((n_scratch * lanes,), dtype))
    )
    call = jax.ffi.ffi_call(registered(KERNEL, dtype), (values, values, counts, counts, scratch))
    numbers = branches.numbers.astype(dtype)
    rise, drawn, converged, evaluations, _ = call(
        *rows_of_sums(sums, dtype, 2 * n_branch),
        *branches[:3],
        numbers,
        *padded,
        jnp.asarray(tolerance, dtype),
        np.int32(max_iterations),
    )
    return rise[:n_cases], converged[:n_cases] > 0, evaluations[:n_cases], drawn[:n_cases]
