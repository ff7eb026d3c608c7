"""Which elements a statement touches: for every access an interval along each axis.

Intervals hold for all iterations; conditions that compare an index with a number narrow them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ...kernel import dims
from ...kernel.dims import Dim
from ...kernel.ir import (
    Alloc,
    Block,
    Buffer,
    Expr,
    For,
    If,
    IndexValue,
    Load,
    Stmt,
    Store,
    Update,
)
from ...kernel.narrowing import narrowed
from ...kernel.rewrite import walk

Interval = tuple[int | None, int | None]
Ranges = dict[object, Interval]


@dataclass(frozen=True, slots=True)
class Touched:
    """Elements of one buffer: those whose index lies in every axis's interval."""

    buffer: Buffer
    is_written: bool
    intervals: tuple[Interval, ...]

    def is_apart(self, other: Touched) -> bool:
        """No element of one buffer is in both."""
        return any(
            _below(a, b) or _below(b, a)
            for a, b in zip(self.intervals, other.intervals, strict=True)
        )


def _below(a: Interval, b: Interval) -> bool:
    return a[1] is not None and b[0] is not None and a[1] < b[0]


def touched(stmt: Stmt) -> tuple[Touched, ...]:
    """Every access to buffers that the statement does not allocate itself, each once."""
    own: set[Buffer] = set()
    found = dict.fromkeys(t for t in _touched(stmt, {}, own))
    return tuple(t for t in found if t.buffer not in own)


def _touched(stmt: Stmt, ranges: Ranges, own: set[Buffer]) -> Iterator[Touched]:
    match stmt:
        case Block(stmts=stmts):
            for inner in stmts:
                yield from _touched(inner, ranges, own)
        case For(var=var, extent=extent, body=body, lanes=lanes):
            high = lanes if lanes else dims.bounds(extent, ranges)[1]
            inside = {**ranges, var: (0, None if high is None else high - 1)}
            yield from _touched(body, inside, own)
        case Alloc(buffer=buffer, body=body):
            own.add(buffer)
            yield from _touched(body, ranges, own)
        case If(condition=condition, then=then, otherwise=otherwise):
            yield from _loads(condition, ranges)
            yield from _touched(then, _known(condition, ranges, True), own)
            if otherwise is not None:
                yield from _touched(otherwise, _known(condition, ranges, False), own)
        case Store(buffer=buffer, index=index, value=value):
            yield from _loads(value, ranges)
            yield from _index_loads(index, ranges)
            yield Touched(buffer, True, _intervals(index, ranges))
        case Update(buffer=buffer, index=index, value=value):
            yield from _loads(value, ranges)
            yield from _index_loads(index, ranges)
            yield Touched(buffer, True, _intervals(index, ranges))
        case _:
            return


def _loads(top: Expr, ranges: Ranges) -> Iterator[Touched]:
    for e in walk(top):
        if isinstance(e, Load) and isinstance(e.tensor, Buffer):
            yield Touched(e.tensor, False, _intervals(e.index, ranges))


def _index_loads(index: tuple[Dim, ...], ranges: Ranges) -> Iterator[Touched]:
    for dim in index:
        yield from _loads(IndexValue(dim), ranges)


def _intervals(index: tuple[Dim, ...], ranges: Ranges) -> tuple[Interval, ...]:
    return tuple(dims.bounds(d, ranges) for d in index)


def _known(condition: Expr, ranges: Ranges, holds: bool) -> Ranges:
    found = narrowed(condition, ranges, holds)
    return ranges if found is None else dict(found)
