"""Work of nodes: floating-point operations, from the operator's own count or its expressions.

Counts are integer expressions of the open extents. A reduction over n terms counts n operations
for combining them, so that a matrix product costs 2*m*n*k; a scattered or running one visits each
term once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..kernel import dims
from ..kernel.compute import Compute, placeholder
from ..kernel.dims import Dim
from ..kernel.functions import FUNCTIONS
from ..kernel.ir import Call, Expr, Load, Reduce
from ..kernel.picked_sums import picked_terms, visited
from ..kernel.rewrite import operands
from .apply import expand_parts
from .fused import Fused
from .graph import Graph
from .node import Node, Value
from .tensor_type import TensorType

__all__ = ["node_flops"]


def node_flops(node: Node, types: Mapping[Value, TensorType]) -> Dim | None:
    """The operations of one node; None where a type is unknown or nothing tells (host operators).

    Nodes inside composites and fused groups are counted with their parts.
    """
    ins = [types[v] for v in node.inputs]
    outs = [types[v] for v in node.values]
    if not all(t.is_complete for t in (*ins, *outs)):
        return None
    stated = node.op.flops(ins, outs)
    if stated is not None:
        count: Dim = stated
        return count
    if node.is_variable or node.op.is_host or node.op.is_view:
        return None if node.op.is_host else 0
    if isinstance(node.op, Fused):
        return _total(node.op.graph, [n[0] for n in node.op.graph.variables], ins)
    if node.op.is_composite:
        stand_ins, _, results = expand_parts(node, ins)
        return _total(Graph(results), stand_ins, ins)
    return _native(node, ins, outs)


def _total(graph: Graph, inputs: Sequence[Value], ins: Sequence[TensorType]) -> Dim | None:
    """The operations of an inner graph whose variables `inputs` have the types `ins`."""
    pairs = [(v.node, t) for v, t in zip(inputs, ins, strict=True) if v.node in graph.names]
    types = graph.infer(
        {graph.names[n]: t.shape for n, t in pairs}, {graph.names[n]: t.dtype for n, t in pairs}
    ).types
    total: Dim = 0
    for node in graph.nodes:
        part = node_flops(node, types)
        if part is None:
            return None
        total = dims.add(total, part)
    return total


def _native(node: Node, ins: Sequence[TensorType], outs: Sequence[TensorType]) -> Dim | None:
    tensors = []
    for i, type_ in enumerate(ins):
        assert type_.shape is not None
        tensors.append(placeholder(f"x{i}", type_.shape, type_.dtype))
    try:
        made = node.op.typed(outs).forward(*tensors)
    except NotImplementedError:  # constants and operators that are known by name only
        return 0 if not node.inputs else None
    computes = [made] if isinstance(made, Compute) else list(made)
    return _computes([c for c in computes if isinstance(c, Compute)])


def _computes(roots: Sequence[Compute]) -> Dim:
    """Every tensor that takes part is counted once, as if it were stored."""
    total: Dim = 0
    seen: dict[Compute, None] = dict.fromkeys(roots)
    waiting = list(seen)
    while waiting:
        compute = waiting.pop()
        picked = picked_terms(compute)
        if picked is None:
            cost, used = _expression(compute.body)
            total = dims.add(total, dims.mul(dims.product(compute.shape), cost))
        else:
            cost, used = _expression(picked.value)
            total = dims.add(total, dims.mul(visited(compute, picked), dims.add(cost, 1)))
        for other in used:
            if other not in seen:
                seen[other] = None
                waiting.append(other)
    return total


def _expression(body: Expr) -> tuple[Dim, list[Compute]]:
    """Operations for one element, shared parts once; and the tensors that are read."""
    total: Dim = 0
    used: list[Compute] = []
    seen: set[Expr] = set()
    waiting: list[tuple[Expr, Dim]] = [(body, 1)]
    while waiting:
        expr, times = waiting.pop()
        if expr in seen:
            continue
        seen.add(expr)
        match expr:
            case Call(function=function):
                total = dims.add(total, dims.mul(times, FUNCTIONS[function].flops))
            case Reduce(axes=axes):
                times = dims.mul(times, dims.product(tuple(axis.extent for axis in axes)))
                total = dims.add(total, times)
            case Load(tensor=Compute() as tensor):
                used.append(tensor)
        waiting += [(child, times) for child in operands(expr)]
    return total, used
