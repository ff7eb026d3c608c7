"""Activation functions of neural networks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.initializer import Constant as ConstantInit
from ..ir.op import CompositeOp, Op, Owned, Sample, Samples, register
from ..ir.symbol import Symbol
from ..kernel.compute import Compute, Tensor, compute
from ..kernel.ir import Expr, call, const, where
from .base import Array, Gradients, Unary, functional, make, specified_by, unary_samples

if TYPE_CHECKING:
    from ..ir.infer import ShapeView, Unifier

SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805


def _choose(condition: Symbol, then: Any, otherwise: Any) -> Symbol:
    return make("where", condition, then, otherwise)


def _zero(x: Expr) -> Expr:
    return const(0, x.dtype)


class Activation(Unary):
    """Base: an elementwise function of a float, tested on both sides of 0."""

    __slots__ = ()
    low = -4.0
    high = 4.0

    def reference(self, x: Array) -> Any:
        return np.asarray(self.value(x.astype(np.float64))).astype(x.dtype)

    def value(self, x: Array) -> Any:
        """The function of a float64 array."""
        raise NotImplementedError


def _with(*ops: Any) -> list[Sample]:
    return [sample for op in ops for sample in unary_samples(op, -4.0, 4.0)]


@register
@dataclass(frozen=True, slots=True)
class Relu(Activation):
    """y = max(x, 0); NaN stays, the gradient at 0 is 0.

    Shapes: any, kept.   Dtypes: any number, kept.
    """

    name = "relu"
    float_only = False

    def element(self, x: Expr) -> Expr:
        return call("max", x, _zero(x))

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (y,) = grads, outs
        return (_choose(y > 0, g, 0),)

    def simplify(self, ins: tuple[Symbol, ...]) -> Symbol | None:
        """relu(relu(x)) -> relu(x)."""
        return ins[0] if isinstance(ins[0].node.op, Relu) else None

    def reference(self, x: Array) -> Any:
        return np.maximum(x, 0)


@register
@dataclass(frozen=True, slots=True)
class Relu6(Activation):
    """y = min(max(x, 0), 6).   Shapes: any, kept.   Dtypes: any float, kept."""

    name = "relu6"
    samples = Samples(lambda cls: unary_samples(cls(), -4.0, 9.0))

    def element(self, x: Expr) -> Expr:
        return call("min", call("max", x, _zero(x)), const(6, x.dtype))

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,) = grads, ins
        return (_choose(make("bitwise_and", x > 0, x < 6), g, 0),)

    def value(self, x: Array) -> Any:
        return np.clip(x, 0, 6)


@register
@dataclass(frozen=True, slots=True)
class LeakyRelu(Activation):
    """y = x if x > 0 else slope*x.   Shapes: any, kept.   Dtypes: any float, kept."""

    slope: float = 0.01
    name = "leaky_relu"
    samples = Samples(lambda cls: _with(cls(), cls(0.3)))

    def element(self, x: Expr) -> Expr:
        return where(call("lt", _zero(x), x), x, x * self.slope)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,) = grads, ins
        return (_choose(x > 0, g, g * self.slope),)

    def value(self, x: Array) -> Any:
        return np.where(x > 0, x, self.slope * x)


@register
@dataclass(frozen=True, slots=True)
class Elu(Activation):
    """y = x if x > 0 else alpha*(e**x - 1).   Shapes: any, kept.   Dtypes: any float, kept."""

    alpha: float = 1.0
    name = "elu"
    samples = Samples(lambda cls: _with(cls(), cls(0.3)))

    def element(self, x: Expr) -> Expr:
        below = call("expm1", call("min", x, _zero(x))) * self.alpha
        return where(call("lt", _zero(x), x), x, below)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,), (y,) = grads, ins, outs
        return (_choose(x > 0, g, g * (y + self.alpha)),)

    def value(self, x: Array) -> Any:
        return np.where(x > 0, x, self.alpha * np.expm1(x))


@register
@dataclass(frozen=True, slots=True)
class Selu(Activation):
    """y = scale * elu(x, alpha), with the constants that keep mean 0 and variance 1.

    Shapes: any, kept.   Dtypes: any float, kept.   Source: Klambauer et al. 2017,
    Self-Normalizing Neural Networks.
    """

    name = "selu"

    def element(self, x: Expr) -> Expr:
        below = call("expm1", call("min", x, _zero(x))) * (SELU_SCALE * SELU_ALPHA)
        return where(call("lt", _zero(x), x), x * SELU_SCALE, below)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,), (y,) = grads, ins, outs
        return (_choose(x > 0, g * SELU_SCALE, g * (y + SELU_SCALE * SELU_ALPHA)),)

    def value(self, x: Array) -> Any:
        return SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(x))


@register
@dataclass(frozen=True, slots=True)
class Celu(Activation):
    """y = x if x > 0 else alpha*(e**(x/alpha) - 1).   Shapes: any, kept.   Dtypes: any float."""

    alpha: float = 1.0
    name = "celu"
    samples = Samples(lambda cls: _with(cls(), cls(0.5)))

    def element(self, x: Expr) -> Expr:
        below = call("expm1", call("min", x, _zero(x)) * (1.0 / self.alpha)) * self.alpha
        return where(call("lt", _zero(x), x), x, below)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,), (y,) = grads, ins, outs
        return (_choose(x > 0, g, g * (y / self.alpha + 1)),)

    def value(self, x: Array) -> Any:
        return np.where(x > 0, x, self.alpha * np.expm1(x / self.alpha))


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
        return call("min", x, _zero(x)) - call("log1p", call("exp", -call("abs", x)))

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
        return call("max", x, _zero(x)) + call("log1p", call("exp", -call("abs", x)))

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
        soft = call("max", x, _zero(x)) + call("log1p", call("exp", -call("abs", x)))
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
    samples = Samples(lambda cls: _with(cls(), cls("tanh")))

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
    samples = Samples(lambda cls: _with(cls(), cls(0.2)))

    def element(self, x: Expr) -> Expr:
        line = x * self.slope + self.offset
        return call("min", call("max", line, _zero(x)), const(1, x.dtype))

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (y,) = grads, outs
        return (_choose(make("bitwise_and", y > 0, y < 1), g * self.slope, 0),)

    def value(self, x: Array) -> Any:
        return np.clip(self.slope * x + self.offset, 0, 1)


@register
@dataclass(frozen=True, slots=True)
class HardSwish(Activation):
    """y = x * min(max(x/6 + 1/2, 0), 1).   Shapes: any, kept.   Dtypes: any float, kept."""

    name = "hard_swish"

    def element(self, x: Expr) -> Expr:
        line = x * (1 / 6) + 0.5
        return x * call("min", call("max", line, _zero(x)), const(1, x.dtype))

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,) = grads, ins
        inside = _choose(x < 3, g * (x * (1 / 3) + 0.5), g)
        return (_choose(x > -3, inside, 0),)

    def value(self, x: Array) -> Any:
        return x * np.clip(x / 6 + 0.5, 0, 1)


@register
@dataclass(frozen=True, slots=True)
class Prelu(Op):
    """y = x if x > 0 else slope*x, with one learnt slope for each channel (axis 1).

    Shapes: x [n, c, *s] or [n, c], slope [c] or [1] -> y as x.   Dtypes: any float.
    """

    name = "prelu"
    owned = (Owned("slope", ConstantInit(0.25)),)
    samples = Samples(
        lambda cls: (
            Sample(cls(), ((2, 3, 5), (3,))),
            Sample(cls(), ((17, 33), (33,))),
            Sample(cls(), ((2, 3, 5), (1,)), dtype="float64"),
            Sample(cls(), ((0, 3), (3,))),
            Sample(cls(), ((5, 1, 2, 3), (1,)), dtype="float64"),
        )
    )

    def infer_shape(self, u: Unifier, x: ShapeView, slope: ShapeView) -> tuple[Any, ...]:
        shape, (count,) = u.at_least(x, 2, "x"), u.rank(slope, 1, "slope")
        if count != 1:
            u.equal(count, shape[1], "slope.shape[0] must equal x.shape[1]")
        return (x,)

    def forward(self, x: Tensor, slope: Tensor) -> Compute:
        one = slope.shape[0] == 1

        def element(*i: Any) -> Any:
            value = x[i]
            factor = slope[0 if one else i[1]]
            return where(call("lt", const(0, x.dtype), value), value, factor * value)

        return compute(x.shape, element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x, slope) = grads, ins
        axes = tuple(range(1, (x.ndim or 2) - 1))
        spread = make("expand_dims", slope, axis=axes) if axes else slope
        below = make("sum_to_like", _choose(x > 0, 0, g * x), spread)
        return (
            _choose(x > 0, g, g * spread),
            make("reshape_like", below, slope) if axes else below,
        )

    def reference(self, x: Array, slope: Array) -> Any:
        return np.where(x > 0, x, slope.reshape(-1, *(1,) * (x.ndim - 2)) * x)


@register
@dataclass(frozen=True, slots=True)
class Maxout(CompositeOp):
    """y = the greatest of each `pieces` neighbours along `axis`; ties share the gradient evenly.

    Shapes: x [*a, n, *b] -> y [*a, n/pieces, *b].   Dtypes: any float.   Source: Goodfellow et al.
    2013, Maxout Networks.
    """

    pieces: int
    axis: int = 1
    name = "maxout"
    samples = Samples(
        lambda cls: (
            Sample(cls(2), ((3, 34),)),
            Sample(cls(3), ((2, 6, 5),), dtype="float64"),
            Sample(cls(2, 0), ((4, 1),)),
            Sample(cls(2), ((0, 4),)),
        )
    )

    def check_attributes(self) -> None:
        if self.pieces < 1 or self.axis < 0:
            from ..errors import AttributeValueError

            raise AttributeValueError(
                f"maxout: need pieces >= 1 and axis >= 0, got {self.pieces} and {self.axis}"
            )

    def forward(self, x: Symbol) -> Symbol:
        shape = (*(0,) * self.axis, -4, -1, self.pieces, -2)
        return make("max", make("reshape", x, shape=shape), axis=self.axis + 1)

    def reference(self, x: Array) -> Any:
        count = x.shape[self.axis] // self.pieces
        shape = (*x.shape[: self.axis], count, self.pieces, *x.shape[self.axis + 1 :])
        return x.reshape(shape).max(self.axis + 1)


relu = functional(Relu)
relu6 = functional(Relu6)
selu = functional(Selu)
sigmoid = functional(Sigmoid)
log_sigmoid = functional(LogSigmoid)
softplus = functional(Softplus)
softsign = functional(Softsign)
silu = functional(Silu)
mish = functional(Mish)
hard_swish = functional(HardSwish)


@specified_by(LeakyRelu)
def leaky_relu(x: Symbol, slope: float = 0.01, *, name: str | None = None) -> Symbol:
    """x where positive, else slope*x."""
    return LeakyRelu(slope)(x, name=name)  # type: ignore[no-any-return]


@specified_by(Elu)
def elu(x: Symbol, alpha: float = 1.0, *, name: str | None = None) -> Symbol:
    """x where positive, else alpha*(e**x - 1)."""
    return Elu(alpha)(x, name=name)  # type: ignore[no-any-return]


@specified_by(Celu)
def celu(x: Symbol, alpha: float = 1.0, *, name: str | None = None) -> Symbol:
    """x where positive, else alpha*(e**(x/alpha) - 1)."""
    return Celu(alpha)(x, name=name)  # type: ignore[no-any-return]


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


@specified_by(Prelu)
def prelu(x: Symbol, slope: Symbol | None = None, *, name: str | None = None) -> Symbol:
    """x where positive, else a learnt slope times x."""
    return Prelu()(x, slope, name=name)  # type: ignore[no-any-return]


@specified_by(Maxout)
def maxout(x: Symbol, pieces: int, axis: int = 1, *, name: str | None = None) -> Symbol:
    """The greatest of each `pieces` neighbours along an axis."""
    return Maxout(pieces, axis)(x, name=name)  # type: ignore[no-any-return]


__all__ = [
    "celu",
    "elu",
    "gelu",
    "hard_sigmoid",
    "hard_swish",
    "leaky_relu",
    "log_sigmoid",
    "maxout",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softplus",
    "softsign",
]
