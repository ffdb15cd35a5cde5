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
from neomflex_jax.powerflow.sweeps.ac_sweep import at_least_a_vector
from neomflex_jax.powerflow.sweeps.sum_arrays import SumArrays
from neomflex_jax.powerflow.sweeps.sum_kernel import OPERANDS, write_by_case, write_by_quantity, write_magnitudes

BY_CASE = Kernel(
    "neomflex_sums_by_case", write_by_case, OPERANDS, (("given", 0), ("given", 1), ("first", 0), ("out", 0))
)
BY_QUANTITY = Kernel(
    "neomflex_sums_by_quantity", write_by_quantity, OPERANDS, (("given", 1), ("given", 0), ("first", 0), ("out", 0))
)
MAGNITUDES = Kernel(
    "neomflex_sums_magnitudes",
    write_magnitudes,
    (*OPERANDS, "start"),
    (("given", 0), ("given", 1), ("first", 0), ("out", 0)),
)


def sums_by_quantity(sums: SumArrays, given: Array) -> Array:
    """Work sums out, (2 n_in, n_cases) -> (2 n_out, n_cases), real parts before imaginary ones."""
    lanes, n_cases = lanes_of(np.dtype(given.dtype)), given.shape[1]
    padded = jnp.pad(given, ((0, 0), (0, max(0, lanes - n_cases))))
    return _call(BY_QUANTITY, sums, padded, (2 * len(sums.out), padded.shape[1]), len(given))[:, :n_cases]


def sums_by_case(sums: SumArrays, given: Array) -> Array:
    """Work sums out, (n_cases, 2 n_in) -> (n_cases, 2 n_out), real parts before imaginary ones."""
    padded = at_least_a_vector(given, lanes_of(np.dtype(given.dtype)))
    return _call(BY_CASE, sums, padded, (padded.shape[0], 2 * len(sums.out)), given.shape[1])[: len(given)]


def magnitudes_by_case(sums: SumArrays, start: Array, given: Array) -> Array:
    """Magnitudes of start (2 n_out,) plus sums of (n_cases, 2 n_in), (n_cases, n_out)."""
    padded = at_least_a_vector(given, lanes_of(np.dtype(given.dtype)))
    found = _call(MAGNITUDES, sums, padded, (padded.shape[0], len(sums.out)), given.shape[1], start.astype(given.dtype))
    return found[: len(given)]


def rows_of_sums(sums: SumArrays, dtype: np.dtype[np.floating], n_columns: int) -> tuple[Array | np.ndarray, ...]:
    """Operands that a kernel takes of sums, `n_columns`: twice the quantities that are given."""
    columns = np.arange(n_columns, dtype=np.int32).reshape(-1, 2).ravel(order="F")  # 0, 2, 4, ..., 1, 3, 5, ...
    out = jnp.concatenate([2 * sums.out, 2 * sums.out + 1])
    return (sums.first, sums.source, sums.real.astype(dtype), sums.imaginary.astype(dtype), columns, out)


def _call(
    kernel: Kernel, sums: SumArrays, given: Array, shape: tuple[int, int], n_columns: int, *further: Array
) -> Array:
    dtype, n_row = np.dtype(given.dtype), len(sums.first) - 1
    found, scratch = (
        jax.ShapeDtypeStruct(size, dtype)  # type: ignore[no-untyped-call]
        for size in (shape, ((n_columns + 2 * n_row) * lanes_of(dtype),))
    )
    call = jax.ffi.ffi_call(registered(kernel, dtype), (found, scratch))
    result: Array = call(*rows_of_sums(sums, dtype, n_columns), given, *further)[0]
    return result
