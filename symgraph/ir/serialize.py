"""Graphs as versioned JSON.

    {"format": "symgraph.graph", "version": 1, "nodes": [...], "outputs": [[node, index], ...],
     "updates": [...]}

Nodes stand in topological order and refer to inputs by position.  Attribute values that JSON does
not have are objects with a "$" key.  Reading gives back a graph that writes the same text.  An
operator that nobody registered is read as `Opaque`: it can be drawn and written again, not run.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError
from ..files import write_atomic
from ..kernel import dims
from ..kernel.dims import Dim, DimVar, Unknown
from ..kernel.dtypes import DType, as_dtype
from .deserialize import FORMAT, VERSION, from_data
from .graph import Graph
from .initializer import Initializer
from .node import Node
from .op import Op
from .tensor_type import TensorType

_BINARY = {"//": dims.FloorDiv, "%": dims.Mod, "min": dims.Minimum, "max": dims.Maximum}


def to_json(graph: Graph, *, indent: int | None = None) -> str:
    """The graph as text."""
    return json.dumps(to_data(graph), indent=indent, allow_nan=False)


def from_json(text: str) -> Graph:
    """Read a graph.  Raises: FormatError saying what is wrong and where."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise FormatError(f"not a graph: the text is no valid JSON ({error})") from None
    return from_data(data)


def save(graph: Graph, path: str | os.PathLike[str]) -> Path:
    """Write a graph to a file, whole or not at all."""
    return write_atomic(path, to_json(graph, indent=1) + "\n")


def load(path: str | os.PathLike[str]) -> Graph:
    """Read a graph from a file.  Raises: FormatError naming the file."""
    try:
        return from_json(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FormatError(f"{path}: there is no such file") from None
    except (FormatError, UnicodeDecodeError) as error:
        raise FormatError(f"{path}: {error}") from error


def to_data(graph: Graph) -> dict[str, Any]:
    """The graph as dictionaries, lists, strings and numbers."""
    writer = _Writer()
    number = {node: i for i, node in enumerate(graph.nodes)}
    by_age = sorted(graph.nodes, key=lambda n: n.serial)
    order = {node: i for i, node in enumerate(by_age)}
    nodes = [_node_data(node, number, order[node], writer) for node in graph.nodes]
    return {
        "format": FORMAT,
        "version": VERSION,
        "nodes": nodes,
        "outputs": [[number[v.node], v.index] for v in graph.outputs],
        "updates": [[name, number[v.node], v.index] for name, v in graph.updates],
    }


def _node_data(
    node: Node, number: Mapping[Node, int], order: int, writer: _Writer
) -> dict[str, Any]:
    entry: dict[str, Any] = {"op": node.op.name, "name": node.name, "order": order}
    entry["inputs"] = [[number[v.node], v.index] for v in node.inputs]
    items = node.op.attribute_items
    entry["attributes"] = {key: writer.encode(value) for key, value in items}
    entry["types"] = [writer.encode(t) for t in node.types]
    if str(node.origin):
        entry["origin"] = [node.origin.file, node.origin.line, node.origin.note]
    if node.scope:
        entry["scope"] = node.scope
    if node.attributes:
        entry["extra"] = {key: writer.encode(value) for key, value in node.attributes}
    return entry


class _Writer:
    """Encodes attribute values; numbers unknown extents in order of appearance."""

    def __init__(self) -> None:
        self.unknown: dict[Unknown, int] = {}

    def encode(self, value: Any) -> Any:
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, (int, np.integer)):
            return int(value)
        if isinstance(value, (float, np.floating)):
            number = float(value)
            return number if math.isfinite(number) else {"$": "float", "value": repr(number)}
        if isinstance(value, (tuple, list)):
            kind = "tuple" if isinstance(value, tuple) else "list"
            return {"$": kind, "items": [self.encode(v) for v in value]}
        if isinstance(value, dict):
            return {"$": "dict", "items": [[k, self.encode(v)] for k, v in value.items()]}
        return self._object(value)

    def _object(self, value: Any) -> Any:
        if isinstance(value, DType):
            return {"$": "dtype", "name": value.name}
        if isinstance(value, TensorType):
            shape = None if value.shape is None else [self.dim(d) for d in value.shape]
            return {"$": "type", "shape": shape, "dtype": value.dtype and value.dtype.name}
        if isinstance(value, dims.Symbolic):
            return {"$": "dim", "value": self.dim(value)}
        if isinstance(value, np.ndarray):
            data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode("ascii")
            name = as_dtype(value.dtype).name
            return {"$": "array", "dtype": name, "shape": list(value.shape), "data": data}
        if isinstance(value, Graph):
            return {"$": "graph", "value": to_data(value)}
        if isinstance(value, Initializer) and dataclasses.is_dataclass(value):
            fields = {
                f.name: self.encode(getattr(value, f.name)) for f in dataclasses.fields(value)
            }
            return {"$": "initializer", "name": type(value).__name__, "fields": fields}
        if isinstance(value, Op):
            items = {k: self.encode(v) for k, v in value.attribute_items}
            return {"$": "op", "name": value.name, "attributes": items}
        raise FormatError(
            f"an attribute of type {type(value).__name__} cannot be written as JSON: {value!r}"
        )

    def dim(self, dim: Dim) -> Any:
        if isinstance(dim, int):
            return dim
        if isinstance(dim, DimVar):
            return dim.name
        if isinstance(dim, Unknown):
            return {"?": self.unknown.setdefault(dim, len(self.unknown))}
        if isinstance(dim, dims.Sum):
            terms = [[c, [self.dim(a) for a in monomial]] for monomial, c in dim.terms]
            return {"+": terms, "constant": dim.constant}
        for symbol, kind in _BINARY.items():
            if isinstance(dim, kind):
                return {symbol: [self.dim(c) for c in dim.children()]}
        raise FormatError(f"the extent {dim} cannot be written as JSON")
