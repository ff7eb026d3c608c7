"""The index expressions of a node, and of a fused node those of its inner nodes composed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import InternalError
from ..kernel.compute import Compute, Tensor, compute
from ..kernel.dtypes import as_dtype
from ..kernel.ir import const
from .fused import Fused
from .graph import Graph
from .node import Node, Value
from .op import Constant


def literal(value: Value) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]] | None:
    """The number of a constant with no axes, which is written into the expressions that read it."""
    op = value.node.op
    return op.value if isinstance(op, Constant) and op.value.ndim == 0 else None


def literal_tensor(number: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> Compute:
    """A number as a tensor without axes."""
    expr = const(number.item(), as_dtype(number.dtype))
    return compute((), lambda: expr, name="literal")


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
