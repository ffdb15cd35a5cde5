"""The kernel of `ac_kernel.py` for cases with ratios and shunts of their own.

    backward, from the ends:    J_k as there, with the case's own y_k; the bus above gets c_k J_k
    forward, from the slack:    w_k = c_k w_above,  g_k = c_k g_above + z_k J_k

c is a branch's factor of `taps.py`, 1 where no tap changer is. Where the branch's from end is the lower one, its
impedance lies above the ratio: it carries c J, and what it drops is seen c times, so that c^2 J stands for J in the
last line. The few branches that have a tap changer are told by a flag, which a processor foresees: others multiply
nothing.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir

from neomflex_jax.native.code import INDEX, INT32, Code, Vector, new_kernel
from neomflex_jax.native.scratch import ScratchRows
from neomflex_jax.powerflow.sweeps import ac_kernel
from neomflex_jax.powerflow.sweeps.ac_kernel import J_I, J_R, RESULTS, AcSweep

# of a row, after those of `ac_kernel.py`: its bus's w and y, the factor of the branch above it
NO_LOAD, G, B, FACTOR = range(ac_kernel.ROW_VECTORS, ac_kernel.ROW_VECTORS + 4)
ROW_VECTORS = ac_kernel.ROW_VECTORS + 4
NO_TAP, DOWNWARD, UPWARD = range(3)  # upward: the branch's from end is the lower one
OPERANDS = (*ac_kernel.OPERANDS, "factor", "tap_row", "tap", "own")
INTEGERS = (*ac_kernel.INTEGERS, "tap_row", "tap", "own")
OWN = {"g": G, "b": B, "factor": FACTOR}


def write_kernel(dtype: np.dtype[np.floating]) -> ir.Function:
    """Write the kernel for numbers of one precision.

    Takes what `ac_kernel.write_kernel` does, then the number of tap changers, but g, b of buses: (n_cases, n), or of as
    many rows alike as a vector has lanes. `factor` (n_cases, n_tap), or as many rows alike; `tap_row` (n_tap,): row of
    the bus below each tap changer's branch; `tap` (n + 1,): `NO_TAP`, `DOWNWARD` or `UPWARD` of the branch above each
    row's bus; `own` (3,): 1 where g, b and factor differ from case to case, else 0.
    """
    names = (*OPERANDS, *RESULTS)
    function = new_kernel("sweep_with_settings", dtype, names, INTEGERS, n_lengths=3)
    arrays = dict(zip(names, function.args, strict=False))
    _SettingSweep(Code(function, dtype), arrays, *function.args[-3:]).write()
    return function


class _SettingSweep(AcSweep):
    """The kernel's statements."""

    row_vectors = ROW_VECTORS

    def __init__(
        self, code: Code, arrays: dict[str, ir.Value], n_cases: ir.Value, n_bus: ir.Value, n_tap: ir.Value
    ) -> None:
        super().__init__(code, arrays, n_cases, n_bus)
        self.tapped = ScratchRows(code, arrays["scratch"], self.row_vectors, arrays["tap_row"])
        self.n_tap = n_tap

    def enter(self, first_case: ir.Value) -> None:
        """Copy a vector's worth of cases to the rows, what all cases share with the first alone, and work out w."""
        super().enter(first_case)
        build = self.build
        for place, (name, kind) in enumerate(OWN.items()):
            rows, n_columns = (self.tapped, self.n_tap) if name == "factor" else (self.rows, self.n_bus)
            own = self.code.element(self.arrays["own"], INDEX(place))
            is_new = build.or_(build.trunc(own, ir.IntType(1)), build.icmp_signed("==", first_case, INDEX(0)))
            with build.if_then(is_new):
                rows.enter(self.arrays[name], kind, build.mul(first_case, own), n_columns)
        self.put(INDEX(0), NO_LOAD, self.slack_vm)
        with self.code.count(INDEX(1), self.n_rows) as row:
            above = self.code.element(self.arrays["above"], row)
            self.put(row, NO_LOAD, *self.times_factor(row, self.get(above, NO_LOAD)))

    def no_load(self, row: ir.Value) -> Vector:
        """Voltage w of a row's bus."""
        return self.get(row, NO_LOAD)

    def admittance(self, row: ir.Value) -> tuple[Vector, Vector]:
        """Real and imaginary part of a row's y."""
        return self.get(row, G), self.get(row, B)

    def handed_up(self, row: ir.Value, jr: Vector, ji: Vector) -> tuple[Vector, Vector]:
        """Current that the bus above a row's gets of the row's J."""
        handed = self.times_factor(row, jr, ji)
        with self.build.if_then(self.has(row, UPWARD)):
            for kind, part in zip((J_R, J_I), handed, strict=True):
                self.put(row, kind, part * self.get(row, FACTOR))
        return handed[0], handed[1]

    def handed_down(self, row: ir.Value, gr: Vector, gi: Vector) -> tuple[Vector, Vector]:
        """Rise that a row's bus gets of that of the bus above."""
        handed = self.times_factor(row, gr, gi)
        return handed[0], handed[1]

    def times_factor(self, row: ir.Value, *values: Vector) -> list[Vector]:
        """Multiply vectors by the factor of the branch above a row's bus."""
        places = [self.code.variable(each.value) for each in values]
        with self.build.if_then(self.build.not_(self.has(row, NO_TAP))):
            factor = self.get(row, FACTOR)
            for place, each in zip(places, values, strict=True):
                self.build.store((each * factor).value, place)
        return [Vector(self.build, self.build.load(place)) for place in places]

    def has(self, row: ir.Value, tap: int) -> ir.Value:
        """Flag, true where the branch above a row's bus has this tap changer."""
        own = self.build.load(self.build.gep(self.arrays["tap"], [row]))
        return self.build.icmp_signed("==", own, INT32(tap))
