"""What a branch of an unbalanced feeder's loads draws, as statements: `unbalanced/admittance.py` in machine code.

    c = (g + j b) y,   g = p k_p(m^2) + p_steady / m^2 - p_within,   b = -(q k_q(m^2) + q_steady / m^2 - q_within)

y is the branch's voltage of its own without load, m the same of its nominal one; k is the model's admittance, as
`grid/unbalanced/load_model.py` has it. What no lane of a vector needs, the line below `vminpu` say, is skipped; what a
branch never needs its flags say. Written once for numbers and for numbers with a derivative by m^2 (`native/dual.py`).
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from llvmlite import ir

from neomflex_jax.native.code import INDEX, Code, Vector
from neomflex_jax.native.dual import Number, changed_where, constant, inverse, root, select, value_of
from neomflex_jax.native.elementary import exponential, logarithm
from neomflex_jax.powerflow.network.branch_arrays import (
    COLUMNS,
    CURRENT,
    CUT_OFF,
    FED,
    LEAST,
    LIMITED,
    LOW,
    MIXED,
    OUTSIDE,
    P_EXPONENT,
    Q_EXPONENT,
    STEEPNESS,
    WITHIN,
)


class Power(NamedTuple):
    """Nominal power of a branch, and what is drawn beside it at any voltage."""

    p: Vector
    q: Vector
    steady_p: Vector
    steady_q: Vector


class BranchModel:
    """The model of one branch, at the place of the code where it is made."""

    def __init__(self, code: Code, flags: ir.Value, numbers: ir.Value, branch: ir.Value) -> None:
        self.code, self.build, self.numbers = code, code.build, numbers
        self.first = self.build.mul(branch, INDEX(len(COLUMNS)))
        self.flags = code.element(flags, branch)

    def number(self, name: str) -> Vector:
        """One of `COLUMNS`, in every lane."""
        place = self.build.add(self.first, INDEX(COLUMNS.index(name)))
        return self.code.everywhere(self.code.element(self.numbers, place))

    def has(self, flag: int) -> ir.Value:
        """Whether the branch needs a part of the models."""
        return self.build.icmp_unsigned("!=", self.build.and_(self.flags, INDEX(flag)), INDEX(0))

    def squared(self, yr: Vector, yi: Vector) -> Vector:
        """``m^2``, never 0."""
        found, least = self.number("r_squared") * (yr * yr + yi * yi), self.code.constant(LEAST)
        return self.code.select(self.build.fcmp_ordered("<", found.value, least.value), least, found)

    def admittance(self, m_squared: Number, power: Power) -> tuple[Number, Number]:
        """``g`` and ``b`` at a squared voltage."""
        code = self.code
        as_power = inverse(code, m_squared)
        k_p, k_q = self._followed(m_squared, as_power)
        g, b = k_p * power.p, constant(code, code.constant(0.0), k_q) - k_q * power.q

        def with_steady() -> list[Number]:
            return [g + as_power * power.steady_p, b - as_power * power.steady_q]

        g, b = changed_where(code, self.has(FED), [g, b], with_steady)

        def without_within() -> list[Number]:
            return [g - self.number("within_p"), b + self.number("within_q")]

        g, b = changed_where(code, self.has(WITHIN), [g, b], without_within)
        return g, b

    def _followed(self, m_squared: Number, plain: Number) -> tuple[Number, Number]:
        """``k_p`` and ``k_q``; `plain` is a constant power's without limits."""
        code, build, nothing = self.code, self.build, self.code.constant(0.0)
        squared = value_of(m_squared)
        (as_current,) = changed_where(
            code, self.has(CURRENT), [constant(code, nothing, plain)], lambda: [root(code, plain)]
        )
        low, high = self._beyond(squared)
        limited, beyond = self.has(LIMITED), build.or_(low, high)
        out = build.and_(limited, code.some(beyond))
        as_power, as_current = changed_where(
            code, out, [plain, as_current], lambda: self._kept(plain, as_current, low, high)
        )
        k = changed_where(
            code,
            self.has(MIXED),
            [as_power, as_power],
            lambda: [self._mixed("inside", part, as_power, as_current) for part in "pq"],
        )
        for place, (part, flag) in enumerate((("p", P_EXPONENT), ("q", Q_EXPONENT))):
            (k[place],) = changed_where(code, self.has(flag), [k[place]], partial(self._exponential, part, m_squared))

        def outside() -> list[Number]:
            others = [self._mixed("outside", part, as_power, as_current) for part in "pq"]
            return [select(code, beyond, other, own) for other, own in zip(others, k, strict=True)]

        k = changed_where(code, build.and_(out, self.has(OUTSIDE)), k, outside)
        k = changed_where(code, self.has(CUT_OFF), k, lambda: [part * self._on(m_squared) for part in k])
        at_rest = build.fcmp_ordered("<=", squared.value, self.number("v_low_squared").value)
        one = constant(code, code.constant(1.0), plain)
        resting = build.and_(self.has(LOW), code.some(at_rest))
        k = changed_where(code, resting, k, lambda: [select(code, at_rest, one, part) for part in k])
        return k[0], k[1]

    def _beyond(self, squared: Vector) -> tuple[ir.Value, ir.Value]:
        """Flags of the lanes below and above the limits."""
        low = self.build.fcmp_ordered("<=", squared.value, self.number("v_min_squared").value)
        return low, self.build.fcmp_ordered(">", squared.value, self.number("v_max_squared").value)

    def _kept(self, plain: Number, current: Number, low: ir.Value, high: ir.Value) -> list[Number]:
        """Admittances of constant power and current with the limits; `current` may be 0 where none is needed."""
        code, at = self.code, root(self.code, plain)
        found = []
        for name, inside in (("power", plain), ("current", current)):
            line = at * self.number(f"{name}_offset") + self.number(f"{name}_slope")
            above = constant(code, self.number(f"high_{name}"), plain)
            found.append(select(code, high, above, select(code, low, line, inside)))
        return found

    def _mixed(self, side: str, part: str, as_power: Number, as_current: Number) -> Number:
        """``k`` by shares."""
        z, i, c = (self.number(f"{side}_{part}_{share}") for share in "zic")
        return as_power * c + as_current * i + z

    def _exponential(self, part: str, m_squared: Number) -> list[Number]:
        """``m^(a - 2)``."""
        return [exponential(self.code, logarithm(self.code, m_squared) * self.number(f"{part}_exponent"))]

    def _on(self, m_squared: Number) -> Number:
        """``(1 + tanh(500 (m - cut_off))) / 2``."""
        code = self.code
        over = (root(code, m_squared) - self.number("cut_off")) * code.constant(-2 * STEEPNESS)
        return inverse(code, exponential(code, over) + code.constant(1.0))
