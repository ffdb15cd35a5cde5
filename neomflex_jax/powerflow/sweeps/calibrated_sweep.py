"""`calibrated` on a radial network, on a CPU: the sums of `calibrated.py` as one sweep back and one forth.

The machine code of `calibrated_kernel.py` called from inside jit, on terms that `ac_sweep.py` states.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.native.code import lanes_of
from neomflex_jax.native.xla_call import Kernel, registered
from neomflex_jax.powerflow.network.per_unit import PerUnitFeeder
from neomflex_jax.powerflow.sweeps.calibrated_kernel import OPERANDS, ROW_VECTORS, write_kernel
from neomflex_jax.powerflow.sweeps.depth_first import depth_first
from neomflex_jax.powerflow.sweeps.row_coefficients import coefficients

KERNEL = Kernel("neomflex_calibrated", write_kernel, OPERANDS, sizes=(("p", 0), ("p", 1)))


def solve_by_sweeps(
    grid: PerUnitFeeder, gain: Array, vm_squared: Array, p_injection_mw: Array, q_injection_mvar: Array
) -> tuple[Array, Array, Array, Array]:
    """Solve cases of injections, shapes (..., n_bus), with `Calibrated`'s arrays.

    Returns
    -------
    vm, loss, q_loss, solved
        Magnitudes of u, shapes (..., n_bus), and of each case the losses per unit and whether all its magnitudes are
        real, shapes (...).
    """
    p, q = p_injection_mw, q_injection_mvar
    tree, n, dtype, axes = depth_first(grid.topology), p.shape[-1], np.dtype(p.dtype), p.shape[:-1]
    p, q, lanes = p.reshape(-1, n), q.reshape(-1, n), lanes_of(dtype)
    n_cases = len(p)
    if n_cases < lanes:
        p, q = (jnp.pad(values, ((0, lanes - n_cases), (0, 0))) for values in (p, q))

    by_row = coefficients(grid, gain, vm_squared)
    values = [
        jnp.asarray(part, dtype)
        for part in (*(jnp.pad(part, (1, 0)) for part in by_row), grid.slack_vm, grid.s_base_mva, p, q)
    ]
    shapes = [
        (p.shape, dtype),
        *[(p.shape[:1], dtype)] * 2,
        (p.shape[:1], np.int32),
        ((n * ROW_VECTORS * lanes,), dtype),
    ]
    results = [jax.ShapeDtypeStruct(shape, kind) for shape, kind in shapes]  # type: ignore[no-untyped-call]
    vm, loss, q_loss, solved, _ = jax.ffi.ffi_call(registered(KERNEL, dtype), results)(
        tree.above, tree.row, tree.forks, *values
    )
    by_case = (part[:n_cases].reshape(axes) for part in (loss, q_loss, solved > 0))
    return (vm[:n_cases].reshape(*axes, n), *by_case)  # type: ignore[return-value]
