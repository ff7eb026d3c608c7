"""Attributes of another kind than declared, and NaN, are refused when the node is built."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.errors import AttributeValueError
from symgraph.ir.op import Variable
from symgraph.ir.serialize import from_json
from symgraph.ops.convolution import Conv2d

X = sg.var("x", ("N", 5))


@dataclass(frozen=True)
class Shift(sg.Op):
    """An operator that somebody else wrote; it checks nothing itself."""

    by: int = 1
    scale: float | None = None
    name = "test_shift"

    def infer_shape(self, u: Any, x: Any) -> tuple[Any, ...]:
        return (x,)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: sg.linear(X, 2.5), "linear: attribute units must be an int, got float 2.5"),
        (lambda: sg.linear(X, "a"), "linear: attribute units must be an int, got str 'a'"),
        (lambda: sg.linear(X, True), "linear: attribute units must be an int, got bool True"),
        (lambda: sg.linear(X, -1), "linear: units must be at least 1, got -1"),
        (lambda: sg.softmax(X, axis="a"), "softmax: attribute axis must be an int, got str 'a'"),
        (lambda: sg.elu(X, None), "elu: attribute alpha must be a number, got NoneType None"),
        (lambda: sg.leaky_relu(X, float("nan")), "leaky_relu: attribute slope is NaN"),
        (lambda: sg.leaky_relu(X, np.float32("nan")), "leaky_relu: attribute slope is NaN"),
        (lambda: Shift(by=1.0)(X), "test_shift: attribute by must be an int, got float 1.0"),
        (
            lambda: Conv2d(4, (3, 3), (1, 1), ((0, 0), (0, 1.5)), (1, 1))(
                sg.var("x", (1, 3, 8, 8))
            ),
            "conv2d: attribute padding must be ((int, int), ...), got tuple ((0, 0), (0, 1.5))",
        ),
        (
            lambda: Conv2d(4, (3, 3), (1, 1, 1), ((0, 0),) * 2, (1, 1))(sg.var("x", (1, 3, 8, 8))),
            "conv2d: kernel_size must have 3 items, got (3, 3)",
        ),
        (
            lambda: Variable("float32", "input", None)(),
            "variable: attribute type must be TensorType, got str 'float32'",
        ),
        (
            lambda: Shift(scale="2")(X),
            "test_shift: attribute scale must be a number or None, got str '2'",
        ),
    ],
)
def test_refused(build: Any, message: str) -> None:
    with pytest.raises(AttributeValueError) as caught:
        build()
    assert message in str(caught.value)


def test_taken() -> None:
    assert Shift(by=np.int32(3), scale=2)(X).shape == X.shape
    assert sg.linear(X, np.int64(3)).shape == (X.shape[0], 3)
    filled = sg.compile(sg.full((2,), float("nan")) + X[:2, 0] * 0, target="interp")
    assert np.isnan(filled(x=np.ones((3, 5), "float32"))).all()


def test_files_are_checked_as_well() -> None:
    text = sg.linear(X, 3, name="fc").to_json().replace('"units": 3', '"units": 3.5')
    with pytest.raises(AttributeValueError, match="units must be an int, got float 3.5"):
        from_json(text)


class Undecorated(sg.Op):
    by: int = 1
    name = "test_undecorated"

    def infer_shape(self, u: Any, x: Any) -> tuple[Any, ...]:
        return (x,)


class Heir(Shift):
    more: int = 2


class OfItsOwn(sg.HostOp):
    name = "test_of_its_own"

    def __init__(self, by: int) -> None:
        self.by = by

    def forward(self, x: np.ndarray) -> np.ndarray:
        return x + self.by


@pytest.mark.parametrize(
    "build", [Undecorated, lambda: Undecorated(3), lambda: Heir(1)(X), lambda: OfItsOwn(3)(X)]
)
def test_a_class_without_the_decorator_is_told_so(build: Any) -> None:
    with pytest.raises(AttributeValueError, match=r"put @dataclass\(frozen=True\) above `class"):
        build()
