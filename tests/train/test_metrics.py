"""Metrics against numpy, in the program and on the host."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph import train
from symgraph.errors import InputError

TARGET = "interp"
ROWS, CLASSES = 17, 7


def setup(metrics: Any) -> tuple[train.Model, dict[str, Any]]:
    x = sg.var("x", ("N", CLASSES))
    y = sg.var("y", ("N",), "int32")
    t = sg.var("t", ("N", CLASSES))
    scale = sg.parameter("scale", (CLASSES,), init=sg.initializers.Constant(1.0))
    logits = x * scale
    loss = sg.cross_entropy(logits, y) + 0.0 * sg.mse_loss(logits, t)
    rng = np.random.default_rng(2)
    data = {
        "x": rng.normal(size=(ROWS, CLASSES)).astype(np.float32),
        "y": rng.integers(0, CLASSES, ROWS).astype(np.int32),
        "t": rng.normal(size=(ROWS, CLASSES)).astype(np.float32),
    }
    symbols = {"logits": logits, "y": y, "t": t}
    chosen = metrics(**symbols) if callable(metrics) else metrics
    return train.Model.of(loss, outputs=logits, metrics=chosen, target=TARGET), data


def log_softmax(x: Any) -> Any:
    x = x.astype(np.float64)
    return x - np.log(np.exp(x).sum(1, keepdims=True))


def test_against_numpy() -> None:
    model, data = setup(
        lambda logits, y, t: [
            train.accuracy(logits, y),
            train.top_k(logits, y, 3),
            train.cross_entropy(logits, y),
            train.perplexity(logits, y),
            train.mean_squared_error(logits, t),
            train.mean_absolute_error(logits, t),
            train.custom("worst", lambda a, b: float(np.abs(a - b).max(1).mean()), logits, t),
        ]
    )
    x, y, t = data["x"], data["y"], data["t"]
    ranks = (x > x[np.arange(ROWS), y][:, None]).sum(1)
    nll = -log_softmax(x)[np.arange(ROWS), y]
    expected = {
        "accuracy": (x.argmax(1) == y).mean(),
        "top3": (ranks < 3).mean(),
        "cross_entropy": nll.mean(),
        "perplexity": np.exp(nll.mean()),
        "mse": ((x - t) ** 2).mean(),
        "mae": np.abs(x - t).mean(),
        "worst": np.abs(x - t).max(1).mean(),
    }
    # Batches of 5, 5, 5 and 2: means over samples must not depend on the cut.
    for batch_size in (5, ROWS):
        found = model.evaluate(data, batch_size=batch_size)
        assert found.pop("loss") == pytest.approx(nll.mean(), rel=1e-5)
        assert found == pytest.approx(expected, rel=1e-5)


def test_scalar_symbols_by_name() -> None:
    model, data = setup(lambda logits, y, t: {"size": sg.mean(logits * logits)})
    found = model.evaluate(data)
    assert found["size"] == pytest.approx((data["x"].astype(float) ** 2).mean(), rel=1e-5)


def test_by_name_the_label_must_be_the_only_other_input() -> None:
    with pytest.raises(InputError, match="needs exactly one input of the loss .* found y, t; give"):
        setup(("accuracy",))


def test_mistakes() -> None:
    with pytest.raises(InputError, match="the name 'accuracy' is used twice"):
        setup(lambda logits, y, t: [train.accuracy(logits, y), train.accuracy(logits, y)])
    with pytest.raises(InputError, match="need a name, a metric such as .* got int 3"):
        setup([3])
