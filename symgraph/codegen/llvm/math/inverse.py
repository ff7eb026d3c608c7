"""asin, acos, atan and atan2.

Owns: the reductions to |x| <= 1/2 and |x| <= tan(pi/8), and the branch cuts. Constants of pi come
in two parts, so that subtracting from them rounds once.
"""

from __future__ import annotations

from symgraph.codegen.llvm.math import coefficients
from symgraph.codegen.llvm.math.code import (
    Code,
    Value,
    absolute,
    copy_sign,
    select,
    sign_bit,
    two_product,
)

ATAN = {32: coefficients.ATAN_32, 64: coefficients.ATAN_64}
ASIN = {32: coefficients.ASIN_32, 64: coefficients.ASIN_64}
PI_2 = {  # pi/2 rounded, and the rest
    32: (float.fromhex("0x1.921fb6p+0"), float.fromhex("-0x1.777a5cp-25")),
    64: (float.fromhex("0x1.921fb54442d18p+0"), float.fromhex("0x1.1a62633145c07p-54")),
}
TAN_PI_8 = 0.41421356237309503


def pi_2_of(code: Code) -> tuple[float, float]:
    return PI_2[code.format.bits]


def asin_tail(x: Value, z: Value) -> Value:
    """asin(x) - x for z = x*x <= 1/4."""
    return x * z * x.code.polynomial(z, ASIN[x.code.format.bits])


def half_angle(magnitude: Value) -> tuple[Value, Value, Value]:
    """(s, error of s, z) with z = (1-|x|)/2 and s = sqrt(z): acos(|x|) = 2*asin(s)."""
    z = (1.0 - magnitude) * 0.5
    s = magnitude.code.intrinsic("sqrt", z)
    product, low = two_product(s, s)
    # One Newton step, whose correction stays apart; at z = 0 there is nothing to correct.
    correction = ((z - product) - low) / (s + s)
    return s, select(z > 0.0, correction, z), z


def asin(x: Value) -> Value:
    high, low = pi_2_of(x.code)
    magnitude = absolute(x)
    is_large = magnitude > 0.5
    s, error, z = half_angle(magnitude)
    small_or_s = select(is_large, s, magnitude)
    square = select(is_large, z, magnitude * magnitude)
    tail = asin_tail(small_or_s, square)
    large = high - ((s + s) + ((tail + error) * 2.0 - low))
    return copy_sign(select(is_large, large, magnitude + tail), x)


def acos(x: Value) -> Value:
    high, low = pi_2_of(x.code)
    magnitude = absolute(x)
    is_large = magnitude > 0.5
    s, error, z = half_angle(magnitude)
    root = select(is_large, s, x)
    square = select(is_large, z, x * x)
    tail = asin_tail(root, square)
    middle = high - (x + (tail - low))
    near_one = (s + (tail + error)) * 2.0
    near_minus_one = 2.0 * high - ((s + s) + ((tail + error) * 2.0 - 2.0 * low))
    return select(is_large, select(x < 0.0, near_minus_one, near_one), middle)


def atan_of_ratio(smaller: Value, larger: Value) -> tuple[Value, Value]:
    """atan(smaller/larger) as a sum (large part, small part), for 0 <= smaller <= larger.

    Above tan(pi/8) the ratio becomes (smaller-larger)/(smaller+larger), an angle of pi/4 less.
    """
    code = smaller.code
    quarter_high, quarter_low = (part / 2 for part in pi_2_of(code))
    is_steep = smaller > larger * TAN_PI_8
    numerator = select(is_steep, smaller - larger, smaller)
    denominator = select(is_steep, smaller + larger, larger)
    t = numerator / denominator
    z = t * t
    tail = t * z * code.polynomial(z, ATAN[code.format.bits])
    shift_low = select(is_steep, code.constant(quarter_low), code.constant(0.0))
    shift_high = select(is_steep, code.constant(quarter_high), code.constant(0.0))
    # |t| < pi/4, so that what this sum loses is exactly its error term.
    total = shift_high + t
    error = t - (total - shift_high)
    return total, error + (tail + shift_low)


def from_half_turn(angle: tuple[Value, Value], is_mirrored: Value, factor: float) -> Value:
    """factor*pi/2 - angle where mirrored, the angle itself elsewhere; one final rounding."""
    large, small = angle
    high, low = (part * factor for part in pi_2_of(large.code))
    total = high - large
    error = (high - total) - large
    mirrored = total + (error - (small - low))
    return select(is_mirrored, mirrored, large + small)


def atan(x: Value) -> Value:
    magnitude = absolute(x)
    is_large = magnitude > 1.0
    one = x.code.constant(1.0)
    # For x = inf the ratio is 1/inf = 0.
    angle = atan_of_ratio(select(is_large, one, magnitude), select(is_large, magnitude, one))
    return copy_sign(from_half_turn(angle, is_large, 1.0), x)


def atan2(y: Value, x: Value) -> Value:
    """The angle of the point (x, y), as C99 and numpy: signed zeros and infinities count."""
    code = y.code
    is_left = sign_bit(x)
    is_nan = x.is_nan() | y.is_nan()
    x_size, y_size = absolute(x), absolute(y)
    is_steep = y_size > x_size
    smaller, larger = select(is_steep, x_size, y_size), select(is_steep, y_size, x_size)
    both_infinite = smaller.equals(float("inf"))
    smaller, larger = select(both_infinite, 1.0, smaller), select(both_infinite, 1.0, larger)
    # 0/0 counts as 0/1. Infinity with a finite number gives a ratio of 0, as it should.
    larger = select(larger.equals(0.0), 1.0, larger)
    # Halving what is huge keeps the sum of both finite.
    is_huge = larger > 2.0 ** (code.format.bias - 2)
    factor = select(is_huge, code.constant(0.25), code.constant(1.0))
    large, small = atan_of_ratio(smaller * factor, larger * factor)
    # At most one of the two mirrors adds a rounding: the first keeps its parts.
    high, low = pi_2_of(code)
    turned = high - large
    turned_error = (high - turned) - large
    angle = (
        select(is_steep, turned, large),
        select(is_steep, turned_error - (small - low), small),
    )
    result = copy_sign(from_half_turn(angle, is_left, 2.0), y)
    return select(is_nan, float("nan"), result)
