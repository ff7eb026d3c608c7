"""Let nodes that only look at a shape look at the earliest value that has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ..ir.graph import Graph, with_inputs
from ..ir.node import Node, Value
from .fusion.profile import Profiles
from .manager import Fact, Pass


@dataclass(frozen=True)
class DetachShapes(Pass):
    """%h = relu(%x); %z = zeros_like(%h)   ->   %z = zeros_like(%x)

    An input whose elements an operator never reads need not be computed for it, nor kept.  Such an
    input is replaced by the first value of the same type on the way to it.
    """

    name: ClassVar[str] = "detach_shapes"
    requires: ClassVar[Fact] = Fact.TYPED | Fact.PRIMITIVE

    def run(self, graph: Graph) -> Graph:
        profiles = Profiles()
        first: dict[Value, Value] = {}

        def earliest(value: Value) -> Value:
            """The value at the start of a path of equal types; inputs are visited before."""
            if value not in first:
                same = [v for v in value.node.inputs if v.type == value.type]
                first[value] = first.get(same[0], same[0]) if same else value
            return first[value]

        def change(node: Node, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
            kept = with_inputs(node, inputs)
            for value in kept.values:
                earliest(value)
            profile = profiles.of(kept)
            if profile is None or len(profile.read) == len(inputs):
                return kept.values
            moved = tuple(
                v if n in profile.read or not v.type.is_complete else earliest(v)
                for n, v in enumerate(inputs)
            )
            return with_inputs(kept, moved).values

        return graph.rewrite(change)
