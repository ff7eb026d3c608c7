"""Offsets for buffers that do not matter as a whole all the time.

A `Shape` is a set of rectangles, bytes [low, high) during the steps [start, end), that move
together: the parts of a joined tensor, each alive from its own first write, or a chain of buffers
written over one another.  Other shapes may use the corners that are free.

The method is first fit: shapes in some order, each at the lowest offset at which it meets none
placed before.  Several orders are tried, then the shapes that end up highest are moved forward
("squeaky wheel optimization", Joslin and Clements, JAIR 1999).  The total is proved least where it
equals the lower bound, the most bytes alive in one step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ...errors import MemoryPlanError
from .interval import Placement

TRIALS = 60
"""Orders that are tried before the best so far is taken."""


@dataclass(frozen=True, slots=True)
class Rectangle:
    """Bytes [low, high) of a shape, alive in the steps `start <= step < end`."""

    low: int
    high: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Shape:
    """Rectangles that keep their places to each other; `low` counts from the shape's offset."""

    name: str
    parts: tuple[Rectangle, ...]

    @property
    def nbytes(self) -> int:
        return max((p.high for p in self.parts), default=0)

    @property
    def start(self) -> int:
        return min(p.start for p in self.parts)

    @property
    def end(self) -> int:
        return max(p.end for p in self.parts)

    @property
    def area(self) -> int:
        return sum((p.high - p.low) * (p.end - p.start) for p in self.parts)


def place_shapes(shapes: Sequence[Shape], alignment: int = 64, trials: int = TRIALS) -> Placement:
    """Offsets at multiples of `alignment`; the bytes of parts are rounded outwards to it.

    Raises: MemoryPlanError if the plan fails its own check, which would be a bug.
    """
    units = [_in_units(shape, alignment) for shape in shapes]
    bound = shapes_bound(units)
    problem = _Problem(units)
    best, tops, method = _best(problem, units, bound, trials)
    _check(units, best)
    total = max(tops, default=0)
    naive = sum(s.nbytes for s in units)
    if total > bound:
        method = f"{method}; not proved optimal"
    return Placement(
        tuple(o * alignment for o in best), total * alignment, bound * alignment,
        naive * alignment, total == bound, method,
    )  # fmt: skip


def shapes_bound(shapes: Sequence[Shape]) -> int:
    """The most bytes alive in one step; bytes that parts of one shape share count once."""
    change: dict[int, int] = {}
    for shape in shapes:
        steps = sorted({t for p in shape.parts for t in (p.start, p.end)})
        before = 0
        for start, end in pairwise(steps):
            alive = _covered([(p.low, p.high) for p in shape.parts if p.start <= start < p.end])
            change[start] = change.get(start, 0) + alive - before
            before = alive
            change[end] = change.get(end, 0)
        if steps:
            change[steps[-1]] = change.get(steps[-1], 0) - before
    alive = peak = 0
    for step in sorted(change):
        alive += change[step]
        peak = max(peak, alive)
    return peak


def _covered(ranges: Sequence[tuple[int, int]]) -> int:
    total = reach = 0
    for low, high in sorted(ranges):
        total += max(0, high - max(low, reach))
        reach = max(reach, high)
    return total


def _in_units(shape: Shape, alignment: int) -> Shape:
    return Shape(
        shape.name,
        tuple(
            Rectangle(p.low // alignment, -(-p.high // alignment), p.start, p.end)
            for p in shape.parts
            if p.high > p.low
        ),
    )


class _Problem:
    """Which differences of offsets are forbidden for each pair of shapes that meet in time."""

    def __init__(self, shapes: Sequence[Shape]) -> None:
        self.shapes = shapes
        self.near: list[list[tuple[int, int, int]]] = [[] for _ in shapes]
        order = sorted((n for n, s in enumerate(shapes) if s.parts), key=lambda n: shapes[n].start)
        alive: list[int] = []
        for n in order:
            alive = [m for m in alive if shapes[m].end > shapes[n].start]
            for m in alive:
                for low, high in _forbidden(shapes[n], shapes[m]):
                    self.near[n].append((m, low, high))
                    self.near[m].append((n, 1 - high, 1 - low))
            alive.append(n)

    def place(self, order: Sequence[int]) -> list[int]:
        """First fit in an order."""
        offsets: list[int | None] = [None] * len(self.shapes)
        for n in order:
            taken = []
            for m, low, high in self.near[n]:
                other = offsets[m]
                if other is not None:
                    taken.append((other + low, other + high))
            offset = 0
            for low, high in sorted(taken):
                if low > offset:
                    break
                offset = max(offset, high)
            offsets[n] = offset
        return [0 if o is None else o for o in offsets]


def _forbidden(a: Shape, b: Shape) -> list[tuple[int, int]]:
    """Where `a` must not be, counted from `b`: offsets x with low < x < high, joined where they
    touch, as half-open [low + 1, high)."""
    found = sorted(
        (q.low - p.high + 1, q.high - p.low)
        for p in a.parts
        for q in b.parts
        if p.start < q.end and q.start < p.end
    )
    joined: list[tuple[int, int]] = []
    for low, high in found:
        if joined and low <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], high))
        else:
            joined.append((low, high))
    return joined


def _best(
    problem: _Problem, shapes: Sequence[Shape], bound: int, trials: int
) -> tuple[list[int], list[int], str]:
    """The offsets with the lowest top that the trials find, the top of each shape, and how."""
    keys = {
        "largest first": [(-s.nbytes, n) for n, s in enumerate(shapes)],
        "largest area first": [(-s.area, n) for n, s in enumerate(shapes)],
        "longest first": [(0 if not s.parts else s.start - s.end, n)
                          for n, s in enumerate(shapes)],
        "first come": [(0 if not s.parts else s.start, n) for n, s in enumerate(shapes)],
    }  # fmt: skip
    best: tuple[int, list[int], list[int], str, list[int]] | None = None
    for name, key in keys.items():
        order = sorted(range(len(shapes)), key=key.__getitem__)
        best = _better(best, problem, order, f"parts, {name}")
        if best[0] <= bound:
            break
    assert best is not None
    order = best[4]
    for _ in range(trials):
        if best[0] <= bound:
            break
        offsets = problem.place(order)
        tops = [o + s.nbytes for o, s in zip(offsets, shapes, strict=True)]
        high = {n for n in range(len(shapes)) if tops[n] > bound}
        rank = {n: (at - (len(order) // 4 + 1) if n in high else at, at)
                for at, n in enumerate(order)}  # fmt: skip
        order = sorted(order, key=rank.__getitem__)
        best = _better(best, problem, order, "parts, highest moved forward")
    return best[1], best[2], best[3]


def _better(
    best: tuple[int, list[int], list[int], str, list[int]] | None,
    problem: _Problem,
    order: list[int],
    name: str,
) -> tuple[int, list[int], list[int], str, list[int]]:
    offsets = problem.place(order)
    tops = [o + s.nbytes for o, s in zip(offsets, problem.shapes, strict=True)]
    top = max(tops, default=0)
    return (top, offsets, tops, name, order) if best is None or top < best[0] else best


def _check(shapes: Sequence[Shape], offsets: Sequence[int]) -> None:
    """No two shapes have a byte in common in any step."""
    rectangles = sorted(
        ((p.start, p.end, p.low + o, p.high + o, n)
         for n, (s, o) in enumerate(zip(shapes, offsets, strict=True)) for p in s.parts)
    )  # fmt: skip
    alive: list[tuple[int, int, int, int, int]] = []
    for item in rectangles:
        alive = [a for a in alive if a[1] > item[0]]
        for other in alive:
            if other[4] != item[4] and max(other[2], item[2]) < min(other[3], item[3]):
                names = f"{shapes[other[4]].name} and {shapes[item[4]].name}"
                raise MemoryPlanError(f"buffers {names} overlap")
        alive.append(item)
