"""The same pictures as DOT text, and as files through Graphviz's program `dot` if installed.

The text needs the `graphviz` package only, which is pure Python; it depends on the view alone.
"""

from __future__ import annotations

from typing import Literal

import graphviz

from .errors import DrawError
from .layout import Rankdir
from .text import printable
from .theme import LIGHT, heat_colour, style_of
from .view import View, ViewEdge, ViewNode

__all__ = ["dot_render", "dot_text"]

_FONT = "Helvetica"


def dot_text(view: View, rankdir: Rankdir = "TB") -> str:
    """DOT source: nodes n0, n1, ... in the model's order, scopes as nested clusters."""
    graph = graphviz.Digraph(
        "symgraph",
        graph_attr={
            "rankdir": rankdir,
            "fontname": _FONT,
            "fontsize": "11",
            "bgcolor": LIGHT.paper,
        },
        node_attr={
            "shape": "box",
            "fontname": _FONT,
            "fontsize": "11",
            "fontcolor": LIGHT.text,
            "margin": "0.14,0.06",
            "height": "0.3",
        },
        edge_attr={
            "fontname": _FONT,
            "fontsize": "9",
            "fontcolor": LIGHT.faint,
            "color": LIGHT.line,
            "arrowsize": "0.7",
        },
    )
    _add_nodes(graph, view)
    for edge in view.edges:
        graph.edge(f"n{edge.source}", f"n{edge.target}", **_edge_attributes(edge))
    return str(graph.source)


def dot_render(source: str, form: Literal["svg", "png", "pdf"]) -> bytes:
    """What the `dot` program makes of DOT text.

    Raises: DrawError when the program is not installed (the message says how to get it) or fails.
    """
    try:
        return bytes(graphviz.Source(source).pipe(format=form))
    except graphviz.ExecutableNotFound as error:
        raise DrawError(
            f"{form.upper()} through Graphviz needs its program `dot`, which is not on the PATH: "
            "install it (apt-get install graphviz, brew install graphviz, "
            "winget install graphviz), or save as .svg or .html, which need no program"
        ) from error
    except graphviz.CalledProcessError as error:
        raise DrawError(f"Graphviz's program `dot` failed: {error}") from error


def _add_nodes(graph: graphviz.Digraph, view: View) -> None:
    """Nodes of one scope stand together in its cluster, at the place of the scope's first node."""
    graphs: dict[tuple[str, ...], graphviz.Digraph] = {(): graph}
    for i, node in enumerate(view.nodes):
        for depth in range(1, len(node.scope) + 1):
            scope = node.scope[:depth]
            if scope not in graphs:
                graphs[scope] = _cluster(f"cluster_{len(graphs) - 1}", scope[-1])
        graphs[node.scope].node(f"n{i}", **_node_attributes(node))
    # Inner ones first: `subgraph` copies the text of what it is given.
    for scope in sorted(graphs, key=len, reverse=True):
        if scope:
            graphs[scope[:-1]].subgraph(graphs[scope])


def _cluster(name: str, title: str) -> graphviz.Digraph:
    return graphviz.Digraph(
        name,
        graph_attr={
            "label": _plain(title),
            "labeljust": "l",
            "style": "rounded,filled",
            "fillcolor": LIGHT.cluster,
            "color": LIGHT.cluster_line,
            "fontcolor": LIGHT.faint,
        },
    )


def _plain(text: str) -> str:
    """Text that DOT shows as it is: no HTML, no entities, no escapes such as \\N."""
    lines = printable(text).replace("&", "&amp;").split("\n")
    plain: str = graphviz.nohtml("\\n".join(str(graphviz.escape(line)) for line in lines))
    return plain  # of a subclass of str that says: no HTML, even in angle brackets


def _node_attributes(node: ViewNode) -> dict[str, str]:
    style = style_of(node.family)
    fill = style.light[0] if node.heat is None else heat_colour(node.heat)
    attributes = {
        "label": _plain("\n".join(node.lines)),
        "tooltip": _plain(node.tooltip),
        "style": "rounded,filled,dashed" if style.dashed else "rounded,filled",
        "fillcolor": fill,
        "color": style.light[1],
    }
    if style.pill:
        attributes["shape"] = "oval"
    if node.is_output:
        attributes["penwidth"] = "2.5"
    if node.kind == "output":
        attributes["fontcolor"] = LIGHT.paper
    return attributes


def _edge_attributes(edge: ViewEdge) -> dict[str, str]:
    attributes = {"tooltip": _plain(edge.tooltip)}
    if edge.label:
        attributes["label"] = _plain(f" {edge.label}")  # the line runs close by
    if edge.dashed:
        attributes["style"] = "dashed"
    if edge.thickness > 0:
        attributes["penwidth"] = f"{1 + 1.5 * edge.thickness**0.5:.2f}"
    if not edge.is_weight:
        attributes["weight"] = "8"
    return attributes
