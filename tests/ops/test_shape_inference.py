"""Shapes found backwards: from outputs to inputs, through every operator that can be inverted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import symgraph as sg
from symgraph.errors import AttributeValueError, ShapeError


def _backwards(build: Callable[[Any], Any], x: Any, out: tuple[Any, ...]) -> Any:
    """The shape of x that follows when an operator's output must have the shape `out`."""
    variable = sg.var("x", x)
    y = build(variable)
    # The inputs of stack have one shape, so what is known of one holds for the other.
    both = sg.stack([y, sg.var("known", out)])
    return both.infer_shape()["x"]


@pytest.mark.parametrize(
    ("build", "x", "out", "expected"),
    [
        (lambda x: sg.relu(x), None, (2, 3), (2, 3)),
        (lambda x: sg.reshape(x, (6, -1)), (None, 4), (6, 2), (3, 4)),
        (lambda x: sg.reshape(x, (0, -1)), (None, 3, 5), (7, 15), (7, 3, 5)),
        (lambda x: sg.reshape(x, (-3, 0)), (2, None, 5), (6, 5), (2, 3, 5)),
        (lambda x: sg.flatten(x), (None, 3, None), (2, 15), (2, 3, 5)),
        (lambda x: sg.transpose(x, (2, 0, 1)), None, (5, 2, 3), (2, 3, 5)),
        (lambda x: sg.transpose(x), None, (5, 3), (3, 5)),
        (lambda x: sg.expand_dims(x, 1), None, (2, 1, 3), (2, 3)),
        (lambda x: sg.squeeze(x, (1,)), None, (2, 3), (2, 1, 3)),
        (lambda x: sg.sum(x, axis=1, keepdims=True), (None, 7), (2, 1), (2, 7)),
        (lambda x: sg.concat([x, sg.var("y", (2, 4))], axis=1), None, (2, 7), (2, 3)),
        (lambda x: sg.split(x, 3, axis=1)[0], (None, None), (2, 5), (2, 15)),
        (lambda x: sg.split(x, (2, 6), axis=0)[2], (None, 3), (4, 3), (10, 3)),
        (lambda x: x[1:], (None, None), (4, 3), (5, 3)),
        (lambda x: x[:, 2:-1], None, (4, 3), (4, 6)),
        (lambda x: x[:9], (None, 3), (4, 3), (4, 3)),
        (lambda x: x[::-1], (None,), (4,), (4,)),
        (lambda x: sg.pad(x, ((1, 2), (0, 0))), None, (7, 3), (4, 3)),
        (lambda x: sg.tile(x, (2, 3)), (None, None), (4, 15), (2, 5)),
        (lambda x: sg.repeat(x, 2, axis=1), (None, None), (3, 10), (3, 5)),
        (lambda x: sg.linear(x, 5), (None, 7), (3, 5), (3, 7)),
        (lambda x: sg.matmul(x, sg.var("w", (7, 5))), (None, None), (3, 5), (3, 7)),
        (lambda x: sg.einsum("ij,jk->ki", x, sg.var("w", (7, 5))), None, (5, 3), (3, 7)),
    ],
)
def test_an_output_tells_its_input(build: Any, x: Any, out: Any, expected: Any) -> None:
    assert _backwards(build, x, out) == expected


def test_an_embedded_shape_tells_that_of_the_indices() -> None:
    places = sg.var("places", None, "int32")
    both = sg.stack([sg.embedding(places, 11, 5), sg.var("known", (2, 3, 5))])
    assert both.infer_shape()["places"] == (2, 3)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda x: sg.reshape(x, (4, 4)), "the number of elements must stay the same: 15 != 16"),
        (lambda x: sg.reshape(x, (4, -1)), "the number of elements must stay the same"),
        (lambda x: sg.reshape(x, (0, 0, 0, -3)), "the code -3 in shape .* needs axis"),
        (lambda x: sg.split(x, 2), r"x.shape\[0\] must be a multiple of 2"),
        (lambda x: sg.transpose(x, (0, 0)), "names an axis twice"),
        (lambda x: sg.sum(x, axis=2), r"axis must be in \[-2, 2\), got 2"),
        (lambda x: sg.squeeze(x, 0), r"x.shape\[0\] must equal 1 to be squeezed: 3 != 1"),
        (lambda x: sg.max(x[0:0], axis=0), "max of nothing has no value"),
        (lambda x: sg.concat([x, sg.var("y", (3, 4))]), r"x0.shape\[1\] must equal x1.shape\[1\]"),
        (lambda x: sg.pad(x, ((5, 0), (0, 0)), "reflect"), r"needs x.shape\[0\] >= 6, got 3"),
        (lambda x: sg.broadcast_to(x, (2, 3)), "x must broadcast to"),
        (lambda x: sg.einsum("ij,jk->ik", x, x), "label 'j': .* must equal .*: 5 != 3"),
    ],
)
def test_shapes_that_cannot_be_are_refused(build: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        build(sg.var("x", (3, 5)))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda x: sg.reshape(x, (-1, -1)), "only one extent may be -1"),
        (lambda x: sg.reshape(x, (-7,)), "the codes are 0, -1, -2, -3 and -4"),
        (lambda x: sg.clip(x, 2, 1), "min must not exceed max"),
        (lambda x: sg.tile(x, (-1,)), "repetitions must be >= 0"),
        (lambda x: x[::0], "a step must not be 0"),
        (lambda x: sg.pad(x, ((1, 1), (0, 0)), "mirror"), "mode must be one of"),
        (lambda x: sg.einsum("ij->ik", x), "output label 'k' is in no operand"),
        (lambda x: sg.einsum("i1", x), "subscripts are letters"),
        (lambda x: sg.arange(0, 3, 0), "step must not be 0"),
        (lambda x: sg.take(x, [0]), "say which axis="),
    ],
)
def test_attributes_that_cannot_be_are_refused(build: Any, message: str) -> None:
    with pytest.raises(AttributeValueError, match=message):
        build(sg.var("x", (3, 5)))


def test_reshape_keeps_open_extents() -> None:
    x = sg.var("x", ("N", 3, 4))
    n = x.shape[0]
    assert sg.reshape(x, (-1, 12)).shape == (n, 12)
    assert sg.reshape(x, (0, -1)).shape == (n, 12)
    assert sg.reshape(x, (-3, 0)).shape == (n * 3, 4)
    assert sg.reshape(x, (0, 0, -4, 2, -1)).shape == (n, 3, 2, 2)
    assert sg.flatten(x, 0, -2).shape == (n * 3, 4)
    assert sg.concat([x, x]).shape == (n * 2, 3, 4)


def test_a_failed_broadcast_says_where_both_extents_come_from() -> None:
    r, s = sg.var("r", (4, 6)), sg.var("s", (5, 6))
    with pytest.raises(ShapeError) as caught:
        sg.relu(r, name="first") + s
    lines = str(caught.value).split("\n")
    assert lines[0] == (
        "add: shapes must broadcast: x.shape[-2] must equal y.shape[-2] or one be 1: 4 != 5"
    )
    assert "declared at test_shape_inference.py:" in lines[1]
    assert lines[2].startswith(
        "  x.shape[-2] = 4 comes from relu first at test_shape_inference.py:"
    )
    assert lines[3].startswith(
        "  y.shape[-2] = 5 comes from variable s at test_shape_inference.py:"
    )
