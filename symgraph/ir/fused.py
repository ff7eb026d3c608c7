"""A fused group: a node that holds a sub-graph and becomes one kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from .graph import Graph
from .op import Op

if TYPE_CHECKING:
    from .infer import DTypeView, ShapeView, Unifier


@dataclass(frozen=True, eq=False)
class Fused(Op):
    """The operators of `graph` as one; the graph's variables are the inputs, in order."""

    graph: Graph
    name: ClassVar[str] = "fused"

    @property
    def output_count(self) -> int:
        return len(self.graph.outputs)

    @property
    def output_names(self) -> tuple[str, ...]:
        return tuple(f"output{i}" for i in range(self.output_count))

    @property
    def attribute_items(self) -> tuple[tuple[str, Any], ...]:
        inner = [n.op.name for n in self.graph.nodes if n.inputs]
        return (("ops", "+".join(inner)),)

    def infer_shape(self, u: Unifier, *inputs: ShapeView) -> tuple[Any, ...]:
        return tuple(v.type.shape for v in self.graph.outputs)

    def infer_dtype(self, u: Unifier, *inputs: DTypeView) -> tuple[Any, ...]:
        return tuple(v.type.dtype for v in self.graph.outputs)

    def reference(self, *arrays: Any) -> Any:
        """Each inner operator's own reference, in order."""
        values: dict[Any, Any] = {}
        for variable, array in zip(self.graph.variables, arrays, strict=True):
            values[variable[0]] = array
        for node in self.graph.nodes:
            if not node.is_variable:
                results = node.op.reference(*(values[v] for v in node.inputs))
                several = isinstance(results, Sequence) and node.op.output_count > 1
                for value, result in zip(
                    node.values, results if several else (results,), strict=True
                ):
                    values[value] = result
        results = tuple(values[v] for v in self.graph.outputs)
        return results if len(results) > 1 else results[0]
