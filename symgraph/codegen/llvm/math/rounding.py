"""Rounding to integers, minimum and maximum, square roots, scaling, fmod.

Owns: everything that is exact or rounds once. Where the target has no rounding instruction, adding
and subtracting 2**mantissa rounds, because the sum has no fractional bits left.
"""

from __future__ import annotations

from symgraph.codegen.llvm.math.code import (
    Value,
    absolute,
    copy_sign,
    fma,
    power_of_two,
    round_to_int,
    select,
)


def rint(x: Value) -> Value:
    """The nearest integer, ties to even."""
    if x.code.features.native_round:
        return x.code.intrinsic("roundeven", x)
    return copy_sign(round_magnitude(x), x)


def round_magnitude(x: Value) -> Value:
    """|x| rounded half to even, without an instruction for it."""
    magnitude = absolute(x)
    whole = 2.0**x.code.format.mantissa_bits
    return select(magnitude < whole, (magnitude + whole) - whole, magnitude)


def floor(x: Value) -> Value:
    if x.code.features.native_round:
        return x.code.intrinsic("floor", x)
    nearest = rint(x)
    return copy_sign(select(nearest > x, nearest - 1.0, nearest), x)


def ceil(x: Value) -> Value:
    if x.code.features.native_round:
        return x.code.intrinsic("ceil", x)
    nearest = rint(x)
    return copy_sign(select(nearest < x, nearest + 1.0, nearest), x)


def trunc(x: Value) -> Value:
    if x.code.features.native_round:
        return x.code.intrinsic("trunc", x)
    nearest = round_magnitude(x)
    return copy_sign(select(nearest > absolute(x), nearest - 1.0, nearest), x)


def minimum(x: Value, y: Value) -> Value:
    """numpy.minimum: NaN if either is NaN, the first if they are equal."""
    return select((y < x) | y.is_nan(), y, x)


def maximum(x: Value, y: Value) -> Value:
    """numpy.maximum: NaN if either is NaN, the first if they are equal."""
    return select((y > x) | y.is_nan(), y, x)


def sqrt(x: Value) -> Value:
    return x.code.intrinsic("sqrt", x)


def rsqrt(x: Value) -> Value:
    """1/sqrt(x): two roundings."""
    return 1.0 / sqrt(x)


def fused_multiply_add(a: Value, b: Value, c: Value) -> Value:
    return fma(a, b, c)


def ldexp(x: Value, n: Value) -> Value:
    """x * 2**n for any x and any n of the integer type as wide as x, with one rounding."""
    form = x.code.format
    limit = 3 * form.bias
    n = select(n > limit, limit, n)
    n = select(n < -limit, -limit, n)
    # Going down, the steps leave room for the mantissa above the denormals, so that only the last
    # one can round; going up no step rounds.
    down = -(form.bias - 1 - form.mantissa_bits - 1)
    for _ in range(3):
        step = select(n > form.bias, form.bias, select(n < down, down, n))
        x = x * power_of_two(step)
        n = n - step
    return x


def fmod(x: Value, y: Value) -> Value:
    """The exact remainder with the sign of x, by long division in steps of many quotient bits."""
    code = x.code
    if code.is_double:
        step_bits = 50 if code.features.fma else 24
        result = divide_long(x, y, 52, step_bits, 2098)
    else:
        # In float64 the products of a 24-bit divisor with 28 quotient bits are exact.
        wide = divide_long(x.convert("float64"), y.convert("float64"), 23, 27, 277)
        result = wide.convert("float32")
    x_size, y_size = absolute(x), absolute(y)
    result = select(x_size < y_size, x, copy_sign(result, x))
    is_defined = (x_size < float("inf")) & (y_size > 0.0)
    return select(is_defined, result, float("nan"))


def divide_long(x: Value, y: Value, mantissa_bits: int, step_bits: int, most: int) -> Value:
    """|x| modulo |y| in float64 for |x| >= |y| > 0, both with 1 + mantissa_bits bits.

    The remainder stays an integer multiple of the last bit of y and at most half of y, so every
    step is exact. `most` is the largest possible difference of the exponents.
    """
    rest, x_exponent = integer_mantissa(absolute(x), mantissa_bits)
    divisor, y_exponent = integer_mantissa(absolute(y), mantissa_bits)
    left = x_exponent - y_exponent
    for _ in range(-(-most // step_bits)):
        step = select(left > step_bits, step_bits, left)
        step = select(step < 0, 0, step)
        left = left - step
        rest = rest * power_of_two(step)
        quotient, _ = round_to_int(rest / divisor)
        rest = subtract_product(rest, quotient, divisor, mantissa_bits)
    rest = select(rest < 0.0, rest + divisor, rest)
    half = ((y_exponent + 4096) >> 1) - 2048
    return rest * power_of_two(half) * power_of_two(y_exponent - half)


def subtract_product(rest: Value, quotient: Value, divisor: Value, mantissa_bits: int) -> Value:
    """rest - quotient*divisor, exactly."""
    if mantissa_bits < 52:
        return rest - quotient * divisor
    if rest.code.features.fma:
        return fma(-quotient, divisor, rest)
    high = (divisor.as_int() & -(1 << 27)).as_float()
    return (rest - quotient * high) - quotient * (divisor - high)


def integer_mantissa(x: Value, mantissa_bits: int) -> tuple[Value, Value]:
    """(m, e) with x = m * 2**e and m an integer in [2**mantissa_bits, 2**(mantissa_bits + 1))."""
    form = x.code.format
    shift = form.mantissa_bits + 2
    is_denormal = x < form.smallest_normal
    bits = select(is_denormal, x * 2.0**shift, x).as_int()
    exponent = (bits >> form.mantissa_bits) - (form.bias + mantissa_bits)
    fraction = bits & ((1 << form.mantissa_bits) - 1)
    mantissa = (fraction | ((form.bias + mantissa_bits) << form.mantissa_bits)).as_float()
    return mantissa, select(is_denormal, exponent - shift, exponent)
