"""Recurrent cells and the unrolled LSTM."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.errors import AttributeValueError, ShapeError
from symgraph.ops.recurrent import LstmCell


def test_an_unrolled_lstm_shares_its_weights() -> None:
    x = sg.var("x", ("N", 4, 3))
    y, last = sg.lstm(x, 5, layers=2)
    everything = sg.group(y, *last[0], *last[1])
    names = everything.list_variables()
    assert len(names) == 7
    assert everything.infer_shape()["lstm_l1_recurrent_weight"] == (20, 5)
    params = sg.init(everything, seed=3)
    f = sg.compile(everything, params=params, target="interp")
    array = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
    results = f(x=array)
    steps = [array[:, t] for t in range(4)]
    for layer in range(2):
        weights = [params[f"lstm_l{layer}_{n}"] for n in ("weight", "recurrent_weight", "bias")]
        h = c = np.zeros((2, 5), np.float32)
        for t in range(4):
            h, c = LstmCell(5).reference(steps[t], h, c, *weights)
            steps[t] = h
        np.testing.assert_allclose(results[1 + 2 * layer], h, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(results[2 + 2 * layer], c, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(results[0], np.stack(steps, axis=1), rtol=1e-4, atol=1e-6)


def test_gradients_flow_through_all_steps() -> None:
    x = sg.var("x", (2, 3, 4), "float64")
    y, _ = sg.lstm(x, 5)
    report = sg.testing.check_gradients(
        sg.sum(sg.square(y)),
        {
            "x": np.random.default_rng(0).normal(size=(2, 3, 4)),
            **{k: np.asarray(v, np.float64) for k, v in sg.init(y, seed=1).items()},
        },
    )
    assert report.worst < 1e-6


def test_cells_give_their_weights_shapes() -> None:
    x, h = sg.var("x", ("N", 7)), sg.var("h", (None, None))
    shapes = sg.gru_cell(x, h, 5, name="gru").infer_shape()
    assert shapes["gru_recurrent_weight"] == (15, 5)
    assert str(shapes["h"][0]) == "N"
    with pytest.raises(ShapeError, match=r"h.shape\[1\] must equal units 5: 6 != 5"):
        sg.rnn_cell(x, sg.var("h", ("N", 6)), 5)
    with pytest.raises(AttributeValueError, match="known number of steps"):
        sg.lstm(sg.var("x", ("N", "T", 3)), 5)
