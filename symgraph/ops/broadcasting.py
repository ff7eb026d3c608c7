"""Broadcasting and its gradient, repetition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..errors import AttributeValueError
from ..ir.op import Op
from ..ir.registry import register
from ..ir.sample import Sample, Samples
from ..ir.symbol import Symbol
from ..ir.tensor_type import TensorType, as_shape
from ..kernel import dims
from ..kernel.compute import Compute, Tensor, compute, reduce
from ..kernel.dims import Dim
from .base import (
    Array,
    Gradients,
    as_ints,
    integer_samples,
    is_carried,
    known_axis,
    make,
    read,
    specified_by,
    sum_to,
    with_extents,
    zeros_like,
)

if TYPE_CHECKING:
    from ..ir.infer import DTypeView, ShapeView, Unifier


def as_extents(shape: Any, where: str) -> tuple[Any, ...]:
    """A shape attribute: ints and names of open extents.  Raises: ShapeError."""
    result = as_shape(shape, where)
    if result is None or not all(dims.is_closed(d) for d in result):
        raise AttributeValueError(f"{where}: every extent must be an int or a name, got {shape!r}")
    return result


def _fit(u: Unifier, small: tuple[Dim, ...], large: tuple[Dim, ...], what: str) -> None:
    """`small` broadcasts to `large`."""
    u.require(len(small) <= len(large), f"{what}: {len(small)} axes do not fit {len(large)}")
    for axis in range(-len(small), 0):
        if small[axis] != 1 and (dims.is_closed(small[axis]) or large[axis] == 1):
            u.equal(small[axis], large[axis], f"{what}, axis {axis}")


_LIKE_CASES = (
    ((2, 3, 5), (3, 1), "float32"),
    ((17, 33), (33,), "float32"),
    ((3, 7), (), "float32"),
    ((0, 3), (1, 3), "float32"),
    ((2, 3), (2, 3), "float64"),
    ((), (), "float32"),
    ((2, 3, 5), (1, 1, 1), "float64"),
    ((3, 5), (5,), "float16"),
)


@register
@dataclass(frozen=True, slots=True)
class SumToLike(Op):
    """y = x summed over the axes along which `like` was broadcast to x's shape.

    The gradient of broadcasting; of `like` only the shape is read.
    Shapes: x [*s], like [*t], t broadcasts to s -> y [*t].   Dtypes: any, kept.
    """

    name = "sum_to_like"
    no_gradient = ("like",)
    samples = Samples(
        lambda cls: (
            *(Sample(cls(), (a, b), dtype=t, gradient=t != "float16") for a, b, t in _LIKE_CASES),
            *integer_samples(cls(), (2, 3, 5), (3, 1)),
        )
    )

    def infer_shape(self, u: Unifier, x: ShapeView, like: ShapeView) -> tuple[Any, ...]:
        if x.rank is not None and like.rank is not None:
            _fit(u, like.dims, x.dims, "like must broadcast to x")
        return (like,)

    def infer_dtype(self, u: Unifier, x: DTypeView, like: DTypeView) -> tuple[Any, ...]:
        return (x,)

    def forward(self, x: Tensor, like: Tensor) -> Compute:
        lead = x.ndim - like.ndim
        summed = [
            n for n in range(x.ndim) if n < lead or _is_summed(x.shape[n], like.shape[n - lead])
        ]

        def element(*i: Any) -> Any:
            def term(*r: Any) -> Any:
                inner = dict(zip(summed, r, strict=True))
                return x[tuple(inner[n] if n in inner else i[n - lead] for n in range(x.ndim))]

            return reduce("sum", [x.shape[n] for n in summed], term)

        return compute(like.shape, element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (make("broadcast_like", grads[0], ins[0]), None)

    def simplify(self, ins: tuple[Symbol, ...]) -> Symbol | None:
        """A sum over known axes, which reads nothing of `like`; x when the shapes are equal."""
        x, like = ins
        if x.shape is None or like.shape is None:
            return None
        if x.shape == like.shape:
            return x if all(dims.is_closed(d) for d in x.shape) else None
        if not all(dims.is_closed(d) for d in (*x.shape, *like.shape)):
            return None
        lead = len(x.shape) - len(like.shape)
        ones = [
            n for n in range(lead, len(x.shape)) if _is_summed(x.shape[n], like.shape[n - lead])
        ]
        left = [1 if n in ones else x.shape[n] for n in range(lead, len(x.shape))]
        if left != list(like.shape):
            return None  # extents that are equal only by what a call must fulfil
        result = make("sum", x, axis=tuple(range(lead))) if lead else x
        if ones:
            result = make("sum", result, axis=tuple(n - lead for n in ones), keepdims=True)
        return result

    def reference(self, x: Array, like: Array) -> Any:
        lead = x.ndim - like.ndim
        total = x.sum(axis=tuple(range(lead)), dtype=x.dtype)
        axes = tuple(n for n in range(like.ndim) if like.shape[n] == 1 and total.shape[n] != 1)
        return total.sum(axis=axes, keepdims=True, dtype=x.dtype)


def _is_summed(extent: Dim, like: Dim) -> bool:
    return like == 1 and extent != 1


@register
@dataclass(frozen=True, slots=True)
class BroadcastLike(Op):
    """y = x broadcast to the shape of `like`, of which only the shape is read.

    Shapes: x [*s], like [*t], s broadcasts to t -> y [*t].   Dtypes: any, kept.
    """

    name = "broadcast_like"
    no_gradient = ("like",)
    samples = Samples(
        lambda cls: (
            *(Sample(cls(), (b, a), dtype=t, gradient=t != "float16") for a, b, t in _LIKE_CASES),
            *integer_samples(cls(), (3, 1), (2, 3, 5)),
        )
    )

    def infer_shape(self, u: Unifier, x: ShapeView, like: ShapeView) -> tuple[Any, ...]:
        if x.rank is not None and like.rank is not None:
            _fit(u, x.dims, like.dims, "x must broadcast to like")
        return (like,)

    def infer_dtype(self, u: Unifier, x: DTypeView, like: DTypeView) -> tuple[Any, ...]:
        return (x,)

    def forward(self, x: Tensor, like: Tensor) -> Compute:
        return compute(like.shape, lambda *i: read(x, i))

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (sum_to(grads[0], ins[0]), None)

    def simplify(self, ins: tuple[Symbol, ...]) -> Symbol | None:
        """A broadcast to a known shape, which reads nothing of `like`."""
        x, like = ins
        if like.shape is None or not is_carried(like.shape, x):
            return None
        return x if x.shape == like.shape else make("broadcast_to", x, shape=like.shape)

    def reference(self, x: Array, like: Array) -> Any:
        return np.broadcast_to(x, like.shape)


@register
@dataclass(frozen=True, slots=True)
class BroadcastTo(Op):
    """y = x repeated along axes of extent 1 and along new leading axes, by numpy's rules.

    Shapes: x [*s], s broadcasts to `shape` -> y `shape`; extents may be names such as "N".
    Dtypes: any, kept.
    """

    shape: tuple[Dim, ...]
    name = "broadcast_to"
    samples = Samples(
        lambda cls: (
            *(Sample(cls(a), (b,), dtype=t, gradient=t != "float16") for a, b, t in _LIKE_CASES),
            Sample(cls((3, 0)), ((3, 1),), gradient=False),
            *integer_samples(cls((2, 3, 5)), (3, 1)),
        )
    )

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        if x.rank is not None:
            _fit(u, x.dims, self.shape, f"x must broadcast to {dims.dim_text(self.shape)}")
        return (self.shape,)

    def typed(self, outs: Sequence[TensorType]) -> Op:
        return with_extents(self, outs)

    def forward(self, x: Tensor) -> Compute:
        return compute(self.shape, lambda *i: read(x, i))

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (sum_to(grads[0], ins[0]),)

    def simplify(self, ins: tuple[Symbol, ...]) -> Symbol | None:
        """A broadcast that changes nothing."""
        return ins[0] if ins[0].shape == self.shape else None

    def reference(self, x: Array) -> Any:
        return np.broadcast_to(x, cast("tuple[int, ...]", self.shape))


@register
@dataclass(frozen=True, slots=True)
class Tile(Op):
    """y = x repeated `repetitions[n]` times along axis n.

    Shapes: x [*s] -> y [s[n]*repetitions[n], ...]; the shorter of both is filled with 1 in front.
    Dtypes: any, kept.
    """

    repetitions: tuple[int, ...]
    name = "tile"
    samples = Samples(
        lambda cls: (
            Sample(cls((2, 3)), ((5, 7),)),
            Sample(cls((2, 1, 3)), ((5, 7),), dtype="float64"),
            Sample(cls((2,)), ((3, 17),)),
            Sample(cls((4,)), ((),)),
            Sample(cls((2,)), ((0, 3),)),
            Sample(cls((2, 0)), ((1, 3),)),
            Sample(cls((3, 2)), ((33, 1),), dtype="int32", low=-9, high=9, gradient=False),
        )
    )

    def check_attributes(self) -> None:
        if any(n < 0 for n in self.repetitions):
            raise AttributeValueError(f"tile: repetitions must be >= 0, got {self.repetitions}")

    def _factors(self, rank: int) -> tuple[int, ...]:
        return (1,) * (rank - len(self.repetitions)) + self.repetitions

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        factors = self._factors(len(x))
        shape = (1,) * (len(factors) - len(x)) + x.dims
        return (tuple(dims.mul(d, f) for d, f in zip(shape, factors, strict=True)),)

    def forward(self, x: Tensor) -> Compute:
        factors = self._factors(x.ndim)
        lead = len(factors) - x.ndim
        shape = [dims.mul(d, f) for d, f in zip((1,) * lead + tuple(x.shape), factors, strict=True)]

        def element(*i: Any) -> Any:
            return x[tuple(i[lead + n] % d if factors[lead + n] != 1 else i[lead + n]
                           for n, d in enumerate(x.shape))]  # fmt: skip

        return compute(shape, element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (make("tile_gradient", grads[0], ins[0], repetitions=self.repetitions),)

    def reference(self, x: Array) -> Any:
        return np.tile(x, self.repetitions)


@register
@dataclass(frozen=True, slots=True)
class TileGradient(Op):
    """y = the sum of the tiles of x: the gradient of tile, of whose input only the shape is read.

    Shapes: x [t[n]*repetitions[n], ...], like [*t] -> y [*t].   Dtypes: any number, kept.
    """

    repetitions: tuple[int, ...]
    name = "tile_gradient"
    no_gradient = ("like",)
    samples = Samples(
        lambda cls: (
            Sample(cls((2, 3)), ((10, 21), (5, 7))),
            Sample(cls((2, 1, 3)), ((2, 5, 21), (5, 7)), dtype="float64"),
            Sample(cls((2,)), ((3, 34), (3, 17))),
            Sample(cls((4,)), ((4,), ())),
            Sample(cls((2,)), ((0, 6), (0, 3))),
            Sample(cls((3, 2)), ((99, 2), (33, 1)), dtype="int32", low=-9, high=9, gradient=False),
        )
    )

    def infer_shape(self, u: Unifier, x: ShapeView, like: ShapeView) -> tuple[Any, ...]:
        return (like,)

    def infer_dtype(self, u: Unifier, x: DTypeView, like: DTypeView) -> tuple[Any, ...]:
        return (x,)

    def forward(self, x: Tensor, like: Tensor) -> Compute:
        factors = (1,) * (like.ndim - len(self.repetitions)) + self.repetitions
        lead = len(factors) - like.ndim

        def element(*i: Any) -> Any:
            def term(*r: Any) -> Any:
                inner = (r[lead + n] * d + i[n] for n, d in enumerate(like.shape))
                index = (*r[:lead], *inner)
                return x[index]

            return reduce("sum", factors, term)

        return compute(like.shape, element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (make("tile", grads[0], repetitions=self.repetitions), None)

    def reference(self, x: Array, like: Array) -> Any:
        factors = (1,) * (like.ndim - len(self.repetitions)) + self.repetitions
        shape = (1,) * (len(factors) - like.ndim) + like.shape
        pairs = [n for pair in zip(factors, shape, strict=True) for n in pair]
        total = x.reshape(pairs).sum(axis=tuple(range(0, len(pairs), 2)), dtype=x.dtype)
        return total.reshape(like.shape)


@register
@dataclass(frozen=True, slots=True)
class Repeat(Op):
    """y = every element of x repeated `repeats` times, one beside the other, along `axis`.

    Shapes: x [*s] -> y [..., s[axis]*repeats, ...].   Dtypes: any, kept.
    """

    repeats: int
    axis: int = 0
    name = "repeat"
    samples = Samples(
        lambda cls: (
            Sample(cls(3), ((5, 7),)),
            Sample(cls(2, -1), ((2, 3, 17),), dtype="float64"),
            Sample(cls(2, 1), ((0, 3),)),
            Sample(cls(0), ((1, 3),)),
            Sample(cls(4, 1), ((33, 1),), dtype="int32", low=-9, high=9, gradient=False),
        )
    )

    def check_attributes(self) -> None:
        if self.repeats < 0:
            raise AttributeValueError(f"repeat: repeats must be >= 0, got {self.repeats}")

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        shape = list(x.dims)
        axis = u.axis(self.axis, len(shape))
        shape[axis] = dims.mul(shape[axis], self.repeats)
        return (tuple(shape),)

    def forward(self, x: Tensor) -> Compute:
        axis = self.axis % x.ndim
        shape = list(x.shape)
        shape[axis] = dims.mul(shape[axis], self.repeats)

        def element(*i: Any) -> Any:
            index = (*i[:axis], i[axis] // max(self.repeats, 1), *i[axis + 1 :])
            return x[index]

        return compute(shape, element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,) = grads, ins
        if self.repeats == 0:
            return (zeros_like(x),)
        axis = known_axis(self.axis, x, "repeat")
        apart = make("reshape", g, shape=(*(0,) * axis, -4, -1, self.repeats, -2))
        return (make("sum", apart, axis=axis + 1),)

    def reference(self, x: Array) -> Any:
        return np.repeat(x, self.repeats, self.axis)


@specified_by(BroadcastTo)
def broadcast_to(x: Symbol, shape: Any, *, name: str | None = None) -> Symbol:
    """x broadcast to a shape of ints and names."""
    op = BroadcastTo(as_extents(shape, "broadcast_to"))
    return op(x, name=name)  # type: ignore[no-any-return]


@specified_by(BroadcastLike)
def broadcast_like(x: Symbol, like: Symbol, *, name: str | None = None) -> Symbol:
    """x broadcast to the shape of another symbol."""
    return BroadcastLike()(x, like, name=name)  # type: ignore[no-any-return]


@specified_by(SumToLike)
def sum_to_like(x: Symbol, like: Symbol, *, name: str | None = None) -> Symbol:
    """x summed to the shape of a symbol that broadcasts to it."""
    return SumToLike()(x, like, name=name)  # type: ignore[no-any-return]


@specified_by(Tile)
def tile(x: Symbol, repetitions: int | Sequence[int], *, name: str | None = None) -> Symbol:
    """x repeated along each axis."""
    counts = as_ints(repetitions, "tile: repetitions")
    return Tile((counts,) if isinstance(counts, int) else counts)(x, name=name)  # type: ignore[no-any-return]


@specified_by(Repeat)
def repeat(x: Symbol, repeats: int, axis: int = 0, *, name: str | None = None) -> Symbol:
    """Every element of x repeated along an axis."""
    return Repeat(repeats, axis)(x, name=name)  # type: ignore[no-any-return]


__all__ = ["broadcast_like", "broadcast_to", "repeat", "sum_to_like", "tile"]
