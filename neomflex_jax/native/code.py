"""Statements of a function on vectors, as LLVM's intermediate representation.

A `Vector` holds one number of each of `lanes` independent cases, 512 bits in all; machines with narrower units get the
same code in pieces. Products and sums may be contracted (``a * b + c`` rounded once); infinities and NaN keep their
meaning. Language: llvm.org/docs/LangRef.html; written through llvmlite, Numba's own way to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from llvmlite import ir

VECTOR_BITS = 512
INDEX, INT32, FLAG = ir.IntType(64), ir.IntType(32), ir.IntType(1)
ROUNDING = ("contract", "nsz", "arcp")


@dataclass(frozen=True)
class Vector:
    """A number of each lane."""

    build: ir.IRBuilder
    value: ir.Value

    def __add__(self, other: Vector) -> Vector:
        return Vector(self.build, self.build.fadd(self.value, other.value, flags=ROUNDING))

    def __sub__(self, other: Vector) -> Vector:
        return Vector(self.build, self.build.fsub(self.value, other.value, flags=ROUNDING))

    def __mul__(self, other: Vector) -> Vector:
        return Vector(self.build, self.build.fmul(self.value, other.value, flags=ROUNDING))

    def __truediv__(self, other: Vector) -> Vector:
        return Vector(self.build, self.build.fdiv(self.value, other.value, flags=ROUNDING))


class Code:
    """Writes a function's statements one after another; a Python loop in the writer is code written repeatedly."""

    def __init__(self, function: ir.Function, dtype: np.dtype[np.floating]) -> None:
        self.function, self.build = function, ir.IRBuilder(function.append_basic_block())
        self.number = number_of(dtype)
        self.lanes = lanes_of(dtype)
        self.vector = ir.VectorType(self.number, self.lanes)
        self.integers, self.flags = (ir.VectorType(kind, self.lanes) for kind in (INT32, FLAG))

    def constant(self, value: float) -> Vector:
        """Vector with the same number in every lane, known now."""
        return Vector(self.build, ir.Constant(self.vector, [value] * self.lanes))

    def everywhere(self, number: ir.Value | float) -> Vector:
        """Vector with the same number in every lane, known when it runs."""
        nothing = ir.Constant(self.vector, ir.Undefined)
        first = self.build.insert_element(nothing, number, INT32(0))
        return Vector(
            self.build, self.build.shuffle_vector(first, nothing, ir.Constant(self.integers, [0] * self.lanes))
        )

    def element(self, array: ir.Value, index: ir.Value) -> ir.Value:
        """Read one element; an integer as an index."""
        value = self.build.load(self.build.gep(array, [index]))
        return self.build.sext(value, INDEX) if value.type == INT32 else value

    def load(self, array: ir.Value, index: ir.Value) -> Vector:
        """Read a vector that starts at any element."""
        return Vector(self.build, self.build.load(self._vector_at(array, index), align=self._alignment))

    def store(self, vector: Vector, array: ir.Value, index: ir.Value) -> None:
        """Write a vector that starts at any element."""
        self.build.store(vector.value, self._vector_at(array, index), align=self._alignment)

    def largest(self, one: Vector, other: Vector) -> Vector:
        """Vector with the larger number of each lane, NaN if either is."""
        return Vector(self.build, self.build.call(self._intrinsic("maximum", 2), [one.value, other.value]))

    def root(self, squared: Vector) -> Vector:
        """Vector of square roots, NaN below 0."""
        return Vector(self.build, self.build.call(self._intrinsic("sqrt", 1), [squared.value]))

    def select(self, flags: ir.Value, one: Vector, other: Vector) -> Vector:
        """Vector with the one number where a lane's flag is true, else the other."""
        return Vector(self.build, self.build.select(flags, one.value, other.value))

    def some(self, flags: ir.Value) -> ir.Value:
        """Return whether any lane's flag is true."""
        bits = ir.IntType(self.lanes)
        return self.build.icmp_unsigned("!=", self.build.bitcast(flags, bits), bits(0))

    def variable(self, value: ir.Value) -> ir.Value:
        """Memory for a value that changes, written and read by `build.store` and `build.load`."""
        with self.build.goto_entry_block():  # one in a loop would take new stack every time
            place = self.build.alloca(value.type)
        self.build.store(value, place)
        return place

    @contextmanager
    def count(self, start: ir.Value, stop: ir.Value, step: int = 1) -> Iterator[ir.Value]:
        """Repeat what is written inside for an index from `start` until `stop`, which is not reached."""
        before, (head, body, after) = self.build.block, self._blocks()
        self.build.branch(head)
        self.build.position_at_end(head)
        index = self.build.phi(INDEX)
        index.add_incoming(start, before)
        self.build.cbranch(self.build.icmp_signed("<" if step > 0 else ">", index, stop), body, after)
        self.build.position_at_end(body)
        yield index
        index.add_incoming(self.build.add(index, INDEX(step)), self.build.block)
        self.build.branch(head)
        self.build.position_at_end(after)

    @contextmanager
    def while_true(self, flag: ir.Value) -> Iterator[None]:
        """Repeat what is written inside as long as the variable is true."""
        head, body, after = self._blocks()
        self.build.branch(head)
        self.build.position_at_end(head)
        self.build.cbranch(self.build.load(flag), body, after)
        self.build.position_at_end(body)
        yield
        self.build.branch(head)
        self.build.position_at_end(after)

    def transposed(self, rows: Sequence[Vector]) -> list[Vector]:
        """Turn `lanes` vectors, the rows of a square, into its columns: halves change places, then quarters, ..."""
        lanes, rows = self.lanes, list(rows)
        width = lanes // 2
        while width:
            keep = [lane if not lane & width else lanes + (lane ^ width) for lane in range(lanes)]
            change = [lane | width if not lane & width else lanes + lane for lane in range(lanes)]
            for row in (row for row in range(lanes) if not row & width):
                pair = rows[row].value, rows[row | width].value
                for target, order in ((row, keep), (row | width, change)):
                    shuffled = self.build.shuffle_vector(*pair, ir.Constant(self.integers, order))
                    rows[target] = Vector(self.build, shuffled)
            width //= 2
        return rows

    @property
    def _alignment(self) -> int:
        return VECTOR_BITS // self.lanes // 8  # of a number: arrays start and vectors begin anywhere

    def _vector_at(self, array: ir.Value, index: ir.Value) -> ir.Value:
        return self.build.bitcast(self.build.gep(array, [index]), self.vector.as_pointer())

    def _blocks(self) -> list[ir.Block]:
        return [self.function.append_basic_block() for _ in range(3)]

    def _intrinsic(self, name: str, n_arguments: int) -> ir.Function:
        module = self.function.module
        full = f"llvm.{name}.v{self.lanes}f{VECTOR_BITS // self.lanes}"
        kind = ir.FunctionType(self.vector, [self.vector] * n_arguments)
        return module.globals.get(full) or ir.Function(module, kind, full)


def new_kernel(
    name: str, dtype: np.dtype[np.floating], arrays: Sequence[str], integers: Sequence[str], n_lengths: int = 2
) -> ir.Function:
    """Start a kernel that takes named arrays, of which none overlap and some hold 32-bit integers, then lengths."""
    types = [(INT32 if array in integers else number_of(dtype)).as_pointer() for array in arrays]
    function = ir.Function(ir.Module(name), ir.FunctionType(ir.VoidType(), [*types, *[INDEX] * n_lengths]), name)
    function.linkage = "internal"
    for argument, array in zip(function.args, arrays, strict=False):
        argument.name = array
        argument.add_attribute("noalias")
    return function


def number_of(dtype: np.dtype[np.floating]) -> ir.Type:
    """LLVM's type of a number in single or double precision."""
    return {np.dtype(np.float32): ir.FloatType(), np.dtype(np.float64): ir.DoubleType()}[dtype]


def lanes_of(dtype: np.dtype[np.floating]) -> int:
    """Count of cases in a vector."""
    return VECTOR_BITS // (8 * np.dtype(dtype).itemsize)
