"""Numbers with their derivative by one variable, for code that is written once and needed with and without it.

    (a, a') + (b, b') = (a + b, a' + b'),   (a, a') (b, b') = (a b, a' b + a b')

Forward-mode differentiation by dual numbers: A. Griewank, A. Walther, "Evaluating Derivatives", 2008, chapter 3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from llvmlite import ir

from neomflex_jax.native.code import Code, Vector


@dataclass(frozen=True)
class Dual:
    """A vector of values and one of slopes; what is joined to it without a slope is a constant."""

    value: Vector
    slope: Vector

    def __add__(self, other: Dual | Vector) -> Dual:
        if isinstance(other, Vector):
            return Dual(self.value + other, self.slope)
        return Dual(self.value + other.value, self.slope + other.slope)

    def __sub__(self, other: Dual | Vector) -> Dual:
        if isinstance(other, Vector):
            return Dual(self.value - other, self.slope)
        return Dual(self.value - other.value, self.slope - other.slope)

    def __mul__(self, other: Dual | Vector) -> Dual:
        if isinstance(other, Vector):
            return Dual(self.value * other, self.slope * other)
        return Dual(self.value * other.value, self.slope * other.value + self.value * other.slope)


Number = TypeVar("Number", Vector, Dual)


def inverse(code: Code, number: Number) -> Number:
    """``1 / x``."""
    if isinstance(number, Vector):
        return code.constant(1.0) / number
    found = code.constant(1.0) / number.value
    return Dual(found, code.constant(0.0) - found * found * number.slope)


def root(code: Code, number: Number) -> Number:
    """Square root of x > 0."""
    if isinstance(number, Vector):
        return code.root(number)
    found = code.root(number.value)
    return Dual(found, code.constant(0.5) * number.slope / found)


def constant(code: Code, value: Vector, like: Number) -> Number:
    """A constant as a number of the same kind."""
    return value if isinstance(like, Vector) else Dual(value, code.constant(0.0))


def value_of(number: Number) -> Vector:
    """The number without its slope."""
    return number if isinstance(number, Vector) else number.value


def select(code: Code, flags: ir.Value, one: Number, other: Number) -> Number:
    """The one number in lanes whose flag is true, else the other."""
    if isinstance(one, Vector) or isinstance(other, Vector):
        return code.select(flags, one, other)
    return Dual(code.select(flags, one.value, other.value), code.select(flags, one.slope, other.slope))


def changed_where(
    code: Code, condition: ir.Value, numbers: list[Number], change: Callable[[], list[Number]]
) -> list[Number]:
    """What `change` returns where the condition, one for all lanes, is true when it runs; else the numbers."""
    before = [_parts(number) for number in numbers]
    places = [[code.variable(part.value) for part in parts] for parts in before]
    with code.build.if_then(condition):
        for number, place in zip(change(), places, strict=True):
            for part, where in zip(_parts(number), place, strict=True):
                code.build.store(part.value, where)
    found = [[Vector(code.build, code.build.load(where)) for where in place] for place in places]
    return [parts[0] if isinstance(n, Vector) else Dual(*parts) for n, parts in zip(numbers, found, strict=True)]


def _parts(number: Number) -> list[Vector]:
    return [number] if isinstance(number, Vector) else [number.value, number.slope]
