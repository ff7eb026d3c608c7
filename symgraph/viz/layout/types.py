"""What goes into a layered layout and what comes out: sizes and edges in, boxes and routes out.

Vertices are numbers 0..n-1; the layout knows nothing of operators, text or colours. All lengths
are in one unit (the drawing's pixels); x grows to the right, y down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "Box",
    "ClusterBox",
    "Layout",
    "LayoutEdge",
    "LayoutNode",
    "Point",
    "Rankdir",
    "Route",
    "Spacing",
]

Point = tuple[float, float]
Rankdir = Literal["TB", "LR"]


@dataclass(frozen=True, slots=True)
class LayoutNode:
    """A box, the sizes (width, height) of the texts at its outgoing ports, and its scope path."""

    width: float
    height: float
    labels: tuple[tuple[float, float], ...] = ()
    scope: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LayoutEdge:
    """An edge from a port of `source`; a heavy edge is kept straighter than a light one."""

    source: int
    target: int
    weight: float = 4.0
    port: int = 0


@dataclass(frozen=True, slots=True)
class Spacing:
    """Distances: between boxes of one level, between lines, between levels, inside clusters."""

    node: float = 22.0
    line: float = 14.0
    level: float = 20.0
    cluster: float = 12.0
    title: float = 22.0


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle by its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def centre(self) -> Point:
        return self.x + self.width / 2, self.y + self.height / 2


@dataclass(frozen=True, slots=True)
class Route:
    """The way of one edge, from the border of its source to the border of its target.

    `steps` routes run parallel to the direction of the layout at every point; `direct` ones do so
    too, but may pass behind boxes; a `loop` is one cubic curve (end, control, control, end).
    """

    points: tuple[Point, ...]
    label: Point
    kind: Literal["steps", "direct", "loop"] = "steps"


@dataclass(frozen=True, slots=True)
class ClusterBox:
    """The rectangle around all vertices of a scope and of the scopes inside it."""

    scope: tuple[str, ...]
    box: Box


@dataclass(frozen=True, slots=True)
class Layout:
    """Boxes by vertex, routes by edge, clusters with outer ones first, all inside `size`.

    `levels` is each vertex's level; an edge goes from a lower to a higher one unless the graph has
    a cycle there.
    """

    size: tuple[float, float]
    boxes: tuple[Box, ...]
    routes: tuple[Route, ...]
    clusters: tuple[ClusterBox, ...]
    levels: tuple[int, ...]
