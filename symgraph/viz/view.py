"""What a picture shows of a model: the options applied, once, for every way of drawing.

The model is a `networkx.DiGraph`. Node attributes, all optional: `label`, `kind` ("operator",
"input", "parameter", "auxiliary", "output", "constant", "opaque"), `op`, `attributes`, `scope`
("encoder/block1"), `origin`, `type`, `flops`, `nbytes`, `counted_at` ("N=1"), `group`, `family`,
`output` and `updates` (names), and any number that may serve as heat. Edge attributes: `label`,
`inputs` (names of arguments), `nbytes`, `style` ("solid", "dashed"). The order of nodes and edges
is the model's.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import networkx as nx

from .errors import DrawError
from .text import count_text, cut, nbytes_text, wrap
from .theme import family_of

__all__ = ["Clusters", "Model", "Parameters", "View", "ViewEdge", "ViewNode", "make_view"]

if TYPE_CHECKING:
    Model = nx.DiGraph[Any]  # the nodes may be any hashable values
else:
    Model = nx.DiGraph
Parameters = Literal["hide", "show"]
Clusters = bool | Literal["scope", "group"]

_HIDDEN = ("parameter", "auxiliary")
_KINDS = ("operator", "input", "output", "constant", "opaque", *_HIDDEN)
_NAME_LETTERS = 34
_ATTRIBUTE_LINES = 3


@dataclass(frozen=True, slots=True)
class ViewNode:
    """One box: a bold first line, smaller lines below, the long text for tooltips."""

    name: str
    lines: tuple[str, ...]
    kind: str
    family: str
    scope: tuple[str, ...]
    tooltip: str
    group: str = ""
    heat: float | None = None
    is_output: bool = False


@dataclass(frozen=True, slots=True)
class ViewEdge:
    """One arrow between two boxes, by their numbers; `thickness` is 0..1 by bytes."""

    source: int
    target: int
    label: str
    tooltip: str
    dashed: bool
    thickness: float
    is_weight: bool


@dataclass(frozen=True, slots=True)
class View:
    """All boxes and arrows of a picture, and what the legend has to say about the rest."""

    nodes: tuple[ViewNode, ...]
    edges: tuple[ViewEdge, ...]
    hidden: int = 0
    heat: str = ""
    heat_most: float = 0.0


def make_view(
    model: Model,
    parameters: Parameters = "hide",
    shapes: bool = True,
    clusters: Clusters = True,
    heat: str | None = None,
) -> View:
    """Apply the options of a drawing to a model.

    Raises: DrawError for a node of unknown kind or a heat attribute that no node has.
    """
    data = {key: dict(attributes) for key, attributes in model.nodes(data=True)}
    for key, attributes in data.items():
        if attributes.get("kind", "operator") not in _KINDS:
            kind = attributes["kind"]
            raise DrawError(f"node {key}: kind must be one of {', '.join(_KINDS)}, got {kind!r}")
    hidden = {
        key
        for key, attributes in data.items()
        if parameters == "hide" and attributes.get("kind") in _HIDDEN
    }
    most = _heat_most(data, heat)
    shown = [key for key in data if key not in hidden]
    nodes = tuple(
        _view_node(model, key, data, hidden, shapes, clusters, heat, most) for key in shown
    )
    index = {key: i for i, key in enumerate(shown)}
    edges = _view_edges(model, index, data, shapes)
    return View(nodes, edges, len(hidden), heat or "", most)


def _heat_most(data: Mapping[Hashable, Mapping[str, Any]], heat: str | None) -> float:
    if heat is None:
        return 0.0
    values = [a[heat] for a in data.values() if isinstance(a.get(heat), int | float)]
    if not values:
        raise DrawError(f"heat={heat!r}: no node has a number under this name")
    return float(max(values))


def _view_node(
    model: Model,
    key: Hashable,
    data: Mapping[Hashable, Mapping[str, Any]],
    hidden: set[Hashable],
    shapes: bool,
    clusters: Clusters,
    heat: str | None,
    most: float,
) -> ViewNode:
    own = data[key]
    kind = str(own.get("kind", "operator"))
    name = _name(key, own)
    value = own.get(heat) if heat is not None else None
    is_output = bool(own.get("output"))
    ends_here = shapes and model.out_degree(key) == 0
    parameters = [data[p] for p in model.predecessors(key) if p in hidden]
    return ViewNode(
        name,
        _lines(own, name, kind, ends_here),
        kind,
        str(
            own.get("family") or (family_of(str(own.get("op", ""))) if _is_operator(kind) else kind)
        ),
        _scope(own, clusters),
        _tooltip(own, name, parameters),
        str(own.get("group") if own.get("group") is not None else ""),
        float(value) / most if isinstance(value, int | float) and most > 0 else None,
        is_output,
    )


def _name(key: Hashable, own: Mapping[str, Any]) -> str:
    return str(own.get("label", key)) or str(own.get("op", ""))


def _is_operator(kind: str) -> bool:
    return kind == "operator"


def _lines(own: Mapping[str, Any], name: str, kind: str, with_type: bool) -> tuple[str, ...]:
    lines = [cut(name, _NAME_LETTERS)]
    if kind in ("operator", "opaque"):
        op = str(own.get("op", ""))
        if op and op != name:
            lines.append(cut(op, _NAME_LETTERS))
        lines += wrap(str(own.get("attributes", "")), _NAME_LETTERS, _ATTRIBUTE_LINES)
    if with_type and own.get("type"):
        lines.append(cut(str(own["type"]), _NAME_LETTERS))
    return tuple(lines)


def _scope(own: Mapping[str, Any], clusters: Clusters) -> tuple[str, ...]:
    if clusters is False:
        return ()
    if clusters == "group":
        group = own.get("group")
        return () if group in (None, "") else (str(group),)
    return tuple(part for part in str(own.get("scope", "")).split("/") if part)


def _tooltip(own: Mapping[str, Any], name: str, parameters: list[Mapping[str, Any]]) -> str:
    scope = f"{own['scope']}/" if own.get("scope") else ""
    lines = [f"{scope}{name}"]
    for field in ("op", "attributes", "type"):
        if own.get(field):
            lines.append(f"{field}: {own[field]}")
    for parameter in parameters:
        text = f"{parameter.get('label', '')} {parameter.get('type', '')}".strip()
        lines.append(f"{parameter['kind']}: {text}")
    at = f" at {own['counted_at']}" if own.get("counted_at") else ""
    if isinstance(own.get("flops"), int | float) and own["flops"]:
        lines.append(f"work: {count_text(own['flops'], 'FLOP')}{at}")
    if isinstance(own.get("nbytes"), int | float) and own["nbytes"]:
        lines.append(f"size: {nbytes_text(own['nbytes'])}{at}")
    for field in ("output", "updates"):
        if own.get(field):
            lines.append(f"{field}: {own[field]}")
    if own.get("group") not in (None, ""):
        lines.append(f"fused in: {own['group']}")
    if own.get("origin"):
        lines.append(f"declared at {own['origin']}")
    return "\n".join(lines)


def _view_edges(
    model: Model,
    index: Mapping[Hashable, int],
    data: Mapping[Hashable, Mapping[str, Any]],
    shapes: bool,
) -> tuple[ViewEdge, ...]:
    chosen = [(u, v, a) for u, v, a in model.edges(data=True) if u in index and v in index]
    most = max((float(a.get("nbytes") or 0) for _, _, a in chosen), default=0.0)
    edges = []
    for u, v, own in chosen:
        label, nbytes = str(own.get("label", "")), own.get("nbytes")
        tooltip = f"{_name(u, data[u])} → {_name(v, data[v])}"
        if own.get("inputs"):
            tooltip += f" ({own['inputs']})"
        if label:
            tooltip += f"\n{label}"
        if nbytes:
            tooltip += f"\n{nbytes_text(nbytes)}"
        edges.append(
            ViewEdge(
                index[u],
                index[v],
                cut(label, _NAME_LETTERS) if shapes else "",
                tooltip,
                own.get("style") == "dashed",
                (float(nbytes or 0) / most) if most > 0 else 0.0,
                data[u].get("kind") in (*_HIDDEN, "constant"),
            )
        )
    return tuple(edges)
