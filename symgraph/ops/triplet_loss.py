"""The loss of distances between an anchor and two others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.op import CompositeOp
from ..ir.registry import register
from ..ir.sample import Sample
from ..ir.symbol import Symbol
from .base import Array, make
from .loss import reduce_array
from .regression_loss import check_positive

if TYPE_CHECKING:
    from ..ir.infer import DTypeView, ShapeView, Unifier


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
        check_positive(self, p=self.p)

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


def triplet_loss(
    anchor: Symbol, positive: Symbol, negative: Symbol, *, margin: float = 1.0, p: float = 2.0,
    reduction: str = "mean", name: str | None = None,
) -> Any:  # fmt: skip
    """max(0, |anchor - positive|_p - |anchor - negative|_p + margin), reduced.

    Shapes: all [*s, d] -> y [], or [*s] for "none".   Dtypes: any float, kept.
    """
    op = TripletLoss(margin, p, 1e-6, reduction)
    return op(anchor, positive, negative, name=name)


TripletLoss.samples = (
    Sample(TripletLoss(reduction="sum"), ((0, 7), (0, 7), (0, 7))),
    Sample(TripletLoss(), ((17, 1), (17, 1), (17, 1))),
    Sample(TripletLoss(), ((5, 7), (5, 7), (5, 7))),
    Sample(TripletLoss(0.2, 1.0, 1e-6, "none"), ((3, 4), (3, 4), (3, 4)), dtype="float64"),
    Sample(TripletLoss(1.0, 3.0, 1e-6, "sum"), ((2, 3, 4), (2, 3, 4), (2, 3, 4))),
)
