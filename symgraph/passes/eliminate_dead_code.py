"""Drop what no output needs.

A graph is its outputs, so nodes that nothing reads are gone already.  What is left: outputs of
operators with several outputs that nobody reads, inputs that a loop's body does not read, and state
that is not changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ..ir.graph import Graph, with_inputs
from ..ir.node import Node, Value
from ..ir.op import Op
from ..ir.symbol import Symbol
from .expand import replacement, to_fixpoint
from .manager import Fact, Pass


@dataclass(frozen=True)
class EliminateDeadCode(Pass):
    """%y, %indices = pool(%x), indices unread   ->   %y = pool(%x) {indices=False}
    update s = %s                             ->   (no update)
    """

    name: ClassVar[str] = "eliminate_dead_code"
    requires: ClassVar[Fact] = Fact.NAMED | Fact.TYPED

    def run(self, graph: Graph) -> Graph:
        graph = _without_idle_updates(graph)
        return to_fixpoint(self.name, graph, _narrowed)


def _without_idle_updates(graph: Graph) -> Graph:
    """Without the updates that give a variable its own value."""
    kept = tuple(
        (name, value)
        for name, value in graph.updates
        if not (value.node.is_variable and graph.names[value.node] == name)
    )
    return graph if len(kept) == len(graph.updates) else Graph(graph.outputs, kept)


def _narrowed(graph: Graph) -> Graph:
    read = {*graph.users, *graph.results}

    def change(node: Node, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
        used = tuple(v in read for v in node.values)
        if node.is_variable or (all(used) and node.op.subgraph is None):
            return None
        kept = with_inputs(node, inputs)

        def rule(op: Op, ins: tuple[Symbol, ...]) -> Sequence[Symbol] | None:
            offered = op.only(ins, used)
            if offered is None:
                return None
            pairs = zip(kept.values, offered, strict=True)
            return [Symbol(value) if symbol is None else symbol for value, symbol in pairs]

        return replacement(node, inputs, rule)

    return graph.rewrite(change)
