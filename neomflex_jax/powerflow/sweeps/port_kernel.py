"""The loop of `branch_kernel.py` where each case has taps and capacitors of its own (`unbalanced/ports.py`).

    K = (I - D H)^-1 D,   s = K (x_0 + G c),   rises = sums(c) + B K G c,   voltages without load + B K x_0

D is diagonal, of each case's changes; H, G and B are the network's. K comes from elimination without pivots, in its
place: next to I none is needed. So no array of K for a whole batch is ever made, and each is as near as its case.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir

from neomflex_jax.native.code import INDEX, Code, Vector, new_kernel
from neomflex_jax.native.scratch import ScratchRows
from neomflex_jax.powerflow.sweeps.branch_kernel import (
    BRANCH_VECTORS,
    INTEGERS,
    OPERANDS,
    RESULTS,
    RISE_I,
    RISE_R,
    BranchKernel,
)
from neomflex_jax.powerflow.sweeps.branch_model import BranchModel
from neomflex_jax.powerflow.sweeps.sum_kernel import complex_sum

# of a branch, beside what `branch_kernel.py` keeps: voltage without load, with what the ports add to it
START_R, START_I = BRANCH_VECTORS, BRANCH_VECTORS + 1
PORT_BRANCH_VECTORS = BRANCH_VECTORS + 2
X_R, X_I, S_R, S_I, CHANGE = range(5)  # of a port: what is seen there, its source, d
PORT_VECTORS = 5
PORTS = ("seen_r", "seen_i", "own_r", "own_i", "by_branch_r", "by_branch_i", "to_branch_r", "to_branch_i")
PORT_OPERANDS = (*OPERANDS, *PORTS, "change")
PORT_RESULTS = (*RESULTS[:-1], "added", RESULTS[-1])


def write_kernel(dtype: np.dtype[np.floating]) -> ir.Function:
    """Write the kernel for numbers of one precision.

    Takes what `branch_kernel.write_kernel`'s does and the arrays of `PORT_OPERANDS`: x_0 (n_port,), H (n_port, n_port),
    G (n_port, n_branch), B (n_branch, n_port), changes (n_cases, n_port); results have the sources s, (n_cases,
    2 n_port), before the scratch memory; last of all comes n_port.
    """
    names = (*PORT_OPERANDS, *PORT_RESULTS)
    function = new_kernel("branches_with_ports", dtype, names, INTEGERS, n_lengths=6)
    arrays = dict(zip(names, function.args, strict=False))
    *lengths, n_port = function.args[-6:]
    PortKernel(Code(function, dtype), arrays, n_port, *lengths).write()
    return function


class PortKernel(BranchKernel):
    """The kernel's statements."""

    branch_vectors = PORT_BRANCH_VECTORS

    def __init__(self, code: Code, arrays: dict[str, ir.Value], n_port: ir.Value, *lengths: ir.Value) -> None:
        super().__init__(code, arrays, *lengths)
        build = self.build
        self.n_port = n_port
        of_matrix = build.add(self.end, build.mul(n_port, INDEX(PORT_VECTORS * code.lanes)))
        self.ports = ScratchRows(code, build.gep(arrays["scratch"], [self.end]), PORT_VECTORS, None)
        self.matrix = ScratchRows(code, build.gep(arrays["scratch"], [of_matrix]), 2, None)

    def enter(self, first_case: ir.Value) -> None:
        """Copy a vector's worth of cases to the branches, work K out, and what it makes of x_0."""
        super().enter(first_case)
        code = self.code
        self.ports.enter(self.arrays["change"], CHANGE, first_case, self.n_port)
        self.make_matrix()
        self.invert()
        with code.count(INDEX(0), self.n_port) as row, code.count(INDEX(0), self.n_port) as column:
            d, place = self.ports.get(column, CHANGE), self.place(row, column)
            for part in (0, 1):
                self.matrix.put(place, part, self.matrix.get(place, part) * d)
        with code.count(INDEX(0), self.n_port) as port:
            for kind, value in zip((X_R, X_I), self.seen(port), strict=True):
                self.ports.put(port, kind, value)
        self.drive()
        with code.count(INDEX(0), self.n_branch) as branch:
            model, (shift_r, shift_i) = self.model(branch), self.driven(branch)
            self.put(branch, START_R, model.number("start_r") + shift_r)
            self.put(branch, START_I, model.number("start_i") + shift_i)

    def leave(self, first_case: ir.Value) -> None:
        """Copy a vector's worth of cases to the results, with the sources at their ports."""
        super().leave(first_case)
        code, width = self.code, self.build.mul(self.n_port, INDEX(2))
        self.see()
        with code.count(INDEX(0), self.n_port) as port:
            for kind, value in zip((X_R, X_I), self.seen(port), strict=True):
                self.ports.put(port, kind, self.ports.get(port, kind) + value)
        self.drive()
        added = self.arrays["added"]
        self.ports.leave(added, S_R, first_case, self.n_port, width=width)
        self.ports.leave(added, S_I, first_case, self.n_port, skipped=self.n_port, width=width)

    def voltage(self, model: BranchModel, branch: ir.Value) -> tuple[Vector, Vector]:
        """A branch's voltage at its rise."""
        start = self.get(branch, START_R), self.get(branch, START_I)
        return start[0] + self.get(branch, RISE_R), start[1] + self.get(branch, RISE_I)

    def sum(self) -> None:
        """Work out what the currents do, in the network and at the ports."""
        super().sum()
        self.see()
        self.drive()

    def summed(self, branch: ir.Value) -> tuple[Vector, Vector]:
        """What the sums and the ports make of a branch's voltage."""
        (real, imaginary), (driven_r, driven_i) = super().summed(branch), self.driven(branch)
        return real + driven_r, imaginary + driven_i

    def make_matrix(self) -> None:
        """``I - D H``."""
        code, build = self.code, self.build
        with code.count(INDEX(0), self.n_port) as row, code.count(INDEX(0), self.n_port) as column:
            d, place = self.ports.get(row, CHANGE), self.place(row, column)
            on_diagonal = build.uitofp(build.icmp_signed("==", row, column), code.number)
            self.matrix.put(place, 0, code.everywhere(on_diagonal) - d * self.number("own_r", place))
            self.matrix.put(place, 1, self.zero - d * self.number("own_i", place))

    def invert(self) -> None:
        """Invert the matrix in its place, one column after another."""
        code, build = self.code, self.build
        with code.count(INDEX(0), self.n_port) as k:
            pivot = self.place(k, k)
            r, i = (self.matrix.get(pivot, part) for part in (0, 1))
            scale = self.one / (r * r + i * i)
            r, i = r * scale, self.zero - i * scale
            self.matrix.put(pivot, 0, self.one)
            self.matrix.put(pivot, 1, self.zero)
            with code.count(INDEX(0), self.n_port) as column:
                place = self.place(k, column)
                a, b = (self.matrix.get(place, part) for part in (0, 1))
                self.matrix.put(place, 0, a * r - b * i)
                self.matrix.put(place, 1, a * i + b * r)
            with code.count(INDEX(0), self.n_port) as row, build.if_then(build.icmp_signed("!=", row, k)):
                self.eliminate(k, row)

    def eliminate(self, k: ir.Value, row: ir.Value) -> None:
        """Take a multiple of row k from another one."""
        first = self.place(row, k)
        r, i = (self.matrix.get(first, part) for part in (0, 1))
        for part in (0, 1):
            self.matrix.put(first, part, self.zero)
        with self.code.count(INDEX(0), self.n_port) as column:
            source, place = self.place(k, column), self.place(row, column)
            a, b = (self.matrix.get(source, part) for part in (0, 1))
            self.matrix.put(place, 0, self.matrix.get(place, 0) - (r * a - i * b))
            self.matrix.put(place, 1, self.matrix.get(place, 1) - (r * b + i * a))

    def see(self) -> None:
        """Put what the branches' currents make at the ports, ``G c``, to X."""
        code, build = self.code, self.build
        with code.count(INDEX(0), self.n_port) as port:
            first = build.mul(port, self.n_branch)

            def products(branch: ir.Value) -> tuple[Vector, Vector, Vector, Vector]:
                place, row = build.add(first, branch), build.mul(branch, INDEX(2))
                current = self.given.get(row, 0), self.given.get(build.add(row, INDEX(1)), 0)
                return self.number("by_branch_r", place), self.number("by_branch_i", place), *current

            for kind, total in zip((X_R, X_I), complex_sum(code, INDEX(0), self.n_branch, products), strict=True):
                self.ports.put(port, kind, total)

    def drive(self) -> None:
        """Put ``K x`` to S."""
        code = self.code
        with code.count(INDEX(0), self.n_port) as port:

            def products(other: ir.Value) -> tuple[Vector, Vector, Vector, Vector]:
                place, get = self.place(port, other), self.ports.get
                return self.matrix.get(place, 0), self.matrix.get(place, 1), get(other, X_R), get(other, X_I)

            for kind, total in zip((S_R, S_I), complex_sum(code, INDEX(0), self.n_port, products), strict=True):
                self.ports.put(port, kind, total)

    def driven(self, branch: ir.Value) -> tuple[Vector, Vector]:
        """What the sources add to a branch's voltage, ``B s``."""
        first = self.build.mul(branch, self.n_port)

        def products(port: ir.Value) -> tuple[Vector, Vector, Vector, Vector]:
            place, get = self.build.add(first, port), self.ports.get
            factor = self.number("to_branch_r", place), self.number("to_branch_i", place)
            return *factor, get(port, S_R), get(port, S_I)

        return complex_sum(self.code, INDEX(0), self.n_port, products)

    def seen(self, port: ir.Value) -> tuple[Vector, Vector]:
        """What is seen at a port without load."""
        return self.number("seen_r", port), self.number("seen_i", port)

    def place(self, row: ir.Value, column: ir.Value) -> ir.Value:
        """Row of scratch memory of a matrix's entry."""
        return self.build.add(self.build.mul(row, self.n_port), column)

    def number(self, name: str, place: ir.Value) -> Vector:
        """Vector with one number of an array in every lane."""
        return self.code.everywhere(self.code.element(self.arrays[name], place))
