"""Losses between tensors: squared and absolute error, Huber, binary cross entropy, hinge, triplet,
Kullback-Leibler divergence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AttributeValueError
from ..ir.op import CompositeOp, Sample, register
from ..ir.symbol import Symbol
from .base import Array, Gradients, make
from .loss import REDUCTIONS, ElementCount, check_reduction, reduce_array

if TYPE_CHECKING:
    from ..ir.infer import DTypeView, ShapeView, Unifier


def _check_positive(op: Any, **attributes: float) -> None:
    check_reduction(op)
    for key, value in attributes.items():
        if not value > 0:
            raise AttributeValueError(f"{op.name}: {key} must be positive, got {value!r}")


@dataclass(frozen=True, slots=True)
class _PairLoss(CompositeOp):
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
class MseLoss(_PairLoss):
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
class L1Loss(_PairLoss):
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
class HuberLoss(_PairLoss):
    """d^2/2 for |d| below delta, else delta (|d| - delta/2), d = x - target (Huber 1964)."""

    delta: float = 1.0
    name = "huber_loss"

    def check_attributes(self) -> None:
        _check_positive(self, delta=self.delta)

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
class SmoothL1Loss(_PairLoss):
    """Huber's loss divided by its threshold: d^2/(2 beta) below beta, else |d| - beta/2."""

    beta: float = 1.0
    name = "smooth_l1_loss"

    def check_attributes(self) -> None:
        _check_positive(self, beta=self.beta)

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


@register
@dataclass(frozen=True, slots=True)
class BinaryCrossEntropy(_PairLoss):
    """-(t log x + (1-t) log(1-x)) of probabilities x; logarithms stay above -100."""

    name = "binary_cross_entropy"

    def each(self, x: Symbol, target: Symbol) -> Symbol:
        yes = make("maximum", make("log", x), -100.0)
        no = make("maximum", make("log", 1.0 - x), -100.0)
        return -(target * yes + (1.0 - target) * no)

    def slopes(self, g: Symbol, x: Symbol, target: Symbol) -> Gradients:
        spread = make("maximum", x * (1.0 - x), 1e-12)
        odds = make("maximum", make("log", 1.0 - x), -100.0) - make(
            "maximum", make("log", x), -100.0
        )
        return (g * (x - target) / spread, g * odds)

    def numbers(self, x: Array, target: Array) -> Any:
        with np.errstate(divide="ignore"):
            yes, no = np.maximum(np.log(x), -100), np.maximum(np.log(1 - x), -100)
        return -(target * yes + (1 - target) * no)


@register
@dataclass(frozen=True, slots=True)
class BinaryCrossEntropyWithLogits(_PairLoss):
    """max(x, 0) - x t + log(1 + exp(-|x|)): binary cross entropy of sigmoid(x), never infinite."""

    name = "binary_cross_entropy_with_logits"

    def each(self, x: Symbol, target: Symbol) -> Symbol:
        tail = make("log1p", make("exp", -make("abs", x)))
        return make("maximum", x, 0.0) - x * target + tail

    def slopes(self, g: Symbol, x: Symbol, target: Symbol) -> Gradients:
        return (g * (make("sigmoid", x) - target), -(g * x))

    def numbers(self, x: Array, target: Array) -> Any:
        return np.logaddexp(0, x) - x * target


@register
@dataclass(frozen=True, slots=True)
class HingeLoss(_PairLoss):
    """max(0, margin - x t) for targets t of -1 and 1."""

    margin: float = 1.0
    name = "hinge_loss"

    def each(self, x: Symbol, target: Symbol) -> Symbol:
        return make("maximum", self.margin - x * target, 0.0)

    def slopes(self, g: Symbol, x: Symbol, target: Symbol) -> Gradients:
        inside = x * target < self.margin
        slope = make("where", inside, g, 0.0)
        return (-(slope * target), -(slope * x))

    def numbers(self, x: Array, target: Array) -> Any:
        return np.maximum(0, self.margin - x * target)


@register
@dataclass(frozen=True, slots=True)
class KlDivLoss(CompositeOp):
    """target (log target - x) of log-probabilities x; see `kl_div`."""

    reduction: str = "mean"
    log_target: bool = False
    name = "kl_div"

    def check_attributes(self) -> None:
        known = (*REDUCTIONS, "batchmean")
        if self.reduction not in known:
            raise AttributeValueError(
                f"kl_div: reduction must be one of {', '.join(known)}, got {self.reduction!r}"
            )

    def infer_shape(self, u: Unifier, x: ShapeView, target: ShapeView) -> tuple[Any, ...]:
        u.same_shape(x, target, "x and target must have one shape")
        return (x if self.reduction == "none" else (),)

    def infer_dtype(self, u: Unifier, x: DTypeView, target: DTypeView) -> tuple[Any, ...]:
        u.same(x, target, "x and target must have one dtype")
        return (u.floating(x),)

    def forward(self, x: Symbol, target: Symbol) -> Symbol:
        if self.log_target:
            each = make("exp", target) * (target - x)
        else:
            # 0 log 0 is 0: the logarithm is taken of what is positive alone.
            positive = target > 0.0
            logarithm = make("log", make("where", positive, target, 1.0))
            each = make("where", positive, target * (logarithm - x), 0.0)
        if self.reduction == "batchmean":
            batch: Symbol = ElementCount((0,), others=False)(x)
            return make("sum", each) / batch
        return each if self.reduction == "none" else make(self.reduction, each)

    def reference(self, x: Array, target: Array) -> Any:
        wide, t = x.astype(np.float64), target.astype(np.float64)
        if self.log_target:
            each = np.exp(t) * (t - wide)
        else:
            safe = np.where(t > 0, t, 1.0)
            each = np.where(t > 0, t * (np.log(safe) - wide), 0.0)
        if self.reduction == "batchmean":
            return np.asarray(each.sum() / x.shape[0], x.dtype)
        total = reduce_array(self.reduction, each)
        return np.asarray(total, x.dtype)


@register
@dataclass(frozen=True, slots=True)
class TripletLoss(CompositeOp):
    """max(0, |anchor - positive| - |anchor - negative| + margin); see `triplet_loss`."""

    margin: float = 1.0
    p: float = 2.0
    eps: float = 1e-6
    reduction: str = "mean"
    name = "triplet_loss"

    def check_attributes(self) -> None:
        _check_positive(self, p=self.p)

    def infer_shape(
        self, u: Unifier, anchor: ShapeView, positive: ShapeView, negative: ShapeView
    ) -> tuple[Any, ...]:
        u.same_shape(anchor, positive, "anchor and positive must have one shape")
        u.same_shape(anchor, negative, "anchor and negative must have one shape")
        if self.reduction != "none":
            return ((),)
        return (u.at_least(anchor, 1, "anchor")[:-1],)

    def infer_dtype(
        self, u: Unifier, anchor: DTypeView, positive: DTypeView, negative: DTypeView
    ) -> tuple[Any, ...]:
        u.same(anchor, positive, "anchor and positive must have one dtype")
        u.same(anchor, negative, "anchor and negative must have one dtype")
        return (u.floating(anchor),)

    def _distance(self, a: Symbol, b: Symbol) -> Symbol:
        # A little is added to each difference, so that the norm has a slope at equal points.
        difference = a - b + self.eps
        if self.p == 2.0:
            return make("sqrt", make("sum", make("square", difference), axis=(-1,)))
        if self.p == 1.0:
            return make("sum", make("abs", difference), axis=(-1,))
        total = make("sum", make("power", make("abs", difference), self.p), axis=(-1,))
        return make("power", total, 1.0 / self.p)

    def forward(self, anchor: Symbol, positive: Symbol, negative: Symbol) -> Symbol:
        near, far = self._distance(anchor, positive), self._distance(anchor, negative)
        each = make("maximum", near - far + self.margin, 0.0)
        return each if self.reduction == "none" else make(self.reduction, each)

    def reference(self, anchor: Array, positive: Array, negative: Array) -> Any:
        a = anchor.astype(np.float64) + self.eps
        near = (np.abs(a - positive) ** self.p).sum(axis=-1) ** (1 / self.p)
        far = (np.abs(a - negative) ** self.p).sum(axis=-1) ** (1 / self.p)
        each = np.maximum(near - far + self.margin, 0)
        total = reduce_array(self.reduction, each)
        return np.asarray(total, anchor.dtype)


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


def binary_cross_entropy(
    x: Symbol, target: Symbol, *, reduction: str = "mean", name: str | None = None
) -> Any:
    """-(t log x + (1-t) log(1-x)) of probabilities x, reduced; logarithms are kept above -100.

    Shapes: x [*s], target [*s] -> y [], or [*s] for "none".   Dtypes: any float, kept.
    """
    return BinaryCrossEntropy(reduction)(x, target, name=name)


def binary_cross_entropy_with_logits(
    x: Symbol, target: Symbol, *, reduction: str = "mean", name: str | None = None
) -> Any:
    """The binary cross entropy of sigmoid(x), reduced, without overflow.

    Shapes: x [*s], target [*s] -> y [], or [*s] for "none".   Dtypes: any float, kept.
    """
    return BinaryCrossEntropyWithLogits(reduction)(x, target, name=name)


def hinge_loss(
    x: Symbol, target: Symbol, *, margin: float = 1.0, reduction: str = "mean",
    name: str | None = None,
) -> Any:  # fmt: skip
    """max(0, margin - x t) for targets t of -1 and 1, reduced.

    Shapes: x [*s], target [*s] -> y [], or [*s] for "none".   Dtypes: any float, kept.
    """
    return HingeLoss(reduction, margin)(x, target, name=name)


def kl_div(
    x: Symbol, target: Symbol, *, log_target: bool = False, reduction: str = "mean",
    name: str | None = None,
) -> Any:  # fmt: skip
    """target (log target - x) of log-probabilities x, reduced; 0 where the target is 0.

    `log_target`: the target is given as its logarithm.  "batchmean" divides by the first extent.
    Shapes: x [*s], target [*s] -> y [], or [*s] for "none".   Dtypes: any float, kept.
    """
    return KlDivLoss(reduction, log_target)(x, target, name=name)


def triplet_loss(
    anchor: Symbol, positive: Symbol, negative: Symbol, *, margin: float = 1.0, p: float = 2.0,
    reduction: str = "mean", name: str | None = None,
) -> Any:  # fmt: skip
    """max(0, |anchor - positive|_p - |anchor - negative|_p + margin), reduced.

    Shapes: all [*s, d] -> y [], or [*s] for "none".   Dtypes: any float, kept.
    """
    op = TripletLoss(margin, p, 1e-6, reduction)
    return op(anchor, positive, negative, name=name)


def _pair_samples(cls: Any, **more: Any) -> tuple[Sample, ...]:
    return (
        Sample(cls(), ((17, 5), (17, 5)), **more),
        Sample(cls("sum"), ((2, 3, 5), (2, 3, 5)), **more),
        Sample(cls("none"), ((3, 7), (3, 7)), dtype="float64", **more),
        Sample(cls("sum"), ((0, 1), (0, 1)), **more),
        Sample(cls(), ((), ()), **more),
    )


_SIGNS = np.sign(np.random.default_rng(3).normal(size=(5, 7))).astype(np.float32)
MseLoss.samples = _pair_samples(MseLoss)
L1Loss.samples = _pair_samples(L1Loss)
HuberLoss.samples = (
    *_pair_samples(HuberLoss),
    Sample(HuberLoss("none", 0.3), ((3, 7), (3, 7))),
)
SmoothL1Loss.samples = (
    *_pair_samples(SmoothL1Loss),
    Sample(SmoothL1Loss("none", 0.3), ((3, 7), (3, 7))),
)
BinaryCrossEntropy.samples = _pair_samples(BinaryCrossEntropy, low=0.05, high=0.95)
BinaryCrossEntropyWithLogits.samples = (
    *_pair_samples(BinaryCrossEntropyWithLogits),
    Sample(BinaryCrossEntropyWithLogits("none"), ((3, 7), (3, 7)), low=-90, high=90, atol=1e-3),
)
HingeLoss.samples = (
    *_pair_samples(HingeLoss),
    Sample(HingeLoss("none", 0.5), ((5, 7), _SIGNS)),
)
KlDivLoss.samples = (
    Sample(KlDivLoss("sum"), ((0, 7), (0, 7))),
    Sample(KlDivLoss(), ((17, 1), (17, 1)), low=0.1),
    Sample(KlDivLoss(), ((), ()), low=0.1),
    Sample(KlDivLoss(), ((5, 7), (5, 7)), low=0.1, high=1.0),
    Sample(KlDivLoss("batchmean"), ((5, 7), np.abs(np.maximum(_SIGNS, 0))), gradient=False),
    Sample(KlDivLoss("none", True), ((3, 7), (3, 7)), dtype="float64"),
)
TripletLoss.samples = (
    Sample(TripletLoss(reduction="sum"), ((0, 7), (0, 7), (0, 7))),
    Sample(TripletLoss(), ((17, 1), (17, 1), (17, 1))),
    Sample(TripletLoss(), ((5, 7), (5, 7), (5, 7))),
    Sample(TripletLoss(0.2, 1.0, 1e-6, "none"), ((3, 4), (3, 4), (3, 4)), dtype="float64"),
    Sample(TripletLoss(1.0, 3.0, 1e-6, "sum"), ((2, 3, 4), (2, 3, 4), (2, 3, 4))),
)
