"""The loop of `unbalanced/iteration.py` as machine code for the host's vector units, loads' models and sums in one.

    y <- start + impedance c(y),   c from `branch_model.py`,   impedance by the sums of `sum_kernel.py`

A vector holds as many cases; they iterate together until all have stopped, the other cases of the batch apart, so that
a vector does what `iteration.py` does with a batch of as many cases: the same updates, stop test and slopes anew.
An update is kept as the matrix ``W`` of ``delta = f + a delta + b conj(delta)``, parts of f to parts of delta.

Scratch memory has, one after another: quantities of the sums, two vectors each, first the branches' currents; what is
kept of each branch; loads; and nodes at which devices feed in, each with one more that is 0.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir

from neomflex_jax.native.code import INDEX, INT32, Code, Vector, new_kernel
from neomflex_jax.native.dual import Dual
from neomflex_jax.native.scratch import ScratchRows
from neomflex_jax.powerflow.network.branch_arrays import LEAST_DETERMINANT, NEAR
from neomflex_jax.powerflow.stopping import UNTESTED
from neomflex_jax.powerflow.sweeps.branch_model import BranchModel, Power
from neomflex_jax.powerflow.sweeps.sum_kernel import write_sums

# of a branch: nominal power, what is drawn beside it, the rise, W by rows
P, Q, STEADY_P, STEADY_Q, RISE_R, RISE_I, W_RR, W_RI, W_IR, W_II = range(10)
BRANCH_VECTORS = 10
POWER_VECTORS = 2  # of a load or node: p and q
SUMS = ("first", "source", "real", "imaginary", "columns", "out")
BRANCHES = ("flags", "owner", "fed", "numbers")
OPERANDS = (*SUMS, *BRANCHES, "load_p", "load_q", "fed_p", "fed_q", "tolerance", "max_iterations")
RESULTS = ("rise", "drawn", "converged", "evaluations", "scratch")
INTEGERS = (
    *("first", "source", "columns", "out", "flags", "owner", "fed"),
    *("max_iterations", "converged", "evaluations"),
)


def write_kernel(dtype: np.dtype[np.floating]) -> ir.Function:
    """Write the kernel for numbers of one precision.

    Takes the arrays named by `OPERANDS` and `RESULTS`, then the numbers of cases, branches, sums' rows plus one, loads
    and nodes at which devices feed in. Sums are as `sum_kernel.py` has them, branches as `branch_arrays.py`; loads
    (n_cases, n_load) and nodes (n_cases, n_fed), of at least a vector's cases; rise and drawn (n_cases, 2 n_branch).
    """
    names = (*OPERANDS, *RESULTS)
    function = new_kernel("branches", dtype, names, INTEGERS, n_lengths=5)
    arrays = dict(zip(names, function.args, strict=False))
    BranchKernel(Code(function, dtype), arrays, *function.args[-5:]).write()
    return function


class BranchKernel:
    """The kernel's statements; those that another kernel writes otherwise are methods of their own."""

    branch_vectors = BRANCH_VECTORS

    def __init__(
        self,
        code: Code,
        arrays: dict[str, ir.Value],
        n_cases: ir.Value,
        n_branch: ir.Value,
        n_first: ir.Value,
        n_load: ir.Value,
        n_fed: ir.Value,
    ) -> None:
        self.code, self.build, self.arrays = code, code.build, arrays
        self.n_cases, self.n_branch, self.n_load, self.n_fed = n_cases, n_branch, n_load, n_fed
        build = self.build
        self.n_rows = build.sub(n_first, INDEX(1))
        self.n_columns = build.mul(n_branch, INDEX(2))
        n_quantities = build.add(n_branch, self.n_rows)
        of_branches = build.mul(n_quantities, INDEX(2 * code.lanes))
        of_loads = build.add(of_branches, build.mul(n_branch, INDEX(self.branch_vectors * code.lanes)))
        of_fed = build.add(of_loads, build.mul(build.add(n_load, INDEX(1)), INDEX(POWER_VECTORS * code.lanes)))
        self.end = build.add(of_fed, build.mul(build.add(n_fed, INDEX(1)), INDEX(POWER_VECTORS * code.lanes)))
        self.given = ScratchRows(code, arrays["scratch"], 1, arrays["columns"])
        self.branches, self.loads, self.fed = (
            ScratchRows(code, build.gep(arrays["scratch"], [start]), n_vectors, None)
            for start, n_vectors in (
                (of_branches, self.branch_vectors),
                (of_loads, POWER_VECTORS),
                (of_fed, POWER_VECTORS),
            )
        )
        self.get, self.put = self.branches.get, self.branches.put
        self.zero, self.one = code.constant(0.0), code.constant(1.0)
        tolerance = code.everywhere(build.load(arrays["tolerance"]))
        self.tolerance_squared = tolerance * tolerance
        self.most = build.load(arrays["max_iterations"])
        self.off = code.variable(self.zero.value)  # squared largest |f| of an evaluation

    def write(self) -> None:
        """Solve all cases, a vector at a time; the last vector goes back over cases that were solved before."""
        build = self.build
        last = build.sub(self.n_cases, INDEX(self.code.lanes))
        with self.code.count(INDEX(0), self.n_cases, self.code.lanes) as case:
            first = build.select(build.icmp_signed("<", case, last), case, last)
            self.enter(first)
            self.solve(first)
            self.leave(first)
        build.ret_void()

    def enter(self, first_case: ir.Value) -> None:
        """Copy a vector's worth of cases to the branches."""
        code = self.code
        for rows, names, n_columns in (
            (self.loads, ("load_p", "load_q"), self.n_load),
            (self.fed, ("fed_p", "fed_q"), self.n_fed),
        ):
            for kind, name in enumerate(names):
                rows.enter(self.arrays[name], kind, first_case, n_columns)
                rows.put(n_columns, kind, self.zero)
        with code.count(INDEX(0), self.n_branch) as branch:
            load, node = (code.element(self.arrays[name], branch) for name in ("owner", "fed"))
            share = self.model(branch).number("share")
            for kind in (0, 1):
                self.put(branch, P + kind, self.loads.get(load, kind) * share)
                self.put(branch, STEADY_P + kind, self.zero - self.fed.get(node, kind))
            for kind, value in ((RISE_R, self.zero), (RISE_I, self.zero), (W_RR, self.one), (W_RI, self.zero),
                                (W_IR, self.zero), (W_II, self.one)):  # fmt: skip
                self.put(branch, kind, value)  # the first update takes the evaluation as it is

    def leave(self, first_case: ir.Value) -> None:
        """Copy a vector's worth of cases to the results."""
        rise, n_branch = self.arrays["rise"], self.n_branch
        self.branches.leave(rise, RISE_R, first_case, n_branch, width=self.n_columns)
        self.branches.leave(rise, RISE_I, first_case, n_branch, skipped=n_branch, width=self.n_columns)
        self.given.leave(self.arrays["drawn"], 0, first_case, self.n_columns)

    def solve(self, first_case: ir.Value) -> None:
        """Iterate one vector of cases until each has stopped or given up."""
        code, build = self.code, self.build
        nothing = ir.Constant(code.flags, [False] * code.lanes)
        evaluations = code.variable(ir.Constant(code.integers, [0] * code.lanes))
        count, stopped = code.variable(INT32(0)), code.variable(nothing)
        renewed = code.variable(ir.Constant(ir.IntType(1), 0))
        more, running = (code.variable(ir.Constant(ir.IntType(1), 1)) for _ in range(2))
        with code.while_true(running):
            with code.count(INDEX(0), self.n_branch) as branch:
                self.draw(branch)
            build.store(build.load(more), running)
            with build.if_then(build.load(more)):
                before, was_stopped = Vector(build, build.load(self.off)), build.load(stopped)
                self.sum()
                self.update(build.icmp_signed("==", build.load(count), INT32(0)))
                off = Vector(build, build.load(self.off))
                build.store(build.add(build.load(count), INT32(1)), count)
                added = build.zext(build.not_(was_stopped), code.integers)
                build.store(build.add(build.load(evaluations), added), evaluations)
                tested = build.icmp_signed(">", build.load(count), INT32(UNTESTED))
                error_squared = self.error_squared(off, before)
                close = build.fcmp_ordered("<=", error_squared.value, self.tolerance_squared.value)
                close = build.or_(close, build.fcmp_ordered("==", off.value, self.zero.value))
                build.store(build.or_(was_stopped, build.select(tested, close, nothing)), stopped)
                going = self.going(tested, build.load(stopped), off, build.load(count))
                build.store(going, more)
                late = build.icmp_signed(">", build.load(count), INT32(UNTESTED + 1))
                far = self.far(error_squared, build.load(stopped))
                wanted = build.and_(build.or_(late, far), build.not_(build.load(renewed)))
                with build.if_then(build.and_(build.and_(going, tested), wanted)):
                    self.renew()
                    build.store(ir.Constant(ir.IntType(1), 1), renewed)
        for name, value in (("converged", build.zext(build.load(stopped), code.integers)),
                            ("evaluations", build.load(evaluations))):  # fmt: skip
            place = build.bitcast(build.gep(self.arrays[name], [first_case]), code.integers.as_pointer())
            build.store(value, place, align=4)

    def error_squared(self, off: Vector, before: Vector) -> Vector:
        """Square of the estimated error, ``2 |f| min(1, |f| / |f before|)``."""
        ratio = off / before
        shrinks = self.build.fcmp_ordered("<", ratio.value, self.one.value)
        return self.code.constant(4.0) * off * self.code.select(shrinks, ratio, self.one)

    def going(self, tested: ir.Value, stopped: ir.Value, off: Vector, count: ir.Value) -> ir.Value:
        """Whether another evaluation is needed, and allowed."""
        build = self.build
        finite = build.fcmp_ordered("<", off.value, self.code.constant(float("inf")).value)
        left = self.code.some(build.and_(build.not_(stopped), finite))
        return build.and_(build.or_(build.not_(tested), left), build.icmp_signed("<", count, self.most))

    def far(self, error_squared: Vector, stopped: ir.Value) -> ir.Value:
        """Whether any case that has not stopped is not near its end either."""
        build = self.build
        near = self.code.constant(NEAR**2) * self.tolerance_squared
        close = build.fcmp_ordered("<=", error_squared.value, near.value)
        return self.code.some(build.not_(build.or_(stopped, close)))

    def model(self, branch: ir.Value) -> BranchModel:
        """A branch's model."""
        return BranchModel(self.code, self.arrays["flags"], self.arrays["numbers"], branch)

    def power(self, branch: ir.Value) -> Power:
        """A branch's power."""
        return Power(*(self.get(branch, kind) for kind in (P, Q, STEADY_P, STEADY_Q)))

    def voltage(self, model: BranchModel, branch: ir.Value) -> tuple[Vector, Vector]:
        """A branch's voltage at its rise."""
        return model.number("start_r") + self.get(branch, RISE_R), model.number("start_i") + self.get(branch, RISE_I)

    def draw(self, branch: ir.Value) -> None:
        """Put a branch's current to what the sums are given."""
        model = self.model(branch)
        yr, yi = self.voltage(model, branch)
        g, b = model.admittance(model.squared(yr, yi), self.power(branch))
        self.put_current(branch, g * yr - b * yi, g * yi + b * yr)

    def put_current(self, branch: ir.Value, real: Vector, imaginary: Vector) -> None:
        """Set a branch's current."""
        row = self.build.mul(branch, INDEX(2))
        self.given.put(row, 0, real)
        self.given.put(self.build.add(row, INDEX(1)), 0, imaginary)

    def sum(self) -> None:
        """Work out what the currents do."""
        write_sums(self.code, self.arrays, self.given, self.n_columns, self.n_rows)

    def summed(self, branch: ir.Value) -> tuple[Vector, Vector]:
        """What the sums make of a branch's voltage."""
        row = self.code.element(self.arrays["out"], branch)  # the imaginary part's is the next one
        return self.given.get(row, 0), self.given.get(self.build.add(row, INDEX(1)), 0)

    def update(self, is_first: ir.Value) -> None:
        """``rise += W f`` for all branches, and the largest |f|; the first evaluation makes W from its rise."""
        code, build = self.code, self.build
        build.store(self.zero.value, self.off)
        with code.count(INDEX(0), self.n_branch) as branch:
            (gr, gi), rise_r, rise_i = self.summed(branch), self.get(branch, RISE_R), self.get(branch, RISE_I)
            fr, fi = gr - rise_r, gi - rise_i
            rr, ri, ir_, ii = (self.get(branch, kind) for kind in (W_RR, W_RI, W_IR, W_II))
            self.put(branch, RISE_R, rise_r + rr * fr + ri * fi)
            self.put(branch, RISE_I, rise_i + ir_ * fr + ii * fi)
            off = code.largest(Vector(build, build.load(self.off)), fr * fr + fi * fi)
            build.store(off.value, self.off)
            with build.if_then(is_first):
                h = self.model(branch).number("own_slope")
                self.keep_update(branch, h * gr, h * gi, (h - self.one) * gr, (h - self.one) * gi)

    def keep_update(self, branch: ir.Value, ar: Vector, ai: Vector, br: Vector, bi: Vector) -> None:
        """Set W from a and b; near collapse the plain update."""
        code, build, rest = self.code, self.build, self.one - ar
        det = rest * rest + ai * ai - br * br - bi * bi
        kept = build.fcmp_ordered(">", det.value, code.constant(LEAST_DETERMINANT).value)
        scale = self.one / det
        for kind, value, plain in ((W_RR, rest + br, self.one), (W_RI, bi - ai, self.zero), (W_IR, ai + bi, self.zero),
                                   (W_II, rest - br, self.one)):  # fmt: skip
            self.put(branch, kind, code.select(kept, value * scale, plain))

    def renew(self) -> None:
        """Set W from the slopes where the cases stand: what y and j y in all branches do to each."""
        code, build = self.code, self.build
        with code.count(INDEX(0), INDEX(2)) as direction:
            is_real = build.icmp_signed("==", direction, INDEX(0))
            along = [code.everywhere(build.uitofp(flag, code.number)) for flag in (is_real, build.not_(is_real))]
            with code.count(INDEX(0), self.n_branch) as branch:
                self.draw_change(branch, along[0], along[1])
            self.sum()
            with code.count(INDEX(0), self.n_branch) as branch:
                real, imaginary = self.summed(branch)
                with build.if_else(is_real) as (first, second):
                    with first:
                        self.put(branch, W_RR, real)
                        self.put(branch, W_RI, imaginary)
                    with second:
                        self.keep_slopes(branch, real, imaginary)

    def draw_change(self, branch: ir.Value, along_r: Vector, along_i: Vector) -> None:
        """Put the change of a branch's current along a direction of its voltage to what the sums are given."""
        model = self.model(branch)
        yr, yi = self.voltage(model, branch)
        m_squared = Dual(model.squared(yr, yi), self.one)
        g, b = model.admittance(m_squared, self.power(branch))
        change = self.code.constant(2.0) * model.number("r_squared") * (yr * along_r + yi * along_i)
        real = g.value * along_r - b.value * along_i + (g.slope * yr - b.slope * yi) * change
        imaginary = g.value * along_i + b.value * along_r + (g.slope * yi + b.slope * yr) * change
        self.put_current(branch, real, imaginary)

    def keep_slopes(self, branch: ir.Value, turned_r: Vector, turned_i: Vector) -> None:
        """Set W from a + b, kept in its place, and j (a - b)."""
        half, sum_r, sum_i = self.code.constant(0.5), self.get(branch, W_RR), self.get(branch, W_RI)
        difference_r, difference_i = turned_i, self.zero - turned_r
        parts = [
            half * part
            for part in (sum_r + difference_r, sum_i + difference_i, sum_r - difference_r, sum_i - difference_i)
        ]
        self.keep_update(branch, *parts)
