"""Batch norm and constant scales disappear into convolutions and linear layers."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.options import Options
from symgraph.passes import graph_pipeline
from tests.support.graphs import op_names

RNG = np.random.default_rng(4)


def arrays(symbol):
    """Random parameters; variances and the like stay positive."""
    shapes = symbol.infer_shape().variables
    return {
        name: RNG.uniform(0.5, 1.5, shape).astype(np.float32)
        for name, shape in shapes.items()
        if name != "x"
    }


def check(y, shape, expected, level=1):
    params = arrays(y)
    graph, _ = graph_pipeline(Options(level=level), False, {}, {}, params).run(y.graph)
    assert [n for n in op_names(graph) if n != "pad"] == expected
    x = RNG.uniform(-1, 1, shape).astype(np.float32)
    plain = sg.compile(y, params=params, target="interp", level=0)(x)
    folded = sg.compile(y, params=params, target="interp", level=2, verify=3)(x)
    np.testing.assert_allclose(folded, plain, rtol=2e-4, atol=2e-4)


def test_batch_norm_goes_into_a_convolution() -> None:
    x = sg.var("x", ("N", 3, 9, 7))
    y = sg.relu(sg.batch_norm(sg.conv2d(x, 5, kernel_size=3, use_bias=False)))
    check(y, (2, 3, 9, 7), ["convolution", "relu"])
    check(sg.batch_norm(sg.conv2d(x, 5, kernel_size=3)), (2, 3, 9, 7), ["convolution"])


def test_batch_norm_goes_into_a_linear_layer() -> None:
    x = sg.var("x", ("N", 17))
    check(sg.batch_norm(sg.linear(x, 5)), (4, 17), ["linear"])
    check(sg.batch_norm(sg.linear(x, 5, use_bias=False)), (4, 17), ["linear"])


@pytest.mark.parametrize(
    "change",
    [
        lambda y: y * 0.5,
        lambda y: 0.5 * y + 2.0,
        lambda y: y / sg.constant(np.array([2, 4, 5], np.float32)),
        lambda y: sg.constant(np.array([2, 4, 5], np.float32)) - y,
        lambda y: -y - 1.5,
    ],
)
def test_scales_and_shifts_of_a_linear_layer(change) -> None:
    x = sg.var("x", (2, "N", 17))
    check(change(sg.linear(x, 3)), (2, 4, 17), ["linear"])
    check(change(sg.linear(x, 3, use_bias=False)), (2, 4, 17), ["linear"])


def test_a_scale_along_another_axis_stays() -> None:
    x = sg.var("x", (5, 17))
    rows = sg.constant(np.arange(1, 6, dtype=np.float32).reshape(5, 1))
    check(sg.linear(x, 3) * rows, (5, 17), ["linear", "multiply"])


def test_division_by_zero_is_not_folded() -> None:
    y = sg.linear(sg.var("x", (5, 17)), 2) / sg.constant(np.array([0, 1], np.float32))
    graph, _ = graph_pipeline(Options(level=1), False, {}, {}, arrays(y)).run(y.graph)
    assert op_names(graph) == ["linear", "divide"]
