"""SVG pictures of a view through our own layout: no program and no font needed, same bytes always.

Colours are presentation attributes (so that every viewer shows them) and classes (so that the dark
mode of browsers can replace them). All text is escaped.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from .layout import Box, Layout, LayoutEdge, LayoutNode, Rankdir, Route, lay_out
from .text import FONT, count_text, escape, text_width
from .theme import DARK, FAMILIES, LIGHT, heat_colour, style_of
from .view import View, ViewEdge, ViewNode

__all__ = ["style_rules", "svg_lines", "svg_text"]

_NAME, _SMALL, _EDGE, _TITLE = 12.5, 10.5, 10.0, 11.0  # font sizes
_LEADING = 13.5
_PADDING = (12.0, 7.0)
_MARGIN = 16.0
_ARROW = 7.5
_LEGEND_ROW = 20.0


def svg_text(view: View, rankdir: Rankdir = "TB") -> str:
    """A complete SVG document."""
    return "\n".join(svg_lines(view, rankdir)) + "\n"


def svg_lines(view: View, rankdir: Rankdir = "TB") -> Iterator[str]:
    """The lines of a complete SVG document (without XML declaration: it may be put inline)."""
    ports = _ports(view)
    layout = lay_out(_layout_nodes(view, ports), _layout_edges(view, ports), rankdir)
    inner = max(layout.size[0], 220.0)
    rows, notes = _legend_rows(view, inner), _notes(view)
    legend = (len(rows) + len(notes)) * _LEGEND_ROW
    width = inner + 2 * _MARGIN
    height = layout.size[1] + 2 * _MARGIN + legend
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="symgraph" width="{_n(width)}" '
        f'height="{_n(height)}" viewBox="0 0 {_n(width)} {_n(height)}" font-family="{FONT}">'
    )
    yield f"<style>{style_rules()}</style>"
    yield f'<rect class="paper" width="100%" height="100%" fill="{LIGHT.paper}"/>'
    left = _MARGIN + (inner - layout.size[0]) / 2
    yield f'<g class="graph" transform="translate({_n(left)} {_n(_MARGIN)})">'
    yield from _clusters(layout)
    yield '<g class="edges" fill="none">'
    for i, (edge, route) in enumerate(zip(view.edges, layout.routes, strict=True)):
        yield _edge(i, edge, route, rankdir)
    yield "</g>"
    for i, (node, box) in enumerate(zip(view.nodes, layout.boxes, strict=True)):
        yield _node(i, node, box)
    yield from _edge_labels(view, layout, rankdir)
    yield from _cluster_titles(layout)
    yield "</g>"
    yield from _legend(rows, notes, bool(view.heat), layout.size[1] + 1.75 * _MARGIN)
    yield "</svg>"


def style_rules() -> str:
    """The rules that replace colours in dark mode, for elements inside `.symgraph` only."""
    rules = [
        f".paper{{fill:{DARK.paper}}}",
        f"text{{fill:{DARK.text}}}",
        f".faint{{fill:{DARK.faint}}}",
        f".halo{{stroke:{DARK.paper}}}",
        f".line{{stroke:{DARK.line}}}",
        f".tip{{fill:{DARK.line}}}",
        f".cluster{{fill:{DARK.cluster};stroke:{DARK.cluster_line}}}",
        ".hot text{fill:#1b1f24}",
        f".is-output text{{fill:{DARK.paper}}}",
    ]
    for name, style in FAMILIES.items():
        rules.append(f".f-{name}{{fill:{style.dark[0]};stroke:{style.dark[1]}}}")
    scoped = "".join(f".symgraph {rule}" for rule in rules)
    return f"@media (prefers-color-scheme:dark){{{scoped}}}"


def _ports(view: View) -> list[list[str]]:
    """The different labels at each node's outgoing edges: one port, and one text, for each."""
    ports: list[list[str]] = [[] for _ in view.nodes]
    for edge in view.edges:
        if edge.label not in ports[edge.source]:
            ports[edge.source].append(edge.label)
    return ports


def _layout_nodes(view: View, ports: Sequence[Sequence[str]]) -> list[LayoutNode]:
    nodes = []
    for node, labels in zip(view.nodes, ports, strict=True):
        width = max(
            [text_width(node.lines[0], _NAME, bold=True)]
            + [text_width(line, _SMALL) for line in node.lines[1:]]
        )
        height = _NAME + _LEADING * (len(node.lines) - 1) + 2 * _PADDING[1] + 2
        extra = 8.0 if style_of(node.family).pill else 0.0
        sizes = tuple(
            (text_width(label, _EDGE) + 8, _EDGE + 12) if label else (0.0, 0.0) for label in labels
        )
        width = max(width + 2 * _PADDING[0] + extra, 44.0)
        nodes.append(LayoutNode(round(width), round(height), sizes, node.scope))
    return nodes


def _layout_edges(view: View, ports: Sequence[Sequence[str]]) -> list[LayoutEdge]:
    return [
        LayoutEdge(
            edge.source,
            edge.target,
            1.0 if edge.is_weight else 4.0,
            ports[edge.source].index(edge.label),
        )
        for edge in view.edges
    ]


def _n(value: float) -> str:
    """A coordinate with at most one decimal."""
    text = f"{value:.1f}"
    return text[:-2] if text.endswith(".0") else text


def _clusters(layout: Layout) -> Iterator[str]:
    for cluster in layout.clusters:
        box = cluster.box
        yield (
            f'<rect class="cluster" x="{_n(box.x)}" y="{_n(box.y)}" width="{_n(box.width)}" '
            f'height="{_n(box.height)}" rx="8" fill="{LIGHT.cluster}" '
            f'stroke="{LIGHT.cluster_line}"><title>{escape("/".join(cluster.scope))}</title></rect>'
        )


def _cluster_titles(layout: Layout) -> Iterator[str]:
    for cluster in layout.clusters:
        x, y = cluster.box.x + 9, cluster.box.y + 14
        yield _halo(cluster.scope[-1], x, y, _TITLE, "start", "faint", ' font-weight="bold"')


def _halo(
    text: str, x: float, y: float, size: float, anchor: str, name: str, more: str = ""
) -> str:
    fill = LIGHT.faint if name == "faint" else LIGHT.text
    return (
        f'<text class="halo {name}" x="{_n(x)}" y="{_n(y)}" font-size="{_n(size)}" '
        f'text-anchor="{anchor}" fill="{fill}" stroke="{LIGHT.paper}" stroke-width="3.5" '
        f'stroke-linejoin="round" paint-order="stroke"{more}>{escape(text)}</text>'
    )


def _edge(i: int, edge: ViewEdge, route: Route, rankdir: Rankdir) -> str:
    tip, back = route.points[-1], route.points[-2]
    length = max(abs(tip[0] - back[0]) + abs(tip[1] - back[1]), 1e-6)
    towards = ((tip[0] - back[0]) / length, (tip[1] - back[1]) / length)
    if route.kind == "loop":
        towards = (0.0, -1.0) if rankdir == "LR" else (-1.0, 0.0)
    base = (tip[0] - towards[0] * _ARROW, tip[1] - towards[1] * _ARROW)
    path = _path((*route.points[:-1], base), route.kind == "loop", rankdir)
    width = 1.2 + 1.6 * edge.thickness**0.5
    dash = ' stroke-dasharray="5 4"' if edge.dashed else ""
    faint = ' stroke-opacity="0.35"' if route.kind == "direct" else ""
    half = 3.2 + width / 2
    across = (-towards[1] * half, towards[0] * half)
    head = (
        f"M{_n(tip[0])} {_n(tip[1])}L{_n(base[0] + across[0])} {_n(base[1] + across[1])}"
        f"L{_n(base[0] - across[0])} {_n(base[1] - across[1])}Z"
    )
    return (
        f'<g class="edge" data-edge="{i}" data-ends="{edge.source} {edge.target}">'
        f"<title>{escape(edge.tooltip)}</title>"
        f'<path class="line" d="{path}" stroke="{LIGHT.line}" stroke-width="{_n(width)}"'
        f"{dash}{faint}/>"
        f'<path class="tip" d="{head}" fill="{LIGHT.line}"/></g>'
    )


def _path(points: Sequence[tuple[float, float]], loop: bool, rankdir: Rankdir) -> str:
    parts = [f"M{_n(points[0][0])} {_n(points[0][1])}"]
    if loop:
        return parts[0] + "C" + " ".join(f"{_n(x)} {_n(y)}" for x, y in points[1:])
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if x0 == x1 or y0 == y1:
            parts.append(f"L{_n(x1)} {_n(y1)}")
        elif rankdir == "LR":
            middle = _n((x0 + x1) / 2)
            parts.append(f"C{middle} {_n(y0)} {middle} {_n(y1)} {_n(x1)} {_n(y1)}")
        else:
            middle = _n((y0 + y1) / 2)
            parts.append(f"C{_n(x0)} {middle} {_n(x1)} {middle} {_n(x1)} {_n(y1)}")
    return "".join(parts)


def _edge_labels(view: View, layout: Layout, rankdir: Rankdir) -> Iterator[str]:
    """One text per port: edges that carry the same tensor share it."""
    seen: set[tuple[int, str]] = set()
    yield '<g class="labels">'
    for edge, route in zip(view.edges, layout.routes, strict=True):
        if edge.label and (edge.source, edge.label) not in seen:
            seen.add((edge.source, edge.label))
            x, y = route.label
            # Across a vertical line, but above a horizontal one, which would strike it out.
            below = -4.0 if rankdir == "LR" else _EDGE * 0.35
            yield _halo(edge.label, x, y + below, _EDGE, "middle", "faint")
    yield "</g>"


def _node(i: int, node: ViewNode, box: Box) -> str:
    style = style_of(node.family)
    fill = style.light[0] if node.heat is None else heat_colour(node.heat)
    radius = min(box.height / 2, 16.0) if style.pill else 6.0
    dash = ' stroke-dasharray="4 3"' if style.dashed else ""
    hot = f' style="fill:{fill}"' if node.heat is not None else ""
    classes = f"node is-{node.kind}" + (" hot" if node.heat is not None else "")
    middle = box.x + box.width / 2
    y = box.y + _PADDING[1] + _NAME * 0.85
    ink = LIGHT.paper if node.kind == "output" else LIGHT.text
    parts = [
        f'<g class="{classes}" data-node="{i}"><title>{escape(node.tooltip)}</title>',
        f'<rect class="f-{escape(_family(node))}" x="{_n(box.x)}" y="{_n(box.y)}" '
        f'width="{_n(box.width)}" height="{_n(box.height)}" rx="{_n(radius)}" fill="{fill}" '
        f'stroke="{style.light[1]}" stroke-width="{2.6 if node.is_output else 1.2}"{dash}{hot}/>',
        f'<text x="{_n(middle)}" y="{_n(y)}" font-size="{_NAME}" font-weight="bold" '
        f'text-anchor="middle" fill="{ink}">{escape(node.lines[0])}</text>',
    ]
    for line in node.lines[1:]:
        y += _LEADING
        parts.append(
            f'<text x="{_n(middle)}" y="{_n(y)}" font-size="{_SMALL}" text-anchor="middle" '
            f'fill="{ink}">{escape(line)}</text>'
        )
    return "".join([*parts, "</g>"])


def _family(node: ViewNode) -> str:
    return node.family if node.family in FAMILIES else "other"


def _legend_rows(view: View, width: float) -> list[list[tuple[str, float]]]:
    """The families in use, in the theme's order, broken into rows; each with its place there."""
    used = {_family(node) for node in view.nodes}
    rows: list[list[tuple[str, float]]] = []
    x = width
    for name in FAMILIES:
        if name in used:
            need = text_width(FAMILIES[name].title, _SMALL) + 46
            if x + need > width:
                rows.append([])
                x = 0.0
            rows[-1].append((name, x))
            x += need
    return rows


def _notes(view: View) -> list[str]:
    notes = []
    if view.heat:  # comes first: the scale is drawn beside it
        notes.append(f"colour: {view.heat}, 0 to {count_text(view.heat_most)}")
    if view.hidden:
        notes.append(f"{view.hidden} parameters and states not shown")
    if any(node.is_output for node in view.nodes):
        notes.append("thick border: output of the graph")
    return notes


def _legend(
    rows: Sequence[Sequence[tuple[str, float]]], notes: Sequence[str], heat: bool, top: float
) -> Iterator[str]:
    yield f'<g class="legend" transform="translate({_n(_MARGIN)} {_n(top)})">'
    for i, row in enumerate(rows):
        for name, x in row:
            yield _swatch(name, x, i * _LEGEND_ROW)
    y = len(rows) * _LEGEND_ROW
    for i, note in enumerate(notes):
        x = 0.0
        if heat and i == 0:
            for step in range(12):
                colour = heat_colour(step / 11)
                yield f'<rect x="{step * 7}" y="{_n(y)}" width="7" height="12" fill="{colour}"/>'
            x = 92.0
        yield _faint_text(note, x, y + 10)
        y += _LEGEND_ROW
    yield "</g>"


def _swatch(name: str, x: float, y: float) -> str:
    style = FAMILIES[name]
    dash = ' stroke-dasharray="4 3"' if style.dashed else ""
    return (
        f'<rect class="f-{name}" x="{_n(x)}" y="{_n(y)}" width="18" height="12" '
        f'rx="{6 if style.pill else 3}" fill="{style.light[0]}" stroke="{style.light[1]}"{dash}/>'
        f"{_faint_text(style.title, x + 24, y + 10)}"
    )


def _faint_text(text: str, x: float, y: float) -> str:
    return (
        f'<text class="faint" x="{_n(x)}" y="{_n(y)}" font-size="{_SMALL}" '
        f'fill="{LIGHT.faint}">{escape(text)}</text>'
    )
