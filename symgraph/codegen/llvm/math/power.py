"""pow: 2**(y * log2|x|) with a logarithm that has bits to spare, then the special cases.

Owns: pow. float32 computes inside float64; float64 carries log2 as a sum of two numbers.
"""

from __future__ import annotations

from symgraph.codegen.llvm.math import coefficients
from symgraph.codegen.llvm.math.code import (
    Value,
    absolute,
    fast_two_sum,
    fma,
    int_to_float,
    power_of_two,
    round_to_int,
    scale,
    select,
    sign_bit,
    two_product,
    two_sum,
)
from symgraph.codegen.llvm.math.exponential import LN2_PARTS, clamp
from symgraph.codegen.llvm.math.logarithm import split_any_positive, split_exponent
from symgraph.codegen.llvm.math.rounding import round_magnitude

INFINITY = float("inf")
THIRD = (float.fromhex("0x1.5555555555555p-2"), float.fromhex("0x1.5555555555555p-56"))
TWO_OVER_LN2 = (float.fromhex("0x1.71547652b82fep+1"), float.fromhex("0x1.777d0ffda0d24p-55"))


def pow(x: Value, y: Value) -> Value:
    magnitude = absolute(x)
    if x.code.is_double:
        result = pow_float64(magnitude, y)
    else:
        wide = pow_float32(magnitude.convert("float64"), y.convert("float64"))
        result = wide.convert("float32")
    return special_cases(x, magnitude, y, result)


def special_cases(x: Value, magnitude: Value, y: Value, result: Value) -> Value:
    """Zeros, infinities, negative bases and NaN, as C99 and numpy have them."""
    y_size = absolute(y)
    is_integer = y_size.equals(round_magnitude(y))
    half = y * 0.5
    is_odd = is_integer & ~absolute(half).equals(round_magnitude(half)) & (y_size < INFINITY)
    y_is_negative = y < 0.0
    at_zero = select(y_is_negative, x.code.constant(INFINITY), x.code.constant(0.0))
    at_infinity = select(y_is_negative, x.code.constant(0.0), x.code.constant(INFINITY))
    result = select(magnitude.equals(0.0), at_zero, result)
    result = select(magnitude.equals(INFINITY), at_infinity, result)
    is_root_of_negative = (x < 0.0) & (magnitude < INFINITY) & ~is_integer
    result = select(is_root_of_negative, float("nan"), result)
    result = select(sign_bit(x) & is_odd, -result, result)
    result = select(x.is_nan() | y.is_nan(), float("nan"), result)
    return select(x.equals(1.0) | y.equals(0.0), 1.0, result)


def pow_float32(x: Value, y: Value) -> Value:
    """In float64, for x >= 0 with a float32 value: one rounding to float32 is left to do."""
    mantissa, exponent = split_exponent(x)
    s = (mantissa - 1.0) / (mantissa + 1.0)
    polynomial = x.code.polynomial(s * s, coefficients.LOG2_OF_POW_64)
    logarithm = fma(s, polynomial, int_to_float(exponent))
    # Beyond 2**40 every base but 1 has overflowed or vanished.
    power = clamp(clamp(y, -(2.0**40), 2.0**40) * logarithm, -200.0, 200.0)
    n_float, n = round_to_int(power)
    r = power - n_float
    return fma(r, x.code.polynomial(r, coefficients.EXP2_OF_POW_64), 1.0) * power_of_two(n)


def pow_float64(x: Value, y: Value) -> Value:
    """For x >= 0; y beyond 2**66 has overflowed or vanished for every base but 1."""
    high, low = log2_in_two(x)
    y = clamp(y, -(2.0**66), 2.0**66)
    product, error = two_product(y, high)
    error = fma(y, low, error)
    limit = 1100.0
    error = select(absolute(product) > limit, 0.0, error)
    product = clamp(product, -limit, limit)
    n_float, n = round_to_int(product)
    r = product - n_float
    ln2_high, ln2_low = LN2_PARTS[64]
    r, error = fast_two_sum(r, error)
    tail = fma(r * r, x.code.polynomial(r, coefficients.EXP2_64), r * ln2_low + error * ln2_high)
    return scale(fma(r, ln2_high, tail) + 1.0, n)


def log2_in_two(x: Value) -> tuple[Value, Value]:
    """log2(x) as a sum of two numbers, to about 2**-63: e + 2/ln(2) * atanh(s)."""
    mantissa, exponent = split_any_positive(x)
    s, s_low = ratio_in_two(mantissa)
    z, z_low = two_product(s, s)
    z_low = fma(s * 2.0, s_low, z_low)
    cube, cube_low = two_product(z, s)
    cube_low = cube_low + fma(z_low, s, z * s_low)
    third, third_low = two_product(cube, x.code.constant(THIRD[0]))
    third_low = third_low + fma(cube, THIRD[1], cube_low * THIRD[0])
    tail = cube * z * x.code.polynomial(z, coefficients.LOG_TAIL_OF_S_64)
    high, low = fast_two_sum(s, third)
    high, low = fast_two_sum(high, low + ((s_low + third_low) + tail))
    scaled, scaled_low = two_product(high, x.code.constant(TWO_OVER_LN2[0]))
    scaled_low = scaled_low + fma(high, TWO_OVER_LN2[1], low * TWO_OVER_LN2[0])
    total, error = fast_two_sum(int_to_float(exponent), scaled)
    return fast_two_sum(total, error + scaled_low)


def ratio_in_two(mantissa: Value) -> tuple[Value, Value]:
    """(m - 1) / (m + 1) as a sum of two numbers."""
    numerator = mantissa - 1.0
    denominator, denominator_low = two_sum(mantissa.code.constant(1.0), mantissa)
    s = numerator / denominator
    product, error = two_product(s, denominator)
    rest = ((numerator - product) - error) - s * denominator_low
    return s, rest / denominator
