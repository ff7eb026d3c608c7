"""Axes merged, dropped and put in, without moving elements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.registry import register
from ..ir.sample import Sample, Samples
from ..ir.symbol import Symbol
from ..kernel import dims
from ..kernel.dims import Dim
from .base import Array, as_axes, axes_of, checked_axes, specified_by
from .views import View

if TYPE_CHECKING:
    from ..ir.infer import ShapeView, Unifier


@register
@dataclass(frozen=True, slots=True)
class Flatten(View):
    """y = x with the axes from `start_axis` to `end_axis` (inclusive) merged into one.

    With `end_axis` one below `start_axis` an axis of extent 1 is put in before `start_axis`.
    Shapes: x [*a, *b, *c] -> y [*a, prod(b), *c].   Dtypes: any, kept.
    """

    start_axis: int = 1
    end_axis: int = -1
    name = "flatten"
    samples = Samples(
        lambda cls: (
            Sample(cls(), ((2, 3, 5),)),
            Sample(cls(), ((17, 33),)),
            Sample(cls(0, -1), ((2, 3, 5),), dtype="float64"),
            Sample(cls(0, -2), ((2, 3, 5),)),
            Sample(cls(0, -2), ((7,),)),
            Sample(cls(1, 2), ((2, 3, 5, 4),)),
            Sample(cls(), ((1,),)),
            Sample(cls(0), ((),)),
            Sample(cls(), ((0, 3, 5),)),
            Sample(cls(), ((3, 7, 2),), dtype="int32", low=-9, high=9, gradient=False),
        )
    )

    def _range(self, rank: int) -> tuple[int, int]:
        start = self.start_axis if self.start_axis >= 0 else self.start_axis + rank
        end = self.end_axis if self.end_axis >= 0 else self.end_axis + rank
        return start, end + 1

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        rank = len(x)
        start, end = self._range(rank)
        u.require(
            0 <= start <= end <= rank,
            f"cannot merge axes {self.start_axis} to {self.end_axis} of {rank} axes",
        )
        return (self.result_shape(x.dims),)

    def result_shape(self, x: Sequence[Dim]) -> tuple[Dim, ...]:
        start, end = self._range(len(x))
        return (*x[:start], dims.product(list(x[start:end])), *x[end:])

    def reference(self, x: Array) -> Any:
        start, end = self._range(x.ndim)
        return x.reshape(*x.shape[:start], int(np.prod(x.shape[start:end])), *x.shape[end:])


@register
@dataclass(frozen=True, slots=True)
class Squeeze(View):
    """y = x without the axes of extent 1 named by `axis` (None: all that are known to be 1).

    Shapes: x [*s] -> y without them.   Dtypes: any, kept.   Raises: ShapeError for another extent.
    """

    axis: Any = None
    name = "squeeze"
    samples = Samples(
        lambda cls: (
            Sample(cls(), ((2, 1, 5, 1),)),
            Sample(cls(1), ((17, 1, 33),)),
            Sample(cls((0, -1)), ((1, 3, 5, 1),), dtype="float64"),
            Sample(cls(), ((),)),
            Sample(cls(-1), ((0, 3, 1),)),
            Sample(cls((0,)), ((1, 7),), dtype="int32", low=-9, high=9, gradient=False),
        )
    )

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        out = u.output().rank
        if x.rank is None and out is not None and self.axis is not None:
            u.rank(x, out + (1 if isinstance(self.axis, int) else len(self.axis)))
        if self.axis is not None:
            for n in checked_axes(u, self.axis, len(x)):
                u.equal(x[n], 1, f"x.shape[{n}] must equal 1 to be squeezed")
        elif any(not dims.is_closed(d) for d in x.dims):
            return (u.unknown_shape("squeezed"),)
        return (self.result_shape(x.dims),)

    def result_shape(self, x: Sequence[Dim]) -> tuple[Dim, ...]:
        if self.axis is None:
            return tuple(d for d in x if d != 1)
        axes = axes_of(self.axis, len(x))
        return tuple(d for n, d in enumerate(x) if n not in axes)

    def reference(self, x: Array) -> Any:
        return np.squeeze(x, self.axis)


@register
@dataclass(frozen=True, slots=True)
class ExpandDims(View):
    """y = x with axes of extent 1 put in, so that they stand at `axis` of y.

    Shapes: x [*s] -> y with 1 at each of `axis`.   Dtypes: any, kept.
    """

    axis: int | tuple[int, ...]
    name = "expand_dims"
    samples = Samples(
        lambda cls: (
            Sample(cls(1), ((17, 33),)),
            Sample(cls((0, -1)), ((2, 5),), dtype="float64"),
            Sample(cls(0), ((),)),
            Sample(cls(-1), ((0, 3),)),
            Sample(cls((1, 2)), ((1, 7),), dtype="int32", low=-9, high=9, gradient=False),
        )
    )

    def _count(self) -> int:
        return 1 if isinstance(self.axis, int) else len(self.axis)

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        out = u.output().rank
        if x.rank is None and out is not None:
            u.rank(x, out - self._count())
        checked_axes(u, self.axis, len(x) + self._count())
        return (self.result_shape(x.dims),)

    def result_shape(self, x: Sequence[Dim]) -> tuple[Dim, ...]:
        axes = axes_of(self.axis, len(x) + self._count())
        rest = iter(x)
        return tuple(1 if n in axes else next(rest) for n in range(len(x) + self._count()))

    def reference(self, x: Array) -> Any:
        return np.expand_dims(x, self.axis)


@specified_by(Flatten)
def flatten(
    x: Symbol, start_axis: int = 1, end_axis: int = -1, *, name: str | None = None
) -> Symbol:
    """Axes merged into one, by default all but the first."""
    return Flatten(start_axis, end_axis)(x, name=name)  # type: ignore[no-any-return]


@specified_by(Squeeze)
def squeeze(x: Symbol, axis: Any = None, *, name: str | None = None) -> Symbol:
    """Axes of extent 1 dropped."""
    return Squeeze(as_axes(axis))(x, name=name)  # type: ignore[no-any-return]


@specified_by(ExpandDims)
def expand_dims(x: Symbol, axis: Any, *, name: str | None = None) -> Symbol:
    """Axes of extent 1 put in."""
    return ExpandDims(as_axes(axis))(x, name=name)  # type: ignore[no-any-return]


__all__ = ["expand_dims", "flatten", "squeeze"]
