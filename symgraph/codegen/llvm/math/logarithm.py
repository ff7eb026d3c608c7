"""log and its relatives, all through one reduction: x = 2**e * (1 + f), 1 + f in [1/2, 2]**(1/2).

Owns: log, log2, log1p, and the pieces of them that pow uses. The split of log2 into parts whose
products are exact follows the published scheme of FreeBSD's e_log2.c.
"""

from __future__ import annotations

import struct

from symgraph.codegen.llvm.math import coefficients
from symgraph.codegen.llvm.math.code import (
    Value,
    fma,
    int_to_float,
    power_of_two,
    select,
    two_sum,
)

INFINITY = float("inf")
NAN = float("nan")
# ln(2) and log2(e) in two parts; the first has few enough bits for exact products.
LN2 = {
    32: (float.fromhex("0x1.63p-1"), float.fromhex("-0x1.bd0106p-13")),
    64: (float.fromhex("0x1.62e42feep-1"), float.fromhex("0x1.a39ef35793c76p-33")),
}
LOG2_E = {
    32: (float.fromhex("0x1.714p0"), float.fromhex("0x1.47652cp-12")),
    64: (float.fromhex("0x1.7154764p0"), float.fromhex("0x1.2b82fe1777d10p-28")),
}


def sqrt_half_bits(bits: int) -> int:
    """The bits of sqrt(1/2), where the mantissa range starts."""
    root = 0.7071067811865476
    if bits == 64:
        return int(struct.unpack("<q", struct.pack("<d", root))[0])
    return int(struct.unpack("<i", struct.pack("<f", root))[0])


def split_exponent(x: Value) -> tuple[Value, Value]:
    """(m, e) with x = m * 2**e and m in [sqrt(1/2), sqrt(2)), for a positive normal x."""
    form = x.code.format
    low = sqrt_half_bits(form.bits)
    # The offset of one bias keeps the number positive, so that a logical shift does.
    shifted = x.as_int() + ((form.bias << form.mantissa_bits) - low)
    exponent = (shifted >> form.mantissa_bits) - form.bias
    mantissa = (shifted & ((1 << form.mantissa_bits) - 1)) + low
    return mantissa.as_float(), exponent


def split_any_positive(x: Value) -> tuple[Value, Value]:
    """`split_exponent` that also takes denormals, by scaling them up first."""
    form = x.code.format
    shift = form.mantissa_bits + 2
    is_denormal = x < form.smallest_normal
    mantissa, exponent = split_exponent(select(is_denormal, x * 2.0**shift, x))
    return mantissa, select(is_denormal, exponent - shift, exponent)


def log_tail(f: Value, half_square: Value) -> Value:
    """log(1+f) - (f - f*f/2)."""
    code = f.code
    if not code.is_double:
        return f * f * f * code.polynomial(f, coefficients.LOG_32)
    # With s = f/(2+f): log(1+f) = 2s + s**3*P(s*s), and 2s = f - s*f = f - half_square
    # + s*half_square, which leaves the large terms exact.
    s = f / (f + 2.0)
    z = s * s
    return s * fma(z, code.polynomial(z, coefficients.LOG_OF_S_64), half_square)


def finish(x: Value, result: Value) -> Value:
    """The values of a logarithm at 0, below it, at infinity and at NaN."""
    result = select(x.compare("lt", INFINITY), result, x)
    result = select(x.equals(0.0), -INFINITY, result)
    return select(x < 0.0, NAN, result)


def log_of_parts(f: Value, exponent: Value) -> Value:
    """log(1+f) + exponent*ln(2), the small terms first."""
    high, low = LN2[f.code.format.bits]
    e = int_to_float(exponent)
    half_square = f * f * 0.5
    rest = fma(e, low, log_tail(f, half_square)) - half_square
    return fma(e, high, rest + f)


def log(x: Value) -> Value:
    mantissa, exponent = split_any_positive(x)
    return finish(x, log_of_parts(mantissa - 1.0, exponent))


def log2(x: Value) -> Value:
    code = x.code
    mantissa, exponent = split_any_positive(x)
    f = mantissa - 1.0
    half_square = f * f * 0.5
    kept = code.format.mantissa_bits // 2 + 1
    high = ((f - half_square).as_int() & -(1 << kept)).as_float()
    low = ((f - high) - half_square) + log_tail(f, half_square)
    high_factor, low_factor = LOG2_E[code.format.bits]
    small = fma(low + high, low_factor, low * high_factor)
    total, error = two_sum(int_to_float(exponent), high * high_factor)
    return finish(x, total + (error + small))


def log1p(x: Value) -> Value:
    """log of the rounded 1+x, with the rounding error of the sum put back into f."""
    form = x.code.format
    u, error = two_sum(x.code.constant(1.0), x)
    mantissa, exponent = split_exponent(u)
    lowest = -(form.bias - 1)
    negated = -exponent
    power = power_of_two(select(negated < lowest, lowest, negated))
    f = fma(error, power, mantissa - 1.0)
    result = finish(u, log_of_parts(f, exponent))
    return select(u.equals(1.0), x, result)
