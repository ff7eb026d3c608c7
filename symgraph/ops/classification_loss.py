"""Losses of probabilities, scores and distributions, element by element."""

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
from .loss import REDUCTIONS, ElementCount, reduce_array
from .regression_loss import PairLoss, pair_samples

if TYPE_CHECKING:
    from ..ir.infer import DTypeView, ShapeView, Unifier


@register
@dataclass(frozen=True, slots=True)
class BinaryCrossEntropy(PairLoss):
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
class BinaryCrossEntropyWithLogits(PairLoss):
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
class HingeLoss(PairLoss):
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


_SIGNS = np.sign(np.random.default_rng(3).normal(size=(5, 7))).astype(np.float32)
BinaryCrossEntropy.samples = pair_samples(BinaryCrossEntropy, low=0.05, high=0.95)


BinaryCrossEntropyWithLogits.samples = (
    *pair_samples(BinaryCrossEntropyWithLogits),
    Sample(BinaryCrossEntropyWithLogits("none"), ((3, 7), (3, 7)), low=-90, high=90, atol=1e-3),
)


HingeLoss.samples = (
    *pair_samples(HingeLoss),
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
