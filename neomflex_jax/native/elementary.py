"""Exponential and logarithm on vectors, to a few units in the last place, without a library's.

    exp(x) = 2^n exp(r),   n = round(x / ln 2),   |r| <= ln(2) / 2,   exp(r) by its Taylor series
    log(x) = e ln 2 + 2 (s + s^3 / 3 + s^5 / 5 + ...),   x = 2^e m,   s = (m - 1) / (m + 1),   |s| <= 0.172

LLVM has both as calls of the C library's scalar functions, which machine code may not find when it is loaded. Source of
the reductions: J.-M. Muller, "Elementary Functions", 3rd edition, 2016, chapters 3 and 11.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from llvmlite import ir

from neomflex_jax.native.code import Code, Vector
from neomflex_jax.native.dual import Dual, Number


class _Format(NamedTuple):
    """How a precision's numbers are made, and how many terms its series need."""

    bits: int
    fraction_bits: int
    bias: int
    largest: float  # |x| up to which exp(x) is a normal number
    exp_terms: int
    log_terms: int


_FORMATS = {32: _Format(32, 23, 127, 87.0, 8, 6), 64: _Format(64, 52, 1023, 708.0, 14, 12)}


def exponential(code: Code, number: Number) -> Number:
    """``exp(x)``; from where it would overflow or vanish, what it is there."""
    if isinstance(number, Dual):
        value = exponential(code, number.value)
        return Dual(value, value * number.slope)
    build, form, integers = code.build, _format(code), _integers(code)
    x = _clamped(code, number, form.largest)
    magic = 1.5 * 2.0**form.fraction_bits  # a number of its size has no fraction
    shifted = x * code.constant(1 / math.log(2)) + code.constant(magic)
    whole = shifted - code.constant(magic)
    high, low = _ln2(code)
    r = x - whole * high - whole * low
    total = code.constant(1 / math.factorial(form.exp_terms - 1))
    for order in range(form.exp_terms - 2, -1, -1):
        total = total * r + code.constant(1 / math.factorial(order))
    n = build.sub(build.bitcast(shifted.value, integers), build.bitcast(code.constant(magic).value, integers))
    exponent = build.shl(build.add(n, _everywhere(integers, form.bias)), _everywhere(integers, form.fraction_bits))
    return total * Vector(build, build.bitcast(exponent, code.vector))


def logarithm(code: Code, number: Number) -> Number:
    """``log(x)`` of normal x > 0."""
    if isinstance(number, Dual):
        return Dual(logarithm(code, number.value), number.slope / number.value)
    build, form, integers = code.build, _format(code), _integers(code)
    bits = build.bitcast(number.value, integers)
    fraction = build.and_(bits, _everywhere(integers, (1 << form.fraction_bits) - 1))
    one = _everywhere(integers, form.bias << form.fraction_bits)
    m = Vector(build, build.bitcast(build.or_(fraction, one), code.vector))  # 1 <= m < 2
    large = build.fcmp_ordered(">", m.value, code.constant(math.sqrt(2)).value)
    e = build.sub(build.lshr(bits, _everywhere(integers, form.fraction_bits)), _everywhere(integers, form.bias))
    e = build.add(e, build.zext(large, integers))
    m = code.select(large, code.constant(0.5) * m, m)
    s = (m - code.constant(1.0)) / (m + code.constant(1.0))
    squared = s * s
    total = code.constant(1 / (2 * form.log_terms - 1))
    for term in range(form.log_terms - 2, -1, -1):
        total = total * squared + code.constant(1 / (2 * term + 1))
    whole = Vector(build, build.sitofp(e, code.vector))
    high, low = _ln2(code)
    return whole * high + (whole * low + code.constant(2.0) * s * total)


def _clamped(code: Code, x: Vector, largest: float) -> Vector:
    """Number between the limits; NaN stays."""
    top, bottom = code.constant(largest), code.constant(-largest)
    x = code.select(code.build.fcmp_ordered(">", x.value, top.value), top, x)
    return code.select(code.build.fcmp_ordered("<", x.value, bottom.value), bottom, x)


def _ln2(code: Code) -> tuple[Vector, Vector]:
    """``ln 2`` in two parts, the first so short that the exponents of numbers times it are not rounded."""
    high = math.floor(math.log(2) * 2**12) / 2**12
    return code.constant(high), code.constant(math.log(2) - high)


def _format(code: Code) -> _Format:
    return _FORMATS[32 if isinstance(code.number, ir.FloatType) else 64]


def _integers(code: Code) -> ir.Type:
    return ir.VectorType(ir.IntType(_format(code).bits), code.lanes)


def _everywhere(integers: ir.VectorType, value: int) -> ir.Value:
    return ir.Constant(integers, [value] * integers.count)
