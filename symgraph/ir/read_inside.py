"""Any operator over tensors that lie inside larger ones: what reads a padded copy instead.

`ReadInside` needs nothing from the operator but its index expression: element [i, j] of an input
with margins ((1, 1), (2, 0)) is read at [i+1, j+2] of the larger tensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..kernel import dims
from ..kernel.compute import Compute, Tensor
from ..kernel.dims import Dim
from ..kernel.ir import Expr, IndexValue, as_index
from .op import Op
from .tensor_type import TensorType
from .wrapped import Wrapped

if TYPE_CHECKING:
    from .infer import ShapeView, Unifier

Array = np.ndarray[Any, np.dtype[Any]]
Margins = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class ReadInside(Wrapped):
    """`op` with inputs that lie inside larger tensors, `margins` (before, after) around each axis;
    None for an input that is read whole."""

    op: Op
    margins: tuple[Margins | None, ...]
    name: ClassVar[str] = "read_inside"

    @property
    def attribute_items(self) -> tuple[tuple[str, Any], ...]:
        shown = ",".join("whole" if m is None else str(m) for m in self.margins)
        return (("op", self.op.name), ("inside", shown), *self.op.attribute_items)

    def infer_shape(self, u: Unifier, *shapes: ShapeView) -> tuple[Any, ...]:
        from .infer import ShapeView as View

        inner = [
            s if margins is None else View(u, _without(s.dims, margins))
            for s, margins in zip(shapes, self.margins, strict=True)
        ]
        return self.op.infer_shape(u, *inner)

    def forward(self, *tensors: Tensor) -> tuple[Compute, ...]:
        inner = [
            t if margins is None else Inside(t, margins)
            for t, margins in zip(tensors, self.margins, strict=True)
        ]
        result = self.op.forward(*inner)
        return (result,) if isinstance(result, Compute) else tuple(result)

    def reference(self, *arrays: Array) -> Any:
        inner = [
            a if margins is None else _cut(a, margins)
            for a, margins in zip(arrays, self.margins, strict=True)
        ]
        return self.op.reference(*inner)

    def flops(self, ins: Sequence[TensorType], outs: Sequence[TensorType]) -> Any:
        inner = [
            t if margins is None or t.shape is None
            else TensorType(_without(t.shape, margins), t.dtype)
            for t, margins in zip(ins, self.margins, strict=True)
        ]  # fmt: skip
        return self.op.flops(inner, outs)


class Inside(Tensor):
    """The inner part of a tensor, with indices and extents of its own."""

    __slots__ = ("dtype", "margins", "name", "shape", "tensor")

    def __init__(self, tensor: Tensor, margins: Margins) -> None:
        self.tensor = tensor
        self.margins = margins
        self.name = tensor.name
        self.dtype = tensor.dtype
        self.shape = _without(tensor.shape, margins)

    def __getitem__(self, index: Any) -> Expr:
        items = index if isinstance(index, tuple) else (index,)
        places = [
            dims.add(as_index(item, extent), before)
            for item, extent, (before, _) in zip(items, self.shape, self.margins, strict=True)
        ]
        return self.tensor[tuple(IndexValue(p) for p in places)]


def _without(shape: Sequence[Dim], margins: Margins) -> tuple[Dim, ...]:
    return tuple(dims.add(d, -a - b) for d, (a, b) in zip(shape, margins, strict=True))


def _cut(array: Array, margins: Margins) -> Array:
    return array[tuple(slice(a, n - b) for n, (a, b) in zip(array.shape, margins, strict=True))]
