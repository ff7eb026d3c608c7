"""Clusters one below the other: where data flows from one scope into another, so does the picture.

Every cluster gets two extra vertices, its start and its end, above and below all that is in it. An
edge into or between clusters then asks for "above": the end of the one cluster (or the vertex
outside clusters) over the start of the other. Wishes are grouped by the cluster in which they
arise; the layering drops a group that would close a cycle.
"""

from __future__ import annotations

from collections.abc import Sequence

from .levels import ClusterTree

__all__ = ["stacking_order"]

Pair = tuple[int, int]
_MOST_GROUPS = 40  # each costs one walk over the graph


def stacking_order(tree: ClusterTree, edges: Sequence[Pair]) -> list[list[Pair]]:
    """Groups of pairs "above, below" over the vertices and the extra ones; outer groups first."""
    count = len(tree.parent)
    if count == 0:
        return []
    n = len(tree.of_node)
    inside = [pair for v in range(n) for pair in _inside(tree, n, v)]
    groups: dict[int, set[Pair]] = {}
    for u, v in edges:
        home = tree.common(tree.of_node[u], tree.of_node[v])
        source, target = (_child(tree, home, tree.of_node[w]) for w in (u, v))
        if target >= 0:
            above = u if source < 0 else n + 2 * source + 1
            groups.setdefault(home, set()).add((above, n + 2 * target))
    wishes = [sorted(groups[home]) for home in sorted(groups)]
    if len(wishes) > _MOST_GROUPS:
        rest = [pair for group in wishes[_MOST_GROUPS:] for pair in group]
        wishes = [*wishes[:_MOST_GROUPS], rest]
    return [inside, *wishes]


def _inside(tree: ClusterTree, n: int, v: int) -> list[Pair]:
    pairs = []
    c = tree.of_node[v]
    while c >= 0:
        pairs += [(n + 2 * c, v), (v, n + 2 * c + 1)]
        c = tree.parent[c]
    return pairs


def _child(tree: ClusterTree, home: int, c: int) -> int:
    """The child of `home` that holds cluster c, or -1 when c is `home` itself."""
    child = -1
    while c != home:
        child, c = c, tree.parent[c]
    return child
