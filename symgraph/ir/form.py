"""What nodes have in common that compute the same, whatever they are called and read.

Owns: the comparison of operators by class and attributes, and of whole nodes by what a kernel of
them would be.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from .compose import literal
from .fused import Fused
from .node import Node, Value
from .op import Constant, Op

SMALL_BYTES = 4096
"""Constants up to this size are compared by their bytes."""


def node_form(node: Node) -> Hashable | None:
    """Equal for nodes whose kernels are the same but for names: operators, attributes, types,
    numbers, and which inputs are one value.

    None for a node that cannot be compared.
    """
    numbers: dict[Value, int] = {}
    inputs = tuple(_input_form(value, numbers) for value in node.inputs)
    inner = _graph_form(node.op) if isinstance(node.op, Fused) else op_key(node.op)
    return None if inner is None or None in inputs else (inner, inputs, node.types)


def _input_form(value: Value, numbers: dict[Value, int]) -> Hashable | None:
    number = literal(value)
    if number is not None:
        return (number.dtype.str, number.tobytes())
    return (numbers.setdefault(value, len(numbers)), value.type)


def _graph_form(op: Fused) -> Hashable | None:
    """The nodes of a group, by position."""
    place = {node: n for n, node in enumerate(op.graph.nodes)}
    entries: list[Hashable] = []
    for node in op.graph.nodes:
        own = _inner_form(node)
        if own is None:
            return None
        entries.append((own, node.types, tuple((place[v.node], v.index) for v in node.inputs)))
    order = tuple(place[n] for n in op.graph.variables)
    return (tuple(entries), order, tuple((place[v.node], v.index) for v in op.graph.outputs))


def _inner_form(node: Node) -> Hashable | None:
    op = node.op
    if node.is_variable:
        return "variable"
    if isinstance(op, Constant):
        return _attribute_key(op.value) if op.value.nbytes <= SMALL_BYTES else None
    return _graph_form(op) if isinstance(op, Fused) else op_key(op)


def op_key(op: Op) -> Hashable | None:
    """The type and attributes of an operator, so that equal keys mean equal operators.

    None where the class does not compare by its fields, or an attribute cannot be compared.
    """
    cls = type(op)
    if not is_dataclass(op) or cls.__eq__ is object.__eq__:
        return None if _has_state(op) else (cls, ())
    parts = tuple(_attribute_key(getattr(op, f.name)) for f in fields(op))
    return None if any(p is None for p in parts) else (cls, parts)


def _has_state(op: Op) -> bool:
    """Anything on the object besides what its class says."""
    return is_dataclass(op) or bool(getattr(op, "__dict__", None))


def _attribute_key(value: Any) -> Hashable | None:
    """A key that also tells 1, 1.0 and True apart, and 0.0 from -0.0."""
    if isinstance(value, float):
        return (float, value.hex())
    if isinstance(value, np.ndarray):
        return (np.ndarray, value.dtype.str, value.shape, content_key(value))
    if isinstance(value, (tuple, list)):
        parts = tuple(_attribute_key(v) for v in value)
        return None if any(p is None for p in parts) else (tuple, parts)
    try:
        hash(value)
    except TypeError:
        return None
    return (type(value), value)


def content_key(array: np.ndarray[Any, Any]) -> Hashable:
    """A digest of an array's bytes."""
    return hashlib.blake2b(np.ascontiguousarray(array).tobytes(), digest_size=16).digest()
