"""The index expressions of a node, and of a fused node those of its inner nodes composed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import InternalError
from ..kernel.compute import Compute, Tensor, compute
from ..kernel.dtypes import as_dtype
from ..kernel.ir import Buffer, const
from ..kernel.rewrite import loads
from .fused import Fused
from .graph import Graph
from .node import Node, Value
from .op import Constant


def literal(value: Value) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]] | None:
    """The number of a literal, which is written into the expressions that read it."""
    op = value.node.op
    return op.value if isinstance(op, Constant) and op.is_literal else None


def literal_tensor(number: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> Compute:
    """A number as a tensor without axes."""
    expr = const(number.item(), as_dtype(number.dtype))
    return compute((), lambda: expr, name="literal")


def reads_elements(node: Node, number: int) -> bool:
    """Whether a node reads elements of an input, or only its shape; yes where nothing tells."""
    if not all(v.type.is_complete for v in node.inputs) or node.op.subgraph is not None:
        return True
    tensors: list[Tensor] = []
    for value in node.inputs:
        assert value.type.shape is not None
        tensors.append(Buffer("x", value.type.shape, as_dtype(value.type.dtype)))
    try:
        stack = list(apply_forward(node, tensors))
    except NotImplementedError:
        return True
    seen: set[Compute] = set()
    while stack:
        current = stack.pop()
        if current not in seen:
            seen.add(current)
            for load in loads(current.body):
                if load.tensor is tensors[number]:
                    return True
                if isinstance(load.tensor, Compute):
                    stack.append(load.tensor)
    return False


def apply_forward(node: Node, tensors: Sequence[Tensor]) -> tuple[Compute, ...]:
    """The index expressions of a node's outputs; of a fused node, its inner nodes' composed."""
    if isinstance(node.op, Fused):
        return apply_graph(node.op.graph, tensors)
    result = node.op.forward(*tensors)
    results = (result,) if isinstance(result, Compute) else tuple(result)
    if len(results) != node.op.output_count:
        raise InternalError(f"{node.op.name}: forward must give {node.op.output_count} results, "
                            f"got {len(results)}")  # fmt: skip
    return results


def apply_graph(graph: Graph, tensors: Sequence[Tensor]) -> tuple[Compute, ...]:
    """The index expressions of a graph's outputs over tensors for its variables, in order."""
    values: dict[Value, Tensor] = dict(zip((n[0] for n in graph.variables), tensors, strict=True))
    for node in graph.nodes:
        if node.is_variable:
            continue
        number = literal(node[0])
        if number is not None:
            values[node[0]] = literal_tensor(number)
        else:
            inner = apply_forward(node, [values[v] for v in node.inputs])
            values.update(zip(node.values, inner, strict=True))
    results = []
    for value in graph.outputs:
        tensor = values[value]
        assert isinstance(tensor, Compute)
        results.append(tensor)
    return tuple(results)
