"""Activation functions made of a smooth or a straight step between 0 and 1."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.registry import register
from ..ir.sample import Samples
from ..ir.symbol import Symbol
from ..kernel.ir import Expr, call, const
from .activation import Activation, activation_samples, choose, zero
from .base import Array, Gradients, functional, make, specified_by


@register
@dataclass(frozen=True, slots=True)
class Sigmoid(Activation):
    """y = 1 / (1 + e**-x), without overflow.   Shapes: any, kept.   Dtypes: any float, kept."""

    name = "sigmoid"
    function = "sigmoid"

    def element(self, x: Expr) -> Expr:
        return call("sigmoid", x)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (y,) = grads, outs
        return (g * (y * (1 - y)),)

    def value(self, x: Array) -> Any:
        return 1 / (1 + np.exp(-x))


@register
@dataclass(frozen=True, slots=True)
class LogSigmoid(Activation):
    """y = log(sigmoid(x)) = min(x, 0) - log(1 + e**-|x|).

    Shapes: any, kept.   Dtypes: any float, kept.
    """

    name = "log_sigmoid"

    def element(self, x: Expr) -> Expr:
        return call("min", x, zero(x)) - call("log1p", call("exp", -call("abs", x)))

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,) = grads, ins
        return (g * make("sigmoid", -x),)

    def value(self, x: Array) -> Any:
        return -np.logaddexp(0, -x)


@register
@dataclass(frozen=True, slots=True)
class Softplus(Activation):
    """y = log(1 + e**x) = max(x, 0) + log(1 + e**-|x|).

    Shapes: any, kept.   Dtypes: any float, kept.
    """

    name = "softplus"

    def element(self, x: Expr) -> Expr:
        return call("max", x, zero(x)) + call("log1p", call("exp", -call("abs", x)))

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,) = grads, ins
        return (g * make("sigmoid", x),)

    def value(self, x: Array) -> Any:
        return np.logaddexp(0, x)


@register
@dataclass(frozen=True, slots=True)
class Softsign(Activation):
    """y = x / (1 + |x|).   Shapes: any, kept.   Dtypes: any float, kept."""

    name = "softsign"

    def element(self, x: Expr) -> Expr:
        return x / (call("abs", x) + 1.0)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,) = grads, ins
        return (g / make("square", make("abs", x) + 1),)

    def value(self, x: Array) -> Any:
        return x / (1 + np.abs(x))


@register
@dataclass(frozen=True, slots=True)
class Silu(Activation):
    """y = x * sigmoid(x), also called swish.   Shapes: any, kept.   Dtypes: any float, kept."""

    name = "silu"

    def element(self, x: Expr) -> Expr:
        return x * call("sigmoid", x)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,) = grads, ins
        s = make("sigmoid", x)
        return (g * (s * (x * (1 - s) + 1)),)

    def value(self, x: Array) -> Any:
        return x / (1 + np.exp(-x))


@register
@dataclass(frozen=True, slots=True)
class Mish(Activation):
    """y = x * tanh(softplus(x)).   Shapes: any, kept.   Dtypes: any float, kept.

    Source: Misra 2019, Mish: A Self Regularized Non-Monotonic Activation Function.
    """

    name = "mish"

    def element(self, x: Expr) -> Expr:
        soft = call("max", x, zero(x)) + call("log1p", call("exp", -call("abs", x)))
        return x * call("tanh", soft)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,) = grads, ins
        t = make("tanh", make("softplus", x))
        return (g * (t + x * (1 - make("square", t)) * make("sigmoid", x)),)

    def value(self, x: Array) -> Any:
        return x * np.tanh(np.logaddexp(0, x))


@register
@dataclass(frozen=True, slots=True)
class Gelu(Activation):
    """y = x * Phi(x), Phi the normal distribution function.

    `approximate` "tanh": Phi(x) as (1 + tanh(sqrt(2/pi) * (x + 0.044715*x**3))) / 2.
    Shapes: any, kept.   Dtypes: any float, kept.   Source: Hendrycks and Gimpel 2016.
    """

    approximate: str = "none"
    name = "gelu"
    samples = Samples(lambda cls: activation_samples(cls(), cls("tanh")))

    def check_attributes(self) -> None:
        if self.approximate not in ("none", "tanh"):
            from ..errors import AttributeValueError

            raise AttributeValueError(
                f"gelu: approximate must be 'none' or 'tanh', got {self.approximate!r}"
            )

    def element(self, x: Expr) -> Expr:
        if self.approximate == "none":
            return x * 0.5 * (call("erf", x * math.sqrt(0.5)) + 1.0)
        inner = (x * x * 0.044715 + 1.0) * x * math.sqrt(2 / math.pi)
        return x * 0.5 * (call("tanh", inner) + 1.0)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,) = grads, ins
        square = make("square", x)
        if self.approximate == "none":
            phi = (make("erf", x * math.sqrt(0.5)) + 1) * 0.5
            density = make("exp", square * -0.5) * (1 / math.sqrt(2 * math.pi))
            return (g * (phi + x * density),)
        scale = math.sqrt(2 / math.pi)
        t = make("tanh", (square * 0.044715 + 1) * x * scale)
        slope = (square * (3 * 0.044715) + 1) * scale
        return (g * ((t + 1) * 0.5 + x * 0.5 * (1 - make("square", t)) * slope),)

    def value(self, x: Array) -> Any:
        if self.approximate == "tanh":
            return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
        erf = np.array([math.erf(v / math.sqrt(2)) for v in x.ravel().tolist()], np.float64)
        return 0.5 * x * (1 + erf.reshape(x.shape))


@register
@dataclass(frozen=True, slots=True)
class HardSigmoid(Activation):
    """y = min(max(slope*x + offset, 0), 1), by default x/6 + 1/2.

    Shapes: any, kept.   Dtypes: any float, kept.
    """

    slope: float = 1 / 6
    offset: float = 0.5
    name = "hard_sigmoid"
    samples = Samples(lambda cls: activation_samples(cls(), cls(0.2)))

    def element(self, x: Expr) -> Expr:
        line = x * self.slope + self.offset
        return call("min", call("max", line, zero(x)), const(1, x.dtype))

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (y,) = grads, outs
        return (choose(make("bitwise_and", y > 0, y < 1), g * self.slope, 0),)

    def value(self, x: Array) -> Any:
        return np.clip(self.slope * x + self.offset, 0, 1)


@register
@dataclass(frozen=True, slots=True)
class HardSwish(Activation):
    """y = x * min(max(x/6 + 1/2, 0), 1).   Shapes: any, kept.   Dtypes: any float, kept."""

    name = "hard_swish"

    def element(self, x: Expr) -> Expr:
        line = x * (1 / 6) + 0.5
        return x * call("min", call("max", line, zero(x)), const(1, x.dtype))

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,) = grads, ins
        inside = choose(x < 3, g * (x * (1 / 3) + 0.5), g)
        return (choose(x > -3, inside, 0),)

    def value(self, x: Array) -> Any:
        return x * np.clip(x / 6 + 0.5, 0, 1)


sigmoid = functional(Sigmoid)
log_sigmoid = functional(LogSigmoid)
softplus = functional(Softplus)
softsign = functional(Softsign)
silu = functional(Silu)
mish = functional(Mish)
hard_swish = functional(HardSwish)


@specified_by(Gelu)
def gelu(x: Symbol, approximate: str = "none", *, name: str | None = None) -> Symbol:
    """x times the normal distribution function of x."""
    return Gelu(approximate)(x, name=name)  # type: ignore[no-any-return]


@specified_by(HardSigmoid)
def hard_sigmoid(
    x: Symbol, slope: float = 1 / 6, offset: float = 0.5, *, name: str | None = None
) -> Symbol:
    """A line between 0 and 1."""
    return HardSigmoid(slope, offset)(x, name=name)  # type: ignore[no-any-return]


__all__ = [
    "gelu",
    "hard_sigmoid",
    "hard_swish",
    "log_sigmoid",
    "mish",
    "sigmoid",
    "silu",
    "softplus",
    "softsign",
]
