"""Global and adaptive pooling: over whole axes, or over as many windows as are asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import AttributeValueError
from ..ir.op import CompositeOp
from ..ir.registry import register
from ..ir.sample import Sample
from ..ir.symbol import Symbol
from .average_pooling import AvgPool2d
from .base import Array, make
from .max_pooling import MaxPool2d
from .pooling_windows import distinct
from .windows import Sizes, sizes

if TYPE_CHECKING:
    from ..ir.infer import ShapeView, Unifier


@dataclass(frozen=True, slots=True)
class _GlobalPool(CompositeOp):
    """Pooling over the whole of both spatial axes."""

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        n, c, _, _ = u.rank(x, 4, "x")
        return ((n, c, 1, 1),)


@register
@dataclass(frozen=True, slots=True)
class GlobalAvgPool2d(_GlobalPool):
    """The mean over both spatial axes.   Shapes: x [n, c, h, w] -> y [n, c, 1, 1]."""

    name = "global_avg_pool2d"

    def forward(self, x: Symbol) -> Symbol:
        return make("mean", x, axis=(2, 3), keepdims=True)

    def reference(self, x: Array) -> Any:
        return x.mean(axis=(2, 3), keepdims=True)


@register
@dataclass(frozen=True, slots=True)
class GlobalMaxPool2d(_GlobalPool):
    """The maximum over both spatial axes.   Shapes: x [n, c, h, w] -> y [n, c, 1, 1]."""

    name = "global_max_pool2d"

    def forward(self, x: Symbol) -> Symbol:
        return make("max", x, axis=(2, 3), keepdims=True)

    def reference(self, x: Array) -> Any:
        return x.max(axis=(2, 3), keepdims=True)


@dataclass(frozen=True, slots=True)
class _AdaptivePool(CompositeOp):
    """Pooling into a stated number of equal windows."""

    output_size: Sizes

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        rank = len(self.output_size)
        xs = u.rank(x, rank + 2, "x")
        for axis, (n, size) in enumerate(zip(xs[2:], self.output_size, strict=True)):
            if isinstance(n, int) and n % size:
                u.fail(f"x.shape[{axis + 2}] must be a multiple of output_size {size}, got {n}")
        return ((*xs[:2], *self.output_size),)

    def kernel(self, x: Symbol) -> Sizes:
        shape = x.shape
        if shape is None or not all(isinstance(n, int) for n in shape[2:]):
            raise AttributeValueError(f"{self.name}: the spatial extents of x must be known ints")
        return tuple(
            n // size  # type: ignore[misc]
            for n, size in zip(shape[2:], self.output_size, strict=True)
        )

    def split(self, x: Array) -> Any:
        """numpy: the elements of each window behind its place."""
        rank = len(self.output_size)
        pairs = zip(self.output_size, x.shape[2:], strict=True)
        extents = [n for size, extent in pairs for n in (size, extent // size)]
        order = [0, 1, *(2 + 2 * r for r in range(rank)), *(3 + 2 * r for r in range(rank))]
        wide = x.reshape(*x.shape[:2], *extents).transpose(order)
        return wide.reshape(*wide.shape[: 2 + rank], math.prod(wide.shape[2 + rank :]))


@register
@dataclass(frozen=True, slots=True)
class AdaptiveAvgPool2d(_AdaptivePool):
    """Means of equal windows.   Shapes: x [n, c, h, w] -> y [n, c, *output_size], which divide."""

    name = "adaptive_avg_pool2d"

    def forward(self, x: Symbol) -> Any:
        kernel = self.kernel(x)
        return AvgPool2d(kernel, kernel, ((0, 0),) * 2)(x)

    def reference(self, x: Array) -> Any:
        return self.split(x).mean(axis=-1)


@register
@dataclass(frozen=True, slots=True)
class AdaptiveMaxPool2d(_AdaptivePool):
    """Maxima of equal windows.   Shapes: x [n, c, h, w] -> y [n, c, *output_size], which divide."""

    name = "adaptive_max_pool2d"

    def forward(self, x: Symbol) -> Any:
        kernel = self.kernel(x)
        return MaxPool2d(kernel, kernel, ((0, 0),) * 2)(x)

    def reference(self, x: Array) -> Any:
        return self.split(x).max(axis=-1)


def global_avg_pool2d(x: Symbol, *, name: str | None = None) -> Symbol:
    """The mean over both spatial axes.   Shapes: x [n, c, h, w] -> y [n, c, 1, 1]."""
    return GlobalAvgPool2d()(x, name=name)  # type: ignore[no-any-return]


def global_max_pool2d(x: Symbol, *, name: str | None = None) -> Symbol:
    """The maximum over both spatial axes.   Shapes: x [n, c, h, w] -> y [n, c, 1, 1]."""
    return GlobalMaxPool2d()(x, name=name)  # type: ignore[no-any-return]


def adaptive_avg_pool2d(
    x: Symbol, output_size: int | Sequence[int], *, name: str | None = None
) -> Symbol:
    """Means of `output_size` equal windows, which must divide the extents.

    Shapes: x [n, c, h, w] -> y [n, c, *output_size].   Dtypes: any float.   Raises: ShapeError.
    """
    return AdaptiveAvgPool2d(sizes(output_size, 2, "output_size"))(x, name=name)  # type: ignore[no-any-return]


def adaptive_max_pool2d(
    x: Symbol, output_size: int | Sequence[int], *, name: str | None = None
) -> Symbol:
    """Maxima of `output_size` equal windows, which must divide the extents.

    Shapes: x [n, c, h, w] -> y [n, c, *output_size].   Dtypes: any number.   Raises: ShapeError.
    """
    return AdaptiveMaxPool2d(sizes(output_size, 2, "output_size"))(x, name=name)  # type: ignore[no-any-return]


GlobalAvgPool2d.samples = (
    Sample(GlobalAvgPool2d(), ((0, 3, 17, 7),), dtype="float64"),
    Sample(GlobalAvgPool2d(), ((2, 3, 5, 7),)),
)
GlobalMaxPool2d.samples = (
    Sample(GlobalMaxPool2d(), ((0, 3, 17, 7),), dtype="float64"),
    Sample(GlobalMaxPool2d(), (distinct(2, 3, 5, 7),)),
)
AdaptiveAvgPool2d.samples = (
    Sample(AdaptiveAvgPool2d((1, 17)), ((0, 3, 8, 34),), dtype="float64"),
    Sample(AdaptiveAvgPool2d((2, 3)), ((2, 3, 8, 6),)),
)
AdaptiveMaxPool2d.samples = (
    Sample(AdaptiveMaxPool2d((1, 17)), ((0, 3, 8, 34),), dtype="float64"),
    Sample(AdaptiveMaxPool2d((2, 3)), (distinct(2, 3, 8, 6),)),
)
