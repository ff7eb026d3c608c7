"""Elementwise mathematics: trigonometric and hyperbolic functions and their inverses.

Where no scalar function exists, a formula of others is used that loses no digits near 0 and does
not overflow before its result does; the formulas add at most 4 units in the last place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.registry import register
from ..ir.sample import Samples
from ..kernel.ir import Expr, call, const
from ..kernel.ir import where as choose
from .base import LN2, Binary, Gradients, Unary, binary_samples, functional, make, sum_to

if TYPE_CHECKING:
    from ..ir.infer import DTypeView, Unifier

_HALF_RANGE = {"float16": 2.0**7, "bfloat16": 2.0**62, "float32": 2.0**62, "float64": 2.0**510}


def _zero(x: Expr) -> Expr:
    return const(0, x.dtype)


def _large(x: Expr) -> Expr:
    """A number whose square does not overflow, and beside which 1 does not count when squared."""
    return const(_HALF_RANGE[x.dtype.name], x.dtype)


@register
@dataclass(frozen=True, slots=True)
class Sin(Unary):
    """y = sin x, x in radians.   Shapes: any, kept.   Dtypes: any float, kept."""

    name = "sin"
    function = "sin"
    numpy = np.sin
    low = -3
    high = 3

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,) = grads, ins
        return (g * make("cos", x),)


@register
@dataclass(frozen=True, slots=True)
class Cos(Unary):
    """y = cos x, x in radians.   Shapes: any, kept.   Dtypes: any float, kept."""

    name = "cos"
    function = "cos"
    numpy = np.cos
    low = -3
    high = 3

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,) = grads, ins
        return (-g * make("sin", x),)


@register
@dataclass(frozen=True, slots=True)
class Tan(Unary):
    """y = tan x, x in radians.   Shapes: any, kept.   Dtypes: any float, kept."""

    name = "tan"
    function = "tan"
    numpy = np.tan
    low = -1
    high = 1

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (y,) = grads, outs
        return (g * (make("square", y) + 1),)


@register
@dataclass(frozen=True, slots=True)
class Asin(Unary):
    """y = the angle in [-pi/2, pi/2] whose sine is x.

    Shapes: any, kept.   Dtypes: any float, kept.
    """

    name = "asin"
    function = "asin"
    numpy = np.arcsin
    low = -0.9
    high = 0.9

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,) = grads, ins
        return (g * make("rsqrt", 1 - make("square", x)),)


@register
@dataclass(frozen=True, slots=True)
class Acos(Unary):
    """y = the angle in [0, pi] whose cosine is x.

    Shapes: any, kept.   Dtypes: any float, kept.
    """

    name = "acos"
    function = "acos"
    numpy = np.arccos
    low = -0.9
    high = 0.9

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,) = grads, ins
        return (-g * make("rsqrt", 1 - make("square", x)),)


@register
@dataclass(frozen=True, slots=True)
class Atan(Unary):
    """y = the angle in [-pi/2, pi/2] whose tangent is x.

    Shapes: any, kept.   Dtypes: any float, kept.
    """

    name = "atan"
    function = "atan"
    numpy = np.arctan

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,) = grads, ins
        return (g / (make("square", x) + 1),)


@register
@dataclass(frozen=True, slots=True)
class Sinh(Unary):
    """y = (e**x - e**-x) / 2, from expm1, so accurate near 0.

    Shapes: any, kept.   Dtypes: any float, kept.
    """

    name = "sinh"
    numpy = np.sinh

    def element(self, x: Expr) -> Expr:
        # With u = expm1(|x|): sinh = sign(x) * (u + u/(u+1)) / 2, exact where |x| is small.  Where
        # e**|x| overflows, e**(|x|/2) does not, and sinh = e**(|x|/2) * e**(|x|/2) / 2.
        size = call("abs", x)
        u = call("expm1", size)
        half = call("exp", size * 0.5)
        value = choose(call("lt", size, const(8.0, x.dtype)),
                       (u + u / (u + 1.0)) * 0.5, half * (half * 0.5))  # fmt: skip
        return choose(call("lt", x, _zero(x)), -value, value)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,) = grads, ins
        return (g * make("cosh", x),)


@register
@dataclass(frozen=True, slots=True)
class Cosh(Unary):
    """y = (e**x + e**-x) / 2.   Shapes: any, kept.   Dtypes: any float, kept."""

    name = "cosh"
    numpy = np.cosh

    def element(self, x: Expr) -> Expr:
        # e**(|x|/2) does not overflow where cosh itself does not.
        size = call("abs", x)
        half = call("exp", size * 0.5)
        return half * (half * 0.5) + call("exp", -size) * 0.5

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,) = grads, ins
        return (g * make("sinh", x),)


@register
@dataclass(frozen=True, slots=True)
class Tanh(Unary):
    """y = the hyperbolic tangent of x.   Shapes: any, kept.   Dtypes: any float, kept."""

    name = "tanh"
    function = "tanh"
    numpy = np.tanh

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (y,) = grads, outs
        return (g * (1 - make("square", y)),)


@register
@dataclass(frozen=True, slots=True)
class Asinh(Unary):
    """y = the inverse of sinh.   Shapes: any, kept.   Dtypes: any float, kept."""

    name = "asinh"
    numpy = np.arcsinh

    def element(self, x: Expr) -> Expr:
        # log1p(a + a*a/(1 + sqrt(a*a + 1))) loses nothing near 0; a is kept below where a*a
        # overflows, and beyond asinh(a) = log(a) + log(2).
        size = call("abs", x)
        large = _large(x)
        a = call("min", size, large)
        near = call("log1p", a + a * a / (call("sqrt", a * a + 1.0) + 1.0))
        value = choose(call("lt", large, size), call("log", size) + LN2, near)
        return choose(call("lt", x, _zero(x)), -value, value)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,) = grads, ins
        return (g * make("rsqrt", make("square", x) + 1),)


@register
@dataclass(frozen=True, slots=True)
class Acosh(Unary):
    """y = the inverse of cosh, for x >= 1.   Shapes: any, kept.   Dtypes: any float, kept."""

    name = "acosh"
    numpy = np.arccosh
    low = 1.2
    high = 4

    def element(self, x: Expr) -> Expr:
        # With t = x - 1: log1p(t + sqrt(2*t + t*t)) loses nothing near 1.
        large = _large(x)
        t = call("min", x, large) - 1.0
        near = call("log1p", t + call("sqrt", t * 2.0 + t * t))
        return choose(call("lt", large, x), call("log", x) + LN2, near)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,) = grads, ins
        return (g * make("rsqrt", make("square", x) - 1),)


@register
@dataclass(frozen=True, slots=True)
class Atanh(Unary):
    """y = the inverse of tanh, for |x| < 1.   Shapes: any, kept.   Dtypes: any float, kept."""

    name = "atanh"
    numpy = np.arctanh
    low = -0.9
    high = 0.9

    def element(self, x: Expr) -> Expr:
        return (call("log1p", x) - call("log1p", -x)) * 0.5

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,) = grads, ins
        return (g / (1 - make("square", x)),)


@register
@dataclass(frozen=True, slots=True)
class Atan2(Binary):
    """z = the angle in [-pi, pi] of the point whose ordinate is x and whose abscissa is y.

    Shapes: x, y broadcast.   Dtypes: any float, the same for both.   Order of inputs as in numpy.
    """

    name = "atan2"
    function = "atan2"
    numpy = np.arctan2
    samples = Samples(lambda cls: binary_samples(cls(), 0.5, 2.0))

    def result_dtype(self, u: Unifier, x: DTypeView) -> Any:
        return u.floating(x)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (y, x) = grads, ins
        g = g / (make("square", x) + make("square", y))
        return (sum_to(g * x, y), sum_to(-g * y, x))


sin = functional(Sin)
cos = functional(Cos)
tan = functional(Tan)
asin = functional(Asin)
acos = functional(Acos)
atan = functional(Atan)
sinh = functional(Sinh)
cosh = functional(Cosh)
tanh = functional(Tanh)
asinh = functional(Asinh)
acosh = functional(Acosh)
atanh = functional(Atanh)
atan2 = functional(Atan2)

__all__ = [
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cos",
    "cosh",
    "sin",
    "sinh",
    "tan",
    "tanh",
]
