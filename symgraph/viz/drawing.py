"""`Drawing`: one model with its options, and every form in which it can be looked at or saved."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any, Literal

from ..files import write_atomic
from .dot import dot_render, dot_text
from .errors import DrawError
from .html import html_page
from .layout import Rankdir
from .svg import svg_text
from .view import Clusters, Model, Parameters, make_view

__all__ = ["Drawing", "Engine"]

Engine = Literal["auto", "dot", "own"]


class Drawing:
    """A picture of a model (a `networkx.DiGraph`, see `symgraph.viz.view` for its attributes).

    `parameters` hides or shows weights and states; `shapes` writes types on edges; `clusters` draws
    boxes around scopes (True, "scope") or fused groups ("group"); `heat` colours nodes by the
    number they have under this name ("flops", "nbytes", ...); `engine` is our own layout ("own"),
    Graphviz's program ("dot"), or own for SVG and HTML and dot for PNG and PDF ("auto").

    Raises: DrawError for unknown options or kinds of nodes.
    """

    def __init__(
        self,
        model: Model,
        *,
        parameters: Parameters = "hide",
        shapes: bool = True,
        clusters: Clusters = True,
        rankdir: Rankdir = "TB",
        engine: Engine = "auto",
        heat: str | None = None,
        title: str = "symgraph",
    ) -> None:
        _check("parameters", parameters, ("hide", "show"))
        _check("clusters", clusters, (True, False, "scope", "group"))
        _check("rankdir", rankdir, ("TB", "LR"))
        _check("engine", engine, ("auto", "dot", "own"))
        self.model = model
        self.view = make_view(model, parameters, shapes, clusters, heat)
        self.rankdir = rankdir
        self.engine = engine
        self.title = title

    @property
    def svg(self) -> str:
        """The picture as SVG; by our own layout unless `engine="dot"`."""
        if self.engine == "dot":
            return dot_render(self.dot, "svg").decode()
        return svg_text(self.view, self.rankdir)

    @property
    def dot(self) -> str:
        """The picture as DOT source text for Graphviz."""
        return dot_text(self.view, self.rankdir)

    @property
    def html(self) -> str:
        """One page with the picture: pan, zoom, search, details on click; needs nothing else."""
        return html_page(self.view, self.rankdir, self.title)

    @property
    def json(self) -> str:
        """The whole model, nothing hidden, as JSON."""
        return _model_json(self.model)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture in the form that the suffix names, whole or not at all.

        Raises: DrawError for an unknown suffix, a missing folder, or PNG and PDF without Graphviz.
        """
        target = Path(path)
        form = _FORMS.get(target.suffix.lower())
        if form is None:
            raise DrawError(
                f"{target}: cannot draw a file with the suffix {target.suffix!r}; "
                f"known are {' '.join(_FORMS)}"
            )
        write_atomic(target, form(self))
        return target

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return f"Drawing({len(self.view.nodes)} nodes, {len(self.view.edges)} edges)"

    def _program(self, form: Literal["png", "pdf"]) -> bytes:
        if self.engine == "own":
            raise DrawError(
                f"our own layout writes no {form.upper()}: save as .svg, or choose engine='auto'"
            )
        return dot_render(self.dot, form)


# Keys are the suffixes that `save` knows.
_FORMS: dict[str, Callable[[Drawing], bytes]] = {
    ".svg": lambda drawing: drawing.svg.encode(),
    ".html": lambda drawing: drawing.html.encode(),
    ".dot": lambda drawing: drawing.dot.encode(),
    ".gv": lambda drawing: drawing.dot.encode(),
    ".png": lambda drawing: drawing._program("png"),
    ".pdf": lambda drawing: drawing._program("pdf"),
    ".json": lambda drawing: drawing.json.encode(),
}


def _check(name: str, value: object, known: tuple[object, ...]) -> None:
    # `is`, because 1 == True.
    if not any(value is choice or (isinstance(value, str) and value == choice) for choice in known):
        choices = ", ".join(repr(choice) for choice in known)
        raise DrawError(f"{name} must be one of {choices}, got {value!r}")


def _model_json(model: Model) -> str:
    index: dict[Hashable, int] = {key: i for i, key in enumerate(model.nodes)}
    content = {
        "format": "symgraph-picture",
        "format_version": 1,
        "nodes": [
            {"id": i, "key": str(key), **_plain(attributes)}
            for i, (key, attributes) in enumerate(model.nodes(data=True))
        ],
        "edges": [
            {"source": index[u], "target": index[v], **_plain(attributes)}
            for u, v, attributes in model.edges(data=True)
        ],
    }
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    kept = (str, int, float, bool, type(None))
    return {
        str(name): value if isinstance(value, kept) else str(value)
        for name, value in attributes.items()
    }
