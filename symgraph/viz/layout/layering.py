"""Levels for vertices: break cycles, longest path, then pull vertices to shorten edges.

Every edge that is not part of a broken cycle ends at a higher level than it starts. Nothing
recurses over the depth of the graph.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["assign_levels", "backward_edges"]

Pair = tuple[int, int]
_PULLS = 3


def backward_edges(n: int, edges: Sequence[Pair]) -> list[bool]:
    """Which edges have to be turned round so that no cycle is left (self-loops are not turned)."""
    out: list[list[int]] = [[] for _ in range(n)]
    for e, (u, v) in enumerate(edges):
        if u != v:
            out[u].append(e)
    turned = [False] * len(edges)
    state = [0] * n  # 0 not seen, 1 on the path, 2 done
    for root in range(n):
        if state[root]:
            continue
        state[root] = 1
        path = [(root, iter(out[root]))]
        while path:
            vertex, rest = path[-1]
            e = next(rest, -1)
            if e < 0:
                state[vertex] = 2
                path.pop()
                continue
            target = edges[e][1]
            if state[target] == 1:
                turned[e] = True
            elif state[target] == 0:
                state[target] = 1
                path.append((target, iter(out[target])))
    return turned


def assign_levels(n: int, edges: Sequence[Pair], order: Sequence[Sequence[Pair]] = ()) -> list[int]:
    """Levels 0, 1, ... without gaps for an acyclic graph; edges are kept short.

    `order` are further groups of pairs "above, below", over these and extra vertices n, n+1, ...;
    a group that contradicts the edges or an earlier group is left out.
    """
    size = 1 + max((v for group in order for pair in group for v in pair), default=n - 1)
    size = max(size, n)
    kept = list(edges)
    for group in order:
        if len(_topological(*_neighbours(size, [*kept, *group]))) == size:
            kept += group
    up, down = _neighbours(n, edges)
    above, below = _neighbours(size, kept)
    level = [0] * size
    topological = _topological(above, below)
    for v in topological:
        level[v] = max((level[u] + 1 for u in above[v]), default=0)
    real = [v for v in topological if v < n]
    for _ in range(_PULLS):
        # A vertex with as many users as inputs moves too: that lets its inputs follow.
        for v in reversed(real):
            if down[v] and len(down[v]) >= len(up[v]):
                level[v] = min(level[w] for w in below[v]) - 1
        for v in real:
            if len(up[v]) > len(down[v]):
                level[v] = max(level[u] for u in above[v]) + 1
    dense = {old: new for new, old in enumerate(sorted(set(level[:n])))}
    return [dense[old] for old in level[:n]]


def _neighbours(n: int, edges: Sequence[Pair]) -> tuple[list[list[int]], list[list[int]]]:
    up: list[list[int]] = [[] for _ in range(n)]
    down: list[list[int]] = [[] for _ in range(n)]
    for u, v in edges:
        down[u].append(v)
        up[v].append(u)
    return up, down


def _topological(up: Sequence[Sequence[int]], down: Sequence[Sequence[int]]) -> list[int]:
    waiting = [len(inputs) for inputs in up]
    order = [v for v, count in enumerate(waiting) if count == 0]
    for v in order:
        for w in down[v]:
            waiting[w] -= 1
            if waiting[w] == 0:
                order.append(w)
    return order
