"""Symbols: names, scopes, origins, roles, composition, copies."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import symgraph as sg
from symgraph.errors import AttributeValueError, InputError, NameConflictError


def network():
    x = sg.var("x", ("N", 7))
    return sg.linear(sg.linear(x, 5, name="fc1") * 2.0, 3)


def test_parameters_are_named_after_their_operator() -> None:
    assert network().list_variables() == (
        "x",
        "fc1_weight",
        "fc1_bias",
        "linear0_weight",
        "linear0_bias",
    )


def test_automatic_names_do_not_depend_on_what_was_built_before() -> None:
    first = str(network())
    for _ in range(3):
        network()
    assert str(network()) == first


def test_roles() -> None:
    y = network()
    assert [s.name for s in y.inputs] == ["x"]
    assert [s.name for s in y.parameters] == list(y.list_variables()[1:])
    assert y.auxiliaries == ()


def test_a_shared_weight_is_one_variable() -> None:
    w = sg.parameter("w", (5, 7), init=sg.initializers.Normal())
    a, b = sg.var("a", (2, 7)), sg.var("b", (3, 7))
    both = sg.group(sg.linear(a, 5, w, use_bias=False), sg.linear(b, 5, w, use_bias=False))
    assert both.list_variables() == ("a", "w", "b")


def test_two_variables_with_one_name_are_an_error() -> None:
    y = sg.var("x", (3,)) + sg.var("x", (3,))
    with pytest.raises(NameConflictError, match=r"two different variables are named 'x'.*share it"):
        y.list_variables()


def test_name_scopes_prefix_operators_and_their_parameters() -> None:
    x = sg.var("x", (2, 7))
    with sg.name_scope("block"), sg.name_scope("head"):
        y = sg.linear(x, 3, name="fc")
    assert y.list_variables() == ("x", "block/head/fc_weight", "block/head/fc_bias")
    assert y.name == "block/head/fc"


def test_attribute_scopes_nest_and_inner_wins() -> None:
    with sg.attribute_scope(stage="a", lr=1):
        outer = sg.var("x", (3,)) + 1.0
        with sg.attribute_scope(stage="b"):
            inner = outer * 2.0
    assert outer.attributes["stage"] == "a"
    assert (inner.attributes["stage"], inner.attributes["lr"]) == ("b", 1)


def test_origin_is_the_users_line() -> None:
    y = sg.var("x", (3,)) + 1.0
    assert str(y.node.origin).startswith("test_symbol.py:")


def test_composition_replaces_variables_by_symbols() -> None:
    z = sg.var("z", (4, 6))
    composed = network().substitute(x=sg.linear(z, 7, name="stem"))
    assert composed.infer_shape().outputs == ((4, 3),)
    with pytest.raises(NameConflictError, match="no variable is named 'q'"):
        network().substitute(q=z)


def test_internals_and_children() -> None:
    y = network()
    assert y.internals["fc1"].shape == (sg.DimVar("N"), 5)
    assert y.children is not None
    assert y.children.list_outputs()[0] == "multiply0"
    assert sg.var("x").children is None


def test_copies_are_equal_and_independent() -> None:
    y = network()
    for twin in (pickle.loads(pickle.dumps(y)), copy.deepcopy(y)):
        assert twin.to_json() == y.to_json()
        assert twin != y


def test_a_symbol_has_no_truth_value() -> None:
    with pytest.raises(TypeError, match=r"sg\.where"):
        bool(sg.var("x", ()) < 1.0)


def test_arrays_and_numbers_mix_with_symbols() -> None:
    x = sg.var("x", (3,), "float64")
    y = np.arange(3.0) + x * 2
    assert y.infer_type().outputs[0] == sg.float64


def test_wrong_inputs_are_named() -> None:
    with pytest.raises(InputError, match="need a symbol, an array or a number, got str"):
        sg.matmul(sg.var("x", (3, 3)), "y")
    with pytest.raises(InputError, match="matmul takes x, y: missing y"):
        sg.Matmul()(sg.var("x", (3, 3)))
    with pytest.raises(AttributeValueError, match="non-empty name"):
        sg.var("")


@pytest.mark.parametrize("other", [3, 2.5, np.float32(1), np.ones(2, np.float32)])
def test_a_symbol_is_not_equal_to_numbers_by_accident(other: object) -> None:
    x = sg.var("x", (2,))
    with pytest.raises(TypeError, match=r"use sg\.equal\(a, b\)"):
        _ = x == other
    with pytest.raises(TypeError, match=r"use sg\.equal\(a, b\)"):
        _ = other == x
    assert x == sg.Symbol(x.value)
    assert x != sg.var("x", (2,))
    assert x != "x"
