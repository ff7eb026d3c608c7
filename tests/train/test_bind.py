"""bind: outputs and gradients step by step, written or added."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.errors import InputError

SETTINGS = {"target": "interp"}


def affine() -> tuple[sg.Symbol, dict[str, Any], dict[str, Any]]:
    x = sg.var("x", ("N", 3))
    y = sg.linear(x, 2, name="fc")
    rng = np.random.default_rng(1)
    params = {
        "fc_weight": rng.normal(size=(2, 3)).astype(np.float32),
        "fc_bias": rng.normal(size=2).astype(np.float32),
    }
    return y, params, {"x": rng.normal(size=(5, 3)).astype(np.float32)}


def test_write_and_add() -> None:
    y, params, data = affine()
    bound = sg.bind(y, params, grad_req={"fc_weight": "add"}, **SETTINGS)
    out = bound.forward(**data)
    np.testing.assert_allclose(
        out, data["x"] @ params["fc_weight"].T + params["fc_bias"], rtol=1e-5
    )
    ones = np.ones((5, 2), np.float32)
    for times in (1, 2, 3):
        grads = bound.backward()
        np.testing.assert_allclose(grads["fc_weight"], times * ones.T @ data["x"], rtol=1e-5)
        np.testing.assert_allclose(grads["fc_bias"], [5, 5])


def test_gradients_of_the_outputs_flow_in() -> None:
    y, params, data = affine()
    bound = sg.bind(y, params, **SETTINGS)
    bound.forward(**data)
    g = np.arange(10, dtype=np.float32).reshape(5, 2)
    grads = bound.backward(g)
    np.testing.assert_allclose(grads["fc_weight"], g.T @ data["x"], rtol=1e-5)
    np.testing.assert_allclose(grads["fc_bias"], g.sum(0))


def test_null_and_gradients_of_inputs() -> None:
    y, params, data = affine()
    given = np.full((5, 3), 10, np.float32)
    bound = sg.bind(
        y,
        params,
        grad_req={"fc_weight": "null", "fc_bias": "null", "x": "add"},
        grads={"x": given},
        shapes={"x": (5, 3)},
        **SETTINGS,
    )
    bound.forward(**data)
    assert list(bound.backward()) == ["x"]
    expected = 10 + np.ones((5, 2), np.float32) @ params["fc_weight"]
    np.testing.assert_allclose(given, expected, rtol=1e-5)
    nothing = sg.bind(y, params, grad_req="null", **SETTINGS)
    nothing.forward(**data)
    assert nothing.backward() == {}


def test_parameters_are_used_in_place() -> None:
    y, params, data = affine()
    bound = sg.bind(y, params, **SETTINGS)
    before = bound.forward(**data)
    params["fc_bias"] += 1
    np.testing.assert_allclose(bound.forward(**data), before + 1, rtol=1e-5)


def test_state_moves_in_training_form_alone() -> None:
    x = sg.var("x", ("N", 3))
    y = sg.sum(sg.batch_norm(x, name="bn") * sg.batch_norm(x, name="bn2"))
    params = sg.init(y, 0)
    data = {"x": np.random.default_rng(0).normal(2, 1, (7, 3)).astype(np.float32)}
    bound = sg.bind(y, params, **SETTINGS)
    start = params["bn_moving_mean"].copy()
    bound.forward(training=False, **data)
    np.testing.assert_array_equal(params["bn_moving_mean"], start)
    with pytest.raises(InputError, match=r"call forward\(training=True\) first"):
        bound.backward()
    bound.forward(**data)
    moved = params["bn_moving_mean"].copy()
    assert not np.array_equal(moved, start)
    bound.backward()
    np.testing.assert_array_equal(params["bn_moving_mean"], moved)


def test_backward_sees_the_masks_of_its_forward() -> None:
    x = sg.var("x", ("N", 3))
    y = sg.dropout(sg.linear(x, 37, name="fc"), 0.5, name="drop")
    params = sg.init(y, 0)
    bound = sg.bind(y, params, **SETTINGS)
    data = {"x": np.ones((5, 3), np.float32)}
    masks = []
    for _ in range(2):
        params["fc_bias"][...] = 1
        out = bound.forward(**data)
        masks.append(out != 0)
        for _ in range(2):  # a second time: the same call is differentiated
            grads = bound.backward()
            np.testing.assert_allclose(grads["fc_bias"], 2 * masks[-1].sum(0))
    assert 0.3 < masks[0].mean() < 0.7
    assert not np.array_equal(masks[0], masks[1])


def test_mistakes() -> None:
    y, params, data = affine()
    with pytest.raises(InputError, match="grad_req of fc_bias must be write, add, null, got 'sum'"):
        sg.bind(y, params, grad_req={"fc_bias": "sum"})
    with pytest.raises(InputError, match="no variable is named 'w'; they are x, fc_weight"):
        sg.bind(y, params, grad_req={"w": "add"})
    with pytest.raises(InputError, match=r"fc_bias needs a float32 array of shape \(2,\), got"):
        sg.bind(y, params, grads={"fc_bias": np.zeros(3)})
    bound = sg.bind(y, params, **SETTINGS)
    bound.forward(**data)
    with pytest.raises(InputError, match="1 outputs need 1 out_grads, got 2"):
        bound.backward([1, 2])
    with pytest.raises(InputError, match="there is no input 'z'"):
        bound.forward(**data, z=np.zeros(3))
