"""Acceptance: one operator declared outside the package natively, as a composite, on the host."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symgraph as sg
from examples.large_margin import FORMS, MarginLogits, large_margin_linear
from symgraph.errors import AttributeValueError, DTypeError, ShapeError

X = np.array([[1, 2], [3, -1], [-2, 0.5], [0.5, 0.25]])
W = np.array([[1.0, 0], [0, 1], [1, 1]])
LABEL = np.array([0, 2, 0, 1], np.int32)

# Target logits for (margin, beta).
LOGITS = {
    (1, 0.0): (1, 2, -2, 0.25),
    (1, 7.0): (1, 2, -2, 0.25),
    (2, 0.0): (-1.34164079, -2.68328157, -5.94212281, -0.3354102),
    (2, 1.0): (-0.17082039, -0.34164079, -3.97106141, -0.0427051),
    (3, 1.0): (-0.63606798, -1.27213595, -5.88781151, -0.15901699),
    (4, 0.0): (-3.84603692, -7.69207384, -13.5177944, -0.96150923),
    (4, 1.0): (-1.42301846, -2.84603692, -7.7588972, -0.35575462),
    (6, 1.0): (-2.92565614, -5.85131228, -11.41161799, -0.73141404),
}
GRADIENTS = {
    (4, 1.0): (
        [[2.83269651, 0.37214251], [1.20483903, 4.460554], [5.08348484, 2.81614497],
         [0.37214251, 2.83269651]],
        [[-5.68191566, 8.21728287], [3.32331263, 1.14424538], [3.37023206, -3.96626898]],
    ),
    (2, 1.0): (
        [[2.08137767, 1.37390097], [1.45527864, 2.70747671], [3.01228096, 2.10700101],
         [1.37390097, 2.08137767]],
        [[-0.6418818, 3.25899688], [2.6972136, 1.4572949], [2.11803399, -0.20967478]],
    ),
}  # fmt: skip


@pytest.fixture(params=sorted(FORMS))
def form(request: Any) -> str:
    return str(request.param)


def layer(
    form: str, margin: int, *, dtype: str = "float64", label: str = "int32", **more: Any
) -> tuple[Any, ...]:
    x, y = sg.var("x", ("N", "D"), dtype), sg.var("y", ("N",), label)
    weight = sg.var("w", (3, "D"), dtype)
    beta = sg.var("beta", (), dtype)
    given = {"beta": beta, "weight": weight, "form": form, **more}
    return large_margin_linear(x, y, 3, margin=margin, **given), x, weight


def run(outputs: Any, *, beta: float = 1.0, x: Any = X, w: Any = W, y: Any = LABEL) -> Any:
    f = sg.compile(outputs, target="interp", training=True)
    given = {"x": x, "w": w, "y": y, "beta": np.asarray(beta, x.dtype)}
    return f(**{n: given[n] for n in f.inputs})


@pytest.mark.parametrize(("margin", "beta"), sorted(LOGITS))
def test_golden_logits(form: str, margin: int, beta: float) -> None:
    out = run(layer(form, margin)[0], beta=beta)
    expected = X @ W.T
    expected[np.arange(4), LABEL] = LOGITS[margin, beta]
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("margin", "beta"), sorted(GRADIENTS))
def test_golden_gradients(form: str, margin: int, beta: float) -> None:
    out, x, weight = layer(form, margin)
    dx, dw = run(list(sg.gradients(out, (x, weight))), beta=beta)
    np.testing.assert_allclose(dx, GRADIENTS[margin, beta][0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(dw, GRADIENTS[margin, beta][1], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("x", "logits"),
    [((0, 3), (-6, -12, -18)), ((-3, 0), (-18, -30, -42)), ((3, 0), (6, 6, 6))],
)
def test_orthogonal_opposite_and_parallel(
    form: str, x: tuple[float, float], logits: tuple[float, ...]
) -> None:
    w = np.array([[2.0, 0], [0, 1], [1, 1]])
    row = np.array([x], np.float64)
    for margin, expected in zip((2, 3, 4), logits, strict=True):
        out, xs, ws = layer(form, margin)
        y = np.zeros(1, np.int32)
        result, dx, dw = run([out, *sg.gradients(out, (xs, ws))], beta=0.0, x=row, w=w, y=y)
        np.testing.assert_allclose(result[0, 0], expected, atol=1e-6)
        assert np.isfinite(dx).all()
        assert np.isfinite(dw).all()


def test_a_cosine_above_one_is_clamped(form: str) -> None:
    # In float32 this row is longer along its own direction than the product of its lengths.
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(500, 2)).astype(np.float32)
    out, xs, ws = layer(form, 4, dtype="float32")
    w = rows[:3] * np.float32(1.7)
    x, y = np.repeat(rows[:3], 5, axis=0), np.repeat(np.arange(3), 5).astype(np.int32)
    result, dx, dw = run([out, *sg.gradients(out, (xs, ws))], x=x, w=w, y=y)
    expected = np.linalg.norm(x, axis=1) * np.linalg.norm(w[y], axis=1)
    np.testing.assert_allclose(result[np.arange(15), y], expected, rtol=1e-4)
    assert np.isfinite(dx).all()
    assert np.isfinite(dw).all()


def test_rows_of_zeros_stay_finite(form: str) -> None:
    x, w = X.copy(), W.copy()
    x[1], w[0] = 0, 0
    out, xs, ws = layer(form, 2)
    result, dx, dw = run([out, *sg.gradients(out, (xs, ws))], x=x, w=w)
    assert abs(result[1, 2]) < 1e-9
    assert abs(result[0, 0]) < 1e-9
    assert np.isfinite(dx).all()
    assert np.isfinite(dw).all()


@pytest.mark.parametrize("dtype", ["int64", "uint8"])
def test_any_integer_labels(form: str, dtype: str) -> None:
    out = run(layer(form, 2, label=dtype)[0], y=LABEL.astype(dtype))
    np.testing.assert_allclose(out[np.arange(4), LABEL], LOGITS[2, 1.0], atol=1e-6)


@pytest.mark.parametrize("margin", [1, 2, 3, 4])
def test_forms_agree_on_random_data_with_their_gradients(margin: int) -> None:
    rng = np.random.default_rng(margin)
    x, w = rng.normal(size=(17, 5)), rng.normal(size=(3, 5))
    y = rng.integers(0, 3, 17).astype(np.int32)
    results = []
    for form in sorted(FORMS):
        out, xs, ws = layer(form, margin)
        head = sg.constant(np.random.default_rng(9).normal(size=(17, 3)))
        results.append(run([out, *sg.gradients(out, (xs, ws), head)], beta=0.5, x=x, w=w, y=y))
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("margin", [2, 3, 4])
def test_gradients_are_derivatives(form: str, margin: int) -> None:
    rng = np.random.default_rng(margin)
    inputs = {
        "x": rng.normal(size=(7, 5)),
        "w": rng.normal(size=(3, 5)),
        "y": rng.integers(0, 3, 7),
        "beta": np.asarray(0.5),
    }
    report = sg.testing.check_gradients(
        lambda x, w, y, beta: large_margin_linear(
            x, y, 3, margin=margin, weight=w, beta=beta, form=form
        ),
        inputs,
        wrt=["x", "w"],
    )
    assert report.worst < 1e-6


def test_the_native_operator_passes_every_check() -> None:
    rng = np.random.default_rng(0)
    inputs = (
        rng.normal(size=(5, 3)), rng.uniform(2, 3, 5), rng.uniform(2, 3, 3),
        rng.integers(0, 3, 5), np.asarray(0.5),
    )  # fmt: skip
    sg.testing.check_operator(MarginLogits(3), [sg.Sample(MarginLogits(3), inputs)], ["interp"])


def test_inference_is_linear_and_needs_no_label(form: str) -> None:
    x, y = sg.var("x", ("N", 2)), sg.var("y", dtype="int32")
    logits = large_margin_linear(x, y, 3, margin=4, form=form, name="fc")
    w = W.astype(np.float32)
    f = sg.compile(logits, params={"fc_weight": w, "fc_beta": 1.0}, target="interp")
    assert f.inputs == ("x",)
    np.testing.assert_allclose(f(x=X.astype(np.float32)), X @ W.T, rtol=1e-6)


def test_beta_is_state_that_anneals(form: str) -> None:
    x, y = sg.var("x", (4, 2), "float64"), sg.var("y", (4,), "int32")
    logits = large_margin_linear(
        x, y, 3, margin=2, beta=1.0, scale=0.5, beta_min=0.3, form=form, name="fc"
    )
    params = {"fc_weight": W, "fc_beta": np.asarray(1.0)}
    f = sg.compile(logits, params=params, target="interp", training=True)
    first, second = f(x=X, y=LABEL), f(x=X, y=LABEL)
    np.testing.assert_allclose(first[0, 0], LOGITS[2, 1.0][0], atol=1e-6)
    expected = (LOGITS[2, 0.0][0] + 0.5 * 1.0) / 1.5
    np.testing.assert_allclose(second[0, 0], expected, atol=1e-6)
    assert f.parameters["fc_beta"] == 0.3


def test_shapes_flow_in_every_direction(form: str) -> None:
    x, y = sg.var("x", ("N", 20)), sg.var("y", dtype="int64")
    shapes = large_margin_linear(x, y, 10, form=form, name="fc").infer_shape()
    assert shapes["fc_weight"] == (10, 20)
    assert [str(d) for d in shapes["y"]] == ["N"]


def test_mistakes_are_named(form: str) -> None:
    x = sg.var("x", (4, 2))
    with pytest.raises(DTypeError, match="label must have an integer dtype"):
        large_margin_linear(x, sg.var("y", (4,), "float32"), 3, form=form)
    with pytest.raises(ShapeError, match=r"label.shape\[0\] must equal x.shape\[0\]: 5 != 4"):
        large_margin_linear(x, sg.var("y", (5,), "int32"), 3, form=form)
    with pytest.raises(AttributeValueError, match="units and margin must be at least 1"):
        large_margin_linear(x, sg.var("y", (4,), "int32"), 3, margin=0, form=form)


def test_a_small_network_learns(form: str) -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 6)) * 2
    labels = rng.integers(0, 3, 120).astype(np.int32)
    data = (centres[labels] + rng.normal(size=(120, 6)) * 0.7).astype(np.float32)
    x, y = sg.var("x", ("N", 6)), sg.var("y", ("N",), "int32")
    hidden = sg.relu(sg.linear(x, 16, name="fc1"))
    logits = large_margin_linear(
        hidden, y, 3, margin=2, beta=10.0, scale=0.9, form=form, name="fc2"
    )
    loss = sg.cross_entropy(logits, y)
    names = [loss.graph.names[p.node] for p in loss.parameters]
    step = sg.group(loss, *sg.gradients(loss, loss.parameters))
    params = {k: np.array(v, np.float32) for k, v in sg.init(loss, seed=1).items()}
    f = sg.compile(step, params=params, target="interp", training=True)
    losses = []
    for _ in range(40):
        value, *grads = f(x=data, y=labels)
        losses.append(float(value))
        for name, gradient in zip(names, grads, strict=True):
            f.parameters[name][...] -= 0.1 * gradient
    assert losses[-1] < 0.5 * losses[0]
    infer = sg.compile(logits, params=dict(f.parameters), target="interp")
    assert (infer(x=data).argmax(axis=1) == labels).mean() > 0.95
    assert f.parameters["fc2_beta"] == pytest.approx(10 * 0.9**40, rel=1e-4)
