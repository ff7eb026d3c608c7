"""What functions take besides symbols: numpy's integers as Python's, and nothing that is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.errors import (
    AttributeValueError,
    DTypeError,
    InputError,
    ShapeError,
    SymgraphError,
    UserError,
)

X = sg.var("x", (2, 3, 5))
Int = np.int64


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (lambda: sg.reshape(X, Int(30)), (30,)),
        (lambda: sg.reshape(X, np.array([5, 6])), (5, 6)),
        (lambda: sg.tile(X, Int(2)), (2, 3, 10)),
        (lambda: sg.split(X, Int(3), axis=Int(1))[0], (2, 1, 5)),
        (lambda: sg.pad(X, (Int(1), 2)), (5, 6, 8)),
        (lambda: sg.pad(X, [(1, 2), (0, 0), (Int(3), 0)]), (5, 3, 8)),
        (lambda: sg.pad(X, np.ones((3, 2), int)), (4, 5, 7)),
        (lambda: sg.max(X, axis=Int(1)), (2, 5)),
        (lambda: sg.sum(X, axis=np.array([0, 1])), (5,)),
        (lambda: sg.moveaxis(X, Int(0), -1), (3, 5, 2)),
        (lambda: sg.swapaxes(X, Int(0), Int(-1)), (5, 3, 2)),
        (lambda: sg.roll(X, Int(2), Int(1)), (2, 3, 5)),
        (lambda: sg.zeros(Int(3)), (3,)),
        (lambda: sg.var("v", Int(3)), (3,)),
        (lambda: sg.var("v", np.array([2, 3])), (2, 3)),
    ],
)
def test_integers_of_numpy(build: Any, shape: tuple[int, ...]) -> None:
    assert build().shape == shape
    assert all(type(n) is int for n in build().shape)


@pytest.mark.parametrize(
    ("build", "kind", "message"),
    [
        (lambda: sg.moveaxis(X, 5, 0), AttributeValueError, "moveaxis: there is no axis 5 among 3"),
        (lambda: sg.moveaxis(X, (0, 0), (1, 2)), AttributeValueError, "an axis is named twice"),
        (lambda: sg.moveaxis(X, (0, 1), 2), AttributeValueError, "source has 2 axes, dest"),
        (lambda: sg.swapaxes(X, 3, 0), AttributeValueError, "swapaxes: there is no axis 3 among 3"),
        (lambda: sg.swapaxes(X, (0, 1), 0), AttributeValueError, "swapaxes: give two axes"),
        (lambda: sg.pad(X, 1), AttributeValueError, "pad: give .* for each axis, or one pair"),
        (lambda: sg.pad(X, (1.5, 2)), AttributeValueError, "must be .* ints, got .1.5, 2"),
        (lambda: sg.max(X, axis="a"), AttributeValueError, "axis must be an int or .*, got 'a'"),
        (lambda: sg.max(X, axis=X), AttributeValueError, "axis must be an int or .*, got <Symbol"),
        (lambda: sg.roll(X, 1.5, 0), AttributeValueError, "roll: shift must be an int or"),
        (lambda: sg.relu(X, name=3), AttributeValueError, "relu: name must be a string, got 3"),
        (lambda: sg.transpose(X, 1), ShapeError, "transpose: x must have 1 axes"),
        (lambda: sg.reshape(X, 2.5), ShapeError, "a shape must be a tuple of extents and codes"),
        (lambda: sg.cast(X, X), DTypeError, "unknown dtype <Symbol"),
        (lambda: sg.concat(3), InputError, "concat: give the inputs as a list, got 3"),
        (
            lambda: sg.conv2d(X, 4, kernel_size=3, weight="w"),
            InputError,
            "need a symbol, .* got str 'w'",
        ),
        (lambda: sg.lstm("x", 3), InputError, "need a symbol, .* got str 'x'"),
        (lambda: sg.einsum(3, X), AttributeValueError, "give an equation such as .*, got 3"),
    ],
)
def test_wrong_ones(build: Any, kind: type[UserError], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        build()
    assert isinstance(caught.value, SymgraphError)
