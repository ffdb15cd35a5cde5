"""What branches' currents do to an unbalanced network, by the sums that elimination leaves, on a CPU.

An impedance matrix of 95 branches has 9,025 entries, what is left of it on a tree 1,755 (IEEE 123); they follow one
another along the feeder, which array programs are slow at. So they are machine code (`sum_kernel.py`), called from
inside jit. As in `ac_sweep.py`, one call runs on one core, and only `door.py` and `trials.py` import this.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.native.code import lanes_of
from neomflex_jax.native.xla_call import Kernel, registered
from neomflex_jax.powerflow.sweeps.sum_arrays import SumArrays
from neomflex_jax.powerflow.sweeps.sum_kernel import OPERANDS, write_by_case, write_by_quantity

BY_CASE = Kernel(
    "neomflex_sums_by_case", write_by_case, OPERANDS, (("given", 0), ("given", 1), ("first", 0), ("out", 0))
)
BY_QUANTITY = Kernel(
    "neomflex_sums_by_quantity", write_by_quantity, OPERANDS, (("given", 1), ("given", 0), ("first", 0), ("out", 0))
)


def sums_by_quantity(sums: SumArrays, given: Array) -> Array:
    """Work sums out, (2 n_in, n_cases) -> (2 n_out, n_cases), real parts before imaginary ones."""
    lanes, n_cases = lanes_of(np.dtype(given.dtype)), given.shape[1]
    padded = jnp.pad(given, ((0, 0), (0, max(0, lanes - n_cases))))
    return _call(BY_QUANTITY, sums, padded, (2 * len(sums.out), padded.shape[1]), len(given))[:, :n_cases]


def sums_by_case(sums: SumArrays, given: Array) -> Array:
    """Work sums out, (n_cases, 2 n_in) -> (n_cases, 2 n_out), real parts before imaginary ones."""
    lanes, n_cases = lanes_of(np.dtype(given.dtype)), given.shape[0]
    padded = jnp.pad(given, ((0, max(0, lanes - n_cases)), (0, 0)))
    return _call(BY_CASE, sums, padded, (padded.shape[0], 2 * len(sums.out)), given.shape[1])[:n_cases]


def _call(kernel: Kernel, sums: SumArrays, given: Array, shape: tuple[int, int], n_columns: int) -> Array:
    dtype, n_row = np.dtype(given.dtype), len(sums.first) - 1
    columns = np.arange(n_columns, dtype=np.int32).reshape(-1, 2).ravel(order="F")  # 0, 2, 4, ..., 1, 3, 5, ...
    out = jnp.concatenate([2 * sums.out, 2 * sums.out + 1])
    found, scratch = (
        jax.ShapeDtypeStruct(size, dtype)  # type: ignore[no-untyped-call]
        for size in (shape, ((n_columns + 2 * n_row) * lanes_of(dtype),))
    )
    call = jax.ffi.ffi_call(registered(kernel, dtype), (found, scratch))
    coefficients = (part.astype(dtype) for part in (sums.real, sums.imaginary))
    result: Array = call(sums.first, sums.source, *coefficients, columns, out, given)[0]
    return result
