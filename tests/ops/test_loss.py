"""Losses: inference from either side, reductions, errors."""

from __future__ import annotations

import pytest

import symgraph as sg
from symgraph.errors import AttributeValueError, DTypeError, ShapeError


def test_data_gives_the_shape_of_labels() -> None:
    x, label = sg.var("x", ("N", 10)), sg.var("label", dtype="int32")
    shapes = sg.cross_entropy(x, label).infer_shape()
    assert str(shapes["label"][0]) == "N"
    assert shapes.outputs == ((),)


def test_labels_give_the_rank_of_data() -> None:
    x, label = sg.var("x"), sg.var("label", (4, 7), "int64")
    loss = sg.nll_loss(x, label, reduction="none")
    shapes = loss.infer_shape()
    assert len(shapes["x"]) == 3
    assert (shapes["x"][0], shapes["x"][2]) == (4, 7)
    assert shapes.outputs == ((4, 7),)


def test_wrong_labels_are_refused() -> None:
    x = sg.var("x", (5, 10))
    with pytest.raises(DTypeError, match="label must have an integer dtype, got float32"):
        sg.cross_entropy(x, sg.var("label", (5,), "float32"))
    with pytest.raises(ShapeError, match="without its class axis"):
        sg.cross_entropy(x, sg.var("label", (5, 10), "int32"))


def test_wrong_attributes_are_refused() -> None:
    x, label = sg.var("x", (5, 10)), sg.var("label", (5,), "int32")
    with pytest.raises(AttributeValueError, match="one of mean, sum, none, got 'avg'"):
        sg.cross_entropy(x, label, reduction="avg")
    with pytest.raises(AttributeValueError, match=r"label_smoothing must be in \[0, 1\]"):
        sg.cross_entropy(x, label, label_smoothing=2.0)
    with pytest.raises(AttributeValueError, match="delta must be positive, got -1"):
        sg.huber_loss(x, x, delta=-1)
