"""From levels and positions to rectangles and routes, in the coordinates of the drawing.

Works along "across" (within a level) and "along" (down the levels) and turns the result for LR.
"""

from __future__ import annotations

from collections.abc import Sequence

from .levels import Levels
from .types import (
    Box,
    ClusterBox,
    LayoutEdge,
    LayoutNode,
    Point,
    Rankdir,
    Route,
    Spacing,
)

__all__ = ["Sizes", "draw_boxes"]

_LABEL_GAP = 10.0
_STEEP = 0.08  # levels move apart by this share of the widest edge between them ...
_MOST = 70.0  # ... but no further than this
_ENTRY = (12.0, 9.0, 6.0)  # the distance of two arrow heads, the widest that fits
_CORNER = 12.0  # the distance of an arrow head from the corner of its box
_STUB = 9.0  # arrows end in a straight piece of this length


class Sizes:
    """Extents of boxes and of the texts at their ports, across and along the levels."""

    def __init__(self, nodes: Sequence[LayoutNode], rankdir: Rankdir) -> None:
        self.lr = lr = rankdir == "LR"
        self.across = [node.height if lr else node.width for node in nodes]
        self.along = [node.width if lr else node.height for node in nodes]
        self.ports = [[size[1] if lr else size[0] for size in node.labels] for node in nodes]
        self.text = [
            max((size[0] if lr else size[1] for size in node.labels), default=0.0) for node in nodes
        ]

    def cell(self, v: int) -> float:
        """The room that a vertex needs across its level: its box, or the texts below it."""
        ports = self.ports[v]
        return max(self.across[v], sum(ports) + _LABEL_GAP * (len(ports) - 1) if ports else 0.0)

    def port(self, v: int, port: int) -> float:
        """The offset of a port from the centre of its box."""
        widths = self.ports[v]
        if port >= len(widths):
            return 0.0
        start = -(sum(widths) + _LABEL_GAP * (len(widths) - 1)) / 2
        return start + sum(widths[:port]) + _LABEL_GAP * port + widths[port] / 2


class _Bands:
    """Where each level begins, where its boxes end, and where the texts below them end."""

    def __init__(
        self, levels: Levels, x: Sequence[float], sizes: Sizes, spacing: Spacing, title: float
    ) -> None:
        height = len(levels.order)
        n = len(sizes.across)
        boxes, texts = [0.0] * height, [0.0] * height
        for v in range(n):
            at = levels.level[v]
            boxes[at] = max(boxes[at], sizes.along[v])
            texts[at] = max(texts[at], sizes.text[v])
        self.head, self.foot = _cluster_margins(levels, title, spacing.cluster)
        before, after = [0.0] * height, [0.0] * height
        for c, (first, last) in enumerate(levels.spans):
            before[first] = max(before[first], self.head[c])
            after[last] = max(after[last], self.foot[c])
        widest = _widest(levels, x)
        self.top: list[float] = []
        self.line: list[float] = []
        self.end: list[float] = []
        y = 0.0
        for at in range(height):
            if at > 0:
                y += spacing.level + after[at - 1] + min(_STEEP * widest[at - 1], _MOST)
            y += before[at]
            self.top.append(y)
            self.line.append(y + _STUB + boxes[at])
            y += _STUB + boxes[at] + texts[at]
            self.end.append(y)


def _cluster_margins(levels: Levels, title: float, foot: float) -> tuple[list[float], list[float]]:
    """Room above and below each cluster's vertices, with that of clusters inside it."""
    parent, spans = levels.tree.parent, levels.spans
    heads, feet = [title] * len(parent), [foot] * len(parent)
    for c in range(len(parent) - 1, -1, -1):
        p = parent[c]
        if p < 0:
            continue
        if spans[p][0] == spans[c][0]:
            heads[p] = max(heads[p], heads[c] + title)
        if spans[p][1] == spans[c][1]:
            feet[p] = max(feet[p], feet[c] + foot)
    return heads, feet


def _widest(levels: Levels, x: Sequence[float]) -> list[float]:
    widest = [0.0] * len(levels.order)
    for u, lower in enumerate(levels.down):
        at = levels.level[u]
        for v, _ in lower:
            widest[at] = max(widest[at], abs(x[u] - x[v]))
    return widest


def draw_boxes(
    levels: Levels,
    edges: Sequence[LayoutEdge],
    turned: Sequence[bool],
    x: Sequence[float],
    sizes: Sizes,
    spacing: Spacing,
) -> tuple[list[Box], list[Route], list[ClusterBox]]:
    """All rectangles and routes; nothing is shifted yet, so coordinates may be negative."""
    bands = _Bands(levels, x, sizes, spacing, spacing.cluster if sizes.lr else spacing.title)
    boxes = [
        _turn_box(
            Box(
                x[v] - sizes.across[v] / 2,
                bands.line[levels.level[v]] - sizes.along[v],
                sizes.across[v],
                sizes.along[v],
            ),
            sizes.lr,
        )
        for v in range(len(sizes.across))
    ]
    routes = _routes(levels, edges, turned, x, sizes, bands)
    return boxes, routes, _clusters(levels, x, bands, sizes.lr)


def _clusters(levels: Levels, x: Sequence[float], bands: _Bands, lr: bool) -> list[ClusterBox]:
    result = []
    for c, (first, last) in enumerate(levels.spans):
        left, right = (x[side] for side in levels.sides[c][first])
        top = bands.top[first] + _STUB - bands.head[c]
        bottom = bands.end[last] + bands.foot[c]
        box = Box(left, top, right - left, bottom - top)
        result.append(ClusterBox(levels.tree.scopes[c], _turn_box(box, lr)))
    return result


def _routes(
    levels: Levels,
    edges: Sequence[LayoutEdge],
    turned: Sequence[bool],
    x: Sequence[float],
    sizes: Sizes,
    bands: _Bands,
) -> list[Route]:
    chains = [
        chain if chain else ((edge.target, edge.source) if back else (edge.source, edge.target))
        for chain, edge, back in zip(levels.chains, edges, turned, strict=True)
    ]
    entries = _entries(chains, edges, x, sizes)
    routes = []
    for e, (edge, back) in enumerate(zip(edges, turned, strict=True)):
        if edge.source == edge.target:
            routes.append(_loop(edge.source, levels, x, sizes, bands))
            continue
        start = x[chains[e][0]] + sizes.port(chains[e][0], edge.port)
        points = _points(levels, chains[e], start, entries[e], x, sizes, bands)
        u = chains[e][0]
        middle = bands.line[levels.level[u]] + sizes.text[u] / 2
        if back:
            points.reverse()
        routes.append(
            Route(
                tuple(_turn(point, sizes.lr) for point in points),
                _turn((start, middle), sizes.lr),
                "steps" if levels.chains[e] else "direct",
            )
        )
    return routes


def _points(
    levels: Levels,
    chain: Sequence[int],
    start: float,
    entry: float,
    x: Sequence[float],
    sizes: Sizes,
    bands: _Bands,
) -> list[Point]:
    upper, lower = chain[0], chain[-1]
    at = levels.level[upper]
    points = [(start, bands.line[at]), (start, bands.end[at])]
    for bend in chain[1:-1]:
        at = levels.level[bend]
        points += [(x[bend], bands.top[at]), (x[bend], bands.end[at])]
    at = levels.level[lower]
    points += [(entry, bands.top[at]), (entry, bands.line[at] - sizes.along[lower])]
    return _straighten(points)


def _straighten(points: Sequence[Point]) -> list[Point]:
    """Drop points in the middle of straight lines."""
    kept = [points[0]]
    for i in range(1, len(points) - 1):
        if not kept[-1][0] == points[i][0] == points[i + 1][0]:
            kept.append(points[i])
    return [*kept, points[-1]]


def _entries(
    chains: Sequence[tuple[int, ...]],
    edges: Sequence[LayoutEdge],
    x: Sequence[float],
    sizes: Sizes,
) -> list[float]:
    """Where each edge enters its lower end: as straight as possible, arrow heads apart."""
    arriving: dict[int, list[tuple[float, int]]] = {}
    for e, (chain, edge) in enumerate(zip(chains, edges, strict=True)):
        if chain[0] != chain[-1]:
            came = x[chain[-2]] + (sizes.port(chain[0], edge.port) if len(chain) == 2 else 0.0)
            arriving.setdefault(chain[-1], []).append((came, e))
    entries = [0.0] * len(chains)
    for v, wishes in arriving.items():
        wishes.sort()
        half = max(sizes.across[v] / 2 - _CORNER, 0.0)
        places = _spread([wish for wish, _ in wishes], x[v] - half, x[v] + half)
        for (_, e), place in zip(wishes, places, strict=True):
            entries[e] = place
    return entries


def _spread(wishes: Sequence[float], low: float, high: float) -> list[float]:
    """Places within low..high near the (sorted) wishes, and not too close to each other."""
    kept: dict[int, list[float]] = {}
    for apart in _ENTRY:
        places = _apart(wishes, low, high, min(apart, (high - low) / max(len(wishes) - 1, 1)))
        # An edge that could run straight shall do so, if need be at the cost of distance.
        straight = sum(wish == place for wish, place in zip(wishes, places, strict=True))
        kept.setdefault(straight, places)
    return kept[max(kept)]


def _apart(wishes: Sequence[float], low: float, high: float, apart: float) -> list[float]:
    places: list[float] = []
    for i, wish in enumerate(wishes):
        place = min(max(wish, low), high)
        if i > 0:
            place = max(place, places[-1] + apart)
        places.append(place)
    last = len(places) - 1
    return [min(place, high - (last - i) * apart) for i, place in enumerate(places)]


def _loop(v: int, levels: Levels, x: Sequence[float], sizes: Sizes, bands: _Bands) -> Route:
    side = x[v] + sizes.across[v] / 2
    top = bands.line[levels.level[v]] - sizes.along[v]
    low, high = top + sizes.along[v] * 0.75, top + sizes.along[v] * 0.25
    points = ((side, low), (side + 24, low + 8), (side + 24, high - 8), (side, high))
    return Route(
        tuple(_turn(point, sizes.lr) for point in points),
        _turn((side + 24, (low + high) / 2), sizes.lr),
        "loop",
    )


def _turn(point: Point, lr: bool) -> Point:
    return (point[1], point[0]) if lr else point


def _turn_box(box: Box, lr: bool) -> Box:
    return Box(box.y, box.x, box.height, box.width) if lr else box
