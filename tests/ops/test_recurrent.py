"""Recurrent cells and layers of them."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.errors import AttributeValueError, ShapeError
from symgraph.ops.recurrent import GruCell, LstmCell, RnnCell


def test_the_steps_of_an_lstm_share_its_weights() -> None:
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
    with pytest.raises(AttributeValueError, match=r"lstm: .* known or named batch.*declare it as"):
        sg.lstm(sg.var("x", (None, "T", 3)), 5)
    with pytest.raises(AttributeValueError, match="layers must be at least 1, got 0"):
        sg.gru(sg.var("x", ("N", "T", 3)), 5, layers=0)


@pytest.mark.parametrize("reverse", [False, True])
def test_layers_of_other_cells_for_any_number_of_steps(reverse: bool) -> None:
    x = sg.var("x", ("N", "T", 3))
    ys, (first, second) = sg.gru(x, 5, layers=2, reverse=reverse)
    rs, (last,) = sg.rnn(x, 4, activation="relu", reverse=reverse)
    network = sg.group(ys, first, second, rs, last)
    params = sg.init(network, seed=4)
    f = sg.compile(network, params=params, target="llvm")
    for steps in (4, 1):
        array = np.random.default_rng(1).normal(size=(2, steps, 3)).astype(np.float32)
        order = range(steps)[:: -1 if reverse else 1]
        rows = array
        states = []
        for layer in range(2):
            names = ("weight", "recurrent_weight", "bias", "recurrent_bias")
            weights = [params[f"gru_l{layer}_{n}"] for n in names]
            h, out = np.zeros((2, 5), np.float32), np.zeros((2, steps, 5), np.float32)
            for t in order:
                h = out[:, t] = GruCell(5).reference(rows[:, t], h, *weights)
            rows = out
            states.append(h)
        weights = [params[f"rnn_l0_{n}"] for n in ("weight", "recurrent_weight", "bias")]
        h, out = np.zeros((2, 4), np.float32), np.zeros((2, steps, 4), np.float32)
        for t in order:
            h = out[:, t] = RnnCell(4, "relu").reference(array[:, t], h, *weights)
        for got, expected in zip(f(x=array), (rows, *states, out, h), strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
