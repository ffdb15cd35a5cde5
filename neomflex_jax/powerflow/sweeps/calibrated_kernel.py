"""`calibrated` on a tree, bus by bus, as machine code for the host's vector units: one sweep back and one forth.

    backward, from the ends:    S_k = s_k + sum of the S below              flows without losses
                                l_k = |S_k|^2 (a_k + b_k P_k + c_k Q_k)     squared current
                                L_k = z_k l_k + sum of the L below          losses at and below the branch
    forward, from the slack:    v_k^2 = v_above^2 + 2 Re(z_k conj(S_k - L_k)) + |z_k|^2 l_k

A branch is named after the bus below it, S is positive towards the slack. The last line is `calibrated.py`'s v^2 with
half of each branch's loss at either end, summed along the tree. Rows are those of `depth_first.py`: a bus's first child
is the next row, so that sums are mostly carried from row to row; only where the tree forks do they go through memory.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from llvmlite import ir

from neomflex_jax.native.code import INDEX, INT32, Code, Vector, new_kernel
from neomflex_jax.native.scratch import ScratchRows
from neomflex_jax.powerflow.sweeps.depth_first import FIRST, GATHERS, HANDS_ON, LEAF

# of a row: the injection, then v^2 or its change over the branch, then v; what several children hand on
P, Q, CHANGE, VM, ALL_P, ALL_Q, ALL_LOSS, ALL_Q_LOSS = 0, 1, 0, 1, 2, 3, 4, 5
ROW_VECTORS = 6
SUMS = (ALL_P, ALL_Q, ALL_LOSS, ALL_Q_LOSS)
COEFFICIENTS = ("own_p", "own_q", "r", "x", "half_z_squared", "a", "b", "c")
OPERANDS = ("above", "row", "forks", *COEFFICIENTS, "slack_vm", "base", "p", "q")
RESULTS = ("vm", "loss", "q_loss", "solved", "scratch")
INTEGERS = ("above", "row", "forks", "solved")


def write_kernel(dtype: np.dtype[np.floating]) -> ir.Function:
    """Write the kernel for numbers of one precision.

    Takes the arrays named by `OPERANDS` and `RESULTS`, then the numbers of cases and of buses. `above` and `forks`
    (n_bus,) as in `DepthFirst`, `row` (n_bus,): row of each bus; the coefficients (n_bus,): of each row, per unit; p, q
    in units of which `base` make one per unit, and vm, (n_cases, n_bus), n_cases at least a vector's lanes.
    """
    names = (*OPERANDS, *RESULTS)
    function = new_kernel("calibrated", dtype, names, INTEGERS)
    _Calibrated(Code(function, dtype), dict(zip(names, function.args, strict=False)), *function.args[-2:]).write()
    return function


class _Calibrated:
    """The kernel's statements."""

    def __init__(self, code: Code, arrays: dict[str, ir.Value], n_cases: ir.Value, n_bus: ir.Value) -> None:
        self.code, self.build, self.arrays = code, code.build, arrays
        self.n_cases, self.n_bus = n_cases, n_bus
        self.rows = ScratchRows(code, arrays["scratch"], ROW_VECTORS, arrays["row"])
        self.zero = code.constant(0.0)
        self.slack_vm = code.everywhere(self.build.load(arrays["slack_vm"]))
        self.per_base = code.constant(1.0) / code.everywhere(self.build.load(arrays["base"]))
        self.carried = [code.variable(self.zero.value) for _ in SUMS]

    def write(self) -> None:
        """Solve all cases, a vector at a time; the last vector goes back over cases that were solved before."""
        build, rows, arrays, lanes = self.build, self.rows, self.arrays, INDEX(self.code.lanes)
        last = build.sub(self.n_cases, lanes)
        with self.code.count(INDEX(0), self.n_cases, self.code.lanes) as case:
            first = build.select(build.icmp_signed("<", case, last), case, last)
            rows.enter(arrays["p"], P, first, self.n_bus)
            rows.enter(arrays["q"], Q, first, self.n_bus)
            self.backward()
            for name, place in (("loss", self.carried[2]), ("q_loss", self.carried[3])):
                self.code.store(Vector(build, build.load(place)), arrays[name], first)
            solved = build.zext(self.forward(), self.code.integers)
            place = build.bitcast(build.gep(arrays["solved"], [first]), self.code.integers.as_pointer())
            build.store(solved, place, align=4)
            rows.leave(arrays["vm"], VM, first, self.n_bus)
        build.ret_void()

    def backward(self) -> None:
        """Sum injections and losses towards the slack; every row gets half the change of v^2 over its branch."""
        code, build, rows = self.code, self.build, self.rows
        with code.count(build.sub(self.n_bus, INDEX(1)), INDEX(-1), -1) as row:
            fork = self.fork(row)
            with build.if_then(fork(LEAF)):
                for place in self.carried:
                    build.store(self.zero.value, place)
            with build.if_then(fork(GATHERS)):
                for kind, place in zip(SUMS, self.carried, strict=True):
                    build.store((self.carry(place) + rows.get(row, kind)).value, place)
            with build.if_then(build.icmp_signed(">", row, INDEX(0))):
                self.pass_branch(row)
            with build.if_then(fork(HANDS_ON)):
                above = code.element(self.arrays["above"], row)
                with build.if_else(fork(FIRST)) as (first, later):
                    with first:
                        for kind, place in zip(SUMS, self.carried, strict=True):
                            rows.put(above, kind, self.carry(place))
                    with later:
                        for kind, place in zip(SUMS, self.carried, strict=True):
                            rows.put(above, kind, self.carry(place) + rows.get(above, kind))

    def pass_branch(self, row: ir.Value) -> None:
        """Add what a row's bus injects and what the branch above it loses."""
        p, q, loss, q_loss = (self.carry(place) for place in self.carried)
        own_p, own_q, r, x, half_z_squared, a, b, c = (self.broadcast(name, row) for name in COEFFICIENTS)
        p += self.rows.get(row, P) * self.per_base + own_p
        q += self.rows.get(row, Q) * self.per_base + own_q
        squared_current = (p * p + q * q) * (a + b * p + c * q)
        half_change = r * (p - loss) + x * (q - q_loss) - half_z_squared * squared_current
        self.rows.put(row, CHANGE, half_change)
        for place, value in zip(
            self.carried, (p, q, loss + r * squared_current, q_loss + x * squared_current), strict=True
        ):
            self.build.store(value.value, place)

    def forward(self) -> ir.Value:
        """Sum the changes from the slack; returns a flag for each case, True if it has a voltage everywhere."""
        code, build, rows = self.code, self.build, self.rows
        rows.put(INDEX(0), VM, self.slack_vm)
        squared = code.variable((self.slack_vm * self.slack_vm).value)
        solved = code.variable(ir.Constant(code.flags, [True] * code.lanes))
        two = code.constant(2.0)
        with code.count(INDEX(1), self.n_bus) as row:
            with build.if_then(self.fork(row)(HANDS_ON)):
                above = rows.get(code.element(self.arrays["above"], row), VM)
                build.store((above * above).value, squared)
            vm_squared = self.carry(squared) + two * rows.get(row, CHANGE)
            build.store(vm_squared.value, squared)
            vm = code.root(vm_squared)
            rows.put(row, VM, vm)
            real = build.fcmp_ordered(">", vm.value, self.zero.value)
            finite = build.fcmp_ordered("<", vm.value, code.constant(float("inf")).value)
            build.store(build.and_(build.load(solved), build.and_(real, finite)), solved)
        return build.load(solved)

    def fork(self, row: ir.Value) -> Callable[[int], ir.Value]:
        """Return a function that tests one of a row's flags."""
        build, flags = self.build, self.build.load(self.build.gep(self.arrays["forks"], [row]))
        return lambda flag: build.icmp_signed("!=", build.and_(flags, INT32(flag)), INT32(0))

    def carry(self, place: ir.Value) -> Vector:
        """Vector that was carried from the row before."""
        return Vector(self.build, self.build.load(place))

    def broadcast(self, name: str, row: ir.Value) -> Vector:
        """Vector with a row's number in every lane."""
        return self.code.everywhere(self.code.element(self.arrays[name], row))
