"""Merge nodes that compute the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ..ir.form import content_key, op_key
from ..ir.graph import Graph
from ..ir.node import Node, Value
from ..ir.op import BoundParameter, Constant
from .manager import Fact, Pass


@dataclass(frozen=True)
class EliminateCommonSubexpressions(Pass):
    """%a = exp(%x); %b = exp(%x); %c = add(%a, %b)   ->   %a = exp(%x); %c = add(%a, %a)

    Two nodes are the same when their operators have one type and equal attributes, and their inputs
    are the same; constants when their bytes are.  Never merges what is random, has state, or calls
    back into Python.
    """

    name: ClassVar[str] = "eliminate_common_subexpressions"
    requires: ClassVar[Fact] = Fact.TYPED

    def run(self, graph: Graph) -> Graph:
        twins = _repeated_constant_types(graph)
        first: dict[Hashable, Node] = {}
        number: dict[Node, int] = {}

        def change(node: Node, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
            key = node_key(node, inputs, number, twins)
            if key is None:
                return None
            if key in first:
                return first[key].values
            kept = node if inputs == node.inputs else Node(
                node.op, inputs, node.types, node.name, node.origin, node.scope, node.attributes,
                node.serial,
            )  # fmt: skip
            first[key] = kept
            number[kept] = len(number)
            return kept.values

        return graph.rewrite(change)


def _repeated_constant_types(graph: Graph) -> set[Hashable]:
    """Types that several constants share: only these need a look at their bytes."""
    count = Counter(n.types for n in graph.nodes if isinstance(n.op, Constant))
    return {types for types, times in count.items() if times > 1}


def node_key(
    node: Node,
    inputs: tuple[Value, ...],
    number: dict[Node, int],
    twins: set[Hashable] | None = None,
) -> Hashable | None:
    """What nodes that compute the same have in common; None for a node that stays apart.

    `number` orders the nodes that inputs may be of; `twins` are the types of constants whose bytes
    are looked at, all where it is None.
    """
    op = node.op
    if op.is_variable or op.is_host or op.state or not op.pure:
        return None
    if isinstance(op, Constant):
        compared = twins is None or node.types in twins
        # Parameters that are equal by chance (biases of zeros) stay apart: other numbers may be
        # put in their places later.
        if isinstance(op, BoundParameter):
            return None
        return (Constant, node.types, content_key(op.value)) if compared else None
    key = op_key(op)
    if key is None:
        return None
    order = inputs
    if op.commutative:
        order = tuple(sorted(inputs, key=lambda v: (number.get(v.node, -1), v.node.serial,
                                                    v.index)))  # fmt: skip
    return (key, node.types, order)
