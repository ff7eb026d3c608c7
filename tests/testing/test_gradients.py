"""The checks that users run on their own operators: they must find what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.errors import AttributeValueError, GradientError, InputError
from symgraph.ops.base import Unary
from symgraph.testing import GradientCheckError, check_gradients, check_operator


def _array(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).standard_normal(shape)


def test_a_right_gradient_passes_and_is_reported() -> None:
    report = check_gradients(lambda x, y: sg.tanh(x) * y, [_array(2, 3), _array(3)])
    assert report.worst < 1e-8
    assert {c.input for c in report.comparisons} == {"x0", "x1"}
    assert "direction 0" in str(report)
    assert "symbolic" in str(report)


def test_symbols_are_checked_by_name_and_only_where_wanted() -> None:
    x, y = sg.var("x", (2, 3)), sg.var("y", (2, 3))
    report = check_gradients(x * y, {"x": _array(2, 3), "y": _array(2, 3)}, wrt=["y"])
    assert {c.input for c in report.comparisons} == {"y"}
    with pytest.raises(InputError, match="no array for y"):
        check_gradients(x * y, {"x": _array(2, 3)})
    with pytest.raises(InputError, match="by name"):
        check_gradients(x * y, [_array(2, 3)])
    with pytest.raises(InputError, match="no output is a float"):
        check_gradients(lambda x: x > 0, [_array(3)])


def test_kinks_are_left_out_and_counted() -> None:
    values = np.array([0.0, 1.0, -2.0])
    report = check_gradients(sg.relu, [values], directions=0, elements=3)
    assert report.kinks == 1
    with pytest.raises(GradientCheckError, match="every direction meets a kink"):
        check_gradients(sg.relu, [np.zeros(2)])


def test_an_input_without_gradient_is_an_error_unless_zero_is_meant() -> None:
    with pytest.raises(GradientError):
        check_gradients(lambda x, y: x + sg.stop_gradient(y), [_array(3), _array(3)], wrt=["x1"])
    with pytest.raises(GradientCheckError):
        check_gradients(
            lambda x, y: x + sg.stop_gradient(y), [_array(3), _array(3)], missing_is_zero=True
        )
    check_gradients(lambda x, y: x + sg.floor(y), [_array(3), _array(3)], missing_is_zero=True)


@dataclass(frozen=True)
class Twice(Unary):
    """y = 2x, with mistakes chosen by the attribute."""

    mistake: str = ""
    name = "twice_for_the_test"

    def element(self, x: Any) -> Any:
        return x * (3.0 if self.mistake == "forward" else 2.0)

    def infer_shape(self, u: Any, x: Any) -> Any:
        return ((*x.dims, 1),) if self.mistake == "shape" else (x,)

    def infer_dtype(self, u: Any, x: Any) -> Any:
        return ("float64",) if self.mistake == "dtype" else (x,)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Any:
        return (grads[0] * (1.0 if self.mistake == "backward" else 2.0),)

    def reference(self, x: Any) -> Any:
        return 2 * x


def test_a_right_operator_passes_on_every_target() -> None:
    check_operator(Twice())
    check_operator(Twice(), samples=[sg.Sample(Twice(), ((3, 5),))], targets=["interp"])


@pytest.mark.parametrize("mistake", ["forward", "shape", "dtype", "backward"])
def test_every_kind_of_mistake_is_found(mistake: str) -> None:
    samples = [sg.Sample(Twice(mistake), ((3, 5),))]
    with pytest.raises(AssertionError):
        check_operator(Twice(mistake), samples=samples, targets=["interp"])


def test_an_operator_without_samples_is_refused() -> None:
    with pytest.raises(AttributeValueError, match="has no samples"):
        check_operator(Twice(), samples=[])
