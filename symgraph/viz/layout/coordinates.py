"""Positions across the levels, after Brandes and Koepf: vertices are joined into straight blocks.

Edges that do not cross are taken heaviest first and join their ends into one block: a straight
line. Blocks are curves that run down the levels without crossing, so "is left of" among them has no
cycle and they can be moved as wholes: start packed to the left, then let each block move, within
the room that its neighbours leave, to where its edges pull it.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from .levels import Kind, Levels
from .types import Spacing

__all__ = ["assign_positions"]

_ROUNDS = 14
_MEDIAN_ROUNDS = 5  # the last ones: the mean spreads well, the median gives straight lines
_FAR = 1e6
_SLACK = 500.0
_WIDE = 1.5
# Which edges may become straight: all, those between bends, the sides of clusters alone.
_STRAIGHT = (0.0, -0.9e9, -1.9e9)


def assign_positions(
    levels: Levels, size: Sequence[float], titles: Sequence[float], spacing: Spacing, pad: float
) -> list[float]:
    """The centre of every vertex across its level.

    `size` are the vertices' extents, `titles` the least widths of the clusters, `pad` the room
    between a left side and what is inside it.
    """
    widest = max((sum(size[v] + spacing.line for v in row) for row in levels.order), default=0.0)
    best: list[float] = []
    for straight in _STRAIGHT:
        x = _positions(levels, _join(levels, straight), size, titles, spacing, pad)
        if not best or _width(x) < 0.7 * _width(best):
            best = x
        # Straight lines may push each other far aside; then fewer of them are worth more.
        if _width(best) <= _WIDE * widest:
            break
    return best


def _width(x: Sequence[float]) -> float:
    return max(x, default=0.0) - min(x, default=0.0)


def _positions(
    levels: Levels,
    block: Sequence[int],
    size: Sequence[float],
    titles: Sequence[float],
    spacing: Spacing,
    pad: float,
) -> list[float]:
    """Positions for one choice of blocks."""
    rows = _Rooms(levels, block, size, titles, spacing, pad)
    order = _left_to_right(rows.right, rows.left)
    x = [0.0] * len(rows.left)
    for b in order:
        x[b] = max((x[a] + gap for a, gap in rows.left[b]), default=0.0)
    pulls = _pulls(levels, block, len(x))
    walls = [Kind.NODE] * len(x)
    for v, b in enumerate(block):
        if levels.kind[v] in (Kind.LEFT, Kind.RIGHT):
            walls[b] = levels.kind[v]
    for turn in range(_ROUNDS):
        median = turn >= _ROUNDS - _MEDIAN_ROUNDS
        for b in order:
            _move(b, x, rows, pulls, walls, -1, median)
        for b in reversed(order):
            _move(b, x, rows, pulls, walls, +1, median)
    _hug(order, x, rows, walls)
    return [x[b] for b in block]


@dataclass(slots=True)
class _Rooms:
    """Which blocks lie directly left and right of a block, and the least distance of centres."""

    left: list[list[tuple[int, float]]]
    right: list[list[tuple[int, float]]]

    def __init__(
        self,
        levels: Levels,
        block: Sequence[int],
        size: Sequence[float],
        titles: Sequence[float],
        spacing: Spacing,
        pad: float,
    ) -> None:
        gaps: dict[tuple[int, int], float] = {}

        def need(a: int, b: int, gap: float) -> None:
            pair = block[a], block[b]
            gaps[pair] = max(gaps.get(pair, 0.0), gap)

        for row in levels.order:
            for a, b in pairwise(row):
                gap = _gap(levels.kind[a], levels.kind[b], spacing, pad)
                need(a, b, (size[a] + size[b]) / 2 + gap)
        for sides, width in zip(levels.sides, titles, strict=True):
            for left, right in sides.values():
                need(left, right, width)
        self.left = [[] for _ in range(max(block, default=-1) + 1)]
        self.right = [[] for _ in self.left]
        for (a, b), gap in gaps.items():
            self.left[b].append((a, gap))
            self.right[a].append((b, gap))

    def bounds(self, b: int, x: Sequence[float]) -> tuple[float, float]:
        # Asked a million times for two thousand nodes: loops are twice as fast as generators.
        low = -math.inf if self.left[b] else -_FAR
        high = math.inf if self.right[b] else _FAR
        for a, gap in self.left[b]:
            least = x[a] + gap
            if least > low:
                low = least
        for a, gap in self.right[b]:
            most = x[a] - gap
            if most < high:
                high = most
        return low, high


def _gap(a: Kind, b: Kind, spacing: Spacing, pad: float) -> float:
    if a is Kind.LEFT:
        return pad
    if b is Kind.RIGHT:
        return spacing.cluster
    if a is Kind.BEND and b is Kind.BEND:
        return spacing.line
    if a is Kind.NODE and b is Kind.NODE:
        return spacing.node
    return (spacing.node + spacing.line) / 2


def _join(levels: Levels, straight: float) -> list[int]:
    """The block of every vertex, numbered from 0; edges with a priority above `straight` join."""
    place = {v: i for row in levels.order for i, v in enumerate(row)}
    below: list[int | None] = [None] * len(levels.kind)
    for row in levels.order:
        taken: list[tuple[int, int]] = []
        used: set[int] = set()
        candidates = [
            (*_priority(levels, place, u, v, weight), place[u], place[v], u, v)
            for u in row
            for v, weight in levels.down[u]
        ]
        for rank, _, i, j, u, v in sorted(candidates):
            if rank > straight:
                break
            if below[u] is None and j not in used and _crosses_none(taken, i, j):
                below[u] = v
                used.add(j)
                insort(taken, (i, j))
    return _number(levels, below)


def _priority(
    levels: Levels, place: dict[int, int], u: int, v: int, weight: float
) -> tuple[float, float]:
    """Sides first, then edges between bends, then heavy edges; of equals the one in the middle."""
    if levels.kind[u] in (Kind.LEFT, Kind.RIGHT):
        return -2e9, 0.0
    if levels.kind[u] is Kind.BEND and levels.kind[v] is Kind.BEND:
        return -1e9, 0.0
    if Kind.BEND in (levels.kind[u], levels.kind[v]):
        weight /= 2
    middle = _off_middle([place[w] for w, _ in levels.down[u]], place[v])
    return -weight, middle + _off_middle([place[w] for w, _ in levels.up[v]], place[u])


def _off_middle(places: Sequence[int], place: int) -> float:
    below = sum(p < place for p in places)
    above = sum(p > place for p in places)
    return abs(below - above)


def _crosses_none(taken: Sequence[tuple[int, int]], i: int, j: int) -> bool:
    at = bisect_left(taken, (i, j))
    return (at == 0 or taken[at - 1][1] < j) and (at == len(taken) or taken[at][1] > j)


def _number(levels: Levels, below: Sequence[int | None]) -> list[int]:
    block = [-1] * len(levels.kind)
    count = 0
    for row in levels.order:
        for v in row:
            if block[v] < 0:
                block[v] = count
                count += 1
            lower = below[v]
            if lower is not None:
                block[lower] = block[v]
    return block


def _left_to_right(
    right: Sequence[Sequence[tuple[int, float]]], left: Sequence[Sequence[tuple[int, float]]]
) -> list[int]:
    waiting = [len(others) for others in left]
    order = [b for b, count in enumerate(waiting) if count == 0]
    for b in order:
        for other, _ in right[b]:
            waiting[other] -= 1
            if waiting[other] == 0:
                order.append(other)
    return order


def _pulls(levels: Levels, block: Sequence[int], count: int) -> list[list[tuple[int, float]]]:
    pulls: list[list[tuple[int, float]]] = [[] for _ in range(count)]
    for u, lower in enumerate(levels.down):
        for v, weight in lower:
            a, b = block[u], block[v]
            if a == b:
                continue
            bends = (levels.kind[u] is Kind.BEND) + (levels.kind[v] is Kind.BEND)
            strength = weight * (1, 2, 8)[bends]
            pulls[a].append((b, strength))
            pulls[b].append((a, strength))
    return pulls


def _move(
    b: int,
    x: list[float],
    rows: _Rooms,
    pulls: Sequence[Sequence[tuple[int, float]]],
    walls: Sequence[Kind],
    direction: int,
    median: bool,
) -> None:
    if walls[b] is Kind.NODE and not pulls[b]:
        return
    low, high = rows.bounds(b, x)
    if walls[b] is Kind.NODE:
        wish = _median(pulls[b], x) if median else _mean(pulls[b], x)
        x[b] = min(max(wish, low), high)
    elif direction < 0:
        # Walls make room on the side to which the sweep moves, and close up behind it.
        x[b] = low if low > -_FAR else x[b] - _SLACK
    else:
        x[b] = high if high < _FAR else x[b] + _SLACK


def _mean(pulls: Sequence[tuple[int, float]], x: Sequence[float]) -> float:
    return sum([x[a] * weight for a, weight in pulls]) / sum([weight for _, weight in pulls])


def _median(pulls: Sequence[tuple[int, float]], x: Sequence[float]) -> float:
    if len(pulls) == 1:
        return x[pulls[0][0]]
    ordered = sorted([(x[a], weight) for a, weight in pulls])
    half = sum([weight for _, weight in ordered]) / 2
    reached = 0.0
    for i, (value, weight) in enumerate(ordered):
        reached += weight
        if reached == half and i + 1 < len(ordered):
            return (value + ordered[i + 1][0]) / 2
        if reached > half:
            return value
    return ordered[-1][0]


def _hug(order: Sequence[int], x: list[float], rows: _Rooms, walls: Sequence[Kind]) -> None:
    """Draw the sides of clusters close: right ones from the left, left ones from the right."""
    for b in order:
        if walls[b] is Kind.RIGHT:
            x[b] = rows.bounds(b, x)[0]
    for b in reversed(order):
        if walls[b] is Kind.LEFT:
            x[b] = rows.bounds(b, x)[1]
