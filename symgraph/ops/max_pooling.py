"""Maximum pooling over windows, with gradients of every order.

A maximum's gradient goes to the first largest element of the window, as is the custom; where that
was is found again in the backward pass, so that the forward pass stores nothing for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.registry import register
from ..ir.sample import Sample
from ..ir.symbol import Symbol
from ..kernel.compute import Compute, Tensor, all_of, cast, compute, reduce, where
from ..kernel.dtypes import int32
from ..kernel.ir import IndexValue, const
from .base import Array, Gradients
from .pooling_windows import NONE, ODD, PoolingWindows, distinct, flat, function_text, geometry
from .windows import pick

if TYPE_CHECKING:
    from ..ir.infer import DTypeView, ShapeView, Unifier


@dataclass(frozen=True, slots=True)
class _MaxPool(PoolingWindows):
    """What the maximum poolings share."""

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        return (self.inferred(u, x),)

    def forward(self, x: Tensor) -> Compute:
        lowest = const(x.dtype.lowest, x.dtype)

        def element(n: Any, c: Any, *place: Any) -> Any:
            def term(*taps: Any) -> Any:
                position = self.positions(place, taps)
                checks = self.inside(position, x.shape[2:])
                value = pick(x, n, c, *position)
                return where(all_of(*checks), value, lowest) if checks else value

            return reduce("max", self.kernel_size, term)

        return compute((*x.shape[:2], *self.extents(x.shape[2:])), element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        index = MaxPoolIndex(*self.geometry)(ins[0], outs[0])
        return (MaxUnpool(*self.geometry)(grads[0], index, ins[0]),)

    def reference(self, x: Array) -> Any:
        low = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
        return self.seen(x, low).max(axis=-1)


@register
@dataclass(frozen=True, slots=True)
class MaxPool1d(_MaxPool):
    """The largest element of each window over one axis; see `max_pool1d`."""

    name = "max_pool1d"


@register
@dataclass(frozen=True, slots=True)
class MaxPool2d(_MaxPool):
    """The largest element of each window over two axes; see `max_pool2d`."""

    name = "max_pool2d"


@register
@dataclass(frozen=True, slots=True)
class MaxPool3d(_MaxPool):
    """The largest element of each window over three axes; see `max_pool3d`."""

    name = "max_pool3d"


@register
@dataclass(frozen=True, slots=True)
class MaxPoolIndex(PoolingWindows):
    """Where in its window the first element is that is not below y, numbered row-major.

    Shapes: x [n, c, *s], y [n, c, *p] -> index [n, c, *p].   Dtypes: x, y any number; index int32.
    """

    name = "max_pool_index"
    no_gradient = ("x", "y")

    def infer_shape(self, u: Unifier, x: ShapeView, y: ShapeView) -> tuple[Any, ...]:
        self.inferred(u, x)
        u.rank(y, self.rank + 2, "y")
        return (y,)

    def infer_dtype(self, u: Unifier, x: DTypeView, y: DTypeView) -> tuple[Any, ...]:
        u.same(x, y, "x and y must have one dtype")
        return (int32,)

    def forward(self, x: Tensor, y: Tensor) -> Compute:
        none = const(int(np.prod(self.kernel_size)) - 1, int32)

        def element(n: Any, c: Any, *place: Any) -> Any:
            def term(*taps: Any) -> Any:
                position = self.positions(place, taps)
                # "not below" instead of "equal", so that a NaN is found as well.
                largest = ~(pick(x, n, c, *position) < pick(y, n, c, *place))
                checks = self.inside(position, x.shape[2:])
                found = where(largest, flat(taps, self.kernel_size), none)
                return where(all_of(*checks), found, none) if checks else found

            return reduce("min", self.kernel_size, term)

        return compute(y.shape, element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (None, None)

    def reference(self, x: Array, y: Array) -> Any:
        low = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
        seen = self.seen(x, low)
        hit = ~(seen < y[..., None])
        last = seen.shape[-1] - 1
        return np.where(hit.any(axis=-1), hit.argmax(axis=-1), last).astype(np.int32)


@register
@dataclass(frozen=True, slots=True)
class MaxUnpool(PoolingWindows):
    """The gradient of a maximum pooling: each g added where its window's index points.

    Shapes: g, index [n, c, *p], like [n, c, *s] -> dx as like.   Dtypes: any float; index int32.
    """

    name = "max_unpool"
    no_gradient = ("index", "like")

    def infer_shape(
        self, u: Unifier, g: ShapeView, index: ShapeView, like: ShapeView
    ) -> tuple[Any, ...]:
        self.inferred(u, like)
        u.same_shape(g, index, "g and index must have one shape")
        return (like,)

    def infer_dtype(
        self, u: Unifier, g: DTypeView, index: DTypeView, like: DTypeView
    ) -> tuple[Any, ...]:
        u.same(index, int32, "index must be int32")
        return (g,)

    def forward(self, g: Tensor, index: Tensor, like: Tensor) -> Compute:
        def element(n: Any, c: Any, *place: Any) -> Any:
            def value(window: Sequence[Any], taps: Sequence[Any]) -> Any:
                hit = pick(index, n, c, *window).equal(flat(taps, self.kernel_size))
                return where(hit, pick(g, n, c, *window), const(0, g.dtype))

            return self.walk_back(place, g.shape[2:], value, g.dtype)

        return compute(like.shape, element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (MaxPick(*self.geometry)(grads[0], ins[1]), None, None)

    def reference(self, g: Array, index: Array, like: Array) -> Any:
        dx = self.padded(np.zeros(like.shape, g.dtype), 0.0)
        taps = np.unravel_index(index, self.kernel_size)
        lead = np.indices(g.shape)
        spatial = [lead[axis + 2] * s + taps[axis] for axis, s in enumerate(self.stride)]
        np.add.at(dx, (lead[0], lead[1], *spatial), g)
        crop = [slice(b, b + n) for (b, _), n in zip(self.padding, like.shape[2:], strict=True)]
        return pick(dx, slice(None), slice(None), *crop)


@register
@dataclass(frozen=True, slots=True)
class MaxPick(PoolingWindows):
    """From each window of x the element that index points at.

    Shapes: x [n, c, *s], index [n, c, *p] -> y [n, c, *p].   Dtypes: any; index int32.
    """

    name = "max_pick"
    no_gradient = ("index",)

    def infer_shape(self, u: Unifier, x: ShapeView, index: ShapeView) -> tuple[Any, ...]:
        self.inferred(u, x)
        return (index,)

    def infer_dtype(self, u: Unifier, x: DTypeView, index: DTypeView) -> tuple[Any, ...]:
        u.same(index, int32, "index must be int32")
        return (x,)

    def forward(self, x: Tensor, index: Tensor) -> Compute:
        def element(n: Any, c: Any, *place: Any) -> Any:
            flat: Any = pick(index, n, c, *place)
            position: list[Any] = []
            for axis in reversed(range(self.rank)):
                k, s = self.kernel_size[axis], self.stride[axis]
                tap = flat % k if axis else flat
                flat = flat // k
                start = IndexValue(place[axis].dim * s - self.padding[axis][0])
                position.insert(0, start + cast(tap, "int64"))
            return pick(x, n, c, *position)

        return compute(index.shape, element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (MaxUnpool(*self.geometry)(grads[0], ins[1], ins[0]), None)

    def reference(self, x: Array, index: Array) -> Any:
        return np.take_along_axis(self.seen(x, 0), index[..., None], axis=-1)[..., 0]


def _max_function(cls: Any, rank: int) -> Any:
    def max_pool(
        x: Symbol,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        padding: Any = 0,
        *,
        ceil_mode: bool = False,
        name: str | None = None,
    ) -> Symbol:
        attributes = geometry(cls.name, rank, kernel_size, stride, padding)
        return cls(*attributes, ceil_mode)(x, name=name)  # type: ignore[no-any-return]

    max_pool.__name__ = max_pool.__qualname__ = cls.name
    more = "  Gradients go to the first maximum."
    max_pool.__doc__ = function_text(what="largest element", more=more, rank=rank,
                                    dtypes="any number")  # fmt: skip
    return max_pool


max_pool1d = _max_function(MaxPool1d, 1)
max_pool2d = _max_function(MaxPool2d, 2)
max_pool3d = _max_function(MaxPool3d, 3)


MaxPool1d.samples = (
    Sample(MaxPool1d((2,), (2,), ((0, 0),)), ((0, 1, 7),), dtype="float64"),
    Sample(MaxPool1d((3,), (2,), ((1, 1),)), (distinct(2, 3, 17),)),
)
MaxPool2d.samples = (
    Sample(MaxPool2d((2, 2), (2, 2), NONE), (distinct(2, 3, 5, 37),)),
    Sample(MaxPool2d((2, 2), (2, 2), NONE), (distinct(2, 3, 5, 7),)),
    Sample(MaxPool2d((3, 2), (2, 1), ODD), (distinct(2, 3, 7, 6),)),
    Sample(MaxPool2d((2, 3), (3, 2), ((0, 0), (1, 1)), True), (distinct(1, 2, 7, 6),)),
    Sample(MaxPool2d((3, 3), (2, 2), NONE, True), (distinct(1, 2, 6, 8),)),
    Sample(MaxPool2d((2, 2), (2, 2), NONE), ((0, 3, 5, 7),)),
    Sample(MaxPool2d((1, 1), (1, 1), NONE), ((1, 1, 1, 1),)),
    Sample(MaxPool2d((2, 3), (1, 2), NONE), ((2, 3, 5, 9),), dtype="int32", low=-9, high=9,
           gradient=False),
)  # fmt: skip
MaxPool3d.samples = (
    Sample(MaxPool3d((2, 2, 2), (2, 2, 2), ((0, 0),) * 3), ((0, 2, 4, 3, 17),), dtype="float64"),
    Sample(MaxPool3d((2, 1, 2), (2, 1, 1), ((0, 0), (0, 0), (1, 0))), (distinct(1, 2, 4, 3, 5),)),
)
_PLACES = MaxPool2d((3, 2), (2, 1), ODD)
_INDEX = MaxPoolIndex(*_PLACES.geometry).reference(
    distinct(2, 3, 7, 6, seed=1), _PLACES.reference(distinct(2, 3, 7, 6, seed=1))
)
MaxPoolIndex.samples = (
    Sample(MaxPoolIndex((2,), (1,), ((0, 0),)), ((0, 3, 19), (0, 3, 18)), gradient=False),
    Sample(
        MaxPoolIndex((2,), (2,), ((0, 0),)),
        (distinct(1, 3, 34), distinct(1, 3, 34).reshape(1, 3, 17, 2).max(axis=-1)),
        gradient=False,
    ),
    Sample(MaxPoolIndex((3, 2), (2, 1), ODD),
           (distinct(2, 3, 7, 6), _PLACES.reference(distinct(2, 3, 7, 6))), gradient=False),
    Sample(MaxPoolIndex((2, 2), (2, 2), NONE), (np.ones((1, 2, 4, 6)), np.ones((1, 2, 2, 3))),
           gradient=False),
)  # fmt: skip
MaxUnpool.samples = (
    Sample(
        MaxUnpool((2,), (2,), ((0, 0),)),
        ((1, 3, 17), np.zeros((1, 3, 17), np.int32), (1, 3, 35)),
        dtype="float64",
    ),
    Sample(MaxUnpool((2,), (2,), ((0, 0),)), ((0, 3, 4), np.zeros((0, 3, 4), np.int32), (0, 3, 9))),
    Sample(MaxUnpool((3, 2), (2, 1), ODD), ((2, 3, 3, 6), _INDEX, (2, 3, 7, 6))),
)
MaxPick.samples = (
    Sample(
        MaxPick((2,), (2,), ((0, 0),)),
        ((1, 3, 35), np.ones((1, 3, 17), np.int32)),
        dtype="float64",
    ),
    Sample(MaxPick((2,), (2,), ((0, 0),)), ((0, 3, 9), np.ones((0, 3, 4), np.int32))),
    Sample(MaxPick((3, 2), (2, 1), ODD), ((2, 3, 7, 6), _INDEX)),
)
