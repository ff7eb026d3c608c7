"""Sums scattered to places that integer data name: the gradients of taking and gathering."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.op import Op
from ..ir.registry import register
from ..ir.sample import Sample, Samples
from ..kernel.compute import Compute, Tensor, compute, reduce
from ..kernel.dims import Dim
from ..kernel.ir import Expr, call, cast, where
from .base import Array, Gradients, make, random_integers
from .indexing import Gather, Take, clamped_array, integer_indices, taken, wrapped

if TYPE_CHECKING:
    from ..ir.infer import DTypeView, ShapeView, Unifier


def scattered(axis: Any, index: Expr, extent: Dim, value: Expr) -> Expr:
    """The value where an index names the element `axis` of an axis, else 0."""
    return where(call("eq", wrapped(index, extent), cast(axis, "int64")), value, 0)


@register
@dataclass(frozen=True, slots=True)
class TakeGradient(Op):
    """y[.., n, ..] = the sum of x over all places whose index is n: the gradient of take.

    Of `like` only the shape is read.
    Shapes: x [*a, *i, *b], indices [*i], like [*a, n, *b] -> y [*a, n, *b].   Dtypes: x any number.
    """

    axis: int = 0
    name = "take_gradient"
    no_gradient = ("indices", "like")
    samples = Samples(
        lambda cls: (
            Sample(cls(0), ((2, 4, 3), random_integers((2, 4), -5, 5), (5, 3))),
            Sample(cls(1), ((2, 33, 3), random_integers((33,), 0, 17, "int64"), (2, 17, 3))),
            Sample(cls(-1), ((2, 3), random_integers((), 0, 7), (2, 3, 7)), dtype="float64"),
            Sample(cls(0), ((2, 3), random_integers((2, 3), 0, 7, "uint8"), (7,))),
            Sample(cls(0), ((0, 3), random_integers((0,), 0, 5), (5, 3))),
            Sample(cls(0), ((2, 3), random_integers((2,), 0, 1), (1, 3))),
            Sample(cls(0), ((3, 2), np.array([9, -9, 2], np.int32), (5, 2))),
            Sample(cls(1), ((3, 4), random_integers((4,), 0, 5), (3, 5)), dtype="int32", low=-9,
                   high=9, gradient=False),
        )
    )  # fmt: skip

    def infer_shape(
        self, u: Unifier, x: ShapeView, indices: ShapeView, like: ShapeView
    ) -> tuple[Any, ...]:
        if like.rank is not None:
            u.axis(self.axis, len(like))
        return (like,)

    def infer_dtype(
        self, u: Unifier, x: DTypeView, indices: DTypeView, like: DTypeView
    ) -> tuple[Any, ...]:
        integer_indices(u, indices)
        return (u.number(x),)

    def forward(self, x: Tensor, indices: Tensor, like: Tensor) -> Compute:
        axis = self.axis % like.ndim

        def element(*i: Any) -> Any:
            def term(*r: Any) -> Expr:
                index = (*i[:axis], *r, *i[axis + 1 :])
                return scattered(i[axis], indices[r], like.shape[axis], x[index])

            return reduce("sum", indices.shape, term)

        return compute(like.shape, element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        # An index out of range was left out, so its gradient is 0, not that of the nearest.
        return (make("take_inside", grads[0], ins[1], axis=self.axis), None, None)

    def reference(self, x: Array, indices: Array, like: Array) -> Any:
        extent = like.shape[self.axis]
        wide = indices.astype(np.int64)
        wide = np.where(wide < 0, wide + extent, wide)
        axis = self.axis % like.ndim
        result = np.zeros(like.shape, x.dtype)
        front = np.moveaxis(result, axis, 0)
        source = np.moveaxis(x, range(axis, axis + wide.ndim), range(wide.ndim))
        for place, n in np.ndenumerate(wide):
            if 0 <= n < extent:
                front[n] += source[place]
        return result


@register
@dataclass(frozen=True, slots=True)
class TakeInside(Op):
    """y = take(x, indices), but 0 for an index out of range.

    Shapes: x [*a, n, *b], indices [*i] -> y [*a, *i, *b].   Dtypes: x any number, indices integers.
    """

    axis: int = 0
    name = "take_inside"
    no_gradient = ("indices",)
    samples = Samples(
        lambda cls: (
            Sample(cls(0), ((5, 3), random_integers((2, 4), -7, 7))),
            Sample(cls(1), ((2, 17, 3), random_integers((33,), 0, 20, "int64"))),
            Sample(cls(-1), ((2, 3, 7), random_integers((), 0, 7)), dtype="float64"),
            Sample(cls(0), ((5, 3), random_integers((0,), 0, 5))),
            Sample(cls(0), ((1, 3), random_integers((2,), 0, 3))),
        )
    )

    def infer_shape(self, u: Unifier, x: ShapeView, indices: ShapeView) -> tuple[Any, ...]:
        return Take(self.axis).infer_shape(u, x, indices)

    def infer_dtype(self, u: Unifier, x: DTypeView, indices: DTypeView) -> tuple[Any, ...]:
        integer_indices(u, indices)
        return (u.number(x),)

    def forward(self, x: Tensor, indices: Tensor) -> Compute:
        return taken(x, indices, self.axis % x.ndim, only_inside=True)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (make("take_gradient", grads[0], ins[1], ins[0], axis=self.axis), None)

    def reference(self, x: Array, indices: Array) -> Any:
        extent = x.shape[self.axis]
        wide = indices.astype(np.int64)
        outside = (wide < -extent) | (wide >= extent)
        result = np.moveaxis(
            np.take(x, clamped_array(indices, extent), self.axis),
            range(self.axis % x.ndim, self.axis % x.ndim + wide.ndim),
            range(wide.ndim),
        ).copy()
        result[outside] = 0
        return np.moveaxis(
            result, range(wide.ndim), range(self.axis % x.ndim, self.axis % x.ndim + wide.ndim)
        )


@register
@dataclass(frozen=True, slots=True)
class GatherGradient(Op):
    """y[.., n, ..] = the sum of x over the places along `axis` whose index is n.

    The gradient of gather, for indices within range; of `like` only the shape is read.
    Shapes: x, indices [*a, m, *b], like [*a, n, *b] -> y [*a, n, *b].   Dtypes: x any number.
    """

    axis: int = -1
    name = "gather_gradient"
    no_gradient = ("indices", "like")
    samples = Samples(
        lambda cls: (
            Sample(cls(1), ((3, 7), random_integers((3, 7), -5, 5), (3, 5))),
            Sample(cls(0), ((33, 2), random_integers((33, 2), 0, 17, "int64"), (17, 2))),
            Sample(cls(), ((2, 3, 1), random_integers((2, 3, 1), 0, 5), (2, 3, 5)),
                   dtype="float64"),
            Sample(cls(1), ((3, 0), random_integers((3, 0), 0, 5), (3, 5))),
            Sample(cls(1), ((3, 7), random_integers((3, 7), 0, 5), (3, 5)), dtype="int32", low=-9,
                   high=9, gradient=False),
        )
    )  # fmt: skip

    def infer_shape(
        self, u: Unifier, x: ShapeView, indices: ShapeView, like: ShapeView
    ) -> tuple[Any, ...]:
        u.same_shape(x, indices, "x and indices must have one shape")
        if like.rank is not None:
            u.axis(self.axis, len(like))
        return (like,)

    def infer_dtype(
        self, u: Unifier, x: DTypeView, indices: DTypeView, like: DTypeView
    ) -> tuple[Any, ...]:
        integer_indices(u, indices)
        return (u.number(x),)

    def forward(self, x: Tensor, indices: Tensor, like: Tensor) -> Compute:
        axis = self.axis % like.ndim

        def element(*i: Any) -> Any:
            def term(r: Any) -> Expr:
                index = (*i[:axis], r, *i[axis + 1 :])
                return scattered(i[axis], indices[index], like.shape[axis], x[index])

            return reduce("sum", indices.shape[axis], term)

        return compute(like.shape, element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (Gather(self.axis)(grads[0], ins[1]), None, None)

    def reference(self, x: Array, indices: Array, like: Array) -> Any:
        axis = self.axis % like.ndim
        result = np.zeros(like.shape, x.dtype)
        for place in np.ndindex(*indices.shape):
            target = list(place)
            target[axis] = int(indices[place]) % like.shape[axis]
            result[tuple(target)] += x[place]
        return result
