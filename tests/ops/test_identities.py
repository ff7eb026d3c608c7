"""Local identities that operators offer, and what they must leave alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symgraph as sg


def _offer(y: sg.Symbol) -> Any:
    return y.node.op.simplify(tuple(sg.Symbol(v) for v in y.node.inputs))


X = sg.var("x", (3, 5), "float32")
N = sg.var("n", (3, 5), "int32")


@pytest.mark.parametrize(
    "y",
    [
        X + 0, 0 + X, X - 0, X * 1, 1 * X, X / 1, X**1, N * 1, N // 1,
        sg.maximum(X, X), sg.cast(X, "float32"), sg.clip(X), sg.identity(X),
        sg.reshape(X, (3, 5)), sg.transpose(X, (0, 1)), sg.concat([X]),
        sg.broadcast_to(X, (3, 5)), sg.sum(X, axis=()), sg.pad(X, ((0, 0), (0, 0))),
        sg.sum_to_like(X, X), sg.reshape_like(X, X), sg.where(sg.constant(True), X, X),
    ],
)  # fmt: skip
def test_what_does_nothing_is_its_input(y: sg.Symbol) -> None:
    source = N if N.value in y.node.inputs else X
    assert _offer(y) == source


@pytest.mark.parametrize(
    ("y", "name"),
    [
        (X**2, "square"),
        (X**0.5, "sqrt"),
        (X**-1, "reciprocal"),
        (X**-0.5, "rsqrt"),
        (X * X, "square"),
        (X * -1, "negative"),
        (X / 4, "multiply"),
        (1 / X, "reciprocal"),
        (X + (-X), "subtract"),
        (X - (-X), "add"),
        (N * 0, "full_like"),
        (N - N, "full_like"),
        (sg.sum_to_like(X, sg.var("row", (5,))), "sum"),
        (sg.abs(-X), "abs"),
        (sg.transpose(sg.reshape(X, (3, 1, 5)), (0, 2, 1)), "reshape"),
        (sg.concat([X, sg.var("empty", (0, 5))]), "concat"),
    ],
)
def test_a_simpler_form_is_offered(y: sg.Symbol, name: str) -> None:
    form = _offer(y)
    assert form is not None
    assert form.node.op.name == name
    assert form.shape == y.shape
    assert form.dtype == y.dtype


def test_two_negations_are_none() -> None:
    once = -X
    assert _offer(-once) == X
    assert X[:] == X
    flags = sg.var("flags", (3,), "bool")
    assert _offer(sg.logical_not(sg.logical_not(flags))) == flags


@pytest.mark.parametrize(
    "y",
    [
        X * 0,  # NaN and infinity times 0 are NaN
        X - X,
        X // 1,
        X / 3,  # 1/3 is not exact
        X + 1,
        sg.sum(X, axis=0),
        sg.transpose(X),
        X[1:],
        sg.stop_gradient(X),
        sg.clip(X, 0, 1),
    ],
)
def test_what_would_change_the_numbers_is_left_alone(y: sg.Symbol) -> None:
    assert _offer(y) is None


def test_the_negative_of_unsigned_numbers_wraps_at_every_level() -> None:
    a = np.array([0, 1, 7], np.uint8)
    for level in (0, 2):
        f = sg.compile(-sg.var("x", (3,), "uint8"), target="interp", level=level)
        np.testing.assert_array_equal(f(a), np.negative(a))
