"""Losses over class labels: picking a class, cross entropy, negative log likelihood.

A label that is no class is clamped into the classes, as every index read from data is; give
`ignore_index` for labels that stand for "none".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AttributeValueError
from ..ir.op import CompositeOp, Op
from ..ir.registry import register
from ..ir.sample import Sample
from ..ir.symbol import Symbol
from ..kernel import dims
from ..kernel.compute import Compute, Tensor, cast, compute, where
from ..kernel.ir import IndexValue, as_expr, const
from .base import Array, Gradients, make, read, sum_to
from .softmax import LogSoftmax, Softmax
from .windows import pick

if TYPE_CHECKING:
    from ..ir.infer import DTypeView, ShapeView, Unifier

REDUCTIONS = ("mean", "sum", "none")


def reduce_array(reduction: str, each: Array) -> Any:
    """numpy: the mean, the sum, or each."""
    if reduction == "none":
        return each
    return each.mean() if reduction == "mean" else each.sum()


def without_classes(u: Unifier, x: ShapeView) -> Any:
    """x [n, c, *d] without its class axis, as a shape."""
    from ..ir.infer import ShapeView as View

    shape = u.at_least(x, 2, "x")
    return View(u, (shape[0], *shape[2:]))


def relate_labels(u: Unifier, x: ShapeView, label: ShapeView) -> Any:
    """label has the shape of x [n, c, *d] without c, whichever of the two is known."""
    if x.rank is None and label.rank is not None:
        u.rank(x, label.rank + 1, "x")
    shape = without_classes(u, x)
    u.same_shape(label, shape, "label must have the shape of x without its class axis")
    return shape


@register
@dataclass(frozen=True, slots=True)
class ClassPick(Op):
    """y[n,*d] = x[n, label[n,*d], *d].

    Shapes: x [n, c, *d], label [n, *d] -> y [n, *d].   Dtypes: x any, kept; label any integer.
    """

    name = "class_pick"
    no_gradient = ("label",)

    def infer_shape(self, u: Unifier, x: ShapeView, label: ShapeView) -> tuple[Any, ...]:
        return (relate_labels(u, x, label),)

    def infer_dtype(self, u: Unifier, x: DTypeView, label: DTypeView) -> tuple[Any, ...]:
        u.integer(label, "label")
        return (x,)

    def forward(self, x: Tensor, label: Tensor) -> Compute:
        def element(*i: Any) -> Any:
            index = (i[0], label[i], *i[1:])
            return x[index]

        return compute(label.shape, element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (ClassPlace()(grads[0], ins[1], ins[0]), None)

    def reference(self, x: Array, label: Array) -> Any:
        where_to = np.clip(label, 0, x.shape[1] - 1).astype(np.int64)
        return np.take_along_axis(x, where_to[:, None], axis=1)[:, 0]


@register
@dataclass(frozen=True, slots=True)
class ClassPlace(Op):
    """y[n,k,*d] = g[n,*d] where k is the label, else 0: one-hot rows of height g.

    Shapes: g broadcasts to [n, *d], label [n, *d], like [n, c, *d] -> y as like.
    Dtypes: g any number, kept; label any integer.
    """

    name = "class_place"
    no_gradient = ("label", "like")

    def infer_shape(
        self, u: Unifier, g: ShapeView, label: ShapeView, like: ShapeView
    ) -> tuple[Any, ...]:
        relate_labels(u, like, label)
        if g.rank is not None:
            u.broadcast(g, label, why="g must broadcast to label")
        return (like,)

    def infer_dtype(
        self, u: Unifier, g: DTypeView, label: DTypeView, like: DTypeView
    ) -> tuple[Any, ...]:
        u.integer(label, "label")
        u.same(g, like, "g and like must have one dtype")
        return (g,)

    def forward(self, g: Tensor, label: Tensor, like: Tensor) -> Compute:
        classes = as_expr(like.shape[1])
        zero, last = const(0, "int64"), classes - 1

        def element(n: Any, k: Any, *d: Any) -> Any:
            wide = cast(pick(label, n, *d), "int64")
            clamped = where(wide < zero, zero, where(wide < classes, wide, last))
            return where(clamped.equal(k), read(g, (n, *d)), const(0, g.dtype))

        return compute(like.shape, element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (sum_to(ClassPick()(grads[0], ins[1]), ins[0]), None, None)

    def reference(self, g: Array, label: Array, like: Array) -> Any:
        y = np.zeros(like.shape, g.dtype)
        where_to = np.clip(label, 0, like.shape[1] - 1).astype(np.int64)
        full = np.broadcast_to(g, label.shape)
        np.put_along_axis(y, where_to[:, None], full[:, None], axis=1)
        return y


@register
@dataclass(frozen=True, slots=True)
class ElementCount(Op):
    """The number of elements of x along `axes`, or along all but those, as a float of x's dtype.

    Shapes: x [*s] -> y [].   Dtypes: any float, kept.
    """

    axes: tuple[int, ...] = ()
    others: bool = True
    name = "element_count"
    no_gradient = ("x",)

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        return ((),)

    def infer_dtype(self, u: Unifier, x: DTypeView) -> tuple[Any, ...]:
        return (u.floating(x),)

    def _counted(self, shape: Any) -> list[Any]:
        return [n for axis, n in enumerate(shape) if (axis in self.axes) != self.others]

    def forward(self, x: Tensor) -> Compute:
        count = dims.product(self._counted(x.shape))
        return compute((), lambda: cast(IndexValue(count), x.dtype))

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (None,)

    def reference(self, x: Array) -> Any:
        return np.asarray(np.prod(self._counted(x.shape)), x.dtype)


def check_reduction(op: Any) -> None:
    """Raises: AttributeValueError for a reduction that is none of "mean", "sum", "none"."""
    if op.reduction not in REDUCTIONS:
        known = ", ".join(REDUCTIONS)
        raise AttributeValueError(
            f"{op.name}: reduction must be one of {known}, got {op.reduction!r}"
        )


@dataclass(frozen=True, slots=True)
class _LabelLoss(CompositeOp):
    """What losses against integer labels share."""

    ignore_index: int | None = None
    reduction: str = "mean"
    no_gradient = ("label",)

    def check_attributes(self) -> None:
        check_reduction(self)

    def infer_shape(self, u: Unifier, x: ShapeView, label: ShapeView) -> tuple[Any, ...]:
        shape = relate_labels(u, x, label)
        return (shape if self.reduction == "none" else (),)

    def infer_dtype(self, u: Unifier, x: DTypeView, label: DTypeView) -> tuple[Any, ...]:
        u.integer(label, "label")
        return (u.floating(x),)

    def counted(self, label: Symbol) -> Symbol:
        """Where the label is not to be ignored."""
        return make("not_equal", label, self.ignore_index)

    def reduced(self, loss: Symbol, label: Symbol) -> Symbol:
        """The losses of the examples as one number."""
        if self.ignore_index is not None:
            loss = make("where", self.counted(label), loss, 0.0)
        if self.reduction == "none":
            return loss
        if self.reduction == "sum" or self.ignore_index is not None:
            total = make("sum", loss)
            return total if self.reduction == "sum" else total / self.number(label, loss)
        return make("mean", loss)

    def number(self, label: Symbol, like: Symbol) -> Symbol:
        """How many examples count, in the dtype of `like`, which broadcasts to the labels."""
        return make("sum", make("where", self.counted(label), make("ones_like", like), 0.0))

    def share(self, g: Symbol, x: Symbol, label: Symbol) -> Symbol:
        """What the gradient of each example's loss is, before broadcasting to [n, *d]."""
        if self.reduction == "mean":
            if self.ignore_index is None:
                g = g / ElementCount((1,))(x)
            else:
                g = g / self.number(label, g)
        if self.ignore_index is not None:
            g = make("where", self.counted(label), g, 0.0)
        return g

    def numbers(self, loss: Array, label: Array) -> Any:
        """numpy: the losses of the examples, reduced."""
        kept = np.ones(label.shape, bool)
        if self.ignore_index is not None:
            kept = label != self.ignore_index
        loss = np.where(kept, loss, 0)
        if self.reduction == "none":
            return loss
        total = loss.sum()
        return total if self.reduction == "sum" else total / kept.sum()


@register
@dataclass(frozen=True, slots=True)
class CrossEntropy(_LabelLoss):
    """-log softmax(x)[label], with label smoothing; see `cross_entropy`."""

    label_smoothing: float = 0.0
    name = "cross_entropy"

    def check_attributes(self) -> None:
        check_reduction(self)
        if not 0.0 <= self.label_smoothing <= 1.0:
            raise AttributeValueError(
                f"cross_entropy: label_smoothing must be in [0, 1], got {self.label_smoothing!r}"
            )

    def forward(self, x: Symbol, label: Symbol) -> Symbol:
        log_likelihood = LogSoftmax(1)(x)
        loss = -ClassPick()(log_likelihood, label)
        if self.label_smoothing:
            even = -make("mean", log_likelihood, axis=(1,))
            loss = loss * (1.0 - self.label_smoothing) + even * self.label_smoothing
        return self.reduced(loss, label)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        """(softmax - target) * g, the target a smoothed one-hot row."""
        (g,), (x, label) = grads, ins
        share = self.share(g, x, label)
        rest = self.label_smoothing
        target_height = share * (1.0 - rest) if rest else share
        everywhere = share
        if self.reduction == "none" or self.ignore_index is not None:
            everywhere = make("expand_dims", share, axis=1)
        probability = Softmax(1)(x)
        if rest:
            classes = ElementCount((1,), others=False)(x)
            probability = probability - rest / classes
        return (probability * everywhere - ClassPlace()(target_height, label, x), None)

    def reference(self, x: Array, label: Array) -> Any:
        wide = x.astype(np.float64)
        log_likelihood = wide - np.logaddexp.reduce(wide, axis=1, keepdims=True)
        rows = np.clip(label, 0, x.shape[1] - 1).astype(np.int64)[:, None]
        loss = -np.take_along_axis(log_likelihood, rows, axis=1)[:, 0]
        loss = (1 - self.label_smoothing) * loss
        loss = loss - self.label_smoothing * log_likelihood.mean(axis=1)
        return np.asarray(self.numbers(loss, label), x.dtype)


@register
@dataclass(frozen=True, slots=True)
class NllLoss(_LabelLoss):
    """-x[label] of log-probabilities x; see `nll_loss`."""

    name = "nll_loss"

    def forward(self, x: Symbol, label: Symbol) -> Symbol:
        return self.reduced(-ClassPick()(x, label), label)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x, label) = grads, ins
        return (ClassPlace()(-self.share(g, x, label), label, x), None)

    def reference(self, x: Array, label: Array) -> Any:
        rows = np.clip(label, 0, x.shape[1] - 1).astype(np.int64)[:, None]
        loss = -np.take_along_axis(x.astype(np.float64), rows, axis=1)[:, 0]
        return np.asarray(self.numbers(loss, label), x.dtype)


def cross_entropy(
    x: Symbol,
    label: Symbol,
    *,
    label_smoothing: float = 0.0,
    ignore_index: int | None = None,
    reduction: str = "mean",
    name: str | None = None,
) -> Symbol:
    """The cross entropy of logits x against integer labels; its gradient is softmax - one-hot.

    `label_smoothing` e takes 1-e for the label and shares e among all classes; labels equal to
    `ignore_index` count neither in the loss nor in the mean.

    Shapes: x [n, c, *d], label [n, *d] -> y [], or [n, *d] for reduction "none".
    Dtypes: x any float, kept; label any integer.   Raises: AttributeValueError, ShapeError.
    """
    op = CrossEntropy(ignore_index, reduction, label_smoothing)
    return op(x, label, name=name)  # type: ignore[no-any-return]


def nll_loss(
    x: Symbol,
    label: Symbol,
    *,
    ignore_index: int | None = None,
    reduction: str = "mean",
    name: str | None = None,
) -> Symbol:
    """The negative log likelihood of integer labels under log-probabilities x.

    Shapes: x [n, c, *d], label [n, *d] -> y [], or [n, *d] for reduction "none".
    Dtypes: x any float, kept; label any integer.   Raises: AttributeValueError, ShapeError.
    """
    return NllLoss(ignore_index, reduction)(x, label, name=name)  # type: ignore[no-any-return]


def _labels(*shape: int, classes: int, dtype: str = "int64", seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, classes, shape).astype(dtype)


_IGNORED = np.array([3, 1, 0, 1, 6, 1, 2], np.int32)
ClassPick.samples = (
    Sample(ClassPick(), ((0, 7), _labels(0, classes=7))),
    Sample(ClassPick(), ((17, 1), _labels(17, classes=1))),
    Sample(ClassPick(), ((5, 7), _labels(5, classes=7))),
    Sample(ClassPick(), ((2, 3, 5), _labels(2, 5, classes=3, dtype="int32")), dtype="float64"),
    Sample(ClassPick(), ((3, 4), np.array([-2, 9, 1], np.int8))),
)
ClassPlace.samples = (
    Sample(ClassPlace(), ((0,), _labels(0, classes=7), (0, 7))),
    Sample(ClassPlace(), ((1,), _labels(17, classes=7), (17, 7))),
    Sample(ClassPlace(), ((5,), _labels(5, classes=7), (5, 7))),
    Sample(ClassPlace(), ((), _labels(2, 5, classes=3, dtype="int32"), (2, 3, 5))),
    Sample(ClassPlace(), ((3,), np.array([-2, 9, 1], np.int8), (3, 4)), dtype="float64"),
)
ElementCount.samples = (
    Sample(ElementCount((1,)), ((17, 1),), gradient=False),
    Sample(ElementCount(), ((),), gradient=False),
    Sample(ElementCount((1,)), ((3, 5, 7),), gradient=False),
    Sample(ElementCount((0, 2), others=False), ((3, 5, 7),), dtype="float64", gradient=False),
    Sample(ElementCount(), ((0, 3),), gradient=False),
)
CrossEntropy.samples = (
    Sample(CrossEntropy(reduction="sum"), ((0, 5), _labels(0, classes=5))),
    Sample(CrossEntropy(), ((1, 1), _labels(1, classes=1))),
    Sample(CrossEntropy(), ((7, 5), _labels(7, classes=5)), low=-3, high=3),
    Sample(CrossEntropy(reduction="sum"), ((3, 4, 5, 2), _labels(3, 5, 2, classes=4))),
    Sample(CrossEntropy(reduction="none"), ((3, 4, 5), _labels(3, 5, classes=4)), dtype="float64"),
    Sample(CrossEntropy(1, "mean"), ((7, 8), _IGNORED)),
    Sample(CrossEntropy(1, "none", 0.2), ((7, 8), _IGNORED)),
    Sample(CrossEntropy(None, "mean", 0.1), ((17, 33), _labels(17, classes=33, dtype="uint8"))),
)
NllLoss.samples = (
    Sample(NllLoss(reduction="sum"), ((0, 5), _labels(0, classes=5))),
    Sample(NllLoss(), ((17, 1), _labels(17, classes=1))),
    Sample(NllLoss(), ((7, 5), _labels(7, classes=5))),
    Sample(NllLoss(1, "mean"), ((7, 8), _IGNORED)),
    Sample(NllLoss(None, "none"), ((3, 4, 5), _labels(3, 5, classes=4)), dtype="float64"),
)
