"""Layouts: how a tensor's axes lie in memory, and any operator carried over to other layouts.

A layout splits axes into blocks: axis `a` of extent n becomes an axis of n/b in its place and an
axis of b at the end.  `NCHW` images with `Layout(((1, 16),))` are `[n, c/16, h, w, 16]`.

`InLayout` is an operator whose inputs and outputs lie in given layouts.  It needs nothing from the
operator but its index expression: element [n, c, h, w] is read at [n, c//16, h, w, c%16] and the
simplification of indices does the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..kernel import dims
from ..kernel.compute import Compute, Tensor, compute
from ..kernel.dims import Dim
from ..kernel.ir import Expr, IndexValue
from ..kernel.reindex import reindex
from .op import Op
from .tensor_type import TensorType
from .wrapped import Wrapped

if TYPE_CHECKING:
    from .infer import ShapeView, Unifier

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class Layout:
    """`blocks` are (axis, size) pairs; the size divides the axis."""

    blocks: tuple[tuple[int, int], ...]

    def physical(self, shape: Sequence[Dim]) -> tuple[Dim, ...]:
        """The shape in memory of a tensor of `shape`."""
        sizes = dict(self.blocks)
        outer = [dims.floordiv(d, sizes.get(axis, 1)) for axis, d in enumerate(shape)]
        return (*outer, *(size for _, size in self.blocks))

    def logical(self, shape: Sequence[Dim]) -> tuple[Dim, ...]:
        """The tensor's own shape, from that in memory."""
        sizes = dict(self.blocks)
        rank = len(shape) - len(self.blocks)
        return tuple(dims.mul(d, sizes.get(axis, 1)) for axis, d in enumerate(shape[:rank]))

    def fits(self, shape: Sequence[Dim] | None) -> bool:
        """The blocks divide the axes."""
        return shape is not None and all(
            axis < len(shape) and dims.exact_quotient(shape[axis], size) is not None
            for axis, size in self.blocks
        )

    def place(self, index: Sequence[Any]) -> tuple[Any, ...]:
        """Where in memory the element at `index` lies."""
        sizes = dict(self.blocks)
        outer = [i // sizes[axis] if axis in sizes else i for axis, i in enumerate(index)]
        return (*outer, *(index[axis] % size for axis, size in self.blocks))

    def element(self, place: Sequence[Any]) -> tuple[Any, ...]:
        """Which element lies at `place` in memory."""
        rank = len(place) - len(self.blocks)
        index = list(place[:rank])
        for (axis, size), inner in zip(self.blocks, place[rank:], strict=True):
            index[axis] = index[axis] * size + inner
        return tuple(index)

    def pack(self, array: Array) -> Array:
        """numpy: an array brought into this layout."""
        sizes = dict(self.blocks)
        split: list[int] = []
        where: dict[int, int] = {}
        for axis, n in enumerate(array.shape):
            split += [n // sizes[axis], sizes[axis]] if axis in sizes else [n]
            where[axis] = len(split) - (2 if axis in sizes else 1)
        order = [where[axis] for axis in range(array.ndim)]
        order += [where[axis] + 1 for axis, _ in self.blocks]
        return np.ascontiguousarray(array.reshape(split).transpose(order))

    def unpack(self, array: Array) -> Array:
        """numpy: an array in this layout brought back to its own shape."""
        rank = array.ndim - len(self.blocks)
        inner = {axis: rank + n for n, (axis, _) in enumerate(self.blocks)}
        order: list[int] = []
        for axis in range(rank):
            order += [axis, inner[axis]] if axis in inner else [axis]
        shape = self.logical(array.shape)
        return np.ascontiguousarray(array.transpose(order)).reshape(shape)

    def __str__(self) -> str:
        return "+".join(f"axis{axis}/{size}" for axis, size in self.blocks)


@dataclass(frozen=True)
class InLayout(Wrapped):
    """`op` with inputs and outputs in layouts; None stands for the plain one."""

    op: Op
    ins: tuple[Layout | None, ...]
    outs: tuple[Layout | None, ...]
    view: bool = False
    name: ClassVar[str] = "in_layout"

    @property
    def is_view(self) -> bool:
        return self.view

    def joined_axis(self, ins: Sequence[TensorType]) -> int | None:
        """The same axis, where all are blocked alike: a block is never divided among parts."""
        (out,) = self.outs
        if any(layout != out for layout in self.ins):
            return None
        return self.op.joined_axis([_logical_type(t, out) for t in ins])

    def cut_starts(self, ins: Sequence[TensorType]) -> tuple[tuple[Dim, ...], ...] | None:
        layout = self.ins[0]
        if any(out != layout for out in self.outs):
            return None
        logical = [_logical_type(t, x) for t, x in zip(ins, self.ins, strict=True)]
        starts = self.op.cut_starts(logical)
        if starts is None or layout is None:
            return starts
        if any(
            dims.exact_quotient(s[axis], b) is None for s in starts for axis, b in layout.blocks
        ):
            return None
        return tuple(layout.physical(s)[: len(s)] + (0,) * len(layout.blocks) for s in starts)

    @property
    def attribute_items(self) -> tuple[tuple[str, Any], ...]:
        ins = ",".join(str(x) if x else "plain" for x in self.ins)
        outs = ",".join(str(x) if x else "plain" for x in self.outs)
        return (("op", self.op.name), ("ins", ins), ("outs", outs), *self.op.attribute_items)

    def infer_shape(self, u: Unifier, *shapes: ShapeView) -> tuple[Any, ...]:
        from .infer import ShapeView as View

        logical = [
            s if layout is None else View(u, layout.logical(s.dims))
            for s, layout in zip(shapes, self.ins, strict=True)
        ]
        results = self.op.infer_shape(u, *logical)
        return tuple(
            r if layout is None else layout.physical(tuple(r))
            for r, layout in zip(results, self.outs, strict=True)
        )

    def forward(self, *tensors: Tensor) -> tuple[Compute, ...]:
        plain = [
            t if layout is None else _Unpacked(t, layout)
            for t, layout in zip(tensors, self.ins, strict=True)
        ]
        result = self.op.forward(*plain)
        results = (result,) if isinstance(result, Compute) else tuple(result)
        return tuple(_packed(r, layout) for r, layout in zip(results, self.outs, strict=True))

    def reference(self, *arrays: Array) -> Any:
        plain = [
            a if layout is None else layout.unpack(a)
            for a, layout in zip(arrays, self.ins, strict=True)
        ]
        result = self.op.reference(*plain)
        results = (result,) if self.op.output_count == 1 else tuple(result)
        packed = tuple(
            np.asarray(r) if layout is None else layout.pack(np.asarray(r))
            for r, layout in zip(results, self.outs, strict=True)
        )
        return packed[0] if len(packed) == 1 else packed

    def flops(self, ins: Sequence[TensorType], outs: Sequence[TensorType]) -> Any:
        return self.op.flops(ins, outs)


@dataclass(frozen=True, slots=True)
class Relayout(Op):
    """y = x: what `InLayout` wraps to bring a tensor from one layout to another."""

    name: ClassVar[str] = "relayout"

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        return (x,)

    def forward(self, x: Tensor) -> Compute:
        return compute(x.shape, lambda *i: x[i], name=x.name)

    def reference(self, x: Array) -> Any:
        return x


def _logical_type(type: TensorType, layout: Layout | None) -> TensorType:
    if layout is None or type.shape is None:
        return type
    return TensorType(layout.logical(type.shape), type.dtype)


class _Unpacked(Tensor):
    """A tensor in a layout, read by the indices of the plain one."""

    __slots__ = ("dtype", "layout", "name", "shape", "tensor")

    def __init__(self, tensor: Tensor, layout: Layout) -> None:
        self.tensor = tensor
        self.layout = layout
        self.name = tensor.name
        self.dtype = tensor.dtype
        self.shape = layout.logical(tensor.shape)

    def __getitem__(self, index: Any) -> Expr:
        items = index if isinstance(index, tuple) else (index,)
        exprs = [IndexValue(i) if isinstance(i, (int, dims.Symbolic)) else i for i in items]
        return self.tensor[self.layout.place(exprs)]


def _packed(result: Compute, layout: Layout | None) -> Compute:
    """A result brought into a layout; a plain one too, since its inputs may be read in blocks."""
    if layout is None:
        return reindex(result, result.shape, lambda i: i)
    return reindex(result, layout.physical(result.shape), layout.element)
