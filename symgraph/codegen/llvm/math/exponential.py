"""exp and its relatives, all through one reduction: x = n*ln(2) + r with |r| <= ln(2)/2.

Owns: exp, exp2, expm1, sinh, cosh, tanh, sigmoid, gated_tanh. Invariant: every reduction clamps
its argument first, so the exponent n stays where `scale` is exact; comparisons are ordered, so NaN
passes.
"""

from __future__ import annotations

from dataclasses import dataclass

from symgraph.codegen.llvm.math import coefficients
from symgraph.codegen.llvm.math.code import (
    Code,
    Value,
    absolute,
    copy_sign,
    fma,
    power_of_two,
    round_to_int,
    scale,
    select,
)

LOG2_E = 1.4426950408889634


@dataclass(frozen=True, slots=True)
class ExpLimits:
    """Where exp leaves the format, and ln(2) in two parts: n * high is exact for every n used.

    exp is 0 below `underflow` and infinite above `overflow`, exp/2 above `half_overflow`.
    """

    underflow: float
    overflow: float
    half_overflow: float
    ln2_high: float
    ln2_low: float


# 9 and 32 bits of ln(2), times at most 9 and 12 bits of n, fit 24 and 53 bits.
LIMITS = {
    32: ExpLimits(
        -104.0,
        89.0,
        89.45,
        float.fromhex("0x1.63p-1"),
        float.fromhex("-0x1.bd0106p-13"),
    ),
    64: ExpLimits(
        -746.0,
        710.0,
        710.5,
        float.fromhex("0x1.62e42feep-1"),
        float.fromhex("0x1.a39ef35793c76p-33"),
    ),
}
EXP = {32: coefficients.EXP_32, 64: coefficients.EXP_64}
EXPM1 = {32: coefficients.EXPM1_32, 64: coefficients.EXPM1_64}
EXP2 = {32: coefficients.EXP2_32, 64: coefficients.EXP2_64}
LN2_PARTS = {  # ln(2) rounded, and the rest
    32: (float.fromhex("0x1.62e430p-1"), float.fromhex("-0x1.05c610p-29")),
    64: (float.fromhex("0x1.62e42fefa39efp-1"), float.fromhex("0x1.abc9e3b39803fp-56")),
}


def limits_of(code: Code) -> ExpLimits:
    return LIMITS[code.format.bits]


def clamp(x: Value, low: float, high: float) -> Value:
    """x between two bounds; NaN stays NaN because both comparisons are false."""
    x = select(x > high, high, x)
    return select(x < low, low, x)


def reduce(x: Value) -> tuple[Value, Value]:
    """(r, n) with x = n*ln(2) + r, for a clamped x."""
    limits = limits_of(x.code)
    n_float, n = round_to_int(x * LOG2_E)
    r = fma(n_float, -limits.ln2_high, x)
    return fma(n_float, -limits.ln2_low, r), n


def exp_parts(x: Value) -> tuple[Value, Value]:
    """(m, n) with exp(x) = m * 2**n and m near [0.7, 1.42], for a clamped x."""
    r, n = reduce(x)
    tail = x.code.polynomial(r, EXP[x.code.format.bits])
    if x.code.features.fma:
        return fma(fma(tail, r, 1.0), r, 1.0), n
    # Without an FMA Horner's last product would round; r*r*tail is small enough not to matter.
    return r * r * tail + r + 1.0, n


def expm1_parts(x: Value) -> tuple[Value, Value]:
    """(p, n) with exp(x) = (1 + p) * 2**n and p accurate near 0, for a clamped x."""
    r, n = reduce(x)
    square = r * r
    tail = x.code.polynomial(r, EXPM1[x.code.format.bits])
    return r + fma(square * r, tail, square * 0.5), n


def exp(x: Value) -> Value:
    limits = limits_of(x.code)
    mantissa, n = exp_parts(clamp(x, limits.underflow, limits.overflow))
    return scale(mantissa, n)


def exp2(x: Value) -> Value:
    code = x.code
    lowest = -code.format.bias - code.format.mantissa_bits - 1.0
    clamped = clamp(x, lowest, code.format.bias + 1.0)
    n_float, n = round_to_int(clamped)
    r = clamped - n_float
    high, low = LN2_PARTS[code.format.bits]
    tail = fma(r * r, code.polynomial(r, EXP2[code.format.bits]), r * low)
    return scale(fma(r, high, tail) + 1.0, n)


def half_expm1(x: Value) -> Value:
    """(exp(x) - 1) / 2 for a clamped x: half, so that sinh does not overflow early."""
    p, n = expm1_parts(x)
    # Far below 0 the result is -1/2 whatever n is; the bound keeps the power a normal number.
    lowest = -(x.code.format.bias // 2)
    quarter_power = power_of_two(select(n < lowest, lowest, n - 2))
    return fma(quarter_power, p, quarter_power - 0.25) * 2.0


def is_own_result(magnitude: Value) -> Value:
    """True where f(x) = x + O(x**2) is x, and where a quarter of x might lose bits."""
    return magnitude < 16.0 * magnitude.code.format.smallest_normal


def expm1(x: Value) -> Value:
    limits = limits_of(x.code)
    half = half_expm1(clamp(x, limits.underflow, limits.overflow))
    return select(is_own_result(absolute(x)), x, half * 2.0)


def clamp_magnitude(x: Value) -> Value:
    """|x|, but no larger than where exp(x)/2 has overflowed."""
    high = limits_of(x.code).half_overflow
    magnitude = absolute(x)
    return select(magnitude > high, high, magnitude)


def sinh(x: Value) -> Value:
    """With h = expm1(|x|)/2: sinh = h + h/(2h+1)."""
    magnitude = clamp_magnitude(x)
    half = half_expm1(magnitude)
    result = select(half > 2.0**60, half, half + half / (half * 2.0 + 1.0))
    return copy_sign(select(is_own_result(magnitude), magnitude, result), x)


def cosh(x: Value) -> Value:
    """exp(|x|)/2 + exp(-|x|)/2."""
    mantissa, n = exp_parts(clamp_magnitude(x))
    half = scale(mantissa, n - 1)
    return half + 0.25 / half


def tanh(x: Value) -> Value:
    """(exp(2|x|) - 1) / (exp(2|x|) + 1), both from one p and n, so nothing cancels.

    Where the result is above 1/2 it is 1 - 2 / (exp(2|x|) + 1), whose errors count less.
    """
    code = x.code
    magnitude = absolute(x)
    saturated = 10.0 if code.format.bits == 32 else 20.0
    limited = select(magnitude > saturated, saturated, magnitude)
    p, n = expm1_parts(limited + limited)
    power = power_of_two(n)
    is_large = magnitude > 0.55
    numerator = select(is_large, 2.0, fma(power, p, power - 1.0))
    quotient = numerator / fma(power, p, power + 1.0)
    result = select(is_large, 1.0 - quotient, quotient)
    return copy_sign(select(is_own_result(magnitude), magnitude, result), x)


def sigmoid(x: Value) -> Value:
    """1/(1+e) for x >= 0 and e/(1+e) below, with e = exp(-|x|): small results stay accurate."""
    numerator, denominator = sigmoid_parts(x)
    return numerator / denominator


def sigmoid_parts(x: Value) -> tuple[Value, Value]:
    limits = limits_of(x.code)
    negative = -absolute(x)
    mantissa, n = exp_parts(select(negative < limits.underflow, limits.underflow, negative))
    e = scale(mantissa, n)
    return select(x < 0.0, e, 1.0), e + 1.0


def gated_tanh(x: Value, y: Value) -> Value:
    """sigmoid(x) * tanh(y), with one division for both: it takes longer than all the rest."""
    code = y.code
    magnitude = absolute(y)
    saturated = 10.0 if code.format.bits == 32 else 20.0
    limited = select(magnitude > saturated, saturated, magnitude)
    p, n = expm1_parts(limited + limited)
    power = power_of_two(n)
    tiny = is_own_result(magnitude)
    above = select(tiny, magnitude, fma(power, p, power - 1.0))
    below = select(tiny, 1.0, fma(power, p, power + 1.0))
    numerator, denominator = sigmoid_parts(x)
    return copy_sign(numerator * above / (denominator * below), y)
