"""Accuracy and the largest elements, with ties decided the same way everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AttributeValueError
from ..ir.op import CompositeOp, Op
from ..ir.registry import register
from ..ir.sample import Sample
from ..ir.symbol import Symbol
from ..kernel.compute import Compute, Tensor, cast, compute, reduce, where
from ..kernel.dims import Dim
from ..kernel.dtypes import int32
from ..kernel.ir import Expr, as_expr, const
from .base import Array, Gradients, make
from .loss import relate_labels
from .windows import pick

if TYPE_CHECKING:
    from ..ir.infer import DTypeView, ShapeView, Unifier


def _precedes(a: Expr, b: Expr, a_first: Expr) -> Expr:
    """a comes before b in descending order: NaN before all numbers, equal ones by position."""
    if not a.dtype.is_float:
        return (b < a) | (~(a < b) & ~(b < a) & a_first)
    a_nan, b_nan = a.not_equal(a), b.not_equal(b)
    greater, less = (b < a) | (a_nan & ~b_nan), (a < b) | (b_nan & ~a_nan)
    return greater | (~less & a_first)


def _sorted(x: Array, axis: int) -> Any:
    """numpy: positions in descending order, NaN first, equal elements by position."""
    if x.dtype.kind != "f":
        return np.argsort(-x.astype(np.int64), axis=axis, kind="stable")
    key = np.where(np.isnan(x), -np.inf, -x.astype(np.float64))
    first = np.argsort(~np.isnan(x), axis=axis, kind="stable")
    again = np.argsort(np.take_along_axis(key, first, axis), axis=axis, kind="stable")
    return np.take_along_axis(first, again, axis)


@register
@dataclass(frozen=True, slots=True)
class TopK(Op):
    """The k largest elements along one axis, and where they are; see `top_k`."""

    k: int
    axis: int = -1
    name = "top_k"
    outputs = ("values", "indices")

    def check_attributes(self) -> None:
        if self.k < 1:
            raise AttributeValueError(f"top_k: k must be at least 1, got {self.k!r}")

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        shape = list(u.at_least(x, 1, "x"))
        axis = u.axis(self.axis, len(shape))
        extent = u.resolve(shape[axis])
        if isinstance(extent, int) and extent < self.k:
            u.fail(f"x.shape[{axis}] must be at least k = {self.k}, got {extent}")
        shape[axis] = self.k
        return (tuple(shape), tuple(shape))

    def infer_dtype(self, u: Unifier, x: DTypeView) -> tuple[Any, ...]:
        return (x, int32)

    def forward(self, x: Tensor) -> tuple[Compute, ...]:
        axis = self.axis % x.ndim
        extent = x.shape[axis]

        def at(index: tuple[Any, ...], place: Any) -> tuple[Any, ...]:
            return (*index[:axis], place, *index[axis + 1 :])

        def rank(*i: Any) -> Any:
            """How many elements come before this one."""

            def term(r: Any) -> Any:
                before = _precedes(x[at(i, r)], x[i], r < i[axis])
                return where(before, const(1, int32), const(0, int32))

            return reduce("sum", extent, term)

        ranks = compute(x.shape, rank, name="rank")

        def position(*i: Any) -> Any:
            def term(r: Any) -> Any:
                chosen = ranks[at(i, r)].equal(cast(i[axis], int32))
                return where(chosen, cast(r, int32), const(0, int32))

            return reduce("sum", extent, term)

        shape: tuple[Dim, ...] = at(x.shape, self.k)
        positions = compute(shape, position, name="position")
        values = compute(shape, lambda *i: x[at(i, positions[i])])
        return values, compute(shape, lambda *i: positions[i])

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        if grads[0] is None:
            return (None,)
        return (TopKPlace(self.axis)(grads[0], outs[1], ins[0]),)

    def reference(self, x: Array) -> Any:
        order = np.take(_sorted(x, self.axis), np.arange(self.k), axis=self.axis)
        return np.take_along_axis(x, order, self.axis), order.astype(np.int32)


@register
@dataclass(frozen=True, slots=True)
class TopKPlace(Op):
    """The gradient of `top_k`: each g where its index points along the axis, else 0.

    Shapes: g, index [*a, k, *b], like [*a, n, *b] -> y as like.   Dtypes: g any float, kept.
    """

    axis: int = -1
    name = "top_k_place"
    no_gradient = ("index", "like")

    def infer_shape(
        self, u: Unifier, g: ShapeView, index: ShapeView, like: ShapeView
    ) -> tuple[Any, ...]:
        u.same_shape(g, index, "g and index must have one shape")
        u.axis(self.axis, len(u.at_least(like, 1, "like")))
        return (like,)

    def infer_dtype(
        self, u: Unifier, g: DTypeView, index: DTypeView, like: DTypeView
    ) -> tuple[Any, ...]:
        u.same(index, int32, "index must be int32")
        return (g,)

    def forward(self, g: Tensor, index: Tensor, like: Tensor) -> Compute:
        axis = self.axis % like.ndim

        def element(*i: Any) -> Any:
            def term(r: Any) -> Any:
                place = (*i[:axis], r, *i[axis + 1 :])
                hit = index[place].equal(cast(as_expr(i[axis]), int32))
                return where(hit, g[place], const(0, g.dtype))

            return reduce("sum", g.shape[axis], term)

        return compute(like.shape, element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (TopKTake(self.axis)(grads[0], ins[1]), None, None)

    def reference(self, g: Array, index: Array, like: Array) -> Any:
        y = np.zeros(like.shape, g.dtype)
        np.put_along_axis(y, index.astype(np.int64), g, self.axis)
        return y


@register
@dataclass(frozen=True, slots=True)
class TopKTake(Op):
    """y = the elements of x that index names along the axis.

    Shapes: x [*a, n, *b], index [*a, k, *b] -> y as index.   Dtypes: x any, kept; index int32.
    """

    axis: int = -1
    name = "top_k_take"
    no_gradient = ("index",)

    def infer_shape(self, u: Unifier, x: ShapeView, index: ShapeView) -> tuple[Any, ...]:
        u.axis(self.axis, len(u.at_least(x, 1, "x")))
        return (index,)

    def infer_dtype(self, u: Unifier, x: DTypeView, index: DTypeView) -> tuple[Any, ...]:
        u.same(index, int32, "index must be int32")
        return (x,)

    def forward(self, x: Tensor, index: Tensor) -> Compute:
        axis = self.axis % x.ndim
        return compute(index.shape, lambda *i: pick(x, *i[:axis], index[i], *i[axis + 1 :]))

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (TopKPlace(self.axis)(grads[0], ins[1], ins[0]), None)

    def reference(self, x: Array, index: Array) -> Any:
        return np.take_along_axis(x, index.astype(np.int64), self.axis)


@register
@dataclass(frozen=True, slots=True)
class InTopK(Op):
    """1 where fewer than k classes come before the label's, else 0; the first of equals counts.

    Shapes: x [n, c, *d], label [n, *d] -> y [n, *d].   Dtypes: x any float; label any integer;
    y float32.
    """

    k: int = 1
    name = "in_top_k"
    no_gradient = ("x", "label")

    def check_attributes(self) -> None:
        if self.k < 1:
            raise AttributeValueError(f"in_top_k: k must be at least 1, got {self.k!r}")

    def infer_shape(self, u: Unifier, x: ShapeView, label: ShapeView) -> tuple[Any, ...]:
        return (relate_labels(u, x, label),)

    def infer_dtype(self, u: Unifier, x: DTypeView, label: DTypeView) -> tuple[Any, ...]:
        u.integer(label, "label")
        u.floating(x)
        return ("float32",)

    def forward(self, x: Tensor, label: Tensor) -> Compute:
        def element(n: Any, *d: Any) -> Any:
            wanted = cast(pick(label, n, *d), "int64")
            own = pick(x, n, pick(label, n, *d), *d)

            def term(r: Any) -> Any:
                other = as_expr(r) < wanted
                before = _precedes(pick(x, n, r, *d), own, other)
                return where(before & ~wanted.equal(r), const(1, int32), const(0, int32))

            count = reduce("sum", x.shape[1], term)
            return cast(count < self.k, "float32")

        return compute(label.shape, element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (None, None)

    def reference(self, x: Array, label: Array) -> Any:
        order = np.take(_sorted(x, 1), np.arange(min(self.k, x.shape[1])), axis=1)
        return (order == label[:, None]).any(axis=1).astype(np.float32)


@register
@dataclass(frozen=True, slots=True)
class Accuracy(CompositeOp):
    """The share of labels among the k largest logits; see `accuracy`."""

    k: int = 1
    name = "accuracy"
    no_gradient = ("x", "label")

    def infer_shape(self, u: Unifier, x: ShapeView, label: ShapeView) -> tuple[Any, ...]:
        relate_labels(u, x, label)
        return ((),)

    def infer_dtype(self, u: Unifier, x: DTypeView, label: DTypeView) -> tuple[Any, ...]:
        return InTopK(self.k).infer_dtype(u, x, label)

    def forward(self, x: Symbol, label: Symbol) -> Symbol:
        return make("mean", InTopK(self.k)(x, label))

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (None, None)

    def reference(self, x: Array, label: Array) -> Any:
        hits = InTopK(self.k).reference(x, label)
        return np.asarray(hits.mean() if hits.size else np.nan, np.float32)


def top_k(x: Symbol, k: int, axis: int = -1, *, name: str | None = None) -> tuple[Symbol, Symbol]:
    """(values, indices) of the k largest elements along one axis, the largest first.

    Of equal elements the first comes first; NaN counts as larger than any number.
    Shapes: x [*a, n, *b] -> both [*a, k, *b].   Dtypes: x any number, kept; indices int32.
    Raises: ShapeError when the axis has fewer than k elements.
    """
    return TopK(k, axis)(x, name=name)  # type: ignore[no-any-return]


def accuracy(x: Symbol, label: Symbol, *, name: str | None = None) -> Symbol:
    """The share of examples whose largest logit is the label's; of equal ones the first counts.

    Shapes: x [n, c, *d], label [n, *d] -> y [].
    Dtypes: x any float; label any integer; y float32.
    """
    return Accuracy(1)(x, label, name=name)  # type: ignore[no-any-return]


def top_k_accuracy(x: Symbol, label: Symbol, k: int, *, name: str | None = None) -> Symbol:
    """The share of examples whose label is among the k largest logits; ties as in `top_k`.

    Shapes: x [n, c, *d], label [n, *d] -> y [].
    Dtypes: x any float; label any integer; y float32.
    """
    return Accuracy(k)(x, label, name=name)  # type: ignore[no-any-return]


_TIES = np.array([[1, 3, 3, 0, 3], [2, 2, 2, 2, 2], [-1, 5, 4, 5, 0]], np.int32)
_NANS = np.array([[1.0, np.nan, 2.0, -np.inf], [np.nan, 3.0, np.nan, 3.0]], np.float32)
_LABELS = np.array([4, 0, 2, 6, 1], np.int32)
TopK.samples = (
    Sample(TopK(3), ((5, 17),)),
    Sample(TopK(2, 1), ((2, 7, 3),), dtype="float64"),
    Sample(TopK(4), (_TIES,), gradient=False),
    Sample(TopK(4), (_NANS,), gradient=False),
    Sample(TopK(2), ((0, 3),)),
    Sample(TopK(1), ((1,),)),
)
_PLACES = np.array([[3, 0], [16, 7], [1, 2]], np.int32)
TopKPlace.samples = (
    Sample(TopKPlace(), ((3, 2), _PLACES, (3, 17))),
    Sample(TopKPlace(0), ((1,), np.array([2], np.int32), (5,)), dtype="float64"),
    Sample(TopKPlace(), ((0, 2), np.zeros((0, 2), np.int32), (0, 3))),
)
TopKTake.samples = (
    Sample(TopKTake(), ((3, 17), _PLACES)),
    Sample(TopKTake(0), ((5,), np.array([2], np.int32)), dtype="float64"),
    Sample(TopKTake(), ((0, 3), np.zeros((0, 2), np.int32))),
)
InTopK.samples = (
    Sample(InTopK(2), ((5, 17), _LABELS), gradient=False),
    Sample(InTopK(2), ((1, 3, 2), np.array([[2, 0]], np.int64)), dtype="float64", gradient=False),
    Sample(InTopK(1), (_TIES.astype(np.float32), np.array([1, 0, 3], np.int8)), gradient=False),
    Sample(InTopK(1), ((0, 3), np.zeros(0, np.int32)), gradient=False),
)
Accuracy.samples = (
    Sample(Accuracy(), ((5, 17), _LABELS), gradient=False),
    Sample(Accuracy(3), ((5, 17), _LABELS), dtype="float64", gradient=False),
    Sample(Accuracy(), (_TIES.astype(np.float32), np.array([1, 0, 3], np.int8)), gradient=False),
    Sample(Accuracy(), ((1, 3), np.zeros(1, np.int32)), gradient=False),
    Sample(Accuracy(), ((0, 3), np.zeros(0, np.int32)), gradient=False),
)
