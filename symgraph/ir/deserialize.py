"""Graphs from data: what `serialize.py` writes, every part of it checked as it is read.

Files come from anywhere; whatever they hold, reading gives a graph or a `FormatError` that names
the node and says what was expected and what is there.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from ..errors import FormatError, UserError
from ..kernel import dims
from ..kernel.dims import Dim, DimVar, Unknown
from ..kernel.dtypes import as_dtype
from .attributes import check_attributes
from .graph import Graph, make_node
from .initializer import Initializer
from .node import Node, Value, next_serial
from .op import Op, Opaque
from .origin import NOWHERE, Origin
from .registry import registry
from .tensor_type import TensorType

FORMAT = "symgraph.graph"
VERSION = 1
_BINARY = {"//": dims.floordiv, "%": dims.mod, "min": dims.minimum, "max": dims.maximum}
_KINDS: dict[type, str] = {
    dict: "an object",
    list: "a list",
    str: "a string",
    int: "an integer",
    TensorType: "a type",
}
T = TypeVar("T")


def from_data(data: Any) -> Graph:
    """The graph of `to_data`.  Raises: FormatError saying what is wrong and where."""
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise FormatError(f'not a graph: expected an object with "format": {FORMAT!r}')
    version = data.get("version")
    if version != VERSION:
        raise FormatError(
            f"graph format version {version!r} cannot be read; this release reads version {VERSION}"
        )
    reader = _Reader()
    try:
        return reader.graph(data)
    except UserError:
        raise
    except RecursionError:
        raise FormatError(f"damaged graph: {reader.where}values are nested too deeply") from None
    except (TypeError, ValueError) as error:
        raise FormatError(f"damaged graph: {reader.where}{error}") from error


class _Reader:
    """Decodes nodes in order."""

    def __init__(self) -> None:
        self.unknown: dict[int, Unknown] = {}
        self.nodes: list[Node] = []
        self.where = ""

    def graph(self, data: Mapping[str, Any]) -> Graph:
        entries = self.member(data, "nodes", list)
        serials = [next_serial() for _ in entries]
        for position, entry in enumerate(entries):
            self.where = f"node {position}: "
            self.expect(entry, dict, "it")
            op, name = self.member(entry, "op", str), entry.get("name")
            self.where = f"node {position} ({op}{'' if name is None else f' {name!r}'}): "
            if name is not None:
                self.expect(name, str, "name")
            order = self.member(entry, "order", int)
            if not 0 <= order < len(entries):
                raise self.damaged(f"order must be from 0 to {len(entries) - 1}, got {order}")
            self.nodes.append(self.node(entry, op, name, serials[order]))
        self.where = ""
        if len({node.serial for node in self.nodes}) != len(entries):
            raise self.damaged("two nodes have one order")
        outputs = [self.value(v, "outputs") for v in self.member(data, "outputs", list)]
        return Graph(outputs, [self.update(v) for v in self.member(data, "updates", list, [])])

    def node(self, entry: Mapping[str, Any], name: str, own: str | None, serial: int) -> Node:
        inputs = tuple(self.value(v, "inputs") for v in self.member(entry, "inputs", list))
        types = tuple(
            self.expect(self.decode(t), TensorType, "each of types")
            for t in self.member(entry, "types", list)
        )
        op = self.op(name, self.attributes(entry, "attributes"), len(types))
        origin = self.origin(entry)
        scope = self.member(entry, "scope", str, "")
        extra = tuple(self.attributes(entry, "extra", {}).items())
        if not (op.is_variable or isinstance(op, Opaque)):
            least, most = op.input_limits
            if len(inputs) < least or (most is not None and len(inputs) > most):
                raise self.damaged(f"it cannot have {len(inputs)} inputs")
            return make_node(op, inputs, own, origin, scope, extra, serial)
        if op.is_variable and (inputs or len(types) != 1):
            raise self.damaged("a variable has one type and no inputs")
        return Node(op, inputs, types, own, origin, scope, extra, serial)

    def value(self, data: Any, what: str) -> Value:
        """An output of a node that was read."""
        if not (_are(data, int) and len(data) == 2):
            raise self.damaged(f"{what}: expected [node, output], got {_shown(data)}")
        number, index = data
        if not 0 <= number < len(self.nodes):
            raise self.damaged(
                f"{what}: there is no node {number} before it: a graph has no cycles"
                if self.where
                else f"{what}: there is no node {number}"
            )
        node = self.nodes[number]
        if not 0 <= index < len(node.types):
            raise self.damaged(f"{what}: node {number} ({node.op.name}) has no output {index}")
        return Value(node, index)

    def update(self, data: Any) -> tuple[str, Value]:
        self.expect(data, list, "each of updates")
        if len(data) != 3 or not isinstance(data[0], str):
            raise self.damaged(f"updates: expected [name, node, output], got {_shown(data)}")
        return data[0], self.value(data[1:], "updates")

    def origin(self, entry: Mapping[str, Any]) -> Origin:
        if "origin" not in entry:
            return NOWHERE
        match entry["origin"]:
            case [str(file), int(line), str(note)]:
                return Origin(file, line, note)
            case other:
                raise self.damaged(f"origin: expected [file, line, note], got {_shown(other)}")

    def op(self, name: str, attributes: dict[str, Any], count: int) -> Op:
        if name not in registry or any(isinstance(v, Opaque) for v in attributes.values()):
            return Opaque(name, tuple(attributes.items()), count)
        try:
            op = registry.get(name)(**attributes)
        except TypeError as error:
            raise self.damaged(
                f"operator {name!r} does not take the attributes {', '.join(attributes)}: {error}"
            ) from None
        check_attributes(op)
        op.check_attributes()
        return op

    def attributes(self, entry: Mapping[str, Any], key: str, *default: Any) -> dict[str, Any]:
        found = self.member(entry, key, dict, *default)
        return {name: self.decode(value) for name, value in found.items()}

    def decode(self, value: Any) -> Any:
        if not isinstance(value, (dict, list)):
            return value
        coded = self.expect(value, dict, "an attribute")
        kind = self.member(coded, "$", str)
        if kind not in _DECODERS:
            raise self.damaged(f"unknown kind of attribute value {kind!r}")
        return _DECODERS[kind](self, coded)

    def items(self, value: Mapping[str, Any]) -> list[Any]:
        return [self.decode(v) for v in self.member(value, "items", list)]

    def dictionary(self, value: Mapping[str, Any]) -> dict[str, Any]:
        pairs = self.member(value, "items", list)
        if not all(isinstance(p, list) and len(p) == 2 and isinstance(p[0], str) for p in pairs):
            raise self.damaged(f"items: expected [key, value] each, got {_shown(pairs)}")
        return {key: self.decode(v) for key, v in pairs}

    def operator(self, value: Mapping[str, Any]) -> Op:
        return self.op(self.member(value, "name", str), self.attributes(value, "attributes"), 1)

    def tensor_type(self, value: Mapping[str, Any]) -> TensorType:
        shape, dtype = value.get("shape"), value.get("dtype")
        known = None if shape is None else self.expect(shape, list, "shape")
        return TensorType(
            None if known is None else tuple(self.extent(d) for d in known),
            None if dtype is None else as_dtype(self.expect(dtype, str, "dtype")),
        )

    def extent(self, data: Any) -> Dim:
        dim = self.dim(data)
        if isinstance(dim, int) and dim < 0:
            raise self.damaged(f"an extent cannot be negative, got {dim}")
        return dim

    def dim(self, data: Any) -> Dim:
        if isinstance(data, str):
            return DimVar(data)
        if not isinstance(data, dict):
            return self.expect(data, int, "an extent")
        rest = [key for key in data if key != "constant"]
        if rest == ["?"]:
            return self.unknown.setdefault(self.member(data, "?", int), Unknown("?"))
        if rest == ["+"]:
            return self.total(data)
        if len(rest) != 1 or rest[0] not in _BINARY:
            raise self.damaged(f"unknown kind of extent {_shown(data)}")
        operands = [self.dim(d) for d in self.member(data, rest[0], list)]
        if len(operands) != 2 or (rest[0] in "//%" and operands[1] == 0):
            raise self.damaged(f"an extent cannot be {_shown(data)}")
        return _BINARY[rest[0]](*operands)

    def total(self, data: Mapping[str, Any]) -> Dim:
        total: Dim = self.member(data, "constant", int)
        for term in self.member(data, "+", list):
            match term:
                case [int(factor), list(atoms)]:
                    product = dims.product([self.dim(a) for a in atoms])
                    total = dims.add(total, dims.mul(product, factor))
                case _:
                    raise self.damaged(f"an extent: expected [factor, atoms], got {_shown(term)}")
        return total

    def number(self, value: Mapping[str, Any]) -> float:
        return float(self.member(value, "value", str))

    def dtype(self, value: Mapping[str, Any]) -> Any:
        return as_dtype(self.member(value, "name", str))

    def array(self, value: Mapping[str, Any]) -> Any:
        raw = base64.b64decode(self.member(value, "data", str), validate=True)
        dtype = as_dtype(self.member(value, "dtype", str)).numpy
        shape = self.member(value, "shape", list)
        if not _are(shape, int) or any(n < 0 for n in shape):
            raise self.damaged(f"an array cannot have the shape {_shown(shape)}")
        expected = math.prod(shape) * dtype.itemsize
        if len(raw) != expected:
            raise self.damaged(
                f"an array of {dtype} {tuple(shape)} needs {expected} bytes, got {len(raw)}"
            )
        array = np.frombuffer(raw, dtype).reshape(shape)
        array.flags.writeable = False
        return array

    def initializer(self, value: Mapping[str, Any]) -> Initializer:
        name = self.member(value, "name", str)
        fields = self.attributes(value, "fields")
        stack = [Initializer]
        while stack:
            cls = stack.pop()
            if cls.__name__ == name:
                return cls(**fields)
            stack.extend(cls.__subclasses__())
        raise self.damaged(f"unknown initialiser {name!r}")

    def member(self, data: Mapping[str, Any], key: str, kind: type[T], *default: T) -> T:
        """What an object must hold under a key."""
        if key not in data:
            if default:
                return default[0]
            raise self.damaged(f"{key!r} is missing")
        return self.expect(data[key], kind, key)

    def expect(self, value: Any, kind: type[T], what: str) -> T:
        if isinstance(value, bool) or not isinstance(value, kind):
            raise self.damaged(f"{what} must be {_KINDS[kind]}, got {_shown(value)}")
        return value

    def damaged(self, message: str) -> FormatError:
        return FormatError(f"damaged graph: {self.where}{message}")


_DECODERS: dict[str, Callable[[_Reader, Mapping[str, Any]], Any]] = {
    "float": _Reader.number,
    "tuple": lambda reader, value: tuple(reader.items(value)),
    "list": _Reader.items,
    "dict": _Reader.dictionary,
    "dtype": _Reader.dtype,
    "op": _Reader.operator,
    "type": _Reader.tensor_type,
    "dim": lambda reader, value: reader.dim(value.get("value")),
    "array": _Reader.array,
    "graph": lambda reader, value: from_data(value.get("value")),
    "initializer": _Reader.initializer,
}


def _are(data: Any, kind: type) -> bool:
    """Whether it is a list of these and of nothing else."""
    return isinstance(data, list) and all(type(item) is kind for item in data)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
