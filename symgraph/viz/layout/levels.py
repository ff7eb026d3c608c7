"""The working structure of a layout: levels of vertices, with helpers where edges and scopes pass.

Beside the graph's own vertices there are
* bends: one per level that an edge crosses; edges from one port share their bends (a trunk that
  branches), so a weight used by 500 steps costs one line and not 500;
* sides: a left and a right one per level of every cluster. The sides of a cluster are ordinary
  vertices that later phases keep in straight lines, which makes the cluster a rectangle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from .types import LayoutEdge

__all__ = ["ClusterTree", "Kind", "Levels", "build_levels", "cluster_tree"]

# More bends than this would take minutes: the longest edges are then drawn without them.
BEND_BUDGET = 40_000


class Kind(Enum):
    """What a vertex of the working structure stands for."""

    NODE = "node"
    BEND = "bend"
    LEFT = "left"
    RIGHT = "right"


@dataclass(frozen=True, slots=True)
class ClusterTree:
    """Scopes as a forest, parents before children; -1 stands for "no cluster"."""

    scopes: tuple[tuple[str, ...], ...]
    parent: tuple[int, ...]
    of_node: tuple[int, ...]

    def common(self, a: int, b: int) -> int:
        """The innermost cluster that holds both."""
        while a != b:
            # Children have larger numbers than their parents.
            if a > b:
                a = self.parent[a]
            else:
                b = self.parent[b]
        return a


@dataclass(slots=True)
class Levels:
    """Vertices with level, size across the level, cluster and neighbours; `order` is the result.

    `chains[e]` are the vertices of edge e from its upper to its lower end.
    """

    tree: ClusterTree
    kind: list[Kind]
    level: list[int]
    cluster: list[int]
    up: list[list[tuple[int, float]]]
    down: list[list[tuple[int, float]]]
    order: list[list[int]]
    chains: list[tuple[int, ...]]
    sides: list[dict[int, tuple[int, int]]] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)

    def add(self, kind: Kind, level: int, cluster: int) -> int:
        self.kind.append(kind)
        self.level.append(level)
        self.cluster.append(cluster)
        self.up.append([])
        self.down.append([])
        return len(self.kind) - 1

    def connect(self, upper: int, lower: int, weight: float) -> None:
        self.down[upper].append((lower, weight))
        self.up[lower].append((upper, weight))


def cluster_tree(scopes: Sequence[tuple[str, ...]]) -> ClusterTree:
    """The forest of all scopes and their prefixes, in the order of first appearance."""
    index: dict[tuple[str, ...], int] = {(): -1}
    parent: list[int] = []
    for scope in scopes:
        for depth in range(1, len(scope) + 1):
            if scope[:depth] not in index:
                index[scope[:depth]] = len(parent)
                parent.append(index[scope[: depth - 1]])
    names = tuple(scope for scope in index if scope)
    return ClusterTree(names, tuple(parent), tuple(index[scope] for scope in scopes))


def build_levels(
    tree: ClusterTree,
    edges: Sequence[LayoutEdge],
    turned: Sequence[bool],
    level: Sequence[int],
) -> Levels:
    """Insert bends and sides; the order within levels is that of creation."""
    n = len(tree.of_node)
    height = max(level, default=-1) + 1
    levels = Levels(
        tree,
        [Kind.NODE] * n,
        list(level),
        list(tree.of_node),
        [[] for _ in range(n)],
        [[] for _ in range(n)],
        [[] for _ in range(height)],
        [()] * len(edges),
    )
    _insert_bends(levels, edges, turned)
    _insert_sides(levels, n)
    for v, at in enumerate(levels.level):
        levels.order[at].append(v)
    return levels


def _insert_bends(levels: Levels, edges: Sequence[LayoutEdge], turned: Sequence[bool]) -> None:
    trunks: dict[tuple[int, int, bool], list[int]] = {}
    for edge, back in zip(edges, turned, strict=True):
        if edge.source != edge.target:
            upper = edge.target if back else edge.source
            trunks.setdefault((upper, edge.port, back), [])
    length = {e: _length(levels, edge) for e, edge in enumerate(edges)}
    bends = 0
    for e in sorted(length, key=lambda e: (length[e], e)):
        edge, back = edges[e], turned[e]
        if edge.source == edge.target:
            continue
        upper, lower = (edge.target, edge.source) if back else (edge.source, edge.target)
        trunk = trunks[upper, edge.port, back]
        bends += length[e] - 1 - len(trunk)
        if bends > BEND_BUDGET:
            break
        levels.chains[e] = _extend(levels, trunk, upper, lower, edge.weight)


def _length(levels: Levels, edge: LayoutEdge) -> int:
    return abs(levels.level[edge.target] - levels.level[edge.source])


def _extend(
    levels: Levels, trunk: list[int], upper: int, lower: int, weight: float
) -> tuple[int, ...]:
    """Lengthen a trunk down to just above `lower`, connect it, and give the whole chain.

    Edges come in the order of their length, so a trunk only ever grows.
    """
    tree, cluster = levels.tree, levels.cluster
    home = tree.common(cluster[upper], cluster[lower])
    for at in range(levels.level[upper] + 1 + len(trunk), levels.level[lower]):
        above = trunk[-1] if trunk else upper
        bend = levels.add(Kind.BEND, at, home)
        levels.connect(above, bend, weight)
        trunk.append(bend)
    for bend in trunk:
        cluster[bend] = tree.common(cluster[bend], home)
    levels.connect(trunk[-1] if trunk else upper, lower, weight)
    return (upper, *trunk, lower)


def _insert_sides(levels: Levels, n: int) -> None:
    parent = levels.tree.parent
    first = [len(levels.order)] * len(parent)
    last = [-1] * len(parent)
    for v in range(n):
        c = levels.cluster[v]
        while c >= 0:
            first[c] = min(first[c], levels.level[v])
            last[c] = max(last[c], levels.level[v])
            c = parent[c]
    for c in range(len(parent)):
        sides = {
            at: (levels.add(Kind.LEFT, at, c), levels.add(Kind.RIGHT, at, c))
            for at in range(first[c], last[c] + 1)
        }
        for at in range(first[c], last[c]):
            for above, below in zip(sides[at], sides[at + 1], strict=True):
                levels.connect(above, below, 1.0)
        levels.sides.append(sides)
        levels.spans.append((first[c], last[c]))
