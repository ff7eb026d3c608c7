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


def test_a_composite_is_counted_with_what_inference_knows_of_its_weights() -> None:
    x = sg.var("x", ("N", 5, 4, 4))
    y = sg.conv_transpose2d(x, 3, kernel_size=4, stride=2, name="up")
    assert y.graph.variables[1].types[0].shape is None
    count = operations(y, "conv_transpose2d")
    assert "N" in str(count)
    assert "conv_transpose2d" in str(sg.viz.summary(y))
