"""Every optimiser, step by step, against its formula in numpy written independently."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph import train
from symgraph.errors import AttributeValueError, GradientError, InputError

Array = np.ndarray[Any, np.dtype[Any]]
Rule = Callable[[Array, Array, dict[str, Any], float, int], Array]


def sgd(momentum: float = 0.0, nesterov: bool = False, decay: float = 0.0) -> Rule:
    def rule(p: Array, g: Array, s: dict[str, Any], lr: float, t: int) -> Array:
        g = g + decay * p
        buffer = s["b"] = g if t == 1 else momentum * s["b"] + g
        return p - lr * (g + momentum * buffer if nesterov else buffer)

    return rule


def adam(
    b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, l2: float = 0, w: float = 0
) -> Rule:
    def rule(p: Array, g: Array, s: dict[str, Any], lr: float, t: int) -> Array:
        p = p * (1 - lr * w)
        g = g + l2 * p
        s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
        s["v"] = b2 * s.get("v", 0) + (1 - b2) * g**2
        return p - lr * (s["m"] / (1 - b1**t)) / (np.sqrt(s["v"] / (1 - b2**t)) + eps)

    return rule


def rmsprop(a: float, eps: float, momentum: float, centered: bool, decay: float) -> Rule:
    def rule(p: Array, g: Array, s: dict[str, Any], lr: float, t: int) -> Array:
        g = g + decay * p
        s["sq"] = a * s.get("sq", 0) + (1 - a) * g**2
        variance = s["sq"]
        if centered:
            s["avg"] = a * s.get("avg", 0) + (1 - a) * g
            variance = s["sq"] - s["avg"] ** 2
        s["buf"] = momentum * s.get("buf", 0) + g / (np.sqrt(variance) + eps)
        return p - lr * s["buf"]

    return rule


def adagrad(lr_decay: float, initial: float, eps: float, decay: float) -> Rule:
    def rule(p: Array, g: Array, s: dict[str, Any], lr: float, t: int) -> Array:
        g = g + decay * p
        s["sum"] = s.get("sum", initial) + g**2
        return p - lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(s["sum"]) + eps)

    return rule


CASES: dict[str, tuple[train.Optimizer, Rule]] = {
    "sgd": (train.SGD(0.1), sgd()),
    "sgd decay": (train.SGD(0.1, weight_decay=0.05), sgd(decay=0.05)),
    "momentum": (train.SGD(0.1, momentum=0.9), sgd(0.9)),
    "nesterov": (
        train.SGD(0.1, weight_decay=0.01, momentum=0.8, nesterov=True),
        sgd(0.8, True, 0.01),
    ),
    "adam": (train.Adam(0.01), adam()),
    "adam decay": (
        train.Adam(0.01, weight_decay=0.1, beta1=0.8, beta2=0.9, epsilon=1e-6),
        adam(0.8, 0.9, 1e-6, l2=0.1),
    ),
    "adam without mean": (train.Adam(0.01, beta1=0.0), adam(b1=0.0)),
    "adamw": (train.AdamW(0.01, weight_decay=0.2), adam(w=0.2)),
    "adamw default": (train.AdamW(0.01), adam(w=0.01)),
    "rmsprop": (train.RMSProp(0.01), rmsprop(0.99, 1e-8, 0.0, False, 0.0)),
    "rmsprop all": (
        train.RMSProp(0.01, weight_decay=0.1, decay=0.9, epsilon=1e-4, momentum=0.5, centered=True),
        rmsprop(0.9, 1e-4, 0.5, True, 0.1),
    ),
    "adagrad": (train.AdaGrad(0.1), adagrad(0.0, 0.0, 1e-10, 0.0)),
    "adagrad all": (
        train.AdaGrad(0.1, weight_decay=0.1, rate_decay=0.3, initial=0.5, epsilon=1e-6),
        adagrad(0.3, 0.5, 1e-6, 0.1),
    ),
}


def quadratic(dtype: str) -> tuple[sg.Symbol, dict[str, Array]]:
    """sum(c w^2) + sum(w v): two parameters of different shape, gradients that change."""
    rng = np.random.default_rng(3)
    zero = sg.initializers.Constant(0.0)
    w = sg.parameter("w", (3, 5), dtype, init=zero)
    v = sg.parameter("v", (5,), dtype, init=zero)
    c = sg.var("c", (3, 5), dtype)
    params = {"w": rng.normal(size=(3, 5)), "v": rng.normal(size=5)}
    return sg.sum(c * w * w) + sg.sum(w * v), {k: a.astype(dtype) for k, a in params.items()}


def run_steps(
    optimizer: train.Optimizer, dtype: str, steps: int, clip: train.Clip | None = None
) -> tuple[list[dict[str, Array]], Array]:
    loss, params = quadratic(dtype)
    step = train.build_step(loss, params, optimizer, clip=clip).compile(params, target="interp")
    c = np.random.default_rng(4).uniform(0.5, 2.0, (3, 5)).astype(dtype)
    trace = []
    for t in range(1, steps + 1):
        rates = {k: np.asarray(v, dtype) for k, v in (("learning_rate", 0.1 / t), ("step", t))}
        step(c=c, **{k: v for k, v in rates.items() if k in step.inputs})
        trace.append({k: a.copy() for k, a in step.parameters.items()})
    return trace, c


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-12), ("float32", 2e-5)])
def test_against_numpy(name: str, dtype: str, rtol: float) -> None:
    optimizer, rule = CASES[name]
    trace, c = run_steps(optimizer, dtype, 5)
    _, params = quadratic(dtype)
    w, v = (params[k].astype(np.float64) for k in ("w", "v"))
    c = c.astype(np.float64)
    state_w: dict[str, Any] = {}
    state_v: dict[str, Any] = {}
    for t, found in enumerate(trace, 1):
        gradient_w, gradient_v = 2 * c * w + v, w.sum(0)
        w = rule(w, gradient_w, state_w, 0.1 / t, t)
        v = rule(v, gradient_v, state_v, 0.1 / t, t)
        assert found["w"].dtype == dtype
        np.testing.assert_allclose(found["w"], w, rtol=rtol, atol=rtol)
        np.testing.assert_allclose(found["v"], v, rtol=rtol, atol=rtol)


def test_the_state_is_named_after_its_parameter() -> None:
    trace, _ = run_steps(train.Adam(), "float32", 1)
    assert sorted(trace[0]) == ["v", "v.mean", "v.variance", "w", "w.mean", "w.variance"]


def test_bias_correction_keeps_its_digits_in_float32() -> None:
    # After one step Adam moves each element by the rate, whatever its gradient.
    loss, params = quadratic("float32")
    trace, _ = run_steps(train.Adam(epsilon=0.0), "float32", 1)
    moved = np.abs(trace[0]["v"].astype(np.float64) - params["v"])
    np.testing.assert_allclose(moved, 0.1, rtol=3e-6)
    assert loss.shape == ()


def test_clip_value() -> None:
    trace, c = run_steps(train.SGD(), "float64", 1, train.ClipValue(0.3))
    _, params = quadratic("float64")
    gradient = np.clip(2 * c * params["w"] + params["v"], -0.3, 0.3)
    np.testing.assert_allclose(trace[0]["w"], params["w"] - 0.1 * gradient, rtol=1e-12)


@pytest.mark.parametrize("limit", [0.5, 1e6])
def test_clip_norm_is_over_all_parameters(limit: float) -> None:
    trace, c = run_steps(train.SGD(), "float64", 1, train.ClipNorm(limit))
    _, params = quadratic("float64")
    gw, gv = 2 * c * params["w"] + params["v"], params["w"].sum(0)
    scale = min(1.0, limit / np.sqrt((gw**2).sum() + (gv**2).sum()))
    np.testing.assert_allclose(trace[0]["w"], params["w"] - 0.1 * scale * gw, rtol=1e-12)
    np.testing.assert_allclose(trace[0]["v"], params["v"] - 0.1 * scale * gv, rtol=1e-12)


def test_clip_norm_of_zero_gradients() -> None:
    w = sg.parameter("w", (3,), init=sg.initializers.Constant(0.0))
    params = {"w": np.zeros(3, np.float32)}
    graph = train.build_step(sg.sum(w * w), params, train.SGD(0.1), clip=train.ClipNorm(1.0))
    step = graph.compile(params, target="interp")
    step(learning_rate=0.1)
    np.testing.assert_array_equal(step.parameters["w"], np.zeros(3))


def test_decay_is_spared_by_ending_and_by_scope() -> None:
    ones = sg.initializers.Constant(1.0)
    w = sg.parameter("w", (3,), init=ones)
    b = sg.parameter("w_bias", (3,), init=ones)
    with sg.attribute_scope(decay_mult=0.5, lr_mult=2.0):
        half = sg.parameter("half", (3,), init=ones)
    with sg.attribute_scope(lr_mult=0.0):
        frozen = sg.parameter("frozen", (3,), init=ones)
    params = {n: np.ones(3, np.float32) for n in ("w", "w_bias", "half", "frozen")}
    loss = sg.sum(w + b + half + frozen)
    optimizer = train.SGD(0.1, weight_decay=0.3, no_decay=("_bias",))
    step = train.build_step(loss, params, optimizer).compile(params, target="interp")
    step(learning_rate=0.1)
    found = {name: float(array[0]) for name, array in step.parameters.items()}
    assert found == pytest.approx(
        {"w": 1 - 0.13, "w_bias": 1 - 0.1, "half": 1 - 0.2 * 1.15, "frozen": 1.0}
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: train.SGD(-1.0), "SGD: learning_rate must lie in [0, inf), got -1.0"),
        (lambda: train.SGD(0.1, momentum=1.0), "SGD: momentum must lie in [0, 1), got 1.0"),
        (lambda: train.SGD(0.1, nesterov=True), "SGD: nesterov=True needs a momentum above 0"),
        (lambda: train.Adam(beta2=float("nan")), "Adam: beta2 must lie in [0, 1), got nan"),
        (lambda: train.AdamW(weight_decay=-0.1), "AdamW: weight_decay must lie in [0, inf)"),
        (lambda: train.SGD(no_decay="_bias"), "SGD: no_decay must be a tuple of endings"),
        (lambda: train.ClipNorm(0.0), "ClipNorm: limit must be positive, got 0.0"),
    ],
)
def test_bad_values(make: Callable[[], object], message: str) -> None:
    with pytest.raises(AttributeValueError) as error:
        make()
    assert str(error.value).startswith(message)


def test_what_cannot_be_trained() -> None:
    w = sg.parameter("w", (3,), init=sg.initializers.Constant(0.0))
    x = sg.var("x", (3,))
    with pytest.raises(
        GradientError, match=r"a loss must be one number, but multiply has shape \[3\]"
    ):
        train.build_step(w * x, {}, train.SGD())
    with pytest.raises(GradientError, match="has no parameter to train; its variables are x"):
        train.build_step(sg.sum(x), {}, train.SGD())
    with pytest.raises(InputError, match="params has no array for w"):
        train.build_step(sg.sum(w * x), {}, train.SGD())
    rate = sg.var("learning_rate", (3,))
    with pytest.raises(InputError, match="the name 'learning_rate' belongs to an input"):
        train.build_step(sg.sum(w * rate), {"w": np.zeros(3)}, train.SGD())
    with sg.attribute_scope(lr_mult="fast"):
        v = sg.parameter("w", (3,), init=sg.initializers.Constant(0.0))
    with pytest.raises(AttributeValueError, match="w: lr_mult must be a number >= 0, got 'fast'"):
        train.build_step(sg.sum(v), {"w": np.zeros(3)}, train.SGD())


def test_text_shows_what_differs_from_the_defaults() -> None:
    assert str(train.SGD(0.1, momentum=0.9)) == "SGD(learning_rate=0.1, momentum=0.9)"
    assert str(train.Adam()) == "Adam()"
