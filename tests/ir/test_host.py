"""Host operators: training and inference forms, gradients, state, errors, files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

import symgraph as sg
from symgraph.codegen.target import find_target, target_names
from symgraph.errors import AttributeValueError, GradientError, HostOperatorError
from symgraph.ir.registry import registry
from symgraph.ir.serialize import from_json

TARGETS = [n for n in target_names() if find_target(n).available() is None]


@pytest.fixture(params=TARGETS)
def target(request: Any) -> str:
    return str(request.param)


@dataclass(frozen=True, slots=True)
class Square(sg.HostOp):
    """y = x^2, with the number of calls as state."""

    name = "host_test_square"
    arguments = ("x", "calls")
    outputs = ("output", "next_calls")
    owned = (sg.Owned("calls", auxiliary=True, dtype="int64"),)
    state = (("calls", "next_calls"),)
    no_gradient = ("calls",)

    def infer_shape(self, u: Any, x: Any, calls: Any) -> tuple[Any, ...]:
        u.rank(calls, 0, "calls")
        return (x, ())

    def infer_dtype(self, u: Any, x: Any, calls: Any) -> tuple[Any, ...]:
        return (u.floating(x), calls)

    def forward(self, is_train: bool, in_data: Any, out_data: Any) -> None:
        out_data[0][...] = in_data[0] ** 2
        out_data[1][...] = in_data[1] + is_train

    def backward(self, in_data: Any, out_data: Any, in_grad: Any, out_grad: Any) -> None:
        assert not in_grad[0].any()
        np.testing.assert_allclose(out_data[0], in_data[0] ** 2)
        in_grad[0] += 2 * in_data[0] * out_grad[0]


@dataclass(frozen=True, slots=True)
class Product(sg.HostOp):
    """z = x * y where training, else 0."""

    name = "host_test_product"
    arguments = ("x", "y")

    def infer_shape(self, u: Any, x: Any, y: Any) -> tuple[Any, ...]:
        u.same_shape(x, y, "x and y must have one shape")
        return (x,)

    def forward(self, is_train: bool, in_data: Any, out_data: Any) -> None:
        out_data[0][...] = in_data[0] * in_data[1] * is_train

    def backward(self, in_data: Any, out_data: Any, in_grad: Any, out_grad: Any) -> None:
        in_grad[0][...] = in_data[1] * out_grad[0]
        in_grad[1][...] = in_data[0] * out_grad[0]


@dataclass(frozen=True, slots=True)
class Ones(sg.HostOp):
    """A matrix of ones, from nothing."""

    length: int
    depth: int
    name = "host_test_ones"
    arguments = ()

    def infer_shape(self, u: Any) -> tuple[Any, ...]:
        return ((self.length, self.depth),)

    def forward(self, is_train: bool, in_data: Any, out_data: Any) -> None:
        out_data[0][...] = 1


@dataclass(frozen=True, slots=True)
class Broken(sg.HostOp):
    """Writes where it must not, or fails."""

    how: str
    name = "host_test_broken"

    def infer_shape(self, u: Any, x: Any) -> tuple[Any, ...]:
        return (x,)

    def forward(self, is_train: bool, in_data: Any, out_data: Any) -> None:
        if self.how == "write":
            in_data[0][...] = 0
        raise KeyError("lost")


def test_the_training_flag_and_state(target: str) -> None:
    x = sg.var("x", (3,))
    y = Square()(x, name="square")[0] + 1.0
    state = {"square_calls": np.zeros((), np.int64)}
    array = np.array([1, 2, 3], np.float32)
    train = sg.compile(y, params=state, target=target, training=True)
    for _ in range(3):
        np.testing.assert_array_equal(train(x=array), [2, 5, 10])
    assert train.parameters["square_calls"] == 3
    infer = sg.compile(Product()(x, x), target=target)
    np.testing.assert_array_equal(infer(x=array), [0, 0, 0])


def test_gradients_call_back(target: str) -> None:
    x, y = sg.var("x", (5,), "float64"), sg.var("y", (5,), "float64")
    z = Product()(Square()(x)[0], y)
    dx, dy = sg.gradients(z * 3.0, (x, y))
    f = sg.compile([dx, dy], target=target, training=True)
    a, b = np.arange(5.0), np.linspace(-1, 1, 5)
    given = {"x": a, "y": b, "host_test_square0_calls": np.zeros((), np.int64)}
    got = f(**{n: given[n] for n in f.inputs})
    np.testing.assert_allclose(got[0], 6 * a * b)
    np.testing.assert_allclose(got[1], 3 * a**2)


def test_gradient_checker_accepts_host_operators() -> None:
    rng = np.random.default_rng(0)
    report = sg.testing.check_gradients(
        lambda x, y: Product()(x, y), [rng.normal(size=(3, 5)), rng.normal(size=(3, 5))]
    )
    assert report.worst < 1e-8


def test_no_inputs(target: str) -> None:
    f = sg.compile(Ones(7, 3)() * 2.0, target=target)
    np.testing.assert_array_equal(f(), np.full((7, 3), 2, np.float32))


def test_exceptions_carry_the_name_of_the_node(target: str) -> None:
    f = sg.compile(Broken("raise")(sg.var("x", (3,)), name="unlucky"), target=target)
    with pytest.raises(HostOperatorError, match="host_test_broken in node unlucky raised KeyError"
                       ) as caught:  # fmt: skip
        f(x=np.zeros(3, np.float32))
    assert isinstance(caught.value.__cause__, KeyError)


def test_inputs_cannot_be_written() -> None:
    f = sg.compile(Broken("write")(sg.var("x", (3,))), target="interp")
    with pytest.raises(HostOperatorError, match="read-only"):
        f(x=np.ones(3, np.float32))


def test_no_backward_is_an_error_that_names_the_class() -> None:
    x = sg.var("x", (3,))
    with pytest.raises(GradientError, match="Broken does not define backward"):
        sg.gradients(Broken("raise")(x), x)


def test_shapes_are_inferred_through_host_operators() -> None:
    x, y = sg.var("x"), sg.var("y", ("N", 7))
    shapes = Product()(x, y).infer_shape()
    assert [str(d) for d in shapes["x"]] == ["N", "7"]


def test_gradient_graphs_can_be_saved() -> None:
    registry.add(Product)
    try:
        x, y = sg.var("x", (3,)), sg.var("y", (3,))
        text = sg.gradients(Product()(x, y), x).to_json()
        assert from_json(text).nodes[-1].op.op == Product()  # type: ignore[attr-defined]
    finally:
        registry.remove(Product.name)
    unknown = from_json(text)
    assert "host_backward" in str(unknown)


@dataclass(frozen=True)
class SquareByPosition(sg.HostOp):
    """The inputs are read from infer_shape; the dtype of x is left to the default."""

    name: ClassVar[str] = "test_square_by_position"

    def infer_shape(self, u: Any, x: Any, factor: Any) -> tuple[Any, ...]:
        u.rank(factor, 0, "factor")
        return (x,)

    def forward(self, is_train: bool, in_data: Any, out_data: Any) -> None:
        out_data[0][...] = in_data[1] * in_data[0] ** 2

    def backward(self, in_data: Any, out_data: Any, in_grad: Any, out_grad: Any) -> None:
        in_grad[0][...] = 2 * in_data[1] * in_data[0] * out_grad[0]


def test_inputs_follow_from_infer_shape_and_gradients_have_a_dtype() -> None:
    x, factor = sg.var("x", ("N", 3)), sg.var("factor", ())
    y = SquareByPosition()(x, factor)
    given = np.arange(6, dtype=np.float32).reshape(2, 3)
    run = sg.compile([y, sg.gradients(sg.sum(y), x)], target="interp")
    value, gradient = run(x=given, factor=np.float32(3))
    np.testing.assert_array_equal(value, 3 * given**2)
    np.testing.assert_array_equal(gradient, 6 * given)


def test_an_owned_input_that_is_none() -> None:
    class Owner(SquareByPosition):
        owned: ClassVar[Any] = (sg.Owned("count"),)

    with pytest.raises(AttributeValueError, match="it owns 'count', but its inputs are x, factor"):
        Owner()(sg.var("x", (2,)), sg.var("factor", ()))


@pytest.mark.parametrize(("value", "dtype"), [(2.5, "float32"), (3, "int64"), (True, "bool")])
def test_a_number_alone_has_a_dtype(value: Any, dtype: str) -> None:
    result = sg.compile(sg.scalar(value), target="interp")()
    assert result == value
    assert result.dtype == dtype
