"""Sums of complex quantities as arrays: `unbalanced/elimination.py` makes them, `sum_kernel.py` runs them."""

from __future__ import annotations

from typing import NamedTuple

from jax import Array


class SumArrays(NamedTuple):
    """Quantities 0 to n_in - 1 are given; each row is one more, the sum of coefficients times quantities before it."""

    first: Array  # (n_row + 1,) int32, where each row's entries begin
    source: Array  # (n_entry,) int32, a quantity
    real: Array  # (n_entry,) of the coefficient
    imaginary: Array  # (n_entry,)
    out: Array  # (n_out,) int32, the quantities that are asked for
