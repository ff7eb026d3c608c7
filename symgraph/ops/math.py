"""Elementwise mathematics: powers, roots, exponentials and logarithms, rounding.

An operator is one scalar function of `kernel/functions.py`, whose accuracy is the target's, or a
short formula of them that adds at most 2 units in the last place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.registry import register
from ..ir.symbol import Symbol
from ..kernel.ir import Expr, call, const
from ..kernel.ir import where as choose
from .base import LN2, LN10, Array, Gradients, Unary, functional, make, zeros_like

TWO_BY_ROOT_PI = 2.0 / math.sqrt(math.pi)


@register
@dataclass(frozen=True, slots=True)
class Abs(Unary):
    """y = |x|; the gradient at 0 is 0.   Shapes: any, kept.   Dtypes: any number, kept."""

    name = "abs"
    function = "abs"
    numpy = np.abs
    float_only = False

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,) = grads, ins
        return (g * make("sign", x),)

    def simplify(self, ins: tuple[Symbol, ...]) -> Symbol | None:
        """||x|| -> |x|, |-x| -> |x|, |x * x| -> x * x."""
        (x,) = ins
        if x.node.op.name in ("abs", "square", "exp", "sqrt"):
            return x
        return make("abs", Symbol(x.node.inputs[0])) if x.node.op.name == "negative" else None


@register
@dataclass(frozen=True, slots=True)
class Sign(Unary):
    """y = -1, 0 or 1 by the sign of x; NaN stays, the gradient is 0.

    Shapes: any, kept.   Dtypes: any number, kept.
    """

    name = "sign"
    numpy = np.sign
    float_only = False

    def element(self, x: Expr) -> Expr:
        zero = const(0, x.dtype)
        upper = choose(call("lt", zero, x), const(1, x.dtype), x)
        if x.dtype.kind == "uint":
            return upper
        return choose(call("lt", x, zero), const(-1, x.dtype), upper)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (zeros_like(ins[0]),)


@register
@dataclass(frozen=True, slots=True)
class Square(Unary):
    """y = x * x.   Shapes: any, kept.   Dtypes: any number, kept."""

    name = "square"
    numpy = np.square
    float_only = False

    def element(self, x: Expr) -> Expr:
        return x * x

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,) = grads, ins
        return (g * (x * 2),)


@register
@dataclass(frozen=True, slots=True)
class Sqrt(Unary):
    """y = the square root of x.   Shapes: any, kept.   Dtypes: any float, kept."""

    name = "sqrt"
    function = "sqrt"
    numpy = np.sqrt
    low = 0.1
    high = 4

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (y,) = grads, outs
        return (g * 0.5 / y,)


@register
@dataclass(frozen=True, slots=True)
class Rsqrt(Unary):
    """y = 1 / sqrt(x).   Shapes: any, kept.   Dtypes: any float, kept."""

    name = "rsqrt"
    low = 0.1
    high = 4

    def element(self, x: Expr) -> Expr:
        return const(1.0, x.dtype) / call("sqrt", x)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,), (y,) = grads, ins, outs
        return (g * -0.5 * y / x,)

    def reference(self, x: Array) -> Any:
        return (1 / np.sqrt(x)).astype(x.dtype)


@register
@dataclass(frozen=True, slots=True)
class Reciprocal(Unary):
    """y = 1 / x.   Shapes: any, kept.   Dtypes: any float, kept."""

    name = "reciprocal"
    numpy = np.reciprocal
    low = 0.5

    def element(self, x: Expr) -> Expr:
        return const(1.0, x.dtype) / x

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (y,) = grads, outs
        return (-g * make("square", y),)


@register
@dataclass(frozen=True, slots=True)
class Exp(Unary):
    """y = e ** x.   Shapes: any, kept.   Dtypes: any float, kept."""

    name = "exp"
    function = "exp"
    numpy = np.exp

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (y,) = grads, outs
        return (g * y,)


@register
@dataclass(frozen=True, slots=True)
class Exp2(Unary):
    """y = 2 ** x.   Shapes: any, kept.   Dtypes: any float, kept."""

    name = "exp2"
    numpy = np.exp2

    def element(self, x: Expr) -> Expr:
        return call("pow", const(2.0, x.dtype), x)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (y,) = grads, outs
        return (g * y * LN2,)


@register
@dataclass(frozen=True, slots=True)
class Expm1(Unary):
    """y = e ** x - 1, accurate near 0.   Shapes: any, kept.   Dtypes: any float, kept."""

    name = "expm1"
    function = "expm1"
    numpy = np.expm1

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,) = grads, ins
        return (g * make("exp", x),)


@register
@dataclass(frozen=True, slots=True)
class Log(Unary):
    """y = the natural logarithm of x.   Shapes: any, kept.   Dtypes: any float, kept."""

    name = "log"
    function = "log"
    numpy = np.log
    low = 0.1
    high = 4

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,) = grads, ins
        return (g / x,)


@register
@dataclass(frozen=True, slots=True)
class Log2(Unary):
    """y = the logarithm of x to base 2, one rounding beyond log's.

    Shapes: any, kept.   Dtypes: any float, kept.
    """

    name = "log2"
    numpy = np.log2
    low = 0.1
    high = 4

    def element(self, x: Expr) -> Expr:
        return call("log", x) * (1.0 / LN2)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,) = grads, ins
        return (g / (x * LN2),)


@register
@dataclass(frozen=True, slots=True)
class Log10(Unary):
    """y = the logarithm of x to base 10, one rounding beyond log's.

    Shapes: any, kept.   Dtypes: any float, kept.
    """

    name = "log10"
    numpy = np.log10
    low = 0.1
    high = 4

    def element(self, x: Expr) -> Expr:
        return call("log", x) * (1.0 / LN10)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,) = grads, ins
        return (g / (x * LN10),)


@register
@dataclass(frozen=True, slots=True)
class Log1p(Unary):
    """y = log(1 + x), accurate near 0.   Shapes: any, kept.   Dtypes: any float, kept."""

    name = "log1p"
    function = "log1p"
    numpy = np.log1p
    low = -0.5

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,) = grads, ins
        return (g / (x + 1),)


@register
@dataclass(frozen=True, slots=True)
class Erf(Unary):
    """y = the error function, 2/sqrt(pi) times the integral of exp(-t*t) from 0 to x.

    Shapes: any, kept.   Dtypes: any float, kept.
    """

    name = "erf"
    function = "erf"

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,) = grads, ins
        return (g * (make("exp", -make("square", x)) * TWO_BY_ROOT_PI),)

    def reference(self, x: Array) -> Any:
        values = [math.erf(v) for v in x.ravel().tolist()]
        return np.array(values, np.float64).reshape(x.shape).astype(x.dtype)


class _Step(Unary):
    """Whole numbers from x, constant by pieces: the gradient is 0."""

    __slots__ = ()
    low = -4
    high = 4

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (zeros_like(ins[0]),)


@register
@dataclass(frozen=True, slots=True)
class Floor(_Step):
    """y = the greatest whole number not above x; the gradient is 0.

    Shapes: any, kept.   Dtypes: any float, kept.
    """

    name = "floor"
    function = "floor"
    numpy = np.floor


@register
@dataclass(frozen=True, slots=True)
class Ceil(_Step):
    """y = the least whole number not below x; the gradient is 0.

    Shapes: any, kept.   Dtypes: any float, kept.
    """

    name = "ceil"
    function = "ceil"
    numpy = np.ceil


@register
@dataclass(frozen=True, slots=True)
class Trunc(_Step):
    """y = x without its fraction; the gradient is 0.

    Shapes: any, kept.   Dtypes: any float, kept.
    """

    name = "trunc"
    function = "trunc"
    numpy = np.trunc


@register
@dataclass(frozen=True, slots=True)
class Round(_Step):
    """y = the nearest whole number, halves to even; the gradient is 0.

    Shapes: any, kept.   Dtypes: any float, kept.
    """

    name = "round"
    function = "round"
    numpy = np.round


abs = functional(Abs)
sign = functional(Sign)
square = functional(Square)
sqrt = functional(Sqrt)
rsqrt = functional(Rsqrt)
reciprocal = functional(Reciprocal)
exp = functional(Exp)
exp2 = functional(Exp2)
expm1 = functional(Expm1)
log = functional(Log)
log2 = functional(Log2)
log10 = functional(Log10)
log1p = functional(Log1p)
erf = functional(Erf)
floor = functional(Floor)
ceil = functional(Ceil)
trunc = functional(Trunc)
round = functional(Round)

__all__ = [
    "abs",
    "ceil",
    "erf",
    "exp",
    "exp2",
    "expm1",
    "floor",
    "log",
    "log1p",
    "log2",
    "log10",
    "reciprocal",
    "round",
    "rsqrt",
    "sign",
    "sqrt",
    "square",
    "trunc",
]
