"""Operators over tensors that lie inside larger ones."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.ir.graph import make_node
from symgraph.ir.layout import InLayout, Layout
from symgraph.ir.origin import Origin
from symgraph.ir.read_inside import ReadInside

CASES = [
    (lambda x: sg.exp(x), ((1, 2), (0, 3), (2, 0))),
    (lambda x: sg.sum(x, axis=1), ((0, 1), (2, 1), (0, 0))),
    (lambda x: sg.transpose(x, (2, 0, 1)), ((1, 0), (0, 0), (3, 1))),
    (lambda x: sg.max(x, axis=2), ((0, 0), (0, 2), (1, 1))),
]


@pytest.mark.parametrize("case", range(len(CASES)))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_equal_to_the_operator_on_the_inner_part(case, dtype) -> None:
    function, margins = CASES[case]
    whole = sg.var("x", (5, 7, 8), dtype)
    inner_shape = tuple(n - a - b for n, (a, b) in zip((5, 7, 8), margins, strict=True))
    node = function(sg.var("y", inner_shape, dtype)).node
    wrapped = make_node(ReadInside(node.op, (margins,)), (whole.value,), None, Origin("test", 1))
    x = np.random.default_rng(0).normal(size=(5, 7, 8)).astype(dtype)
    inner = x[tuple(slice(a, n - b) for n, (a, b) in zip(x.shape, margins, strict=True))]
    expected = sg.compile(function(sg.var("y", inner_shape, dtype)), target="interp")(y=inner)
    got = sg.compile(sg.Symbol(wrapped[0]), target="interp", verify=2)(x=x)
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    np.testing.assert_allclose(wrapped.op.reference(x), expected, rtol=1e-5)


def test_an_index_from_data_stays_inside_the_inner_part() -> None:
    table = sg.var("t", (6, 2))
    index = sg.var("i", (4,), "int32")
    node = sg.take(sg.var("u", (3, 2)), index, axis=0).node
    op = ReadInside(node.op, (((1, 2), (0, 0)), None))
    made = make_node(op, (table.value, index.value), None, Origin("test", 1))
    f = sg.compile(sg.Symbol(made[0]), target="interp")
    t = np.arange(12, dtype=np.float32).reshape(6, 2)
    got = f(t=t, i=np.array([0, 2, 9, -9], np.int32))
    assert {tuple(row) for row in got} <= {tuple(row) for row in t[1:4]}
    np.testing.assert_array_equal(got[:2], t[[1, 3]])


def test_inside_a_layout_and_of_an_operator_in_a_layout() -> None:
    blocks = Layout(((1, 4),))
    node = sg.relu(sg.var("y", (2, 8, 3))).node
    op = ReadInside(InLayout(node.op, (blocks,), (blocks,)), (((0, 0), (0, 0), (1, 2), (0, 0)),))
    x = sg.var("x", (2, 2, 6, 4))
    made = make_node(op, (x.value,), None, Origin("test", 1))
    assert made.types[0].shape == (2, 2, 3, 4)
    a = np.random.default_rng(1).normal(size=(2, 2, 6, 4)).astype(np.float32)
    got = sg.compile(sg.Symbol(made[0]), target="interp", verify=2)(x=a)
    np.testing.assert_array_equal(got, np.maximum(a[:, :, 1:4], 0))
    assert dict(made.op.attribute_items)["op"] == "relu"
