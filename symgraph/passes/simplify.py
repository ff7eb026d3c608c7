"""Apply the local identities that operators offer, until none fires."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ..ir.graph import Graph
from ..ir.node import Node, Value
from .expand import replacement, to_fixpoint
from .manager import Fact, Pass


@dataclass(frozen=True)
class Simplify(Pass):
    """%a = add(%x, 0); %t = transpose(transpose(%a))   ->   %x

    Each operator's `simplify` states its own identities; this pass names none.
    Raises: InternalError naming the operators when the identities of two undo each other.
    """

    name: ClassVar[str] = "simplify"
    requires: ClassVar[Fact] = Fact.TYPED | Fact.PRIMITIVE

    def run(self, graph: Graph) -> Graph:
        return to_fixpoint(self.name, graph, lambda g: g.rewrite(_simpler))


def _simpler(node: Node, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
    return replacement(node, inputs, lambda op, ins: op.simplify(ins))
