"""Elements chosen by integer data; the scattered sums that are their gradients are in
`indexing_gradients.py`.

An index below 0 counts from the end, as in numpy.  One that is out of range is clamped to the
nearest element when it is read, and left out when it is scattered: compiled code cannot raise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AttributeValueError
from ..ir.initializer import Normal
from ..ir.op import Op, Owned
from ..ir.registry import register
from ..ir.sample import Sample, Samples
from ..ir.symbol import Symbol, as_symbol
from ..kernel.compute import Compute, Tensor, compute
from ..kernel.dims import Dim
from ..kernel.dtypes import as_dtype
from ..kernel.ir import Expr, IndexValue, call, cast, const, where
from .base import Array, Gradients, make, random_integers, specified_by

if TYPE_CHECKING:
    from ..ir.infer import DTypeView, ShapeView, Unifier


def wrapped(index: Expr, extent: Dim) -> Expr:
    """An index value as int64, with negative ones counted from the end."""
    wide = cast(index, "int64")
    return where(call("lt", wide, const(0, "int64")), wide + IndexValue(extent), wide)


def taken(x: Tensor, indices: Tensor, axis: int, only_inside: bool = False) -> Compute:
    """The elements of x along an axis that the indices name; 0, where asked for, instead of the
    nearest one for an index out of range."""
    extent = x.shape[axis]

    def element(*i: Any) -> Any:
        chosen = wrapped(indices[i[axis : axis + indices.ndim]], extent)
        index = (*i[:axis], chosen, *i[axis + indices.ndim :])
        value = x[index]
        if not only_inside:
            return value
        inside = call("le", const(0, "int64"), chosen) & call("lt", chosen, IndexValue(extent))
        return where(inside, value, 0)

    return compute((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]), element)


def integer_indices(u: Unifier, dtype: DTypeView) -> None:
    u.integer(dtype, "indices")


def clamped_array(indices: Array, extent: int) -> Array:
    wide = indices.astype(np.int64)
    return np.clip(np.where(wide < 0, wide + extent, wide), 0, max(extent - 1, 0))


@register
@dataclass(frozen=True, slots=True)
class Take(Op):
    """y = the elements of x along `axis` that the indices name.

    Shapes: x [*a, n, *b], indices [*i] -> y [*a, *i, *b].   Dtypes: x any, indices integers.
    """

    axis: int = 0
    name = "take"
    no_gradient = ("indices",)
    samples = Samples(
        lambda cls: (
            Sample(cls(0), ((5, 3), random_integers((2, 4), -5, 5))),
            Sample(cls(1), ((2, 17, 3), random_integers((33,), 0, 17, "int64"))),
            Sample(cls(-1), ((2, 3, 7), random_integers((), 0, 7)), dtype="float64"),
            Sample(cls(0), ((7,), random_integers((2, 3), 0, 7, "uint8"))),
            Sample(cls(0), ((5, 3), random_integers((0,), 0, 5))),
            Sample(cls(0), ((1, 3), random_integers((2,), 0, 1))),
            Sample(cls(0), ((5, 3), np.array([9, -9, 2], np.int32)), gradient=False),
            Sample(cls(1), ((3, 5), random_integers((4,), 0, 5)), dtype="int32", low=-9, high=9,
                   gradient=False),
        )
    )  # fmt: skip

    def infer_shape(self, u: Unifier, x: ShapeView, indices: ShapeView) -> tuple[Any, ...]:
        shape = u.at_least(x, 1, "x")
        axis = u.axis(self.axis, len(shape))
        return ((*shape[:axis], *indices.dims, *shape[axis + 1 :]),)

    def infer_dtype(self, u: Unifier, x: DTypeView, indices: DTypeView) -> tuple[Any, ...]:
        integer_indices(u, indices)
        return (x,)

    def forward(self, x: Tensor, indices: Tensor) -> Compute:
        return taken(x, indices, self.axis % x.ndim)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (make("take_gradient", grads[0], ins[1], ins[0], axis=self.axis), None)

    def reference(self, x: Array, indices: Array) -> Any:
        return np.take(x, clamped_array(indices, x.shape[self.axis]), self.axis)


@register
@dataclass(frozen=True, slots=True)
class Gather(Op):
    """y[.., j, ..] = x[.., indices[.., j, ..], ..] along `axis`, as numpy's take_along_axis.

    Shapes: x [*a, n, *b], indices [*a, m, *b] -> y [*a, m, *b].   Dtypes: x any, indices integers.
    """

    axis: int = -1
    name = "gather"
    no_gradient = ("indices",)
    samples = Samples(
        lambda cls: (
            Sample(cls(1), ((3, 5), random_integers((3, 7), -5, 5))),
            Sample(cls(0), ((17, 2), random_integers((33, 2), 0, 17, "int64"))),
            Sample(cls(), ((2, 3, 5), random_integers((2, 3, 1), 0, 5)), dtype="float64"),
            Sample(cls(0), ((7,), random_integers((4,), 0, 7))),
            Sample(cls(1), ((3, 5), random_integers((3, 0), 0, 5))),
            Sample(cls(1), ((3, 5), random_integers((3, 7), 0, 5)), dtype="int32", low=-9, high=9,
                   gradient=False),
        )
    )  # fmt: skip

    def infer_shape(self, u: Unifier, x: ShapeView, indices: ShapeView) -> tuple[Any, ...]:
        if x.rank is None and indices.rank is not None:
            u.rank(x, indices.rank)
        shape = u.at_least(x, 1, "x")
        places = u.rank(indices, len(shape), "indices")
        axis = u.axis(self.axis, len(shape))
        for n, (a, b) in enumerate(zip(shape, places, strict=True)):
            if n != axis:
                u.equal(a, b, f"x.shape[{n}] must equal indices.shape[{n}]")
        return (indices,)

    def infer_dtype(self, u: Unifier, x: DTypeView, indices: DTypeView) -> tuple[Any, ...]:
        integer_indices(u, indices)
        return (x,)

    def forward(self, x: Tensor, indices: Tensor) -> Compute:
        axis = self.axis % x.ndim

        def element(*i: Any) -> Any:
            index = (*i[:axis], wrapped(indices[i], x.shape[axis]), *i[axis + 1 :])
            return x[index]

        return compute(indices.shape, element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (make("gather_gradient", grads[0], ins[1], ins[0], axis=self.axis), None)

    def reference(self, x: Array, indices: Array) -> Any:
        return np.take_along_axis(x, clamped_array(indices, x.shape[self.axis]), self.axis)


@register
@dataclass(frozen=True, slots=True)
class OneHot(Op):
    """y[.., k] = 1 where the index is k, else 0; all 0 for an index out of range.

    Shapes: indices [*s] -> y [*s, depth].   Dtypes: integers -> `dtype`.
    """

    depth: int
    dtype: str = "float32"
    name = "one_hot"
    no_gradient = ("indices",)
    samples = Samples(
        lambda cls: (
            Sample(cls(5), (random_integers((2, 3), -1, 6),), gradient=False),
            Sample(cls(33), (random_integers((17,), 0, 33, "int64"),), gradient=False),
            Sample(cls(3, "float64"), (random_integers((), 0, 3),), gradient=False),
            Sample(cls(3, "int32"), (random_integers((0, 2), 0, 3),), gradient=False),
            Sample(cls(1, "bool"), (random_integers((4,), 0, 2, "uint8"),), gradient=False),
        )
    )

    def check_attributes(self) -> None:
        if self.depth < 0:
            raise AttributeValueError(f"one_hot: depth must be >= 0, got {self.depth}")

    def infer_shape(self, u: Unifier, indices: ShapeView) -> tuple[Any, ...]:
        return ((*indices.dims, self.depth),)

    def infer_dtype(self, u: Unifier, indices: DTypeView) -> tuple[Any, ...]:
        integer_indices(u, indices)
        return (as_dtype(self.dtype),)

    def forward(self, indices: Tensor) -> Compute:
        one, zero = const(1, self.dtype), const(0, self.dtype)

        def element(*i: Any) -> Any:
            return where(call("eq", cast(indices[i[:-1]], "int64"), i[-1]), one, zero)

        return compute((*indices.shape, self.depth), element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (None,)

    def reference(self, indices: Array) -> Any:
        hit = indices[..., None].astype(np.int64) == np.arange(self.depth)
        return hit.astype(as_dtype(self.dtype).numpy)


@register
@dataclass(frozen=True, slots=True)
class Embedding(Op):
    """y = the rows of a learnt table that the indices name.

    Shapes: indices [*s], weight [count, size] -> y [*s, size].
    Dtypes: indices integers, weight any float.
    """

    count: int
    size: int
    name = "embedding"
    no_gradient = ("indices",)
    owned = (Owned("weight", Normal(std=1.0)),)
    samples = Samples(
        lambda cls: (
            Sample(cls(5, 3), (random_integers((2, 4), 0, 5), (5, 3))),
            Sample(cls(17, 33), (random_integers((7,), 0, 17, "int64"), (17, 33))),
            Sample(cls(5, 3), (random_integers((), 0, 5), (5, 3)), dtype="float64"),
            Sample(cls(5, 3), (random_integers((0,), 0, 5), (5, 3))),
            Sample(cls(1, 2), (random_integers((3,), 0, 1), (1, 2))),
        )
    )

    def infer_shape(self, u: Unifier, indices: ShapeView, weight: ShapeView) -> tuple[Any, ...]:
        rows = u.rank(weight, 2, "weight")
        u.equal(rows[0], self.count, f"weight.shape[0] must equal count {self.count}")
        u.equal(rows[1], self.size, f"weight.shape[1] must equal size {self.size}")
        out = u.output().rank
        if indices.rank is None and out is not None:
            u.rank(indices, out - 1)
        return ((*indices.dims, self.size),)

    def infer_dtype(self, u: Unifier, indices: DTypeView, weight: DTypeView) -> tuple[Any, ...]:
        integer_indices(u, indices)
        return (u.floating(weight, "weight"),)

    def forward(self, indices: Tensor, weight: Tensor) -> Compute:
        def element(*i: Any) -> Any:
            return weight[wrapped(indices[i[:-1]], self.count), i[-1]]

        return compute((*indices.shape, self.size), element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (None, make("take_gradient", grads[0], ins[0], ins[1], axis=0))

    def reference(self, indices: Array, weight: Array) -> Any:
        return weight[clamped_array(indices, self.count)]


def stated_axis(axis: int | None, x: Symbol, what: str) -> int:
    if axis is None and as_symbol(x).ndim != 1:
        raise AttributeValueError(f"{what}: say which axis= (it may be left out for vectors only)")
    return 0 if axis is None else axis


@specified_by(Take)
def take(x: Symbol, indices: Any, axis: int | None = None, *, name: str | None = None) -> Symbol:
    """The elements along an axis that integer indices name."""
    places = indices if isinstance(indices, Symbol) else np.asarray(indices)
    return Take(stated_axis(axis, x, "take"))(x, places, name=name)  # type: ignore[no-any-return]


@specified_by(Gather)
def gather(x: Symbol, indices: Any, axis: int = -1, *, name: str | None = None) -> Symbol:
    """Elements along an axis chosen for each line (numpy's take_along_axis)."""
    return Gather(axis)(x, indices, name=name)  # type: ignore[no-any-return]


@specified_by(OneHot)
def one_hot(
    indices: Symbol, depth: int, dtype: Any = "float32", *, name: str | None = None
) -> Symbol:
    """1 at the place of each index, else 0."""
    return OneHot(depth, as_dtype(dtype).name)(indices, name=name)  # type: ignore[no-any-return]


@specified_by(Embedding)
def embedding(
    indices: Symbol,
    count: int,
    size: int,
    weight: Symbol | None = None,
    *,
    name: str | None = None,
) -> Symbol:
    """The rows of a learnt table that indices name."""
    return Embedding(count, size)(indices, weight, name=name)  # type: ignore[no-any-return]


__all__ = ["embedding", "gather", "one_hot", "take"]
