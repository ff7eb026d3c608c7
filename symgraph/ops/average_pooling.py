"""Average pooling over windows, with gradients of every order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.registry import register
from ..ir.sample import Sample
from ..ir.symbol import Symbol
from ..kernel import dims
from ..kernel.compute import Compute, Tensor, all_of, cast, compute, reduce, where
from ..kernel.dims import Dim
from ..kernel.ir import IndexValue, as_expr, const
from .base import Array, Gradients
from .pooling_windows import NONE, ODD, PoolingWindows, function_text, geometry
from .windows import pick

if TYPE_CHECKING:
    from ..ir.infer import DTypeView, ShapeView, Unifier


@dataclass(frozen=True, slots=True)
class _AvgPool(PoolingWindows):
    """What the average poolings share."""

    count_include_pad: bool = True

    @property
    def everything(self) -> tuple[Any, ...]:
        return (*self.geometry, self.count_include_pad)

    def weigh(self, total: Any, place: Sequence[Any], spatial: Sequence[Dim], dtype: Any) -> Any:
        """`total` divided by the number of elements that the window at `place` counts."""
        constant, varying = 1, None
        for p, n, k, s, (before, after) in zip(
            place, spatial, self.kernel_size, self.stride, self.padding, strict=True
        ):
            fixed = not self.ceil_mode and (self.count_include_pad or (before, after) == (0, 0))
            if fixed:
                constant *= k
                continue
            start = as_expr(p).dim * s - before  # type: ignore[attr-defined]
            end = dims.minimum(start + k, n + (after if self.count_include_pad else 0))
            length = end - (start if self.count_include_pad else dims.maximum(start, 0))
            varying = length if varying is None else varying * length
        total = total if constant == 1 else total * const(1.0 / constant, dtype)
        return total if varying is None else total / cast(IndexValue(varying), dtype)

    def infer_dtype(self, u: Unifier, *dtypes: DTypeView) -> tuple[Any, ...]:
        return (u.floating(dtypes[0]),)


@dataclass(frozen=True, slots=True)
class _AvgPoolForward(_AvgPool):
    """The forward half of the average poolings."""

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        return (self.inferred(u, x),)

    def forward(self, x: Tensor) -> Compute:
        def element(n: Any, c: Any, *place: Any) -> Any:
            def term(*taps: Any) -> Any:
                position = self.positions(place, taps)
                checks = self.inside(position, x.shape[2:])
                value = pick(x, n, c, *position)
                return where(all_of(*checks), value, const(0, x.dtype)) if checks else value

            return self.weigh(reduce("sum", self.kernel_size, term), place, x.shape[2:], x.dtype)

        return compute((*x.shape[:2], *self.extents(x.shape[2:])), element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (AvgPoolGradient(*self.everything)(grads[0], ins[0]),)

    def reference(self, x: Array) -> Any:
        total = self.seen(x, 0.0).sum(axis=-1)
        ones = np.ones((1, 1, *x.shape[2:]))
        if self.count_include_pad:
            ones = np.pad(ones, ((0, 0), (0, 0), *self.padding), constant_values=1.0)
            whole = type(self)(self.kernel_size, self.stride, ((0, 0),) * self.rank, self.ceil_mode)
            count = whole.seen(ones, 0.0).sum(axis=-1)
            count = pick(count, slice(None), slice(None), *(slice(0, n) for n in total.shape[2:]))
        else:
            count = self.seen(ones, 0.0).sum(axis=-1)
        return (total / count).astype(x.dtype)


@register
@dataclass(frozen=True, slots=True)
class AvgPool1d(_AvgPoolForward):
    """The mean of each window over one axis; see `avg_pool1d`."""

    name = "avg_pool1d"


@register
@dataclass(frozen=True, slots=True)
class AvgPool2d(_AvgPoolForward):
    """The mean of each window over two axes; see `avg_pool2d`."""

    name = "avg_pool2d"


@register
@dataclass(frozen=True, slots=True)
class AvgPool3d(_AvgPoolForward):
    """The mean of each window over three axes; see `avg_pool3d`."""

    name = "avg_pool3d"


_AVERAGES: dict[int, type[_AvgPoolForward]] = {1: AvgPool1d, 2: AvgPool2d, 3: AvgPool3d}


@register
@dataclass(frozen=True, slots=True)
class AvgPoolGradient(_AvgPool):
    """The gradient of an average pooling: each g shared out over its window.

    Shapes: g [n, c, *p], like [n, c, *s] -> dx as like.   Dtypes: any float.
    """

    name = "avg_pool_gradient"
    no_gradient = ("like",)

    def infer_shape(self, u: Unifier, g: ShapeView, like: ShapeView) -> tuple[Any, ...]:
        self.inferred(u, like)
        u.rank(g, self.rank + 2, "g")
        return (like,)

    def forward(self, g: Tensor, like: Tensor) -> Compute:
        def element(n: Any, c: Any, *place: Any) -> Any:
            def value(window: Sequence[Any], taps: Sequence[Any]) -> Any:
                return self.weigh(pick(g, n, c, *window), window, like.shape[2:], g.dtype)

            return self.walk_back(place, g.shape[2:], value, g.dtype)

        return compute(like.shape, element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (_AVERAGES[self.rank](*self.everything)(grads[0]), None)

    def reference(self, g: Array, like: Array) -> Any:
        forward = _AVERAGES[self.rank](*self.everything)
        ones = forward.reference(np.ones((1, 1, *like.shape[2:])))
        sums = self.seen(np.ones((1, 1, *like.shape[2:])), 0.0).sum(axis=-1)
        share = g * (ones / sums).astype(g.dtype)
        dx = self.padded(np.zeros(like.shape, g.dtype), 0.0)
        for taps in np.ndindex(*self.kernel_size):
            places = tuple(
                slice(t, t + (n - 1) * s + 1, s)
                for t, n, s in zip(taps, g.shape[2:], self.stride, strict=True)
            )
            place = (slice(None), slice(None), *places)
            dx[place] += share
        crop = [slice(b, b + n) for (b, _), n in zip(self.padding, like.shape[2:], strict=True)]
        return pick(dx, slice(None), slice(None), *crop)


def _avg_function(cls: Any, rank: int) -> Any:
    def avg_pool(
        x: Symbol,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        padding: Any = 0,
        *,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        name: str | None = None,
    ) -> Symbol:
        attributes = geometry(cls.name, rank, kernel_size, stride, padding)
        return cls(*attributes, ceil_mode, count_include_pad)(x, name=name)  # type: ignore[no-any-return]

    avg_pool.__name__ = avg_pool.__qualname__ = cls.name
    more = "  `count_include_pad` divides by the padding's elements too."
    avg_pool.__doc__ = function_text(what="mean", more=more, rank=rank, dtypes="any float")
    return avg_pool


avg_pool1d = _avg_function(AvgPool1d, 1)
avg_pool2d = _avg_function(AvgPool2d, 2)
avg_pool3d = _avg_function(AvgPool3d, 3)


AvgPool1d.samples = (
    Sample(AvgPool1d((2,), (2,), ((0, 0),)), ((0, 1, 7),)),
    Sample(AvgPool1d((3,), (2,), ((1, 1),)), ((2, 3, 17),)),
    Sample(AvgPool1d((2,), (2,), ((0, 0),)), ((2, 3, 8),), dtype="float64"),
)
AvgPool2d.samples = (
    Sample(AvgPool2d((2, 2), (2, 2), NONE), ((2, 3, 5, 37),), dtype="float64"),
    Sample(AvgPool2d((2, 2), (2, 2), NONE), ((2, 3, 5, 7),)),
    Sample(AvgPool2d((3, 2), (2, 1), ODD, False, False), ((2, 3, 7, 6),)),
    Sample(AvgPool2d((2, 3), (3, 2), ((0, 0), (1, 1)), True), ((1, 2, 7, 6),)),
    Sample(AvgPool2d((3, 3), (2, 2), ((1, 1), (0, 0)), True, False), ((1, 2, 6, 8),)),
    Sample(AvgPool2d((2, 2), (2, 2), NONE), ((0, 3, 5, 7),)),
)
AvgPool3d.samples = (
    Sample(AvgPool3d((2, 2, 2), (2, 2, 2), ((0, 0),) * 3), ((0, 2, 4, 3, 17),), dtype="float64"),
    Sample(AvgPool3d((2, 1, 2), (1, 1, 2), ((0, 0),) * 3), ((1, 2, 3, 4, 5),)),
)
AvgPoolGradient.samples = (
    Sample(AvgPoolGradient((2,), (2,), ((0, 0),)), ((1, 3, 17), (1, 3, 35))),
    Sample(AvgPoolGradient((2,), (2,), ((0, 0),)), ((0, 3, 4), (0, 3, 9))),
    Sample(AvgPoolGradient((3, 2), (2, 1), ODD, False, False), ((2, 3, 3, 6), (2, 3, 7, 6))),
    Sample(AvgPoolGradient((2, 2), (2, 2), NONE), ((2, 3, 2, 3), (2, 3, 5, 7)), dtype="float64"),
)
