"""Replace operators that differ at inference time by their inference form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ..ir.graph import Graph
from ..ir.node import Node, Value
from .expand import expand_node, replacement, to_fixpoint
from .manager import Fact, Pass, provider


@provider
@dataclass(frozen=True)
class InferenceForm(Pass):
    """%d = dropout(%x)                                 ->   %x
    %y = batch_norm(%x, %gamma, %beta, %mean, %var)  ->   %x * scale + shift

    Each operator's `inference` gives its own form; composites are asked before they are expanded,
    their parts after.  Operators named in `keep` stay whole.
    """

    keep: frozenset[str] = frozenset()

    name: ClassVar[str] = "inference_form"
    requires: ClassVar[Fact] = Fact.TYPED
    provides: ClassVar[Fact] = Fact.INFERENCE | Fact.PRIMITIVE
    # Leaving out random numbers and batch statistics is the purpose.
    exact: ClassVar[bool] = False

    def run(self, graph: Graph) -> Graph:
        return to_fixpoint(self.name, graph, lambda g: g.rewrite(self._change))

    def _change(self, node: Node, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
        if node.op.name in self.keep:
            return None
        form = replacement(node, inputs, lambda op, ins: op.inference(ins))
        return expand_node(node, inputs) if form is None else form
