"""Derives every polynomial of symgraph/codegen/llvm/math/coefficients.py and prints that file.

Each polynomial approximates a smooth remainder: the function with its exactly known leading terms
removed and its zeros divided out. Remez's exchange minimises the error relative to the *whole*
function, in 60-digit arithmetic. Above each polynomial stands the largest such error after the
coefficients are rounded.

Usage: python tools/derive_polynomials.py > symgraph/codegen/llvm/math/coefficients.py
Needs mpmath.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import mpmath as mp

mp.mp.dps = 60
Real = Callable[[mp.mpf], mp.mpf]

HEADER = '''"""Polynomial coefficients of the vector math, lowest power first.

Owns: numbers only. Written by tools/derive_polynomials.py; change that script, not this file. The
comment above a tuple says what it approximates and the largest approximation error, relative to the
value of the function that uses it.
"""

from __future__ import annotations
'''


@dataclass(frozen=True)
class Fit:
    """One polynomial: `remainder` on [low, high]; `weight` turns its error into the function's."""

    name: str
    meaning: str
    remainder: Real
    weight: Real
    low: mp.mpf
    high: mp.mpf
    degree32: int | None
    degree64: int | None


def round_to(value: mp.mpf, bits: int) -> float:
    """The nearest float32 (bits = 32) or float64 (bits = 64)."""
    number = float(value)
    return number if bits == 64 else float(struct.unpack("f", struct.pack("f", number))[0])


def at(coefficients: list[mp.mpf], x: mp.mpf) -> mp.mpf:
    """The value of the polynomial."""
    return mp.polyval(list(reversed(coefficients)), x)


def solve(fit: Fit, nodes: list[mp.mpf]) -> list[mp.mpf]:
    """The polynomial whose weighted error is +E, -E, +E, ... at the nodes."""
    count = len(nodes)
    matrix, right = mp.matrix(count, count), mp.matrix(count, 1)
    for row, node in enumerate(nodes):
        weight = fit.weight(node)
        for power in range(count - 1):
            matrix[row, power] = weight * node**power
        matrix[row, count - 1] = (-1) ** row
        right[row] = weight * fit.remainder(node)
    return list(mp.lu_solve(matrix, right))[:-1]


def exchange(errors: list[mp.mpf], grid: list[mp.mpf], count: int) -> list[mp.mpf]:
    """The places of the largest errors between changes of sign; [] if there are too few."""
    peaks: list[int] = []
    for k, error in enumerate(errors):
        if peaks and (error > 0) == (errors[peaks[-1]] > 0):
            if abs(error) > abs(errors[peaks[-1]]):
                peaks[-1] = k
        else:
            peaks.append(k)
    while len(peaks) > count:
        peaks.pop(0 if abs(errors[peaks[0]]) < abs(errors[peaks[-1]]) else -1)
    return [grid[k] for k in peaks] if len(peaks) == count else []


def minimax(fit: Fit, degree: int) -> list[mp.mpf]:
    """Remez's exchange on a grid, from the extrema of a Chebyshev polynomial."""
    middle, half = (fit.low + fit.high) / 2, (fit.high - fit.low) / 2
    count = degree + 2
    grid = [middle - half * mp.cos(mp.pi * (k + mp.mpf("0.3")) / 800) for k in range(800)]
    targets = [(fit.remainder(x), fit.weight(x)) for x in grid]
    steps = [mp.pi * (k + mp.mpf("0.1")) / (count - 1) for k in range(count)]
    nodes = [middle - half * mp.cos(step) for step in steps]
    coefficients = solve(fit, nodes)
    for _ in range(8):
        errors = [(at(coefficients, x) - f) * w for x, (f, w) in zip(grid, targets, strict=True)]
        nodes = exchange(errors, grid, count)
        if not nodes:
            break
        coefficients = solve(fit, nodes)
    return coefficients


def largest_error(fit: Fit, coefficients: list[float]) -> mp.mpf:
    """The largest weighted error on a grid that avoids the removable singularities."""
    steps = 500
    worst = mp.mpf(0)
    for k in range(steps):
        x = fit.low + (fit.high - fit.low) * (k + mp.mpf("0.37")) / steps
        value = at([mp.mpf(c) for c in coefficients], x)
        worst = max(worst, abs((value - fit.remainder(x)) * fit.weight(x)))
    return worst


def print_fit(fit: Fit, bits: int, degree: int) -> None:
    """One commented tuple."""
    coefficients = [round_to(c, bits) for c in minimax(fit, degree)]
    error = largest_error(fit, coefficients)
    print(f"\n# {fit.meaning}; error 2**{float(mp.log(error, 2)):.1f}.")
    print(f"{fit.name}_{bits} = (")
    for coefficient in coefficients:
        print(f"    {coefficient!r},")
    print(")")


LN2 = mp.log(2)
HALF_LN2 = LN2 / 2 * mp.mpf("1.001")
# Intervals around 0 are slightly lopsided, so that no node is 0 where a remainder is 0/0.
SQRT_LOW, SQRT_HIGH = mp.sqrt(mp.mpf(1) / 2) - 1, mp.sqrt(2) - 1
S_SQUARED = (SQRT_HIGH / (SQRT_HIGH + 2)) ** 2
TAN_PI_8 = mp.sqrt(2) - 1
TINY = mp.mpf(10) ** -12  # stands for 0 where the remainder is a removable singularity
ERF_CENTRE = mp.mpf("2.5")


def of_root(function: Real) -> Real:
    """The function of z = x*x that `function` is of x."""
    return lambda z: function(mp.sqrt(z))


def scaled_erfc(t: mp.mpf) -> mp.mpf:
    """exp(x*x) * erfc(x) at x = (2.5 + 2.5*t) / (1 - t), the inverse of t = (x-2.5)/(x+2.5)."""
    x = ERF_CENTRE * (1 + t) / (1 - t)
    return mp.exp(x * x) * mp.erfc(x)


def erf_weight(t: mp.mpf) -> mp.mpf:
    """What an error of scaled_erfc(t) does to erf."""
    x = ERF_CENTRE * (1 + t) / (1 - t)
    return mp.exp(-x * x) / mp.erf(x)


# fmt: off
FITS = (
    Fit("EXP", "(exp(r) - 1 - r) / r**2 on +-ln(2)/2", lambda r: (mp.exp(r) - 1 - r) / r**2,
        lambda r: r**2 / mp.exp(r), -HALF_LN2 * mp.mpf("1.001"), HALF_LN2, 4, 10),
    Fit("EXPM1", "(exp(r) - 1 - r - r**2/2) / r**3 on +-ln(2)/2",
        lambda r: (mp.exp(r) - 1 - r - r**2 / 2) / r**3, lambda r: r**3 / mp.expm1(r),
        -HALF_LN2 * mp.mpf("1.001"), HALF_LN2, 4, 9),
    Fit("EXP2", "(2**r - 1 - r*ln(2)) / r**2 on +-1/2",
        lambda r: (mp.mpf(2) ** r - 1 - r * LN2) / r**2, lambda r: r**2 / mp.mpf(2) ** r,
        mp.mpf("-0.502"), mp.mpf("0.501"), 5, 10),
    Fit("EXP2_OF_POW", "(2**r - 1) / r on +-1/2, for float32 pow inside float64",
        lambda r: (mp.mpf(2) ** r - 1) / r, lambda r: r / mp.mpf(2) ** r,
        mp.mpf("-0.502"), mp.mpf("0.501"), None, 8),
    Fit("LOG", "(log(1+f) - f + f**2/2) / f**3 on [sqrt(1/2), sqrt(2)] - 1",
        lambda f: (mp.log1p(f) - f + f**2 / 2) / f**3, lambda f: f**3 / mp.log1p(f),
        SQRT_LOW * mp.mpf("1.001"), SQRT_HIGH * mp.mpf("1.001"), 8, None),
    Fit("LOG_OF_S", "(log((1+s)/(1-s)) - 2*s) / s**3 of z = s**2",
        of_root(lambda s: (2 * mp.atanh(s) - 2 * s) / s**3),
        of_root(lambda s: s**3 / (2 * mp.atanh(s))), TINY, S_SQUARED * mp.mpf("1.01"), None, 6),
    Fit("LOG_TAIL_OF_S", "(atanh(s) - s - s**3/3) / s**5 of z = s**2, for pow",
        of_root(lambda s: (mp.atanh(s) - s - s**3 / 3) / s**5),
        of_root(lambda s: s**5 / mp.atanh(s)), TINY, S_SQUARED * mp.mpf("1.01"), None, 8),
    Fit("LOG2_OF_POW", "log2((1+s)/(1-s)) / s of z = s**2, for float32 pow inside float64",
        of_root(lambda s: 2 * mp.atanh(s) / s / LN2),
        of_root(lambda s: s * LN2 / (2 * mp.atanh(s))), TINY, S_SQUARED * mp.mpf("1.01"), None, 5),
    Fit("ERF_SMALL", "erf(x)/x - 1 of z = x**2, |x| <= 1",
        of_root(lambda x: mp.erf(x) / x - 1), of_root(lambda x: x / mp.erf(x)), TINY,
        mp.mpf("1.001"), 7, 15),
    Fit("ERF_LARGE", "-log(erfc(x)) of x - 1, 1 <= x <= 4",
        lambda u: -mp.log(mp.erfc(u + 1)), lambda u: mp.erfc(u + 1) / mp.erf(u + 1),
        mp.mpf("-0.001"), mp.mpf("3.001"), 8, None),
    Fit("ERFC_SCALED", "exp(x**2)*erfc(x) of t = (x-2.5)/(x+2.5), 1 <= x <= 6", scaled_erfc,
        erf_weight, mp.mpf("-1.5") / mp.mpf("3.5") * mp.mpf("1.001"),
        mp.mpf("3.5") / mp.mpf("8.5"), None, 17),
    Fit("SIN", "(sin(r) - r) / r**3 of z = r**2 on |r| <= pi/4",
        of_root(lambda r: (mp.sin(r) - r) / r**3), of_root(lambda r: r**3 / mp.sin(r)), TINY,
        (mp.pi / 4) ** 2 * mp.mpf("1.01"), 3, 6),
    Fit("COS", "(cos(r) - 1 + r**2/2) / r**4 of z = r**2 on |r| <= pi/4",
        of_root(lambda r: (mp.cos(r) - 1 + r**2 / 2) / r**4),
        of_root(lambda r: r**4 / mp.cos(r)), TINY, (mp.pi / 4) ** 2 * mp.mpf("1.01"), 2, 6),
    Fit("ATAN", "(atan(x) - x) / x**3 of z = x**2 on |x| <= tan(pi/8)",
        of_root(lambda x: (mp.atan(x) - x) / x**3), of_root(lambda x: x**3 / mp.atan(x)), TINY,
        TAN_PI_8**2 * mp.mpf("1.01"), 4, 11),
    Fit("ASIN", "(asin(x) - x) / x**3 of z = x**2 on |x| <= 1/2",
        of_root(lambda x: (mp.asin(x) - x) / x**3), of_root(lambda x: x**3 / mp.asin(x)), TINY,
        mp.mpf("0.2501"), 5, 12),
)
# fmt: on


def print_two_over_pi(bits: int) -> None:
    """The leading bits of 2/pi as one integer: enough for the reduction of any float64."""
    with mp.workprec(bits + 64):
        digits = f"{int(mp.floor(2 / mp.pi * mp.mpf(2) ** bits)):x}"
    print(f"\n# floor(2/pi * 2**{bits}).")
    print(f"TWO_OVER_PI_BITS = {bits}")
    print("TWO_OVER_PI = int(")
    for start in range(0, len(digits), 64):
        comma = "," if start + 64 >= len(digits) else ""
        print(f'    "{digits[start : start + 64]}"{comma}')
    print("    16,\n)")


def main() -> None:
    """Prints the coefficient file."""
    print(HEADER, end="")
    print_two_over_pi(1280)
    for fit in FITS:
        for bits, degree in ((32, fit.degree32), (64, fit.degree64)):
            if degree is not None:
                print_fit(fit, bits, degree)


if __name__ == "__main__":
    main()
