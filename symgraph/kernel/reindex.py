"""Computations over other axes: the same elements, numbered another way.

    reindex(y[i,j] = x[i,j] + 1, (n, m/16, 16), (i, j, k) -> (i, 16*j+k))
        ->  z[i,j,k] = x[i,16*j+k] + 1

Reduced axes that are only read in blocks are split, so that indices stay affine:

    sum(r < 64: x[r//16, r%16])   ->   sum(r < 4, s < 16: x[r, s])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from . import dims
from .compute import Compute, compute
from .dims import Dim, LoopVar
from .ir import Axis, Expr, IndexValue, Load, Reduce, as_index
from .rewrite import ExprRewriter, walk

Ranges = dict[Any, tuple["int | None", "int | None"]]


def axis_ranges(axes: Sequence[Axis]) -> Ranges:
    """The interval of each axis variable."""
    result: Ranges = {}
    for axis in axes:
        _, high = dims.bounds(axis.extent)
        result[axis.var] = (0, None if high is None else max(high - 1, 0))
    return result


def reindex(
    source: Compute, shape: Sequence[Dim], element: Callable[[tuple[Any, ...]], Sequence[Any]]
) -> Compute:
    """The tensor of `shape` whose element at i is the source's at `element(i)`."""
    frame = compute(shape, lambda *i: 0, dtype="int64", name=source.name)
    index = element(tuple(IndexValue(a.var) for a in frame.axes))
    places = [as_index(i, e) for i, e in zip(index, source.shape, strict=True)]
    values = {a.var: d for a, d in zip(source.axes, places, strict=True)}
    body = BlockRewriter(axis_ranges(frame.axes), values)(source.body)
    return Compute(source.name, frame.axes, body)


class BlockRewriter(ExprRewriter):
    """Substitutes, splits reduced axes, and simplifies indices by the intervals around."""

    def __init__(self, ranges: Ranges, values: dict[Any, Dim] | None = None) -> None:
        super().__init__(values)
        self.ranges = ranges

    def dim(self, dim: Dim) -> Dim:
        return dim if isinstance(dim, int) else dims.simplify(super().dim(dim), self.ranges)

    def _reduce(self, kind: str, axes: tuple[Axis, ...], body: Expr) -> Expr:
        inner: list[Axis] = []
        values: dict[Any, Dim] = {}
        for axis in axes:
            size = _block_size(axis, body)
            parts = [self.dim(axis.extent)] if size is None else [_quotient(axis, size), size]
            fresh = [Axis(LoopVar(axis.var.hint), extent) for extent in parts]
            inner += fresh
            values[axis.var] = fresh[0].var if size is None else fresh[0].var * size + fresh[1].var
        rewriter = BlockRewriter({**self.ranges, **axis_ranges(inner)}, {**self.values, **values})
        return Reduce(kind, tuple(inner), rewriter(body))


def _quotient(axis: Axis, size: int) -> Dim:
    quotient = dims.exact_quotient(axis.extent, size)
    assert quotient is not None
    return quotient


def _block_size(axis: Axis, body: Expr) -> int | None:
    """The one divisor of the axis's extent by which the body divides its variable."""
    found: set[Dim] = set()
    for e in walk(body):
        index = e.index if isinstance(e, Load) else (e.dim,) if isinstance(e, IndexValue) else ()
        for dim in index:
            for atom in dims.atoms(dim):
                if isinstance(atom, (dims.FloorDiv, dims.Mod)) and atom.a == axis.var:
                    found.add(atom.b)
    if len(found) != 1:
        return None
    (size,) = found
    fits = isinstance(size, int) and dims.exact_quotient(axis.extent, size) is not None
    return size if fits and isinstance(size, int) else None
