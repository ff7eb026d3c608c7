"""Building blocks of tiled schedules: one number for several axes, and guards at the edges."""

from __future__ import annotations

from collections.abc import Sequence

from .. import dims
from ..dims import Dim, Ranges
from ..dtypes import bool_
from ..ir import Axis, Buffer, Call, Expr, For, IndexValue, Load, Stmt
from ..rewrite import ExprRewriter, walk


def extent_of(axes: Sequence[Axis]) -> Dim:
    """The number of points of several axes."""
    return dims.product([axis.extent for axis in axes])


def index_range(extent: Dim) -> tuple[int | None, int | None]:
    """The interval of the variable of a loop."""
    _, high = dims.bounds(extent)
    return 0, None if high is None else max(high - 1, 0)


def unflatten(axes: Sequence[Axis], number: Dim, ranges: Ranges) -> dict[object, Dim]:
    """The value of each axis from a row-major number: i = n // J, j = n % J."""
    values: dict[object, Dim] = {}
    for position, axis in enumerate(axes):
        inner = extent_of(axes[position + 1 :])
        value = dims.floordiv(number, inner)
        if position:
            value = dims.mod(value, axis.extent)
        values[axis.var] = dims.simplify(value, ranges)
    return values


def below(ranges: Ranges, *limits: tuple[Dim, Dim]) -> Expr | None:
    """The condition that each number is below its limit; None where the intervals prove it."""
    result: Expr | None = None
    for number, limit in limits:
        gap, _ = dims.bounds(dims.add(limit, dims.mul(dims.add(number, 1), -1)), ranges)
        if gap is not None and gap >= 0:
            continue
        one = Call("lt", (IndexValue(number), IndexValue(limit)), bool_)
        result = one if result is None else Call("and", (result, one), bool_)
    return result


def loop_nest(axes: Sequence[Axis], kind: str, body: Stmt) -> Stmt:
    """`body` inside loops of one kind, the first outermost; loops of extent 1 stay."""
    for axis in reversed(axes):
        body = For(axis.var, axis.extent, kind, body)
    return body


def contiguous_axis(expr: Expr, groups: Sequence[Sequence[Axis]]) -> int | None:
    """Which group of axes holds the one along which the loads of `expr` are contiguous."""
    for e in walk(expr):
        if not isinstance(e, Load) or not isinstance(e.tensor, Buffer):
            continue
        offset = e.tensor.offset(e.index)
        for number, axes in enumerate(groups):
            if axes and dims.coefficient(offset, axes[-1].var) == 1:
                return number
    return None


class ReplaceLoads(ExprRewriter):
    """Replaces loads of one buffer by a value, and index variables by dims."""

    def __init__(self, buffer: object, value: Expr, values: dict[object, Dim]) -> None:
        super().__init__(values)
        self._buffer = buffer
        self._value = value

    def leaf(self, expr: Expr) -> Expr | None:
        return self._value if isinstance(expr, Load) and expr.tensor is self._buffer else None


__all__ = [
    "ReplaceLoads",
    "below",
    "contiguous_axis",
    "extent_of",
    "index_range",
    "loop_nest",
    "unflatten",
]
