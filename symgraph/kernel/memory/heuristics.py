"""Fast greedy packings: many orders, two ways to choose a gap, done at the first optimum.

Owns the portfolio. Each member takes the buffers in a fixed order and puts each into a gap left by
those already placed: the lowest that fits (first fit) or the tightest (best fit). Greedy by size is
what TensorFlow Lite does (Pisarchyk and Lee, arXiv 2001.03288); no single order wins everywhere, so
all are tried and the best result is kept. A packing whose peak equals the lower bound is optimal,
and the portfolio stops there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .problem import Ints, Problem


@dataclass(frozen=True, slots=True, eq=False)
class Packing:
    """Offsets in granules, in the order of the problem's buffers."""

    offsets: Ints
    peak: int
    method: str


def portfolio(problem: Problem) -> Packing:
    """The best greedy packing; ties go to the earlier member."""
    best: Packing | None = None
    for name, order in _orders(problem):
        for tightest in (False, True):
            packing = _greedy(problem, order, tightest, name)
            if best is None or packing.peak < best.peak:
                best = packing
            if best.peak == problem.bound:
                return best
    assert best is not None, "there is at least one order"
    return best


def _orders(problem: Problem) -> Iterator[tuple[str, Ints]]:
    """Placement orders, the usually best first."""
    size = problem.sizes
    duration = problem.last - problem.first
    crowded = np.array(
        [problem.load[a:b].max() for a, b in zip(problem.first, problem.last, strict=True)]
    )
    keys: tuple[tuple[str, Ints, Ints], ...] = (
        ("size", -size, -duration),
        ("area", -size * duration, -size),
        ("size^2*duration", -size * size * duration, -size),
        ("duration", -duration, -size),
        ("load", -crowded, -size * duration),
        ("size, early first", -size, problem.first),
        ("size, late first", -size, -problem.last),
        ("start", problem.first, -size),
        ("end", -problem.last, -size),
        ("start, long first", problem.first, -duration),
        ("end, long first", -problem.last, -duration),
        ("start+end", problem.first + problem.last, -size),
    )
    for name, primary, secondary in keys:
        yield name, np.lexsort((secondary, primary))


def _greedy(problem: Problem, order: Ints, tightest: bool, name: str) -> Packing:
    offsets = _filled(problem, np.full(problem.count, -1, np.int64), order, tightest)
    fit = "best fit" if tightest else "first fit"
    peak = int((offsets + problem.sizes).max())
    return Packing(offsets, peak, f"greedy by {name}, {fit}")


def _filled(problem: Problem, offsets: Ints, order: Ints, tightest: bool) -> Ints:
    """Place `order` one by one; `low`, `high` and `who` list the placed ones by rising offset."""
    offsets = offsets.astype(np.int64)
    low, high, who = (np.empty(problem.count, np.int64) for _ in range(3))
    given = (offsets >= 0).nonzero()[0]
    given = given[offsets[given].argsort(kind="stable")]
    first = len(given)
    who[:first], low[:first] = given, offsets[given]
    high[:first] = low[:first] + problem.sizes[given]
    for placed, j in enumerate(order.tolist(), first):
        met = problem.meets[j][who[:placed]]
        size, alignment = int(problem.sizes[j]), int(problem.alignments[j])
        offset = _gap(low[:placed][met], high[:placed][met], size, alignment, tightest)
        position = int(low[:placed].searchsorted(offset))
        for column, value in ((low, offset), (high, offset + size), (who, j)):
            column[position + 1 : placed + 1] = column[position:placed]
            column[position] = value
        offsets[j] = offset
    return offsets


def _gap(low: Ints, high: Ints, size: int, alignment: int, tightest: bool) -> int:
    """The lowest or the tightest place for `size` between blocks sorted by `low`."""
    floors = np.zeros(len(low) + 1, np.int64)
    np.maximum.accumulate(high, out=floors[1:])
    if alignment != 1:
        floors = -(-floors // alignment) * alignment
    room = low - floors[:-1]
    fits = room >= size
    if not fits.any():
        return int(floors[-1])
    if tightest:
        return int(floors[np.where(fits, room, np.iinfo(np.int64).max).argmin()])
    return int(floors[fits.argmax()])
