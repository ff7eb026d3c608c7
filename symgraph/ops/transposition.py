"""Axes in another order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AttributeValueError
from ..ir.op import Op
from ..ir.registry import register
from ..ir.sample import Sample, Samples
from ..ir.symbol import Symbol, as_symbol
from ..kernel import dims
from ..kernel.compute import Compute, Tensor, compute
from .base import Array, Gradients, as_axes, as_ints, checked_axes, specified_by
from .reshape import Reshape

if TYPE_CHECKING:
    from ..ir.infer import ShapeView, Unifier


@register
@dataclass(frozen=True, slots=True)
class Transpose(Op):
    """y = x with its axes in the order `axes` (None: reversed).

    Shapes: x [*s] -> y [s[axes[0]], s[axes[1]], ...].   Dtypes: any, kept.
    """

    axes: Any = None
    name = "transpose"
    samples = Samples(
        lambda cls: (
            Sample(cls(), ((2, 3, 5),)),
            Sample(cls((1, 0)), ((17, 33),)),
            Sample(cls((2, 0, 1)), ((2, 3, 5),), dtype="float64"),
            Sample(cls((0, -1, 1)), ((2, 3, 5),)),
            Sample(cls(), ((),)),
            Sample(cls(), ((1, 5),)),
            Sample(cls(), ((0, 3),)),
            Sample(cls((1, 0)), ((3, 7),), dtype="int32", low=-9, high=9, gradient=False),
        )
    )

    def _order(self, rank: int) -> tuple[int, ...]:
        if self.axes is None:
            return tuple(reversed(range(rank)))
        return tuple(a % rank for a in self.axes)

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        out = u.output().rank
        if self.axes is not None:
            u.rank(x, len(self.axes))
            checked_axes(u, tuple(self.axes), len(x))
        elif x.rank is None and out is not None:
            u.rank(x, out)
        return (tuple(x[a] for a in self._order(len(x))),)

    def _inverse(self, rank: int) -> tuple[int, ...]:
        order = self._order(rank)
        return tuple(order.index(n) for n in range(rank))

    def forward(self, x: Tensor) -> Compute:
        order, inverse = self._order(x.ndim), self._inverse(x.ndim)
        shape = [x.shape[a] for a in order]
        return compute(shape, lambda *i: x[tuple(i[n] for n in inverse)])

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        if self.axes is None:
            return (Transpose()(grads[0]),)
        return (Transpose(self._inverse(len(self.axes)))(grads[0]),)

    def simplify(self, ins: tuple[Symbol, ...]) -> Symbol | None:
        """The order kept; a transpose of a transpose is one; moved extents of 1 are a view."""
        (x,) = ins
        if x.ndim is None or x.shape is None:
            return None
        order = self._order(x.ndim)
        if order == tuple(range(x.ndim)):
            return x
        if isinstance(x.node.op, Transpose):
            before = x.node.op._order(x.ndim)
            source = Symbol(x.node.inputs[0])
            return Transpose(tuple(before[a] for a in order))(source)  # type: ignore[no-any-return]
        solid = [a for a in order if x.shape[a] != 1]
        if solid == sorted(solid) and all(dims.is_closed(d) and d != 0 for d in x.shape):
            return Reshape(tuple(x.shape[a] for a in order))(x)  # type: ignore[no-any-return]
        return None

    def reference(self, x: Array) -> Any:
        return np.transpose(x, self.axes)


@specified_by(Transpose)
def transpose(x: Symbol, axes: Any = None, *, name: str | None = None) -> Symbol:
    """Axes reordered, by default reversed."""
    order = as_axes(axes)
    return Transpose((order,) if isinstance(order, int) else order)(x, name=name)  # type: ignore[no-any-return]


def _rank(x: Symbol, what: str) -> int:
    rank = as_symbol(x).ndim
    if rank is None:
        raise AttributeValueError(f"{what}: the rank of {x!r} must be known; declare its shape")
    return rank


def _axes(axis: Any, rank: int, what: str) -> list[int]:
    found = as_ints(axis, f"{what}: axis")
    axes = [found] if isinstance(found, int) else list(found)
    for axis in axes:
        if not -rank <= axis < rank:
            raise AttributeValueError(f"{what}: there is no axis {axis} among {rank}")
    if len({axis % rank for axis in axes}) != len(axes):
        raise AttributeValueError(f"{what}: an axis is named twice in {found}")
    return [axis % rank for axis in axes]


def moveaxis(x: Symbol, source: Any, destination: Any, *, name: str | None = None) -> Symbol:
    """Axes moved to other places, the others in their order; as numpy.moveaxis."""
    rank = _rank(x, "moveaxis")
    sources, targets = (_axes(axis, rank, "moveaxis") for axis in (source, destination))
    if len(sources) != len(targets):
        raise AttributeValueError(
            f"moveaxis: source has {len(sources)} axes, destination {len(targets)}"
        )
    order = [n for n in range(rank) if n not in sources]
    for target, origin in sorted(zip(targets, sources, strict=True)):
        order.insert(target, origin)
    return transpose(x, tuple(order), name=name)


def swapaxes(x: Symbol, axis1: int, axis2: int, *, name: str | None = None) -> Symbol:
    """Two axes exchanged; as numpy.swapaxes."""
    rank = _rank(x, "swapaxes")
    order = list(range(rank))
    (first, *more), (second, *others) = (_axes(a, rank, "swapaxes") for a in (axis1, axis2))
    if more or others:
        raise AttributeValueError(f"swapaxes: give two axes, got {axis1!r} and {axis2!r}")
    order[first], order[second] = second, first
    return transpose(x, tuple(order), name=name)


__all__ = ["moveaxis", "swapaxes", "transpose"]
