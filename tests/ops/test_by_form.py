"""Gradients of operators that differ at inference belong to the form that is compiled."""

from __future__ import annotations

import numpy as np

import symgraph as sg

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 3, 5)).astype(np.float64)
WEIGHT = RNG.normal(size=(4, 3, 5)).astype(np.float64)


def network() -> tuple[sg.Symbol, sg.Symbol, dict[str, np.ndarray]]:
    x = sg.var("x", (4, 3, 5), "float64")
    h = sg.tanh(sg.dropout(sg.batch_norm(x, name="bn"), 0.5, name="drop"))
    y = sg.sum(h * sg.constant(WEIGHT))
    params = sg.init(y, seed=0)
    params["bn_moving_mean"] += 0.5
    params["bn_moving_var"] *= 4.0
    return x, y, params


def test_in_inference_form_the_gradient_is_that_of_the_inference_form() -> None:
    x, y, params = network()
    f = sg.compile(y, params=params)
    gradient = sg.compile(sg.gradients(y, x), params=params)(X)
    for place in ((0, 0, 0), (1, 2, 3), (3, 1, 4)):
        step = np.zeros_like(X)
        step[place] = 1e-5
        slope = (f(X + step) - f(X - step)) / 2e-5
        np.testing.assert_allclose(gradient[place], slope, rtol=1e-6)


def test_gradients_of_gradients_too() -> None:
    x, y, params = network()
    first = sg.gradients(y, x)
    length = sg.sum(first * first)
    second = sg.compile(sg.gradients(length, x), params=params)(X)
    f = sg.compile(length, params=params)
    step = np.zeros_like(X)
    step[1, 2, 3] = 1e-5
    slope = (f(X + step) - f(X - step)) / 2e-5
    np.testing.assert_allclose(second[1, 2, 3], slope, rtol=1e-5)


def test_in_training_form_it_is_that_of_the_training_form() -> None:
    x, y, params = network()
    both = sg.compile(sg.group(y, sg.gradients(y, x)), params=params, training=True)
    state = {name: params[name].copy() for name in params}

    def run(array: np.ndarray) -> list[np.ndarray]:
        for name, start in state.items():
            if name in both.parameters:
                both.parameters[name][...] = start
        return list(both(array))

    _, gradient = run(X)
    for place in ((0, 0, 0), (1, 2, 3)):
        step = np.zeros_like(X)
        step[place] = 1e-5
        slope = (run(X + step)[0] - run(X - step)[0]) / 2e-5
        np.testing.assert_allclose(gradient[place], slope, rtol=1e-5, atol=1e-9)


def test_nothing_of_the_training_form_is_left_at_inference() -> None:
    x, y, params = network()
    f = sg.compile(sg.gradients(y, x), params=params, target="interp")
    assert not any("drop" in step.label for step in f.program.timeline)
