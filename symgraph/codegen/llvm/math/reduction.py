"""Argument reduction for sin, cos and tan: x = quadrant * pi/2 + r with |r| <= pi/4.

Owns: three reductions. Two are in float64 (float32 is widened first). The exact one holds for every
finite argument. It is Payne and Hanek's idea without tables, loads or wide integer products: 2/pi
is cut into pieces so short that every product with (a half of) x is exact, the few pieces that
matter for the exponent of x are picked by a barrel shifter of selects, and multiples of 4 are
dropped from each product. The short one is of Cody and Waite's kind, for |x| <= 2**25; the third is
the same in float32, for |x| <= 2**13, where products can be fused.
"""

from __future__ import annotations

from dataclasses import dataclass

from symgraph.codegen.llvm.math import coefficients
from symgraph.codegen.llvm.math.code import (
    Value,
    absolute,
    fast_two_sum,
    fma,
    int_to_float,
    power_of_two,
    round_to_int,
    select,
    two_product,
    two_sum,
)

# pi/2 = the sum of these; the first three have 25 bits, so that their products with a quadrant
# number below 2**28 are exact.
PI_2_PARTS = (
    float.fromhex("0x1.921fb5p+0"),
    float.fromhex("0x1.110b46p-26"),
    float.fromhex("0x1.1a6263p-54"),
    float.fromhex("0x1.8a2e03707344ap-81"),
)
# The same of three float32, for fused products with any quadrant number.
PI_2_FLOATS = (
    float.fromhex("0x1.921fb60000000p+0"),
    float.fromhex("-0x1.777a5c0000000p-25"),
    float.fromhex("-0x1.ee59da0000000p-50"),
)
PI_2_HIGH, PI_2_LOW = float.fromhex("0x1.921fb54442d18p+0"), float.fromhex("0x1.1a62633145c07p-54")
TWO_OVER_PI = 0.6366197723675814
PI_4 = 0.7853981633974483
NEAR_FLOAT, NEAR_DOUBLE = 2.0**13, 2.0**25


@dataclass(frozen=True, slots=True)
class Reduced:
    """x = quadrant * pi/2 + (high + low), in one format; only quadrant modulo 4 is meant."""

    high: Value
    low: Value
    quadrant: Value


@dataclass(frozen=True, slots=True)
class Window:
    """How 2/pi is cut for arguments of one format.

    Pieces have `piece_bits` bits. An argument of exponent e uses the pieces from number
    round((e - centre) / piece_bits) on; the pieces before that give multiples of 8. `zeros` pieces
    stand before the point for small arguments; `used` pieces reach the accuracy.
    """

    piece_bits: int
    centre: float
    zeros: int
    used: int
    largest_exponent: int

    def pieces(self) -> list[float]:
        """All pieces that any argument can use, as integers."""
        last = round((self.largest_exponent - self.centre) / self.piece_bits) + self.used
        mask = (1 << self.piece_bits) - 1
        shifts = (coefficients.TWO_OVER_PI_BITS - (k + 1) * self.piece_bits for k in range(last))
        numbers = [float((coefficients.TWO_OVER_PI >> shift) & mask) for shift in shifts]
        return [0.0] * self.zeros + numbers


# 24 + 28 bits: products are exact. Scaled arguments lie in [2**26, 2**54).
WINDOW_32 = Window(piece_bits=28, centre=39.5, zeros=1, used=4, largest_exponent=127)
# 27 + 26 bits: products with half an argument are exact. Scaled arguments: [2**55, 2**81).
WINDOW_64 = Window(piece_bits=26, centre=67.5, zeros=3, used=8, largest_exponent=1023)


def near_bound(x: Value) -> float:
    """How large arguments of `reduce_near` may be."""
    return NEAR_FLOAT if has_float_reduction(x) else NEAR_DOUBLE


def has_float_reduction(x: Value) -> bool:
    return not x.code.is_double and x.code.features.fma and x.code.features.full_range_trigonometry


def reduce_near(x: Value) -> Reduced:
    """The reduction of arguments up to `near_bound`, in the format of x."""
    if x.code.is_double:
        return reduce_short(x)
    return reduce_floats(x) if has_float_reduction(x) else rounded(reduce_short(widened(x)))


def reduce_far(x: Value) -> Reduced:
    """The reduction of any finite argument, in the format of x."""
    return reduce(x, 64) if x.code.is_double else rounded(reduce(widened(x), 32))


def widened(x: Value) -> Value:
    return x.convert("float64")


def rounded(found: Reduced) -> Reduced:
    """The same in float32; the low part is what is lost of the high one."""
    high = found.high.convert("float32")
    low = (found.high - widened(high)).convert("float32")
    return Reduced(high, low, found.quadrant.convert("float32"))


def reduce_floats(x: Value) -> Reduced:
    """Subtracts n * pi/2 in three parts, in float32 with fused multiply-add.

    The first difference is exact: it is below 1, and x and the product are multiples of 2**-24.
    """
    n_float, n = round_to_int(x * TWO_OVER_PI)
    first, second, third = PI_2_FLOATS
    r = fma(n_float, -first, x)
    product, error = two_product(n_float, x.code.constant(-second))
    high, low = two_sum(r, product)
    return Reduced(high, fma(n_float, -third, low + error), n)


def reduce(x: Value, source_bits: int) -> Reduced:
    """The exact reduction of a float64 value that holds a number of a `source_bits` wide format."""
    exact = reduce_float32(x) if source_bits == 32 else reduce_float64(x)
    # Products with small numbers would underflow, and need no reduction.
    is_small = absolute(x) <= PI_4
    return Reduced(
        select(is_small, x, exact.high),
        select(is_small, 0.0, exact.low),
        select(is_small, 0, exact.quadrant),
    )


def reduce_short(x: Value) -> Reduced:
    """Subtracts n * pi/2 in four parts."""
    n_float, n = round_to_int(x * TWO_OVER_PI)
    first, second, third, fourth = PI_2_PARTS
    r = x - n_float * first
    r, error = two_sum(r, -(n_float * second))
    r, more = two_sum(r, -(n_float * third))
    high, low = fast_two_sum(r, (error + more) - n_float * fourth)
    return Reduced(high, low, n)


def reduce_float32(x: Value) -> Reduced:
    """The sum of four exact products; |product k| < 2**(54 - 28*k)."""
    scaled, pieces = align(x, WINDOW_32)
    first, second, third, fourth = (
        scaled * 2.0 ** (-28 * (k + 1)) * piece for k, piece in enumerate(pieces)
    )
    fraction, n = take_integer(drop_fours(first))
    # Exact: the sum is below 2**3 with a last bit of 2**-50, or smaller with a smaller last bit.
    fraction, more = take_integer(fraction + drop_fours(second))
    # The third product can be as large as 1/4. Its sum is exact where it is small, and only there
    # the fourth counts: a float32 comes no closer to a multiple of pi/2 than about 2**-30.
    fraction, last = take_integer(fraction + third)
    return Reduced((fraction + fourth) * PI_2_HIGH, x.code.constant(0.0), n + more + last)


def reduce_float64(x: Value) -> Reduced:
    """The sum of the products of two halves; level k holds two products below 2**(56 - 26*k)."""
    scaled, pieces = align(x, WINDOW_64)
    high_half = (scaled.as_int() & -(1 << 26)).as_float()
    low_half = scaled - high_half
    # high_half * pieces[0] is a multiple of 8.
    levels = [
        (
            high_half * 2.0 ** (-26 * (k + 2)) * pieces[k + 1],
            low_half * 2.0 ** (-26 * (k + 1)) * pieces[k],
        )
        for k in range(WINDOW_64.used - 1)
    ]
    fraction, n = take_integer(drop_fours(levels[0][0]) + drop_fours(levels[0][1]))
    total = (fraction + drop_fours(levels[1][0])) + drop_fours(levels[1][1])
    high, more = take_integer(total)
    n = n + more
    low = x.code.constant(0.0)
    for product in levels[2]:
        rest, more = take_integer(product)
        n = n + more
        high, error = two_sum(high, rest)
        low = low + error
    for product in (*levels[3], *levels[4]):
        high, error = two_sum(high, product)
        low = low + error
    small = (levels[5][0] + levels[5][1]) + (levels[6][0] + levels[6][1])
    high, more = take_integer(high)
    high, low = two_sum(high, low + small)
    r, error = two_product(high, x.code.constant(PI_2_HIGH))
    r, error = fast_two_sum(r, error + (high * PI_2_LOW + low * PI_2_HIGH))
    return Reduced(r, error, n + more)


def align(x: Value, window: Window) -> tuple[Value, list[Value]]:
    """x scaled into the window, and the pieces of 2/pi that meet it."""
    form = x.code.format
    biased = (x.as_int() & ~form.sign_mask) >> form.mantissa_bits
    exponent = int_to_float(biased - form.bias)
    number_float, number = round_to_int((exponent - window.centre) * (1.0 / window.piece_bits))
    # Only arguments above pi/4 count; the bound keeps the power a normal number for the others.
    number_float = select(number_float < -window.zeros, -float(window.zeros), number_float)
    number = select(number < -window.zeros, -window.zeros, number)
    _, shift = round_to_int(number_float * float(-window.piece_bits))
    return x * power_of_two(shift), barrel(window, number + window.zeros)


def barrel(window: Window, number: Value) -> list[Value]:
    """The `used` pieces from `number` on, by selects between whole shifts of the list."""
    pieces = [number.code.constant(piece) for piece in window.pieces()]
    step = 1 << ((len(pieces) - window.used).bit_length() - 1)
    while step > 0:
        is_shifted = (number & step).equals(step)
        needed = window.used + step - 1
        pieces = [
            select(is_shifted, pieces[k + step], pieces[k]) if k + step < len(pieces) else pieces[k]
            for k in range(min(needed, len(pieces)))
        ]
        step //= 2
    return pieces


def drop_fours(p: Value) -> Value:
    """p minus a multiple of 4 that leaves at most +-8, exactly, for |p| < 2**55."""
    magic = p.code.format.rounding_magic * 8.0
    return p - ((p + magic) - magic)


def take_integer(p: Value) -> tuple[Value, Value]:
    """(p - n, n) with the integer n nearest to p."""
    nearest, n = round_to_int(p)
    return p - nearest, n
