"""Replace composite operators by their parts, until only primitive ones are left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ..errors import InternalError
from ..ir.apply import as_values
from ..ir.graph import Graph, make_node
from ..ir.infer import Unifier, default_dtypes
from ..ir.node import Node, Value, next_serial
from ..ir.op import Op
from ..ir.symbol import Symbol
from .manager import Fact, Pass, provider

Rule = Callable[[Op, tuple[Symbol, ...]], Any]
"""Calls one method of an operator: the symbols that replace its outputs, or None."""


@provider
@dataclass(frozen=True)
class ExpandComposites(Pass):
    """%y = softmax(%x)   ->   %m = max(%x); %e = exp(%x - %m); %y = %e / sum(%e)"""

    name: ClassVar[str] = "expand_composites"
    requires: ClassVar[Fact] = Fact.TYPED
    provides: ClassVar[Fact] = Fact.PRIMITIVE

    def run(self, graph: Graph) -> Graph:
        return to_fixpoint(self.name, graph, lambda g: g.rewrite(expand_node))


MAX_SWEEPS = 100
"""More sweeps over a graph than this mean that the operators' rules undo each other."""


def to_fixpoint(name: str, graph: Graph, sweep: Callable[[Graph], Graph]) -> Graph:
    """Repeat a sweep until it changes nothing.

    Raises: InternalError naming the operators that keep changing when it does not come to an end.
    """
    for _ in range(MAX_SWEEPS):
        new = sweep(graph)
        if new is graph:
            return graph
        before, graph = graph, new
    known = set(before.nodes)
    names = ", ".join(sorted({n.op.name for n in graph.nodes if n not in known}))
    raise InternalError(f"{name} has not come to an end after {MAX_SWEEPS} sweeps: the rules of "
                        f"{names} undo each other")  # fmt: skip


def expand_node(node: Node, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
    """The values of a composite node's parts; None for any other node."""
    if not node.op.is_composite:
        return None
    return replacement(node, inputs, lambda op, ins: op.forward(*ins))


def replacement(node: Node, inputs: tuple[Value, ...], rule: Rule) -> tuple[Value, ...] | None:
    """What a method of a node's operator offers in its place, typed; None for nothing.

    Raises: InternalError when the offer has another shape or dtype than the node.
    """
    before = next_serial()
    offered = rule(node.op, tuple(Symbol(v) for v in inputs))
    if offered is None:
        return None
    values = adopt(as_values(offered, node.op), node, before)
    for old, new in zip(node.types, values, strict=True):
        if old.is_complete and new.type != old:
            raise InternalError(
                f"{type(node.op).__name__} offers a form of {node.label} with type {new.type}, "
                f"expected {old}"
            )
    return values


def adopt(values: Sequence[Value], node: Node, before: int) -> tuple[Value, ...]:
    """Give the nodes made after serial `before`, which stand for `node`, its origin and scope,
    complete types, and the result its name.

    Literals that took no dtype yet get the one that inference gives them beside their partners.
    """
    parts = made_after(values, before)
    types = _types_of(parts)
    done: dict[Value, Value] = {}
    for part in parts:
        new_inputs = tuple(done.get(v, v) for v in part.inputs)
        name = node.name if part is values[0].node else None
        found = tuple(types.get(v, v.type) for v in part.values)
        op = part.op.typed(found)
        new = make_node(op, new_inputs, name, node.origin, node.scope, node.attributes)
        done.update(zip(part.values, new.values, strict=True))
    return tuple(done.get(v, v) for v in values)


def made_after(values: Sequence[Value], before: int) -> tuple[Node, ...]:
    """The nodes newer than `before` that the values rest on, inputs first; older ones end the walk
    so that its cost does not grow with the graph."""
    order: list[Node] = []
    seen: set[Node] = set()
    stack = [(v.node, False) for v in reversed(values)]
    while stack:
        part, done = stack.pop()
        if done:
            order.append(part)
        elif part not in seen and part.serial > before:
            seen.add(part)
            stack.append((part, True))
            stack.extend((v.node, False) for v in reversed(part.inputs))
    return tuple(order)


def _types_of(parts: Sequence[Node]) -> dict[Value, Any]:
    """Types of values that inference node by node left open, such as those of literals."""
    if all(t.is_complete for part in parts for t in part.types):
        return {}
    unifier = Unifier(local=True)
    unifier.run(parts)
    default_dtypes(unifier, parts)
    return {v: unifier.type_of(v) for part in parts for v in part.values}
