"""Sums of complex quantities, one after another, as machine code for the host's vector units.

    x_k = sum over a row's entries of coefficient times x_source,   k = n_in, n_in + 1, ...

x_0 to x_{n_in - 1} are given, and each row may take what rows before it made: what elimination leaves of an unbalanced
feeder's impedances (`unbalanced/elimination.py`). A vector holds as many cases. Real and imaginary parts have two
accumulators each, so that no product waits for the one before. Scratch memory has a row for each part of a quantity.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir

from neomflex_jax.native.code import INDEX, Code, Vector, new_kernel
from neomflex_jax.native.scratch import ScratchRows

OPERANDS = ("first", "source", "real", "imaginary", "columns", "out", "given")
RESULTS = ("found", "scratch")
INTEGERS = ("first", "source", "columns", "out")


def write_by_case(dtype: np.dtype[np.floating]) -> ir.Function:
    """Write the kernel for cases one after another: given (n_cases, 2 n_in), found (n_cases, 2 n_out).

    Takes the arrays named by `OPERANDS` and `RESULTS`, then n_cases, 2 n_in, the number of rows plus one and 2 n_out.
    `first` (n_row + 1,), `source`, `real` and `imaginary` (n_entry,) are those of `elimination.Sums`; `columns`
    (2 n_in,) and `out` (2 n_out,): scratch rows of what is given and of what is asked for, 2 k of the real and 2 k + 1
    of the imaginary part of quantity k; n_cases is at least a vector's lanes.
    """
    return _write("sums_by_case", dtype, by_case=True)


def write_by_quantity(dtype: np.dtype[np.floating]) -> ir.Function:
    """Write the kernel for quantities one after another: given (2 n_in, n_cases), found (2 n_out, n_cases)."""
    return _write("sums_by_quantity", dtype, by_case=False)


def _write(name: str, dtype: np.dtype[np.floating], *, by_case: bool) -> ir.Function:
    names = (*OPERANDS, *RESULTS)
    function = new_kernel(name, dtype, names, INTEGERS, n_lengths=4)
    arrays = dict(zip(names, function.args, strict=False))
    _SumKernel(Code(function, dtype), arrays, function.args[-4:], by_case=by_case).write()
    return function


class _SumKernel:
    """The kernel's statements."""

    def __init__(
        self, code: Code, arrays: dict[str, ir.Value], lengths: tuple[ir.Value, ...], *, by_case: bool
    ) -> None:
        self.code, self.build, self.arrays, self.by_case = code, code.build, arrays, by_case
        self.n_cases, self.n_columns, n_first, self.n_out = lengths
        self.n_rows = self.build.sub(n_first, INDEX(1))
        self.given, self.found = (ScratchRows(code, arrays["scratch"], 1, arrays[name]) for name in ("columns", "out"))

    def write(self) -> None:
        """Work out all cases, a vector at a time; the last vector goes back over cases that were worked out before."""
        build, lanes = self.build, INDEX(self.code.lanes)
        last = build.sub(self.n_cases, lanes)
        with self.code.count(INDEX(0), self.n_cases, self.code.lanes) as case:
            first = build.select(build.icmp_signed("<", case, last), case, last)
            self.enter(first)
            with self.code.count(INDEX(0), self.n_rows) as row:
                self.sum(row)
            self.leave(first)
        build.ret_void()

    def enter(self, first_case: ir.Value) -> None:
        """Copy a vector's worth of cases to the given quantities."""
        if self.by_case:
            self.given.enter(self.arrays["given"], 0, first_case, self.n_columns)
            return
        with self.code.count(INDEX(0), self.n_columns) as column:
            row = self.code.element(self.arrays["columns"], column)
            self.given.put(row, 0, self.code.load(self.arrays["given"], self._place(column, first_case)))

    def leave(self, first_case: ir.Value) -> None:
        """Copy what was asked for from the quantities."""
        if self.by_case:
            self.found.leave(self.arrays["found"], 0, first_case, self.n_out)
            return
        with self.code.count(INDEX(0), self.n_out) as column:
            row = self.code.element(self.arrays["out"], column)
            self.code.store(self.found.get(row, 0), self.arrays["found"], self._place(column, first_case))

    def sum(self, row: ir.Value) -> None:
        """Work out a row."""
        code, build, zero, two = self.code, self.build, self.code.constant(0.0).value, INDEX(2)
        start, stop = (code.element(self.arrays["first"], build.add(row, INDEX(step))) for step in (0, 1))
        totals = [code.variable(zero) for _ in range(4)]
        with code.count(start, stop) as entry:
            source = build.mul(code.element(self.arrays["source"], entry), two)
            values = [self.given.get(build.add(source, INDEX(part)), 0) for part in (0, 1)]
            real, imaginary = (code.everywhere(code.element(self.arrays[name], entry)) for name in OPERANDS[2:4])
            products = (real, values[0]), (imaginary, values[1]), (real, values[1]), (imaginary, values[0])
            for total, (factor, value) in zip(totals, products, strict=True):
                build.store((factor * value + Vector(build, build.load(total))).value, total)
        straight, crossed, mixed, turned = (Vector(build, build.load(total)) for total in totals)
        target = build.add(self.n_columns, build.mul(row, two))  # after the 2 n_in rows of what is given
        self.given.put(target, 0, straight - crossed)
        self.given.put(build.add(target, INDEX(1)), 0, mixed + turned)

    def _place(self, column: ir.Value, first_case: ir.Value) -> ir.Value:
        return self.build.add(self.build.mul(column, self.n_cases), first_case)
