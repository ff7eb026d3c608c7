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
        (lambda: sg.where(sg.relu(X) == X, X, 0.0), InputError, "where: .* is Python's False, exp"),
        (lambda: sg.logical_and(X > 0, X == X), InputError, "== between symbols asks whether"),
        (lambda: sg.einsum(3, X), AttributeValueError, "give an equation such as .*, got 3"),
    ],
)
def test_wrong_ones(build: Any, kind: type[UserError], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        build()
    assert isinstance(caught.value, SymgraphError)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: sg.parameter("w", (3,)), r"parameter: missing a required argument: 'init' \("),
        (lambda: sg.linear(X), r"linear: missing .* 'units' .*; it takes \(x, units, weight=None,"),
        (lambda: sg.scan(3, X, X), r"scan: body must be a function, got int 3 \(called at test_a"),
        (lambda: sg.rnn(X, 4, layers="a"), "rnn: layers must be an int, got str 'a'"),
        (lambda: sg.rms_norm(X, use_affine=X), "use_affine must be a bool, got Symbol <Symbol x"),
        (lambda: sg.layer_norm(X, use_affine=np.ones(3)), "layer_norm: use_affine must be a bool"),
        (lambda: sg.gradients(3, X), "gradients: need a symbol or several, got int 3"),
        (lambda: sg.gradients(X, object()), "gradients: need a symbol or several, got object"),
        (lambda: sg.export(X, 4), "export: path must be a string or PathLike, got int 4"),
        (lambda: sg.compile(X, params=3), "compile: params must be a mapping or None, got int 3"),
        (lambda: sg.bind(X, 3), "bind: params must be a mapping, got int 3"),
        (lambda: sg.train.bind(X, 3), "bind: params must be a mapping, got int 3"),
        (lambda: sg.constant(X), "constant: value is symbolic"),
        (lambda: sg.register(3), "register: need the class of an operator, got int 3"),
        (lambda: X.sum(axis=0, keepdim=True), r"got an unexpected keyword argument 'keepdim' \(ca"),
        (lambda: sg.load(3), "load: path must be a string or PathLike, got int 3"),
    ],
)
def test_arguments_of_another_kind_than_annotated(build: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build()


def test_errors_that_are_not_the_arguments_go_on_unchanged() -> None:
    def body(x: sg.Symbol, h: sg.Symbol) -> Any:
        raise ZeroDivisionError("the body's own")

    with pytest.raises(ZeroDivisionError, match="the body's own"):
        sg.scan(body, X, X)
