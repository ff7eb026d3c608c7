"""Names that hold across graphs: variables keep the names they have in the whole model."""

from __future__ import annotations

from collections.abc import Sequence

from ..ir.graph import Graph
from ..ir.node import Node, Value
from ..ir.symbol import Symbol


def pin_names(symbols: Sequence[Symbol]) -> list[Symbol]:
    """The same symbols over variables that carry their names themselves.

    A variable that an operator made is named after the operator, and an operator without a name
    after its number in the graph, so in a part of the graph (the outputs without the loss) it may
    be called otherwise.  Training works on several parts and must mean the same arrays by a name.
    """
    graph = Graph([s.value for s in symbols])
    _ = graph.variables  # raises where two have one name

    def named(node: Node, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
        if not node.is_variable:
            return None
        # The full name holds the scope already.
        return Node(
            node.op,
            (),
            node.types,
            graph.names[node],
            node.origin,
            "",
            node.attributes,
            node.serial,
        ).values

    return [Symbol(v) for v in graph.rewrite(named).outputs]
