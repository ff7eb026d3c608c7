"""The gradient of slices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.op import Op
from ..ir.registry import register
from ..ir.sample import Sample, Samples
from ..kernel.compute import Compute, Tensor, all_of, compute
from ..kernel.ir import IndexValue, call, const, where
from .base import Array, Gradients
from .python_index import WHOLE, Item
from .slicing import Slice, all_items, bounds_of, slice_samples

if TYPE_CHECKING:
    from ..ir.infer import DTypeView, ShapeView, Unifier


@register
@dataclass(frozen=True, slots=True)
class SliceGradient(Op):
    """y = zeros of the shape of `like`, with x written over y[items]: the gradient of slice.

    Of `like` only the shape is read.   Shapes: x [lengths], like [*s] -> y [*s].
    Dtypes: any, kept.
    """

    items: tuple[Item, ...]
    name = "slice_gradient"
    no_gradient = ("like",)
    samples = Samples(
        lambda cls: slice_samples(
            lambda items, shape, dtype: Sample(
                cls(items),
                (np.zeros(shape)[tuple(slice(*i) for i in items)].shape, shape),
                dtype=dtype, low=-9 if dtype == "int32" else -1,
                high=9 if dtype == "int32" else 1, gradient=dtype != "int32",
            )
        )
    )  # fmt: skip

    def infer_shape(self, u: Unifier, x: ShapeView, like: ShapeView) -> tuple[Any, ...]:
        return (like,)

    def infer_dtype(self, u: Unifier, x: DTypeView, like: DTypeView) -> tuple[Any, ...]:
        return (x,)

    def forward(self, x: Tensor, like: Tensor) -> Compute:
        items = all_items(self.items, like.ndim)

        def element(*i: Any) -> Any:
            index: list[Any] = []
            conditions = []
            for n, (item, extent) in enumerate(zip(items, like.shape, strict=True)):
                if item == WHOLE:
                    index.append(i[n])
                    continue
                start, length = bounds_of(item, extent)
                step = item[2]
                away = i[n] - start if step > 0 else IndexValue(start) - i[n]
                conditions.append(call("le", const(0, "int64"), away))
                place = away // abs(step) if abs(step) != 1 else away
                conditions.append(call("lt", place, IndexValue(length)))
                if abs(step) != 1:
                    conditions.append(call("eq", away % abs(step), const(0, "int64")))
                index.append(place)
            value = x[tuple(index)]
            return where(all_of(*conditions), value, 0) if conditions else value

        return compute(like.shape, element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (Slice(self.items)(grads[0]), None)

    def reference(self, x: Array, like: Array) -> Any:
        result = np.zeros(like.shape, x.dtype)
        result[tuple(slice(*item) for item in self.items)] = x
        return result
