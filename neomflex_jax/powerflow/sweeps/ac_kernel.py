"""The loop of `fixed_point.py` on a tree, bus by bus, as machine code for the host's vector units.

    backward, from the ends:    J_k = conj(s_k / u_k) - y_k u_k + sum of the J below        currents of the branches
    forward, from the slack:    g_k = g_above + z_k J_k                                     rises, G(u) - w

A branch is named after the bus below it; `s` and J are positive into the grid, w is the slack's voltage. Source: the
backward/forward sweep, D. Shirmohammadi et al., IEEE Trans. Power Systems 3(2), 1988. What follows a forward sweep, and
when a case stops, is said in `fixed_point.py`.

A vector holds as many cases; they iterate together until all have stopped, the other cases of the batch apart. What a
bus needs lies side by side, a row of scratch memory; row 0 is the slack's, and a bus comes after the one above it.

Why it is written by hand: the same loop as Numba functions (Numba 0.68, `fastmath`, 16 or 64 cases as the contiguous
inner dimension) solved at best 2.1 M flows a second on one core where this kernel solved 4.9 M, on case33bw in
float32, both called in turns in one process (case141: 0.47 M and 1.5 M). Numba has no way to say that arrays do not
overlap: with one array of rows LLVM's own checks sent every bus to the scalar loop; the figures are those of an array
for each quantity, where all loops became vector code. Transposing cases, element by element there, took 90 ns a flow,
nearly half of what this kernel takes in all. And Numba compiled for several seconds, this takes less than one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from llvmlite import ir

from neomflex_jax.native.code import INDEX, INT32, Code, Vector, new_kernel
from neomflex_jax.native.scratch import ScratchRows
from neomflex_jax.powerflow.stopping import UNTESTED

# of a row: the injection, the first rise d, the rise; the current J on the way back, g on the way forth
P, Q, FIRST_R, FIRST_I, RISE_R, RISE_I, J_R, J_I = range(8)
G_R, G_I = J_R, J_I
ROW_VECTORS = 8
TREE = ("above", "row", "branches", "adds", "r", "x", "g", "b", "slack_vm")
OPERANDS = (*TREE, "p", "q", "tolerance", "max_iterations")
RESULTS = ("rise_r", "rise_i", "converged", "evaluations", "scratch")
INTEGERS = ("above", "row", "max_iterations", "converged", "evaluations")


def write_kernel(dtype: np.dtype[np.floating]) -> ir.Function:
    """Write the kernel for numbers of one precision.

    Takes the arrays named by `OPERANDS` and `RESULTS`, then the numbers of cases and of buses without the slack.
    `above` (n + 1,): row of the bus above each row's; `row` (n,): row of each bus; `branches` (n + 1,): 1 where other
    buses hang on a row's bus, 0 at an end; `adds` (n + 1,): 0 where a row's J is the first, coming backward, that the
    bus above gets, 1 at the others; r, x, g, b (n + 1,): impedance and admittance of each row's bus; p, q and the rises
    (n_cases, n), n_cases at least a vector's lanes.
    """
    names = (*OPERANDS, *RESULTS)
    function = new_kernel("sweep", dtype, names, INTEGERS)
    AcSweep(Code(function, dtype), dict(zip(names, function.args, strict=False)), *function.args[-2:]).write()
    return function


class AcSweep:
    """The kernel's statements; those that another kernel writes otherwise are methods of their own."""

    row_vectors = ROW_VECTORS

    def __init__(self, code: Code, arrays: dict[str, ir.Value], n_cases: ir.Value, n_bus: ir.Value) -> None:
        self.code, self.build, self.arrays = code, code.build, arrays
        self.n_cases, self.n_bus = n_cases, n_bus
        self.rows = ScratchRows(code, arrays["scratch"], self.row_vectors, arrays["row"])
        self.get, self.put = self.rows.get, self.rows.put
        self.n_rows = self.build.add(n_bus, INDEX(1))
        self.zero, self.one = code.constant(0.0), code.constant(1.0)
        self.slack_vm = self.once("slack_vm")
        tolerance = self.once("tolerance")
        self.tolerance_squared = tolerance * tolerance
        self.most = self.build.load(arrays["max_iterations"])
        self.off = code.variable(self.zero.value)  # squared largest |f| of an evaluation

    def write(self) -> None:
        """Solve all cases, a vector at a time; the last vector goes back over cases that were solved before."""
        build, rows, arrays, lanes = self.build, self.rows, self.arrays, INDEX(self.code.lanes)
        last = build.sub(self.n_cases, lanes)
        with self.code.count(INDEX(0), self.n_cases, self.code.lanes) as case:
            first = build.select(build.icmp_signed("<", case, last), case, last)
            self.enter(first)
            with self.code.count(INDEX(0), self.n_rows) as row:
                self.put(row, J_R, self.zero)  # `branches` = 0 multiplies what is there: no NaN of the vector before
                self.put(row, J_I, self.zero)
            self.solve(first)
            rows.leave(arrays["rise_r"], RISE_R, first, self.n_bus)
            rows.leave(arrays["rise_i"], RISE_I, first, self.n_bus)
        build.ret_void()

    def enter(self, first_case: ir.Value) -> None:
        """Copy a vector's worth of cases to the rows."""
        self.rows.enter(self.arrays["p"], P, first_case, self.n_bus)
        self.rows.enter(self.arrays["q"], Q, first_case, self.n_bus)

    def solve(self, first_case: ir.Value) -> None:
        """Iterate one vector of cases until each has stopped or given up."""
        code, build = self.code, self.build
        self.backward(lambda row: (self.no_load(row), self.zero))
        self.forward(self.start)
        evaluations = code.variable(ir.Constant(code.integers, [1] * code.lanes))
        count = code.variable(INT32(1))
        stopped = code.variable(ir.Constant(code.flags, [False] * code.lanes))
        running = code.variable(build.icmp_signed("<", INT32(1), self.most))
        with code.while_true(running):
            before = Vector(build, build.load(self.off))
            self.backward(lambda row: (self.no_load(row) + self.get(row, RISE_R), self.get(row, RISE_I)))
            self.forward(self.update)
            off, was_stopped = Vector(build, build.load(self.off)), build.load(stopped)
            build.store(build.add(build.load(count), INT32(1)), count)
            tested = build.icmp_signed(">", build.load(count), INT32(UNTESTED))
            now = build.select(tested, self.close(off, before), ir.Constant(code.flags, [False] * code.lanes))
            added = build.zext(build.not_(was_stopped), code.integers)
            build.store(build.add(build.load(evaluations), added), evaluations)
            build.store(build.or_(was_stopped, now), stopped)
            finite = build.fcmp_ordered("<", off.value, code.constant(float("inf")).value)
            left = build.bitcast(build.and_(build.not_(build.load(stopped)), finite), ir.IntType(code.lanes))
            some = build.or_(build.not_(tested), build.icmp_unsigned("!=", left, ir.IntType(code.lanes)(0)))
            build.store(build.and_(some, build.icmp_signed("<", build.load(count), self.most)), running)
        for name, value in (("converged", build.zext(build.load(stopped), code.integers)),
                            ("evaluations", build.load(evaluations))):  # fmt: skip
            place = build.bitcast(build.gep(self.arrays[name], [first_case]), code.integers.as_pointer())
            build.store(value, place, align=4)

    def close(self, off: Vector, before: Vector) -> ir.Value:
        """Return flags, true where a case's estimated error, 2 |f| min(1, |f| / |f before|), is below the tolerance."""
        build, ratio = self.build, off / before
        shrinks = build.fcmp_ordered("<", ratio.value, self.one.value)
        ratio = Vector(build, build.select(shrinks, ratio.value, self.one.value))
        error_squared = self.code.constant(4.0) * off * ratio
        small = build.fcmp_ordered("<=", error_squared.value, self.tolerance_squared.value)
        return build.or_(small, build.fcmp_ordered("==", off.value, self.zero.value))

    def backward(self, voltage: Callable[[ir.Value], tuple[Vector, Vector]]) -> None:
        """Sum the currents towards the slack."""
        with self.code.count(self.n_bus, INDEX(0), -1) as row:
            (ur, ui), above = voltage(row), self.code.element(self.arrays["above"], row)
            p, q, (g, b) = self.get(row, P), self.get(row, Q), self.admittance(row)
            scale = self.one / (ur * ur + ui * ui)
            branches, adds = self.broadcast("branches", row), self.broadcast("adds", row)
            jr = self.get(row, J_R) * branches + (p * ur + q * ui) * scale - (g * ur - b * ui)
            ji = self.get(row, J_I) * branches + (p * ui - q * ur) * scale - (g * ui + b * ur)
            self.put(row, J_R, jr)
            self.put(row, J_I, ji)
            jr, ji = self.handed_up(row, jr, ji)
            self.put(above, J_R, self.get(above, J_R) * adds + jr)
            self.put(above, J_I, self.get(above, J_I) * adds + ji)
        self.put(INDEX(0), G_R, self.zero)
        self.put(INDEX(0), G_I, self.zero)

    def forward(self, finish: Callable[[ir.Value, Vector, Vector], Vector]) -> None:
        """Sum the rises from the slack, call `finish` with each bus's g, and keep the largest of what it returns."""
        build = self.build
        build.store(self.zero.value, self.off)
        with self.code.count(INDEX(1), self.n_rows) as row:
            above = self.code.element(self.arrays["above"], row)
            r, x, jr, ji = self.broadcast("r", row), self.broadcast("x", row), self.get(row, J_R), self.get(row, J_I)
            gr, gi = self.handed_down(row, self.get(above, G_R), self.get(above, G_I))
            gr += r * jr - x * ji
            gi += r * ji + x * jr
            self.put(row, G_R, gr)
            self.put(row, G_I, gi)
            off = self.code.largest(Vector(build, build.load(self.off)), finish(row, gr, gi))
            build.store(off.value, self.off)

    def start(self, row: ir.Value, gr: Vector, gi: Vector) -> Vector:
        """Store the first evaluation's rise and start from where it leads to, to second order; returns |f| squared."""
        squared = gr * gr + gi * gi
        for kind, value in ((FIRST_R, gr), (FIRST_I, gi), (RISE_R, gr - squared), (RISE_I, gi)):
            self.put(row, kind, value)
        return squared

    def update(self, row: ir.Value, gr: Vector, gi: Vector) -> Vector:
        """``u <- u + f - d conj(f)``; returns |f| squared."""
        dr, di = self.get(row, FIRST_R), self.get(row, FIRST_I)
        fr, fi = gr - self.get(row, RISE_R), gi - self.get(row, RISE_I)
        self.put(row, RISE_R, gr - (dr * fr + di * fi))
        self.put(row, RISE_I, gi - (di * fr - dr * fi))
        return fr * fr + fi * fi

    def no_load(self, row: ir.Value) -> Vector:
        """Voltage w of a row's bus."""
        return self.slack_vm

    def admittance(self, row: ir.Value) -> tuple[Vector, Vector]:
        """Real and imaginary part of a row's y."""
        return self.broadcast("g", row), self.broadcast("b", row)

    def handed_up(self, row: ir.Value, jr: Vector, ji: Vector) -> tuple[Vector, Vector]:
        """Current that the bus above a row's gets of the row's J."""
        return jr, ji

    def handed_down(self, row: ir.Value, gr: Vector, gi: Vector) -> tuple[Vector, Vector]:
        """Rise that a row's bus gets of that of the bus above."""
        return gr, gi

    def once(self, name: str) -> Vector:
        """Vector with the number of an array of no axes in every lane."""
        return self.code.everywhere(self.build.load(self.arrays[name]))

    def broadcast(self, name: str, row: ir.Value) -> Vector:
        """Vector with a row's number in every lane."""
        return self.code.everywhere(self.code.element(self.arrays[name], row))
