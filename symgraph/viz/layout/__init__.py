"""A layered (Sugiyama) layout in pure Python: levels, few crossings, straight lines, cluster boxes.

    stacking, layering -> levels (bends, cluster sides) -> ordering -> coordinates -> routing

Deterministic; handles cycles, self-loops and parts that do not hang together; never recurses over
the depth of the graph. References: Sugiyama, Tagawa, Toda 1981; Brandes and Koepf 2001.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .coordinates import assign_positions
from .layering import assign_levels, backward_edges
from .levels import build_levels, cluster_tree
from .ordering import order_levels
from .routing import Sizes, draw_boxes
from .stacking import stacking_order
from .types import (
    Box,
    ClusterBox,
    Layout,
    LayoutEdge,
    LayoutNode,
    Rankdir,
    Route,
    Spacing,
)

__all__ = [
    "Box",
    "ClusterBox",
    "Layout",
    "LayoutEdge",
    "LayoutNode",
    "Rankdir",
    "Route",
    "Spacing",
    "lay_out",
]

_TITLE_LETTER = 7.0


def lay_out(
    nodes: Sequence[LayoutNode],
    edges: Sequence[LayoutEdge],
    rankdir: Rankdir = "TB",
    spacing: Spacing | None = None,
) -> Layout:
    """Place boxes and edges: levels from top to bottom (TB) or from left to right (LR)."""
    spacing = Spacing() if spacing is None else spacing
    pairs = [(edge.source, edge.target) for edge in edges]
    turned = backward_edges(len(nodes), pairs)
    forward = [
        (v, u) if back else (u, v) for (u, v), back in zip(pairs, turned, strict=True) if u != v
    ]
    tree = cluster_tree([node.scope for node in nodes])
    level = assign_levels(len(nodes), forward, stacking_order(tree, forward))
    levels = build_levels(tree, edges, turned, level)
    order_levels(levels)
    sizes = Sizes(nodes, rankdir)
    extents = [sizes.cell(v) for v in range(len(nodes))]
    for u, v in pairs:
        if u == v:
            extents[u] = max(extents[u], sizes.across[u] + 50)
    extents += [0.0] * (len(levels.kind) - len(nodes))
    titles = [
        0.0 if sizes.lr else len(scope[-1]) * _TITLE_LETTER + 2 * spacing.cluster
        for scope in levels.tree.scopes
    ]
    pad = spacing.title if sizes.lr else spacing.cluster
    x = assign_positions(levels, extents, titles, spacing, pad)
    boxes, routes, clusters = draw_boxes(levels, edges, turned, x, sizes, spacing)
    return _shift(boxes, routes, clusters, nodes, tuple(levels.level[: len(nodes)]))


def _shift(
    boxes: Sequence[Box],
    routes: Sequence[Route],
    clusters: Sequence[ClusterBox],
    nodes: Sequence[LayoutNode],
    level: tuple[int, ...],
) -> Layout:
    """Move everything to where the smallest coordinates are zero."""
    rectangles = [*boxes, *(cluster.box for cluster in clusters)]
    # Half of the widest text of a node may stand out on either side of an edge's label point.
    texts = [max((width for width, _ in node.labels), default=0.0) / 2 for node in nodes]
    xs = [x for box in rectangles for x in (box.x, box.x + box.width)]
    xs += [x for box, text in zip(boxes, texts, strict=True) for x in _around(box, text)]
    ys = [y for box in rectangles for y in (box.y, box.y + box.height)]
    xs += [x for route in routes for x, _ in route.points]
    ys += [y for route in routes for _, y in route.points]
    left, top = min(xs, default=0.0), min(ys, default=0.0)
    return Layout(
        (max(xs, default=0.0) - left, max(ys, default=0.0) - top),
        tuple(_moved(box, left, top) for box in boxes),
        tuple(
            replace(
                route,
                points=tuple((x - left, y - top) for x, y in route.points),
                label=(route.label[0] - left, route.label[1] - top),
            )
            for route in routes
        ),
        tuple(replace(cluster, box=_moved(cluster.box, left, top)) for cluster in clusters),
        level,
    )


def _around(box: Box, half: float) -> tuple[float, float]:
    return box.centre[0] - half, box.centre[0] + half


def _moved(box: Box, left: float, top: float) -> Box:
    return Box(box.x - left, box.y - top, box.width, box.height)
