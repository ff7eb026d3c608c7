"""sin, cos and tan: two short polynomials on the reduced argument.

Owns: the polynomials' use and the quadrants. The reduction is reduction.py's.
"""

from __future__ import annotations

from dataclasses import dataclass

from symgraph.codegen.llvm.math import coefficients
from symgraph.codegen.llvm.math.code import (
    Value,
    absolute,
    fma,
    outlined,
    replaced,
    select,
)
from symgraph.codegen.llvm.math.reduction import Reduced, near_bound, reduce_far, reduce_near

SIN = {32: coefficients.SIN_32, 64: coefficients.SIN_64}
COS = {32: coefficients.COS_32, 64: coefficients.COS_64}
# Below these, sin(x) and tan(x) round to x; this also keeps the sign of -0.
TINY = {32: 2.0**-13, 64: 2.0**-27}


@dataclass(frozen=True, slots=True)
class SineAndCosine:
    """sin(r) and cos(r) of the reduced argument, and its quadrant, in the format of x."""

    sine: Value
    cosine: Value
    quadrant: Value


def sine_and_cosine(x: Value) -> SineAndCosine:
    near = reduce_near(x)
    if not x.code.features.full_range_trigonometry:
        return parts_of(near)
    is_far = ~(absolute(x) <= near_bound(x))
    common = (near.high, near.low, near.quadrant)
    return parts_of(Reduced(*replaced(is_far, common, lambda: outlined("reduce_far", x, far))))


def far(x: Value) -> tuple[Value, Value, Value]:
    found = reduce_far(x)
    return found.high, found.low, found.quadrant


def parts_of(reduced: Reduced) -> SineAndCosine:
    r, low = reduced.high, reduced.low
    return SineAndCosine(sine_of_sum(r, low), cosine_of_sum(r, low), reduced.quadrant)


def sine_of_sum(r: Value, low: Value) -> Value:
    """sin(r + low), with cos(r) = 1 - r*r/2 for the share of `low`."""
    z = r * r
    polynomial = r.code.polynomial(z, SIN[r.code.format.bits])
    return r + fma(r * z, polynomial, low * (1.0 - z * 0.5))


def cosine_of_sum(r: Value, low: Value) -> Value:
    """cos(r + low), with the rounding error of 1 - r*r/2 put back."""
    z = r * r
    half = z * 0.5
    head = 1.0 - half
    error = (1.0 - head) - half
    polynomial = r.code.polynomial(z, COS[r.code.format.bits])
    return head + (error + fma(z * z, polynomial, -(r * low)))


def at_quadrant(parts: SineAndCosine, quadrant: Value) -> Value:
    """sin(r + quadrant * pi/2)."""
    is_odd = (quadrant & 1).equals(1)
    value = select(is_odd, parts.cosine, parts.sine)
    sign = (quadrant & 2) << (value.code.format.bits - 2)
    return (value.as_int() ^ sign).as_float()


def finish(x: Value, result: Value) -> Value:
    """NaN for infinities and NaN."""
    return select(absolute(x) < float("inf"), result, float("nan"))


def sin(x: Value) -> Value:
    parts = sine_and_cosine(x)
    result = finish(x, at_quadrant(parts, parts.quadrant))
    return select(absolute(x) < TINY[x.code.format.bits], x, result)


def cos(x: Value) -> Value:
    parts = sine_and_cosine(x)
    return finish(x, at_quadrant(parts, parts.quadrant + 1))


def tan(x: Value) -> Value:
    parts = sine_and_cosine(x)
    is_odd = (parts.quadrant & 1).equals(1)
    numerator = select(is_odd, parts.cosine, parts.sine)
    denominator = select(is_odd, -parts.sine, parts.cosine)
    result = finish(x, numerator / denominator)
    return select(absolute(x) < TINY[x.code.format.bits], x, result)
