"""Functions of symbols as methods, and what notebooks and files show of an expression."""

from __future__ import annotations

import inspect
from types import FunctionType

import numpy as np
import pytest

import symgraph as sg
from symgraph.errors import FormatError, InputError
from symgraph.ir.methods import attach_methods

X = sg.var("x", (2, 3, 5))
PUBLIC = {n: f for n in sg.__all__ if isinstance(f := getattr(sg, n), FunctionType)}


def first(function: FunctionType) -> object:
    parameters = list(inspect.signature(function).parameters.values())
    return parameters[0].annotation if parameters else None


def test_every_public_function_of_a_symbol_is_a_method() -> None:
    names = [n for n, f in PUBLIC.items() if first(f) in (sg.Symbol, "Symbol")]
    assert len(names) > 100
    for name in names:
        assert getattr(sg.Symbol, name).__wrapped__ is PUBLIC[name], name
        assert getattr(sg.Symbol, name).__doc__ == PUBLIC[name].__doc__


@pytest.mark.parametrize(
    ("by_method", "by_function"),
    [
        (X.sum(axis=1, keepdims=True), sg.sum(X, axis=1, keepdims=True)),
        (X.reshape(3, -1), sg.reshape(X, (3, -1))),
        (X.reshape((3, -1)), sg.reshape(X, (3, -1))),
        (X.reshape(-1), sg.reshape(X, -1)),
        (X.transpose(2, 0, 1), sg.transpose(X, (2, 0, 1))),
        (X.transpose(), sg.transpose(X)),
        (X.T, sg.transpose(X)),
        (X.astype("float64"), sg.cast(X, "float64")),
        (X.astype(np.int32), sg.cast(X, "int32")),
        (X.relu(name="r"), sg.relu(X, name="r")),
        (X.linear(7, name="fc"), sg.linear(X, 7, name="fc")),
        (X.maximum(0.5), sg.maximum(X, 0.5)),
        (X.mean().exp(), sg.exp(sg.mean(X))),
    ],
)
def test_a_method_equals_its_function(by_method: sg.Symbol, by_function: sg.Symbol) -> None:
    assert str(by_method) == str(by_function)


def test_functions_from_outside_become_methods() -> None:
    def doubled_for_a_test(x: sg.Symbol) -> sg.Symbol:
        return x + x

    assert attach_methods([doubled_for_a_test, print]) == ("doubled_for_a_test",)
    try:
        assert str(X.doubled_for_a_test()) == str(X + X)
    finally:
        del sg.Symbol.doubled_for_a_test
    with pytest.raises(AttributeError):
        X.doubled_for_a_test()


def test_an_attribute_is_never_replaced() -> None:
    def shape(x: sg.Symbol) -> sg.Symbol:
        return x

    with pytest.raises(AttributeError, match="a symbol has an attribute 'shape' already"):
        attach_methods([shape])


def test_signatures_name_inputs_and_attributes() -> None:
    assert list(inspect.signature(sg.add).parameters) == ["x", "y", "name"]
    assert list(inspect.signature(sg.where).parameters) == ["condition", "x", "y", "name"]
    assert str(sg.add(X, y=X)) == str(sg.add(X, X))
    with pytest.raises(InputError, match=r"add\(x.*missing a required argument: 'y'"):
        sg.add(X)


def test_documentation_goes_on_with_the_specification() -> None:
    for name, function in PUBLIC.items():
        assert function.__doc__, name
    assert "-4 splits" in (sg.reshape.__doc__ or "")


def test_notebooks_show_a_picture() -> None:
    assert "<svg" in (X.relu()._repr_svg_() or "")
    assert "<svg" in (sg.group(X.relu(), X)._repr_svg_() or "")


def test_reading_back() -> None:
    text = sg.linear(X, 7, name="fc").to_json()
    assert isinstance(sg.from_json(text), sg.Symbol)
    assert sg.from_json(text).to_json() == text
    assert len(sg.from_json(sg.group(X, X.relu()).to_json())) == 2
    with pytest.raises(FormatError, match="not a graph"):
        sg.from_json(text[: len(text) // 2])


@pytest.mark.parametrize("wrong", [np.ones(3), [np.ones(3)], "x"])
def test_compiling_something_else(wrong: object) -> None:
    with pytest.raises(InputError, match="need a symbol or several, got"):
        sg.compile(wrong)


def test_reshape_by_an_expression_of_extents() -> None:
    x = sg.var("x", ("N", 5))
    assert str(x.reshape(x.shape[0] * 5).shape) == "(5*N,)"
    assert x.reshape(np.array([0, 5])).shape == x.shape
