"""Let a kernel work on slices of larger arrays.

    y[i] = x[i] + 1     ->     ys[t,i] = xs[t,i] + 1

where y is ys at t and x is xs at t along the first axis; t may be any integer expression of named
extents, such as the counter of a loop around the kernel.  A window keeps its axis:

    y[i] = x[i] + 1     ->     ys[i+3] = x[i] + 1
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from .. import dims
from ..dims import Dim
from ..ir import Buffer, Expr, Kernel, Load, Stmt, Store, Update
from ..rewrite import LoadRewriter, StmtRewriter

Fixed = tuple[tuple[int, Dim], ...]
"""Axes of the larger array and where along them the slice lies, in order of the axes."""


@dataclass(frozen=True, slots=True)
class Window:
    """`extent` places from `start` on along an axis of the larger array."""

    axis: int
    start: Dim
    extent: Dim


Windows = tuple[Window, ...]


@dataclass(frozen=True, slots=True)
class Slice:
    """Part of an array: what is left when some axes are held at a place, some seen in part."""

    whole: Buffer
    fixed: Fixed = ()
    windows: Windows = ()

    def index(self, index: tuple[Dim, ...]) -> tuple[Dim, ...]:
        """The index in the whole array of an index in the slice."""
        held, rest = dict(self.fixed), iter(index)
        count = len(index) + len(held)
        places = [held[axis] if axis in held else next(rest) for axis in range(count)]
        for window in self.windows:
            places[window.axis] = dims.add(places[window.axis], window.start)
        return tuple(places)


def embed(kernel: Kernel, slices: Mapping[Buffer, Slice]) -> Kernel:
    """The kernel with each of some params replaced by the array that it is a slice of."""
    if not slices:
        return kernel
    body = _Embed(slices).stmt(kernel.body)
    inputs, outputs = (
        tuple(slices[b].whole if b in slices else b for b in side)
        for side in (kernel.inputs, kernel.outputs)
    )
    found = set(kernel.dims)
    for part in slices.values():
        places = (*(place for _, place in part.fixed), *(w.start for w in part.windows))
        for extent in (*part.whole.shape, *places):
            found.update(dims.dim_vars(extent))
    names = tuple(sorted(found, key=lambda v: v.name))
    return replace(kernel, inputs=inputs, outputs=outputs, dims=names, body=body)


class _Embed(StmtRewriter):
    def __init__(self, slices: Mapping[Buffer, Slice]) -> None:
        self.slices = slices

    def _load(self, load: Load) -> Expr | None:
        part = self.slices.get(load.tensor) if isinstance(load.tensor, Buffer) else None
        return None if part is None else Load(part.whole, part.index(load.index))

    def expr(self, expr: Expr) -> Expr:
        return LoadRewriter(self._load)(expr)

    def dim(self, dim: Dim) -> Dim:
        return LoadRewriter(self._load).dim(dim)

    def stmt(self, stmt: Stmt) -> Stmt:
        new = super().stmt(stmt)
        if isinstance(new, (Store, Update)) and new.buffer in self.slices:
            part = self.slices[new.buffer]
            return replace(new, buffer=part.whole, index=part.index(new.index))
        return new
