"""A tensor put into a larger one, and the border around it: padding without a copy.

A computation that only repeats another inside a constant border need not read it back: what makes
the inner elements writes them where they belong, and the border is filled beside it.

    v[i] = f(x, i)                                parallel i < 3: p[i+1] = f(x, i)
    p[i] = v[i-1] if 0 <= i-1 < 3 else 0   ->     parallel i < 1: p[i] = 0
                                                  parallel i < 1: p[i+4] = 0

Every element of the larger tensor is written exactly once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from . import dims
from .compute import Compute, Tensor
from .dims import Dim, LoopVar
from .ir import Axis, Buffer, Call, Const, Expr, For, IndexValue, Load, Select, Stmt, Store, block


@dataclass(frozen=True, slots=True)
class Placement:
    """`source` stands in the middle: `before` and `after` elements of `value` around each axis."""

    source: Tensor
    before: tuple[int, ...]
    after: tuple[int, ...]
    value: Const


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """A buffer with a result in its middle; `value` fills the rest."""

    buffer: Buffer
    before: tuple[int, ...]
    after: tuple[int, ...]
    value: Const | None = None

    def index(self, index: Sequence[Dim]) -> tuple[Dim, ...]:
        """Where an element of the result lies in the buffer."""
        return tuple(dims.add(i, b) for i, b in zip(index, self.before, strict=True))


def whole(buffer: Buffer) -> Target:
    """A buffer that a result fills."""
    none = (0,) * buffer.ndim
    return Target(buffer, none, none)


def find_placement(compute: Compute) -> Placement | None:
    """The placement that a computation is, or None.

    Its conditions must be those under which the index lies inside the source, no more and no less.
    """
    body = compute.body
    if not isinstance(body, Select) or not isinstance(body.then, Load):
        return None
    load, value = body.then, body.otherwise
    if not isinstance(value, Const) or load.tensor.ndim != compute.ndim:
        return None
    before: list[int] = []
    after: list[int] = []
    needed: set[Dim] = set()
    allowed: set[Dim] = set()
    for position, axis, inner in zip(load.index, compute.axes, load.tensor.shape, strict=True):
        start = _start(position, axis.var, axis.extent)
        rest = dims.add(axis.extent, dims.mul(inner, -1))
        if not isinstance(start, int) or not isinstance(rest, int) or not 0 <= start <= rest:
            return None
        to_end = dims.add(inner, dims.mul(dims.add(position, 1), -1))
        needed |= {position} if start else set()
        needed |= {to_end} if rest > start else set()
        allowed |= {position, to_end}
        before.append(start)
        after.append(rest - start)
    stated = _at_least_zero(body.condition)
    if stated is None or not needed <= stated <= allowed:
        return None
    return Placement(load.tensor, tuple(before), tuple(after), value)


def _start(position: Dim, var: LoopVar, extent: Dim) -> Dim:
    """How far behind its axis a position stays."""
    if extent == 1 and position == 0:
        return 0
    return dims.add(var, dims.mul(position, -1))


def _at_least_zero(condition: Expr) -> set[Dim] | None:
    """The numbers that must not be negative for all parts of a condition to hold; None for a
    condition of another form."""
    found: set[Dim] = set()
    stack = [condition]
    while stack:
        part = stack.pop()
        if not isinstance(part, Call) or part.function not in ("and", "le", "lt"):
            return None
        if part.function == "and":
            stack.extend(part.args)
            continue
        low, high = (_number(a) for a in part.args)
        if low is None or high is None:
            return None
        gap = dims.add(high, dims.mul(low, -1))
        found.add(gap if part.function == "le" else dims.add(gap, -1))
    return found


def _number(expr: Expr) -> Dim | None:
    if isinstance(expr, IndexValue):
        return expr.dim
    if isinstance(expr, Const) and isinstance(expr.value, int):
        return expr.value
    return None


def placed(buffer: Buffer, compute: Compute) -> tuple[Target, Compute]:
    """Where and what a kernel has to compute so that `compute` lies in `buffer`."""
    placement = find_placement(compute)
    if placement is None:
        return whole(buffer), compute
    source = placement.source
    if not isinstance(source, Compute):
        source = _copy(compute, source)
    return Target(buffer, placement.before, placement.after, placement.value), source


def _copy(compute: Compute, source: Tensor) -> Compute:
    """A buffer as a computation, over axes named as the reader's."""
    axes = tuple(
        Axis(LoopVar(axis.var.hint), extent)
        for axis, extent in zip(compute.axes, source.shape, strict=True)
    )
    return Compute(compute.name, axes, Load(source, tuple(axis.var for axis in axes)))


def fill_border(target: Target) -> Stmt | None:
    """Statements that fill what a placed result leaves of its buffer; None for nothing.

    Axes that stand before all padded ones are shared; then, axis by axis, what lies before and
    after the result, over the whole of the axes inside and the result's part of those outside.
    """
    shape = target.buffer.shape
    padded = [n for n in range(len(shape)) if target.before[n] or target.after[n]]
    if target.value is None or not padded:
        return None
    outer = [LoopVar("i") for _ in range(padded[0])]
    parts: list[Stmt] = []
    for axis in padded:
        behind = dims.add(shape[axis], -target.after[axis])
        for start, extent in ((0, target.before[axis]), (behind, target.after[axis])):
            if extent:
                parts.append(_slab(target, outer, axis, start, extent))
    body = block(*parts)
    for var, count in zip(reversed(outer), reversed(shape[: len(outer)]), strict=True):
        body = For(var, count, "parallel", body)
    return body


def _slab(target: Target, outer: Sequence[LoopVar], axis: int, start: Dim, extent: int) -> Stmt:
    assert target.value is not None
    index: list[Dim] = list(outer)
    loops: list[tuple[LoopVar, Dim]] = []
    first: Dim
    for n in range(len(outer), target.buffer.ndim):
        first = start if n == axis else target.before[n] if n < axis else 0
        around = target.before[n] + target.after[n] if n < axis else 0
        count: Dim = extent if n == axis else dims.add(target.buffer.shape[n], -around)
        var = LoopVar("j")
        loops.append((var, count))
        index.append(dims.add(first, var))
    body: Stmt = Store(target.buffer, tuple(index), target.value)
    for var, count in reversed(loops):
        body = For(var, count, "parallel", body)
    return body
