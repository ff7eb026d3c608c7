"""Structural comparison of graphs: what each node applies to what, whatever its name."""

from __future__ import annotations

from typing import Any

import numpy as np

from symgraph.ir.fused import Fused
from symgraph.ir.graph import Graph
from symgraph.ir.op import Constant, Variable
from symgraph.ir.symbol import Symbol
from symgraph.passes import ExpandComposites, InferTypes
from symgraph.passes.manager import run_passes


def typed(*symbols: Symbol, primitive: bool = True) -> Graph:
    """The graph of symbols with complete types, as the passes get it."""
    graph = Graph([s.value for s in symbols])
    return run_passes(graph, [InferTypes(), *([ExpandComposites()] if primitive else [])])


def structure(graph: Graph) -> list[str]:
    """One line a node: operator, attributes, inputs by number, types."""
    number = {node: n for n, node in enumerate(graph.nodes)}
    lines = [
        f"{n} = {_op_text(graph, node)}"
        f"({', '.join(f'{number[v.node]}.{v.index}' for v in node.inputs)})"
        f": {', '.join(str(t) for t in node.types)}"
        for node, n in number.items()
    ]
    ends = [f"{number[v.node]}.{v.index}" for v in graph.outputs]
    lines.append("return " + ", ".join(ends))
    lines += [f"update {name} = {number[v.node]}.{v.index}" for name, v in graph.updates]
    return lines


def _op_text(graph: Graph, node: Any) -> str:
    op = node.op
    if isinstance(op, Variable):
        return f"variable {graph.names[node]}"
    if isinstance(op, Constant):
        return f"constant {np.asarray(op.value).tolist()}"
    if isinstance(op, Fused):
        return "fused {" + "; ".join(structure(op.graph)) + "}"
    return f"{op.name} {dict(op.attribute_items)}"


def assert_same_graph(actual: Graph, expected: Graph) -> None:
    """Equal structure; the message shows both graphs."""
    got, want = structure(actual), structure(expected)
    text = "\n".join(["got:", *got, "expected:", *want])
    assert got == want, text


def op_names(graph: Graph) -> list[str]:
    """The operators in order, without variables and constants."""
    return [n.op.name for n in graph.nodes if not isinstance(n.op, (Variable, Constant))]


def same_numbers(before: Graph, after: Graph, seed: int = 0, **sizes: int) -> None:
    """Both graphs give the same arrays on the same random inputs."""
    from symgraph.passes.compare import compare_graphs

    difference = compare_graphs(before, after, seed=seed, sizes=sizes)
    assert difference is None, difference
