"""Operations of nodes."""

from __future__ import annotations

import symgraph as sg
from symgraph.ir.cost import node_flops


def operations(symbol: sg.Symbol, name: str) -> object:
    """The operations of the only node of an operator."""
    graph = symbol.graph
    inference = graph.infer()
    (node,) = [n for n in graph.nodes if n.op.name == name]
    return node_flops(node, inference.types)


def test_a_matrix_product_counts_two_operations_a_term() -> None:
    assert operations(sg.var("x", (2, 3)) @ sg.var("y", (3, 5)), "matmul") == 2 * 2 * 3 * 5


def test_a_scattered_sum_counts_its_terms_not_terms_times_elements() -> None:
    table, places = sg.var("table", (30000, 7)), sg.var("places", (5,), "int32")
    (gradient,) = sg.gradients(sg.sum(sg.take(table, places, axis=0)), [table])
    count = operations(gradient, "take_gradient")
    assert isinstance(count, int)
    assert 5 * 7 <= count <= 10 * 5 * 7


def test_a_running_sum_counts_its_terms_once() -> None:
    count = operations(sg.cumsum(sg.var("x", (3, 1000)), 1), "cumsum")
    assert isinstance(count, int)
    assert count <= 5 * 3 * 1000
