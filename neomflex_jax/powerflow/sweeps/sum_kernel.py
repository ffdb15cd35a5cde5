"""Sums of complex quantities, one after another, as machine code for the host's vector units.

    x_k = sum over a row's entries of coefficient times x_source,   k = n_in, n_in + 1, ...

x_0 to x_{n_in - 1} are given, and each row may take what rows before it made: what elimination leaves of an unbalanced
feeder's impedances (`unbalanced/elimination.py`). A vector holds as many cases. Real and imaginary parts have two
accumulators each, so that no product waits for the one before. Scratch memory has a row for each part of a quantity.
"""

from __future__ import annotations

from collections.abc import Callable

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


def write_magnitudes(dtype: np.dtype[np.floating]) -> ir.Function:
    """Write the kernel for magnitudes of start + sum, cases one after another: found (n_cases, n_out).

    Takes what `write_by_case`'s does, and `start` (2 n_out,) after `given`.
    """
    names = (*OPERANDS, "start", *RESULTS)
    function = new_kernel("sums_magnitudes", dtype, names, INTEGERS, n_lengths=4)
    arrays = dict(zip(names, function.args, strict=False))
    _MagnitudeKernel(Code(function, dtype), arrays, function.args[-4:], by_case=True).write()
    return function


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
            write_sums(self.code, self.arrays, self.given, self.n_columns, self.n_rows)
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

    def _place(self, column: ir.Value, first_case: ir.Value) -> ir.Value:
        return self.build.add(self.build.mul(column, self.n_cases), first_case)


class _MagnitudeKernel(_SumKernel):
    """The same with one number a quantity."""

    def leave(self, first_case: ir.Value) -> None:
        """Copy magnitudes of what was asked for."""
        n_out = self.build.sdiv(self.n_out, INDEX(2))
        columns = ScratchRows(self.code, self.arrays["scratch"], 1, None)
        columns.leave_values(self.arrays["found"], self.magnitude, first_case, n_out)

    def magnitude(self, column: ir.Value) -> Vector:
        """Magnitude of a column of what was asked for."""
        code, build, squared = self.code, self.build, self.code.constant(0.0)
        row = code.element(self.arrays["out"], column)
        n_out = build.sdiv(self.n_out, INDEX(2))
        for part, place in enumerate((column, build.add(column, n_out))):
            start = code.everywhere(code.element(self.arrays["start"], place))
            value = start + self.found.get(build.add(row, INDEX(part)), 0)
            squared = squared + value * value
        return code.root(squared)


def write_sums(
    code: Code, arrays: dict[str, ir.Value], quantities: ScratchRows, n_columns: ir.Value, n_rows: ir.Value
) -> None:
    """Work all rows out, one after another; `n_columns`: rows of scratch memory of what is given, two a quantity."""
    with code.count(INDEX(0), n_rows) as row:
        _sum(code, arrays, quantities, n_columns, row)


def _sum(code: Code, arrays: dict[str, ir.Value], quantities: ScratchRows, n_columns: ir.Value, row: ir.Value) -> None:
    """Work out a row."""
    build, two = code.build, INDEX(2)
    start, stop = (code.element(arrays["first"], build.add(row, INDEX(step))) for step in (0, 1))

    def products(entry: ir.Value) -> tuple[Vector, Vector, Vector, Vector]:
        source = build.mul(code.element(arrays["source"], entry), two)
        real, imaginary = (code.everywhere(code.element(arrays[name], entry)) for name in OPERANDS[2:4])
        return real, imaginary, quantities.get(source, 0), quantities.get(build.add(source, INDEX(1)), 0)

    total = complex_sum(code, start, stop, products)
    target = build.add(n_columns, build.mul(row, two))
    for part in (0, 1):
        quantities.put(build.add(target, INDEX(part)), 0, total[part])


def complex_sum(
    code: Code,
    start: ir.Value,
    stop: ir.Value,
    products: Callable[[ir.Value], tuple[Vector, Vector, Vector, Vector]],
) -> tuple[Vector, Vector]:
    """Sum products of complex numbers, real and imaginary part of both, over entries from `start` to before `stop`."""
    build = code.build
    totals = [code.variable(code.constant(0.0).value) for _ in range(4)]
    with code.count(start, stop) as entry:
        ar, ai, br, bi = products(entry)
        for total, (factor, value) in zip(totals, ((ar, br), (ai, bi), (ar, bi), (ai, br)), strict=True):
            build.store((factor * value + Vector(build, build.load(total))).value, total)
    straight, crossed, mixed, turned = (Vector(build, build.load(total)) for total in totals)
    return straight - crossed, mixed + turned
