"""Losses of differences: squared and absolute error, Huber, and what losses of pairs share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AttributeValueError
from ..ir.op import CompositeOp
from ..ir.registry import register
from ..ir.sample import Sample
from ..ir.symbol import Symbol
from .base import Array, Gradients, make
from .loss import ElementCount, check_reduction, reduce_array

if TYPE_CHECKING:
    from ..ir.infer import DTypeView, ShapeView, Unifier


def check_positive(op: Any, **attributes: float) -> None:
    check_reduction(op)
    for key, value in attributes.items():
        if not value > 0:
            raise AttributeValueError(f"{op.name}: {key} must be positive, got {value!r}")


@dataclass(frozen=True, slots=True)
class PairLoss(CompositeOp):
    """A loss for each pair of elements of x and target, reduced."""

    reduction: str = "mean"

    def check_attributes(self) -> None:
        check_reduction(self)

    def infer_shape(self, u: Unifier, x: ShapeView, target: ShapeView) -> tuple[Any, ...]:
        u.same_shape(x, target, "x and target must have one shape")
        return (x if self.reduction == "none" else (),)

    def infer_dtype(self, u: Unifier, x: DTypeView, target: DTypeView) -> tuple[Any, ...]:
        u.same(x, target, "x and target must have one dtype")
        return (u.floating(x),)

    def forward(self, x: Symbol, target: Symbol) -> Symbol:
        each = self.each(x, target)
        return each if self.reduction == "none" else make(self.reduction, each)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x, target) = grads, ins
        if self.reduction == "mean":
            g = g / ElementCount()(x)
        return self.slopes(g, x, target)

    def each(self, x: Symbol, target: Symbol) -> Symbol:
        """The loss of each element."""
        raise NotImplementedError

    def slopes(self, g: Symbol, x: Symbol, target: Symbol) -> Gradients:
        """g times the derivatives in x and target."""
        raise NotImplementedError

    def reference(self, x: Array, target: Array) -> Any:
        each = self.numbers(x.astype(np.float64), target.astype(np.float64))
        total = reduce_array(self.reduction, each)
        return np.asarray(total, x.dtype)

    def numbers(self, x: Array, target: Array) -> Any:
        """numpy: the loss of each element."""
        raise NotImplementedError


@register
@dataclass(frozen=True, slots=True)
class MseLoss(PairLoss):
    """(x - target)^2, reduced."""

    name = "mse_loss"

    def each(self, x: Symbol, target: Symbol) -> Symbol:
        return make("square", x - target)

    def slopes(self, g: Symbol, x: Symbol, target: Symbol) -> Gradients:
        slope = g * (2.0 * (x - target))
        return (slope, -slope)

    def numbers(self, x: Array, target: Array) -> Any:
        return (x - target) ** 2


@register
@dataclass(frozen=True, slots=True)
class L1Loss(PairLoss):
    """|x - target|, reduced; the slope at 0 is 0."""

    name = "l1_loss"

    def each(self, x: Symbol, target: Symbol) -> Symbol:
        return make("abs", x - target)

    def slopes(self, g: Symbol, x: Symbol, target: Symbol) -> Gradients:
        slope = g * make("sign", x - target)
        return (slope, -slope)

    def numbers(self, x: Array, target: Array) -> Any:
        return np.abs(x - target)


@register
@dataclass(frozen=True, slots=True)
class HuberLoss(PairLoss):
    """d^2/2 for |d| below delta, else delta (|d| - delta/2), d = x - target (Huber 1964)."""

    delta: float = 1.0
    name = "huber_loss"

    def check_attributes(self) -> None:
        check_positive(self, delta=self.delta)

    def each(self, x: Symbol, target: Symbol) -> Symbol:
        size = make("abs", x - target)
        flat = (size - self.delta / 2) * self.delta
        return make("where", size < self.delta, make("square", size) * 0.5, flat)

    def slopes(self, g: Symbol, x: Symbol, target: Symbol) -> Gradients:
        slope = g * make("clip", x - target, min=-self.delta, max=self.delta)
        return (slope, -slope)

    def numbers(self, x: Array, target: Array) -> Any:
        size = np.abs(x - target)
        return np.where(size < self.delta, size**2 / 2, self.delta * (size - self.delta / 2))


@register
@dataclass(frozen=True, slots=True)
class SmoothL1Loss(PairLoss):
    """Huber's loss divided by its threshold: d^2/(2 beta) below beta, else |d| - beta/2."""

    beta: float = 1.0
    name = "smooth_l1_loss"

    def check_attributes(self) -> None:
        check_positive(self, beta=self.beta)

    def each(self, x: Symbol, target: Symbol) -> Symbol:
        size = make("abs", x - target)
        bowl = make("square", size) * (0.5 / self.beta)
        return make("where", size < self.beta, bowl, size - self.beta / 2)

    def slopes(self, g: Symbol, x: Symbol, target: Symbol) -> Gradients:
        slope = g * make("clip", (x - target) * (1.0 / self.beta), min=-1.0, max=1.0)
        return (slope, -slope)

    def numbers(self, x: Array, target: Array) -> Any:
        size = np.abs(x - target)
        return np.where(size < self.beta, size**2 / (2 * self.beta), size - self.beta / 2)


def mse_loss(x: Symbol, target: Symbol, *, reduction: str = "mean", name: str | None = None) -> Any:
    """(x - target)^2, reduced by "mean", "sum" or "none".

    Shapes: x [*s], target [*s] -> y [], or [*s] for "none".   Dtypes: any float, kept.
    """
    return MseLoss(reduction)(x, target, name=name)


def l1_loss(x: Symbol, target: Symbol, *, reduction: str = "mean", name: str | None = None) -> Any:
    """|x - target|, reduced by "mean", "sum" or "none".

    Shapes: x [*s], target [*s] -> y [], or [*s] for "none".   Dtypes: any float, kept.
    """
    return L1Loss(reduction)(x, target, name=name)


def huber_loss(
    x: Symbol, target: Symbol, *, delta: float = 1.0, reduction: str = "mean",
    name: str | None = None,
) -> Any:  # fmt: skip
    """d^2/2 where |d| < delta, else delta (|d| - delta/2), d = x - target, reduced (Huber 1964).

    Shapes: x [*s], target [*s] -> y [], or [*s] for "none".   Dtypes: any float, kept.
    """
    return HuberLoss(reduction, delta)(x, target, name=name)


def smooth_l1_loss(
    x: Symbol, target: Symbol, *, beta: float = 1.0, reduction: str = "mean",
    name: str | None = None,
) -> Any:  # fmt: skip
    """d^2/(2 beta) where |d| < beta, else |d| - beta/2, d = x - target, reduced (Girshick 2015).

    Shapes: x [*s], target [*s] -> y [], or [*s] for "none".   Dtypes: any float, kept.
    """
    return SmoothL1Loss(reduction, beta)(x, target, name=name)


def pair_samples(cls: Any, **more: Any) -> tuple[Sample, ...]:
    return (
        Sample(cls(), ((17, 5), (17, 5)), **more),
        Sample(cls("sum"), ((2, 3, 5), (2, 3, 5)), **more),
        Sample(cls("none"), ((3, 7), (3, 7)), dtype="float64", **more),
        Sample(cls("sum"), ((0, 1), (0, 1)), **more),
        Sample(cls(), ((), ()), **more),
    )


MseLoss.samples = pair_samples(MseLoss)
L1Loss.samples = pair_samples(L1Loss)


HuberLoss.samples = (
    *pair_samples(HuberLoss),
    Sample(HuberLoss("none", 0.3), ((3, 7), (3, 7))),
)


SmoothL1Loss.samples = (
    *pair_samples(SmoothL1Loss),
    Sample(SmoothL1Loss("none", 0.3), ((3, 7), (3, 7))),
)
