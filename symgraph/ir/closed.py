"""Operators with numbers in place of the open extents that their attributes name.

An operator alone cannot tell the extent N in `broadcast_to(shape=(N, 6))`, so its numpy reference
needs one with the extent written in; so do operators within others, as in a fused group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

from ..kernel import dims
from ..kernel.dims import Dim, DimVar, Symbolic
from .graph import Graph
from .node import Node, Value
from .op import Op, Variable


def closed(op: Op, sizes: Mapping[DimVar, Dim]) -> Op:
    """The operator with the sizes written into its attributes; itself where it names none."""
    if not sizes or isinstance(op, Variable) or not is_dataclass(op):
        return op
    old = {f.name: getattr(op, f.name) for f in fields(op) if f.init}
    new = {name: _closed(value, sizes) for name, value in old.items()}
    changed = {name: value for name, value in new.items() if value is not old[name]}
    if not changed:
        return op
    result: Any = replace(op, **changed)
    return result


def _closed(value: Any, sizes: Mapping[DimVar, Dim]) -> Any:
    match value:
        case Symbolic():
            found = dims.substitute(value, sizes)
            return value if found == value else found
        case tuple():
            items = tuple(_closed(v, sizes) for v in value)
            return value if all(a is b for a, b in zip(items, value, strict=True)) else items
        case Op():
            return closed(value, sizes)
        case Graph():
            return value.rewrite(lambda node, inputs: _values(node, inputs, sizes))
    return value


def _values(
    node: Node, inputs: tuple[Value, ...], sizes: Mapping[DimVar, Dim]
) -> Sequence[Value] | None:
    op = closed(node.op, sizes)
    if op is node.op:
        return None
    new = Node(op, inputs, node.types, node.name, node.origin, node.scope, node.attributes)
    return new.values
