"""Activation functions that are linear by pieces, and what all activation functions share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.initializer import Constant as ConstantInit
from ..ir.op import CompositeOp, Op, Owned
from ..ir.registry import register
from ..ir.sample import Sample, Samples
from ..ir.symbol import Symbol
from ..kernel.compute import Compute, Tensor, compute
from ..kernel.ir import Expr, call, const, where
from .base import Array, Gradients, Unary, functional, make, specified_by, unary_samples

if TYPE_CHECKING:
    from ..ir.infer import ShapeView, Unifier


def choose(condition: Symbol, then: Any, otherwise: Any) -> Symbol:
    return make("where", condition, then, otherwise)


def zero(x: Expr) -> Expr:
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


def activation_samples(*ops: Any) -> list[Sample]:
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
        return call("max", x, zero(x))

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (y,) = grads, outs
        return (choose(y > 0, g, 0),)

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
        return call("min", call("max", x, zero(x)), const(6, x.dtype))

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,) = grads, ins
        return (choose(make("bitwise_and", x > 0, x < 6), g, 0),)

    def value(self, x: Array) -> Any:
        return np.clip(x, 0, 6)


@register
@dataclass(frozen=True, slots=True)
class LeakyRelu(Activation):
    """y = x if x > 0 else slope*x.   Shapes: any, kept.   Dtypes: any float, kept."""

    slope: float = 0.01
    name = "leaky_relu"
    samples = Samples(lambda cls: activation_samples(cls(), cls(0.3)))

    def element(self, x: Expr) -> Expr:
        return where(call("lt", zero(x), x), x, x * self.slope)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,) = grads, ins
        return (choose(x > 0, g, g * self.slope),)

    def value(self, x: Array) -> Any:
        return np.where(x > 0, x, self.slope * x)


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
        below = make("sum_to_like", choose(x > 0, 0, g * x), spread)
        return (
            choose(x > 0, g, g * spread),
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


@specified_by(LeakyRelu)
def leaky_relu(x: Symbol, slope: float = 0.01, *, name: str | None = None) -> Symbol:
    """x where positive, else slope*x."""
    return LeakyRelu(slope)(x, name=name)  # type: ignore[no-any-return]


@specified_by(Prelu)
def prelu(x: Symbol, slope: Symbol | None = None, *, name: str | None = None) -> Symbol:
    """x where positive, else a learnt slope times x."""
    return Prelu()(x, slope, name=name)  # type: ignore[no-any-return]


@specified_by(Maxout)
def maxout(x: Symbol, pieces: int, axis: int = 1, *, name: str | None = None) -> Symbol:
    """The greatest of each `pieces` neighbours along an axis."""
    return Maxout(pieces, axis)(x, name=name)  # type: ignore[no-any-return]


__all__ = ["leaky_relu", "maxout", "prelu", "relu", "relu6"]
