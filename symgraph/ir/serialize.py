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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError, UserError
from ..files import write_atomic
from ..kernel import dims
from ..kernel.dims import Dim, DimVar, Unknown
from ..kernel.dtypes import DType, as_dtype
from .attributes import check_attributes
from .graph import Graph, make_node
from .initializer import Initializer
from .node import Node, Value, next_serial
from .op import Op, Opaque
from .origin import Origin
from .registry import registry
from .tensor_type import TensorType

FORMAT = "symgraph.graph"
VERSION = 1
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


def from_data(data: Any) -> Graph:
    """The graph of `to_data`."""
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise FormatError(f'not a graph: expected an object with "format": {FORMAT!r}')
    version = data.get("version")
    if version != VERSION:
        raise FormatError(
            f"graph format version {version!r} cannot be read; this release reads version {VERSION}"
        )
    try:
        return _Reader(data["nodes"]).graph(data["outputs"], data.get("updates", []))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise FormatError(f"damaged graph: {type(error).__name__}: {error}") from error


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


class _Reader:
    """Decodes nodes in order."""

    def __init__(self, entries: Sequence[Any]) -> None:
        self.entries = entries
        self.unknown: dict[int, Unknown] = {}
        self.nodes: list[Node] = []
        self.serials = [next_serial() for _ in entries]

    def graph(self, outputs: Sequence[Any], updates: Sequence[Any]) -> Graph:
        for position, entry in enumerate(self.entries):
            self.nodes.append(self._node(position, entry))
        values = [self.nodes[n][i] for n, i in outputs]
        return Graph(values, [(name, self.nodes[n][i]) for name, n, i in updates])

    def _node(self, position: int, entry: Mapping[str, Any]) -> Node:
        inputs = []
        for number, index in entry["inputs"]:
            if not 0 <= number < position:
                raise FormatError(
                    f"node {position} ({entry.get('op')}) reads node {number}, which "
                    f"does not come before it: a graph has no cycles"
                )
            inputs.append(Value(self.nodes[number], index))
        types = tuple(self.decode(t) for t in entry["types"])
        attributes = {k: self.decode(v) for k, v in entry["attributes"].items()}
        op = self._op(position, entry["op"], attributes, len(types))
        if not isinstance(op, Opaque):
            check_attributes(op)
            op.check_attributes()
        origin = Origin(*entry["origin"]) if "origin" in entry else Origin("", 0)
        extra = tuple((k, self.decode(v)) for k, v in entry.get("extra", {}).items())
        serial = self.serials[entry["order"]]
        scope = entry.get("scope", "")
        if op.is_variable or isinstance(op, Opaque):
            return Node(op, tuple(inputs), types, entry["name"], origin, scope, extra, serial)
        return make_node(op, tuple(inputs), entry["name"], origin, scope, extra, serial)

    @staticmethod
    def _op(position: int, name: str, attributes: dict[str, Any], count: int) -> Op:
        if name not in registry or any(isinstance(v, Opaque) for v in attributes.values()):
            return Opaque(name, tuple(attributes.items()), count)
        try:
            return registry.get(name)(**attributes)
        except TypeError as error:
            raise FormatError(
                f"node {position}: operator {name!r} does not take the attributes "
                f"{', '.join(attributes)}: {error}"
            ) from None

    def decode(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        match value["$"]:
            case "float":
                return float(value["value"])
            case "tuple":
                return tuple(self.decode(v) for v in value["items"])
            case "list":
                return [self.decode(v) for v in value["items"]]
            case "dict":
                return {k: self.decode(v) for k, v in value["items"]}
            case "dtype":
                return as_dtype(value["name"])
            case "op":
                attributes = {k: self.decode(v) for k, v in value["attributes"].items()}
                return self._op(-1, value["name"], attributes, 1)
            case "type":
                shape = value["shape"]
                dtype = value["dtype"]
                known = None if shape is None else tuple(self.dim(d) for d in shape)
                return TensorType(known, None if dtype is None else as_dtype(dtype))
            case "dim":
                return self.dim(value["value"])
            case "array":
                return _array(value)
            case "graph":
                return from_data(value["value"])
            case "initializer":
                fields = {k: self.decode(v) for k, v in value["fields"].items()}
                return _initializer(value["name"])(**fields)
            case kind:
                raise FormatError(f"unknown kind of attribute value {kind!r}")

    def dim(self, data: Any) -> Dim:
        if isinstance(data, int):
            return data
        if isinstance(data, str):
            return DimVar(data)
        ((symbol, rest),) = [(k, v) for k, v in data.items() if k != "constant"]
        if symbol == "?":
            return self.unknown.setdefault(rest, Unknown("?"))
        if symbol == "+":
            total: Dim = data["constant"]
            for factor, atoms in rest:
                product = dims.product([self.dim(a) for a in atoms])
                total = dims.add(total, dims.mul(product, factor))
            return total
        a, b = (self.dim(d) for d in rest)
        build = {"//": dims.floordiv, "%": dims.mod, "min": dims.minimum, "max": dims.maximum}
        return build[symbol](a, b)


def _array(value: Mapping[str, Any]) -> Any:
    raw = base64.b64decode(value["data"], validate=True)
    dtype = as_dtype(value["dtype"]).numpy
    shape = tuple(value["shape"])
    expected = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if len(raw) != expected:
        raise FormatError(f"an array of {dtype} {shape} needs {expected} bytes, got {len(raw)}")
    array = np.frombuffer(raw, dtype).reshape(shape)
    array.flags.writeable = False
    return array


def _initializer(name: str) -> type[Initializer]:
    stack = [Initializer]
    while stack:
        cls = stack.pop()
        if cls.__name__ == name:
            return cls
        stack.extend(cls.__subclasses__())
    raise FormatError(f"unknown initialiser {name!r}")
