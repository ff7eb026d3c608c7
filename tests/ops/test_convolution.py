"""Convolution and pooling: inference in every direction, attributes, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.errors import AttributeValueError, ShapeError


def test_data_gives_the_weights() -> None:
    x = sg.var("x", ("N", 3, 28, 20))
    y = sg.conv2d(x, 20, kernel_size=(5, 3), name="conv1")
    shapes = y.infer_shape()
    assert shapes["conv1_weight"] == (20, 3, 5, 3)
    assert shapes["conv1_bias"] == (20,)
    assert [str(d) for d in shapes["conv1"]] == ["N", "20", "24", "18"]


def test_a_weight_gives_channels_and_kernel() -> None:
    weight = sg.var("w", (6, 4, 3, 2))
    y = sg.conv2d(sg.var("x"), weight=weight, groups=2, use_bias=False)
    shapes = y.infer_shape(x=(1, 8, 9, 7))
    assert shapes.outputs == ((1, 6, 7, 6),)
    partial = y.infer_shape()
    assert partial["x"][1] == 8


class Alike(sg.Op):
    """Two tensors of one shape."""

    name = "alike"
    attribute_items = ()

    def infer_shape(self, u: Any, x: Any, y: Any) -> tuple[Any, ...]:
        u.same_shape(x, y, "x and y must have one shape")
        return (x,)


def test_the_output_gives_the_input_for_stride_one() -> None:
    x = sg.var("x")
    y = Alike()(sg.conv2d(x, 5, kernel_size=3, padding=1, name="c"), sg.var("t", (2, 5, 11, 7)))
    shapes = y.infer_shape(c_weight=(5, 3, 3, 3))
    assert shapes["x"] == (2, 3, 11, 7)


def test_a_strided_output_is_kept_as_an_equation() -> None:
    x, t = sg.var("x"), sg.var("t", (2, 5, 6, 7))
    y = Alike()(sg.conv2d(x, 5, kernel_size=3, stride=2, name="c"), t)
    partial = y.infer_shape(c_weight=(5, 3, 3, 3))
    assert not partial.complete
    assert partial["x"][0] == 2
    assert y.infer_shape(x=(2, 3, 14, 15)).complete
    with pytest.raises(ShapeError, match="c"):
        y.infer_shape(x=(2, 3, 16, 15))


def test_same_padding_keeps_the_extents() -> None:
    x = sg.var("x", (1, 2, 9, 8))
    y = sg.conv2d(x, 3, kernel_size=(3, 4), padding="same", dilation=(2, 1))
    assert y.shape == (1, 3, 9, 8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stride": 0}, "stride must be at least 1, got 0"),
        ({"padding": "full"}, "'same' or 'valid', got 'full'"),
        ({"padding": "same", "stride": 2}, "needs stride 1"),
        ({"groups": 2}, "channels 3 must be a multiple of groups 2"),
        ({"kernel_size": (3, 3, 3)}, "must be an int or 2 ints"),
        ({"kernel_size": None}, "give kernel_size, or a weight"),
    ],
)
def test_wrong_attributes_are_refused(change: dict[str, object], message: str) -> None:
    x = sg.var("x", (1, 4, 9, 8))
    with pytest.raises(AttributeValueError, match=message):
        sg.conv2d(x, 3, **{"kernel_size": 3, **change})  # type: ignore[arg-type]


def test_wrong_shapes_are_refused_when_the_node_is_built() -> None:
    x = sg.var("x", (1, 4, 9, 8))
    with pytest.raises(ShapeError, match=r"x.shape\[1\] must equal weight.shape\[1\]: 4 != 5"):
        sg.conv2d(x, weight=sg.var("w", (3, 5, 3, 3)))
    with pytest.raises(ShapeError, match="output extent along spatial axis 1"):
        sg.conv2d(x, 3, kernel_size=(9, 9))
    with pytest.raises(ShapeError, match="must have 4 axes"):
        sg.conv2d(sg.var("v", (4, 9, 8)), 3, kernel_size=3)


def test_pooling_extents() -> None:
    x = sg.var("x", ("N", 3, 6, 8))
    assert sg.max_pool2d(x, 3, 2).shape[2:] == (2, 3)  # type: ignore[index]
    assert sg.max_pool2d(x, 3, 2, ceil_mode=True).shape[2:] == (3, 4)  # type: ignore[index]
    # A last window that would start in the padding after the input is left out.
    assert sg.max_pool2d(x, 2, 3, padding=1, ceil_mode=True).shape[2:] == (3, 3)  # type: ignore[index]
    with pytest.raises(AttributeValueError, match="padding must be less than the kernel 2"):
        sg.max_pool2d(x, 2, padding=2)
    with pytest.raises(ShapeError, match="must be a multiple of output_size 4, got 6"):
        sg.adaptive_avg_pool2d(x, 4)


def test_the_gradient_of_a_maximum_goes_to_the_first() -> None:
    x = sg.var("x", (1, 1, 2, 4), "float64")
    g = sg.gradients(sg.max_pool2d(x, 2), x, sg.var("g", (1, 1, 1, 2), "float64"))
    f = sg.compile(g, target="interp")
    array = np.array([[[[1.0, 1.0, 0.0, 3.0], [1.0, 1.0, 3.0, 3.0]]]])
    got = f(x=array, g=np.array([[[[5.0, 7.0]]]]))
    assert np.array_equal(got, [[[[5.0, 0.0, 0.0, 7.0], [0.0, 0.0, 0.0, 0.0]]]])


def test_one_executable_serves_any_batch() -> None:
    x = sg.var("x", ("N", 2, 6, 7))
    y = sg.max_pool2d(sg.conv2d(x, 3, kernel_size=3, name="c"), 2)
    rng = np.random.default_rng(0)
    params = {
        "c_weight": rng.normal(size=(3, 2, 3, 3)).astype(np.float32),
        "c_bias": rng.normal(size=3).astype(np.float32),
    }
    f = sg.compile(y, params=params, target="interp")
    array = rng.normal(size=(5, 2, 6, 7)).astype(np.float32)
    whole = f(x=array)
    assert whole.shape == (5, 3, 2, 2)
    assert np.allclose(f(x=array[1:2]), whole[1:2])
    assert f(x=array[:0]).shape == (0, 3, 2, 2)
