"""Name every node and write complete, inferred types into the graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from ..errors import ShapeError
from ..ir.graph import Graph, Inference
from ..ir.infer import infer_node
from ..ir.node import Node, Value
from ..ir.op import Constant, Variable
from ..ir.scan import Scan
from ..ir.tensor_type import TensorType
from ..kernel import dims
from ..kernel.dims import Dim, DimVar
from .manager import Fact, Pass, provider


@provider
@dataclass(frozen=True)
class InferTypes(Pass):
    """Shapes and dtypes of every value, from the variables' own and those given here.

    %x: ?[...] = variable;  relu(%x)   ->   %x: f32[N,3] = variable;  %relu0: f32[N,3] = relu(%x)
    """

    shapes: Mapping[str, Any] = field(default_factory=dict)
    dtypes: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, Any] = field(default_factory=dict)
    """Arrays to be bound: where a variable's own shape is open, its array's is used."""
    known: Inference | None = None
    """What was found before, for the graph that it is of."""
    extents: Mapping[DimVar, Dim] = field(default_factory=dict)
    """What names of extents stand for in the graph around, where this one is a loop's."""
    name: ClassVar[str] = "infer_types"
    provides: ClassVar[Fact] = Fact.NAMED | Fact.TYPED
    # Before it the graph has no complete types to evaluate it with.
    exact: ClassVar[bool] = False
    # The graph of a loop is typed from the loop's inputs, below.
    inside: ClassVar[bool] = False

    def run(self, graph: Graph) -> Graph:
        """Raises: ShapeError naming what is still unknown."""
        inference = self.inference(graph)
        if not inference.complete:
            raise ShapeError(_unknown_text(graph, inference))
        extents = {**self.extents, **inference.bindings}
        new: dict[Value, Value] = {}
        for node in graph.nodes:
            inputs = tuple(new[v] for v in node.inputs)
            types = tuple(inference.types[v] for v in node.values)
            typed = _typed(graph, node, inputs, types, extents)
            new.update(zip(node.values, typed.values, strict=True))
        outputs = [new[v] for v in graph.outputs]
        updates = [(name, new[v]) for name, v in graph.updates]
        same = outputs == list(graph.outputs) and updates == list(graph.updates)
        return graph if same else Graph(outputs, updates)

    def inference(self, graph: Graph) -> Inference:
        """What is known of every value."""
        if self.known is not None and self.known.graph is graph:
            return self.known
        return graph.infer({**self._bound_shapes(graph), **self.shapes}, self.dtypes)

    def _bound_shapes(self, graph: Graph) -> dict[str, Any]:
        """Shapes of arrays for variables that state none; a wrong rank is reported at binding."""
        found: dict[str, Any] = {}
        for node in graph.variables:
            name, type = graph.names[node], node.types[0]
            closed = type.shape is not None and all(isinstance(d, int) for d in type.shape)
            if name in self.arrays and not closed:
                shape = np.shape(self.arrays[name])
                if type.shape is None or len(type.shape) == len(shape):
                    found[name] = shape
        return found


def _typed(
    graph: Graph,
    node: Node,
    inputs: tuple[Value, ...],
    types: tuple[TensorType, ...],
    extents: Mapping[DimVar, Dim],
) -> Node:
    op = node.op.typed(types)
    if isinstance(op, Scan):
        if op.length is not None:
            op = replace(op, length=dims.substitute(op.length, extents))
        op = op.with_subgraph(_typed_body(op, [v.type for v in inputs], extents))
    if isinstance(op, Variable):
        op = Variable(types[0], op.role, op.init, op.hint)
    name = graph.names[node]
    same = op is node.op and inputs == node.inputs and types == node.types and name == node.name
    if same and not node.scope:
        return node
    blank = Node(op, inputs, types, name, node.origin, "", node.attributes, node.serial)
    if isinstance(op, (Variable, Constant)) or op is node.op:
        return blank
    return Node(op, inputs, infer_node(blank), name, node.origin, "", node.attributes, node.serial)


def _typed_body(op: Scan, ins: Sequence[TensorType], extents: Mapping[DimVar, Dim]) -> Graph:
    """The body of a loop with the types that the loop's inputs give it."""
    known = {name: type for name, type in op.input_types(ins).items() if name in op.variables()}
    shapes = {name: type.shape for name, type in known.items()}
    dtypes = {name: type.dtype for name, type in known.items()}
    return InferTypes(shapes, dtypes, extents=extents).run(op.body)


def _unknown_text(graph: Graph, inference: Inference) -> str:
    lines = ["the shapes of some variables are not known and do not follow from the others:"]
    for value, type in inference.types.items():
        if value.node.is_variable and not type.is_complete:
            place = f"  declared at {value.node.origin}" if str(value.node.origin) else ""
            lines.append(f"  {graph.names[value.node]}: {type}{place}")
    if len(lines) == 1:
        names = ", ".join(inference.unknown[:5])
        lines = [f"the types of some values are not known: {names}"]
    lines.append("  give them in sg.var(name, shape), or as shapes={name: shape} when compiling")
    return "\n".join(lines)
