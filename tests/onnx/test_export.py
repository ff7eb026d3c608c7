"""Exported models compute what the graph computes, as ONNX's own reference evaluator sees it."""

from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph import models
from symgraph.errors import UnknownOperatorError

onnx = pytest.importorskip("onnx")
from onnx.reference import ReferenceEvaluator  # noqa: E402

from symgraph.onnx import export_onnx  # noqa: E402


def check(symbol: Any, tolerance: float = 1e-4, **inputs: np.ndarray) -> None:
    shapes = {name: a.shape for name, a in inputs.items()}
    params = sg.init(symbol, 0, shapes=shapes)
    model = export_onnx(symbol, params=params, shapes=shapes)
    onnx.checker.check_model(model)
    found = ReferenceEvaluator(model).run(None, inputs)
    expected = sg.compile(symbol, params=params, shapes=shapes, target="llvm", cache=None)(**inputs)
    several = expected if isinstance(expected, tuple) else (expected,)
    for a, b in zip(found, several, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


X = sg.var("x", ("N", 6, 9, 10))
CASES = {
    "batch_norm": sg.batch_norm(X, name="bn"),
    "layer_norm": sg.layer_norm(X, name="ln"),
    "local_response_norm": sg.local_response_norm(X, 5, alpha=0.3),
    "gelu": sg.gelu(X * 3.0),
    "gelu_tanh": sg.gelu(X * 3.0, approximate="tanh"),
    "relu6": sg.relu6(X * 9.0),
    "clip": sg.clip(X, -0.25, None),
    "square": sg.square(X),
    "slice": X[:, 1:5:2, ::-1, -3:],
    "split": sg.group(*sg.split(X, 3, axis=1)),
    "split_at": sg.group(*sg.split(X, (1, 4), axis=2)),
    "stack": sg.stack([X, X * 2.0], axis=1),
    "cast": sg.cast(sg.cast(X * 9.0, "int32"), "float32"),
    "repeat": sg.repeat(X, 3, axis=2),
    "softmax": sg.softmax(X, axis=1),
    "grouped": sg.conv2d(X, 4, kernel_size=3, stride=2, padding=1, groups=2, name="c"),
    "pool": sg.avg_pool2d(X, 3, 2, 1),
}


@pytest.mark.parametrize("name", CASES)
def test_operators(name: str) -> None:
    # The reference evaluator of LRN walks over as many channels as there are images.
    check(CASES[name], x=numbers(6 if name == "local_response_norm" else 2, 6, 9, 10))


@pytest.mark.parametrize(
    ("network", "inputs"),
    [
        (models.lenet5, {"x": (3, 1, 28, 28)}),
        (models.lstm, {"x": (2, 28, 28)}),
        (lambda: models.lstm(length="T", features=5, units=7, layers=2), {"x": (2, 3, 5)}),
        (lambda: sg.gru(sg.var("x", ("N", "T", 5)), 7, reverse=True)[0], {"x": (2, 3, 5)}),
        (lambda: models.bert_encoder(length=5, layers=1, width=8, heads=2, inner=9, vocabulary=13),
         {"tokens": (2, 5)}),
    ],
)  # fmt: skip
def test_networks(network: Any, inputs: dict[str, tuple[int, ...]]) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        n: rng.integers(0, 13, s).astype(np.int32) if n == "tokens" else numbers(*s)
        for n, s in inputs.items()
    }
    check(network(), **arrays)


def test_a_loop_without_sequences_is_refused() -> None:
    last, _ = sg.scan(lambda h: (h * 2.0, None), (), sg.var("h", (3,)), length=4, name="doubled")
    with pytest.raises(UnknownOperatorError, match="doubled: a loop without sequences"):
        export_onnx(last)


def test_what_has_no_counterpart_is_named() -> None:
    y = sg.flip(sg.var("x", (3, 5)), axis=1, name="turned")
    with pytest.raises(UnknownOperatorError, match=r"turned: operator 'flip' has no counterpart"):
        export_onnx(y)
