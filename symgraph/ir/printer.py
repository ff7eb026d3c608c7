"""Graph IR as text: one node a line, deterministic.

%x: f32[N,784] = variable
%fc1_weight: f32[10,784] = variable {role=parameter}
%fc1: f32[N,10] = linear(%x, %fc1_weight, %fc1_bias) {units=10}
return %fc1

A graph that a node holds (the body of a loop) stands below it, each line after `|`.
"""

from __future__ import annotations

import numpy as np

from .graph import Graph
from .node import Node, Value
from .op import Variable
from .tensor_type import TensorType


def graph_text(graph: Graph) -> str:
    """The graph as text, with the best knowledge of every type."""
    types = graph.types
    lines = [line for node in graph.nodes for line in (_line(graph, node, types), *_inside(node))]
    lines.append("return " + ", ".join(value_text(graph, v) for v in graph.outputs))
    for name, value in graph.updates:
        lines.append(f"update {name} = {value_text(graph, value)}")
    return "\n".join(lines) + "\n"


def value_text(graph: Graph, value: Value) -> str:
    """`%name`, or `%name.output` where the operator has several outputs."""
    name = f"%{graph.names[value.node]}"
    if value.node.op.output_count == 1:
        return name
    return f"{name}.{value.node.op.output_names[value.index]}"


def attribute_text(value: object) -> str:
    """An attribute in one short word."""
    if isinstance(value, np.ndarray):
        if value.ndim == 0:
            return str(value)
        return f"<{value.dtype} {'x'.join(str(n) for n in value.shape)}>"
    if isinstance(value, Graph):
        return f"<{sum(not n.is_variable for n in value.nodes)} nodes>"
    return str(value)


def _inside(node: Node) -> list[str]:
    """The graph that a node holds, indented below it."""
    inner = node.op.subgraph
    return [] if inner is None else [f"  | {line}" for line in graph_text(inner).splitlines()]


def _attributes(node: Node) -> str:
    if isinstance(node.op, Variable):
        items = [] if node.op.role == "input" else [f"role={node.op.role}"]
    else:
        inner = node.op.subgraph
        items = [
            f"{k}={attribute_text(v)}"
            for k, v in node.op.attribute_items
            if inner is None or v is not inner
        ]
    return " {" + ", ".join(items) + "}" if items else ""


def _line(graph: Graph, node: Node, types: object) -> str:
    assert isinstance(types, dict)
    outputs = ", ".join(f"{value_text(graph, v)}: {_type(types[v])}" for v in node.values)
    inputs = ", ".join(value_text(graph, v) for v in node.inputs)
    call = node.op.name if node.is_variable else f"{node.op.name}({inputs})"
    return f"{outputs} = {call}{_attributes(node)}"


def _type(type: TensorType) -> str:
    return str(type)
