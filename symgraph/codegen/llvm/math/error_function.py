"""erf: an odd polynomial up to 1, one minus a small exponential beyond.

Owns: erf. Beyond 1 the part that is subtracted is below 0.16, so its errors count a sixth.
"""

from __future__ import annotations

from symgraph.codegen.llvm.math import coefficients
from symgraph.codegen.llvm.math.code import (
    Value,
    absolute,
    copy_sign,
    fma,
    power_of_two,
    select,
)
from symgraph.codegen.llvm.math.exponential import exp_parts

CENTRE = 2.5  # of the float64 polynomial for large arguments
SATURATED = {32: 4.0, 64: 6.0}


def erf(x: Value) -> Value:
    magnitude = absolute(x)
    saturated = SATURATED[x.code.format.bits]
    limited = select(magnitude > saturated, saturated, magnitude)
    large = 1.0 - complement(limited)
    return copy_sign(select(magnitude > 1.0, large, erf_below_one(magnitude)), x)


def erf_below_one(x: Value) -> Value:
    """x + x*P(x*x), where |P| < 0.16 leaves the rounding to the last sum."""
    table = coefficients.ERF_SMALL_64 if x.code.is_double else coefficients.ERF_SMALL_32
    return fma(x, x.code.polynomial(x * x, table), x)


def complement(x: Value) -> Value:
    """erfc(x) for 1 <= x <= 6, to a few units in the last place of 1."""
    code = x.code
    if code.is_double:
        t = (x - CENTRE) / (x + CENTRE)
        mantissa, n = exp_parts(-(x * x))
        return code.polynomial(t, coefficients.ERFC_SCALED_64) * mantissa * power_of_two(n)
    exponent = code.polynomial(x - 1.0, coefficients.ERF_LARGE_32)
    mantissa, n = exp_parts(-exponent)
    return mantissa * power_of_two(n)
