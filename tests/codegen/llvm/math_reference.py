"""Samples and references for the tests of the vector math: numpy in extended precision.

Owns: the inputs that are tried, and what the answers should be.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

SPECIAL = (0.0, 1.0, 0.5, 2.0, 3.0, 1e5, 710.0, 745.2, 88.7, 89.3, 103.9, float("inf"))
HAS_EXTENDED = np.finfo(np.longdouble).nmant >= 63


def erf(x: np.ndarray) -> np.ndarray:
    """erf by its series of positive terms: exp(-x*x) * 2/sqrt(pi) * sum 2**n x**(2n+1)/(2n+1)!!."""
    limited = np.minimum(np.abs(x), x.dtype.type(7.0))
    term = limited.copy()
    total = limited.copy()
    for n in range(1, 220):
        term = term * (2 * limited * limited / (2 * n + 1))
        total = total + term
    pi = x.dtype.type("3.14159265358979323846264338327950288")
    return np.copysign(total * np.exp(-limited * limited) * 2 / np.sqrt(pi), x)


def sigmoid(x: np.ndarray) -> np.ndarray:
    small = np.exp(-np.abs(x))
    return np.where(x < 0, small, 1) / (1 + small)


REFERENCES: dict[str, Callable[..., np.ndarray]] = {
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "gated_tanh": lambda x, y: sigmoid(x) * np.tanh(y),
    "log": np.log,
    "log2": np.log2,
    "log1p": np.log1p,
    "erf": erf,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "atan2": np.arctan2,
    "pow": np.power,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "floor": np.floor,
    "ceil": np.ceil,
    "trunc": np.trunc,
    "rint": np.rint,
    "minimum": np.minimum,
    "maximum": np.maximum,
    "fmod": np.fmod,
}


def signed(values: np.ndarray) -> np.ndarray:
    return np.concatenate([values, -values])


def samples(dtype: str, count: int = 20000) -> np.ndarray:
    """Every exponent, dense linear ranges, neighbours of special values, NaN."""
    rng = np.random.default_rng(1)
    info = np.finfo(dtype)
    low, high = int(np.log2(float(info.smallest_normal))) - info.nmant, int(info.maxexp)
    exponents = np.repeat(np.arange(low, high), 6)
    every_exponent = np.ldexp(rng.uniform(1, 2, exponents.size), exponents)
    with np.errstate(over="ignore"):
        special = np.array(SPECIAL, dtype)
        beside = np.concatenate([np.nextafter(special, 0), np.nextafter(special, special * 2)])
    reach = 110.0 if dtype == "float32" else 750.0
    dense = [rng.uniform(0, width, count) for width in (1.0, 1.6, 6.5, reach, 1e5)]
    halves = np.arange(0, 50, 0.25)
    near_one = 1 + rng.uniform(-1, 1, count) * 2.0 ** rng.integers(-info.nmant, 0, count)
    near_turns = np.arange(1, 3000) * (np.pi / 2)
    everything = [every_exponent, special, beside, *dense, halves, near_one, near_turns]
    with np.errstate(over="ignore"):
        joined = signed(np.concatenate([part.astype(dtype) for part in everything]))
    return np.concatenate([joined, np.array([np.nan], dtype)])


def pairs(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Arguments for functions of two: a grid of special values, and random pairs of many sizes."""
    rng = np.random.default_rng(2)
    info = np.finfo(dtype)
    tiny, most = float(info.smallest_subnormal), float(info.max)
    grid = signed(np.array([0, 0.5, 1, 1.5, 2, 3, 4, 33, 1e8 + 1, 1e20, tiny, most, np.inf]))
    grid = np.append(grid, np.nan)
    first, second = (part.ravel() for part in np.meshgrid(grid, grid))
    size = 40000
    low, high = np.log2(float(info.smallest_normal)), info.maxexp - 1
    a = np.exp2(rng.uniform(low, high, size)) * rng.choice([-1.0, 1.0], size)
    b = np.exp2(rng.uniform(low, high, size)) * rng.choice([-1.0, 1.0], size)
    with np.errstate(over="ignore"):
        near = a * rng.uniform(0.3, 3.0, size)
    base = np.exp2(rng.uniform(-3, 3, size))
    exponent = rng.uniform(-1.1, 1.1, size) * info.maxexp / np.log2(base)
    close = 1 + rng.uniform(-1, 1, size) * 2.0 ** rng.integers(-info.nmant, -1, size)
    with np.errstate(all="ignore"):
        large = rng.uniform(-1, 1, size) * info.maxexp / np.log2(close)
        wide = rng.uniform(-1, 1, size) * info.maxexp / np.log2(np.abs(a))
        whole = rng.integers(-20, 20, size).astype(float)
        firsts = (first, a, a, base, close, np.abs(a), -base, rng.uniform(-9, 9, size))
        seconds = (second, b, near, exponent, large, wide, whole, rng.uniform(-9, 9, size))
        return (
            np.concatenate(firsts).astype(dtype),
            np.concatenate(seconds).astype(dtype),
        )


def ulp_errors(got: np.ndarray, want: np.ndarray) -> np.ndarray:
    """|got - want| in units in the last place of the wanted result; infinite where kinds differ.

    A finite result beyond the format counts as the next power of two, so that rounding to infinity
    is no error. The sign of zero counts where the reference is exactly zero.
    """
    info = np.finfo(got.dtype)
    wide = np.longdouble
    with np.errstate(all="ignore"):
        target = want.astype(got.dtype)
        exponent = np.frexp(np.abs(want))[1] - 1 - info.nmant
        lowest = int(np.frexp(info.smallest_subnormal)[1]) - 1
        ulp = np.ldexp(wide(1), np.maximum(exponent, lowest))
        limit = np.ldexp(wide(1), int(info.maxexp))
        clipped = np.clip(want, -limit, limit)
        seen = np.clip(got.astype(wide), -limit, limit)
        errors = np.abs(seen - clipped) / ulp
    same = (got == target) & (np.signbit(got) == np.signbit(target))
    both_nan = np.isnan(got) & np.isnan(want)
    errors = np.where((same & np.isinf(want)) | both_nan, 0, errors)
    wrong_zero = (want == 0) & ~same
    return np.where((np.isnan(got) != np.isnan(want)) | wrong_zero, np.inf, errors)
