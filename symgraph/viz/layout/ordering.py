"""The order of vertices within levels: fewer crossings by barycentre sweeps and exchanges.

Invariants: the vertices of a cluster are contiguous in every level, between its two sides; two
clusters that share levels lie in the same order in all of them, so that their sides never cross.
All ties are broken by the present order: the result depends on the input only.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Sequence
from itertools import pairwise

from .levels import Kind, Levels

__all__ = ["count_crossings", "order_levels"]

_SMALL = 6000  # vertices up to which exchanges of neighbours are tried
_EPSILON = 1e-9


def order_levels(levels: Levels) -> None:
    """Find a good order and leave it in `levels.order`."""
    ranks = list(range(len(levels.tree.parent)))
    _initial_order(levels)
    ranks = _rank_clusters(levels, ranks)
    best, fewest = _copy(levels.order), count_crossings(levels)
    size = len(levels.kind)
    for turn in range(12 if size < _SMALL else 6 if size < 10 * _SMALL else 2):
        if fewest == 0:
            break
        _sweep(levels, ranks, downwards=turn % 2 == 1)
        ranks = _rank_clusters(levels, ranks)
        if size <= _SMALL:
            _exchange(levels)
        crossings = count_crossings(levels)
        if crossings < fewest:
            best, fewest = _copy(levels.order), crossings
    levels.order = best


def count_crossings(levels: Levels) -> int:
    """The number of pairs of edges that cross between neighbouring levels."""
    total = 0
    for upper, lower in pairwise(levels.order):
        place = {v: i for i, v in enumerate(lower)}
        seen: list[int] = []
        for u in upper:
            ends = sorted(place[v] for v, _ in levels.down[u])
            total += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return total


def _copy(order: Sequence[Sequence[int]]) -> list[list[int]]:
    return [list(row) for row in order]


def _initial_order(levels: Levels) -> None:
    """Depth first from the vertices without inputs: what hangs together starts together."""
    visited: list[int] = []
    seen = [False] * len(levels.kind)
    for root in range(len(levels.kind)):
        if levels.up[root] or seen[root]:
            continue
        stack = [root]
        while stack:
            v = stack.pop()
            if seen[v]:
                continue
            seen[v] = True
            visited.append(v)
            stack.extend(w for w, _ in reversed(levels.down[v]) if not seen[w])
    rows: list[list[int]] = [[] for _ in levels.order]
    for v in visited:
        rows[levels.level[v]].append(v)
    levels.order = rows


def _sweep(levels: Levels, ranks: Sequence[int], downwards: bool) -> None:
    key = _places(levels)
    near = levels.up if downwards else levels.down
    rows = range(1, len(levels.order)) if downwards else range(len(levels.order) - 2, -1, -1)
    for at in rows:
        for v in levels.order[at]:
            if near[v]:
                key[v] = sum(key[u] for u, _ in near[v]) / len(near[v])
        _arrange(levels, at, key, ranks)
        row = levels.order[at]
        for i, v in enumerate(row):
            key[v] = (i + 0.5) / len(row)


def _places(levels: Levels) -> list[float]:
    """Each vertex's place within its level, 0..1, so that levels of any length compare."""
    place = [0.0] * len(levels.kind)
    for row in levels.order:
        for i, v in enumerate(row):
            place[v] = (i + 0.5) / len(row)
    return place


def _arrange(levels: Levels, at: int, key: Sequence[float], ranks: Sequence[int]) -> None:
    """Sort one level by `key`, keeping clusters together and in the order of their ranks."""
    row = levels.order[at]
    if not any(levels.kind[v] is Kind.LEFT for v in row):
        row.sort(key=key.__getitem__)
        return
    place = {v: i for i, v in enumerate(row)}
    members: dict[int, list[tuple[float, int, int]]] = {-1: []}
    for v in row:
        if levels.kind[v] is Kind.LEFT:
            members.setdefault(levels.cluster[v], [])
        elif levels.kind[v] is not Kind.RIGHT:
            members.setdefault(levels.cluster[v], []).append((key[v], place[v], v))
    children: dict[int, list[int]] = {c: [] for c in members}
    for c in members:
        if c >= 0:
            children[levels.tree.parent[c]].append(c)
    for c in sorted(members, reverse=True):
        _insert_children(levels, at, members, sorted(children[c], key=ranks.__getitem__), key)
    levels.order[at] = list(_flatten(levels, at, members, -1))


def _insert_children(
    levels: Levels,
    at: int,
    members: dict[int, list[tuple[float, int, int]]],
    siblings: Sequence[int],
    key: Sequence[float],
) -> None:
    """Give sibling clusters keys that rise with their ranks; a cluster c is the item ~c."""
    wanted: list[tuple[float, int]] = []
    for c in siblings:
        items = members[c]
        left, right = levels.sides[c][at]
        if items:
            wanted.append((sum(item[0] for item in items) / len(items), len(items)))
        else:
            wanted.append(((key[left] + key[right]) / 2, 1))
    previous = -1.0
    for c, value in zip(siblings, _rising(wanted), strict=True):
        previous = max(value, previous + _EPSILON)
        parent = levels.tree.parent[c]
        members[parent].append((previous, levels.sides[c][at][0], ~c))


def _rising(wanted: Sequence[tuple[float, int]]) -> list[float]:
    """The non-decreasing sequence nearest to the wanted (value, weight) pairs."""
    pools: list[tuple[float, int, int]] = []  # mean, weight, length
    for value, weight in wanted:
        pool = (value, weight, 1)
        while pools and pools[-1][0] > pool[0]:
            mean, other, length = pools.pop()
            both = other + pool[1]
            pool = ((mean * other + pool[0] * pool[1]) / both, both, length + pool[2])
        pools.append(pool)
    return [mean for mean, _, length in pools for _ in range(length)]


def _flatten(
    levels: Levels, at: int, members: dict[int, list[tuple[float, int, int]]], cluster: int
) -> Iterable[int]:
    # Recurses over the nesting of scopes, which is bounded, not over the graph.
    for _, _, item in sorted(members[cluster]):
        if item >= 0:
            yield item
            continue
        left, right = levels.sides[~item][at]
        yield left
        yield from _flatten(levels, at, members, ~item)
        yield right


def _rank_clusters(levels: Levels, ranks: list[int]) -> list[int]:
    """Rank sibling clusters by the mean place of their vertices, and arrange every level so."""
    count = len(ranks)
    if count == 0:
        return ranks
    place = _places(levels)
    total, members = [0.0] * count, [0] * count
    for v, c in enumerate(levels.cluster):
        while c >= 0 and levels.kind[v] is Kind.NODE:
            total[c] += place[v]
            members[c] += 1
            c = levels.tree.parent[c]
    order = sorted(range(count), key=lambda c: (total[c] / max(members[c], 1), ranks[c]))
    result = [0] * count
    for rank, c in enumerate(order):
        result[c] = rank
    for at in range(len(levels.order)):
        _arrange(levels, at, place, result)
    return result


def _exchange(levels: Levels) -> None:
    """Exchange neighbours of one cluster while that removes crossings."""
    place = {v: i for row in levels.order for i, v in enumerate(row)}
    for _ in range(4):
        changed = False
        for row in levels.order:
            for i in range(len(row) - 1):
                u, v = row[i], row[i + 1]
                if not _may_swap(levels, u, v):
                    continue
                if _crossings(levels, u, v, place) > _crossings(levels, v, u, place):
                    row[i], row[i + 1] = v, u
                    place[u], place[v] = i + 1, i
                    changed = True
        if not changed:
            return


def _may_swap(levels: Levels, u: int, v: int) -> bool:
    sides = (Kind.LEFT, Kind.RIGHT)
    return levels.kind[u] not in sides and levels.kind[v] not in sides


def _crossings(levels: Levels, left: int, right: int, place: dict[int, int]) -> int:
    total = 0
    for near in (levels.up, levels.down):
        others = [place[w] for w, _ in near[right]]
        total += sum(place[w] > other for w, _ in near[left] for other in others)
    return total
