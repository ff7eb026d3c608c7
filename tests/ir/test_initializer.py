"""Initialisers: statistics, fans, determinism."""

from __future__ import annotations

import math

import numpy as np
import pytest

import symgraph as sg
from symgraph.errors import AttributeValueError, ShapeError
from symgraph.ir.initializer import (
    Constant,
    He,
    Initializer,
    Normal,
    Orthogonal,
    RandomKey,
    Uniform,
    Xavier,
    fans,
)

SHAPE = (130, 70, 3, 5)  # fan in 1050, fan out 1950
FAN_IN, FAN_OUT = 70 * 15, 130 * 15
SIZE = math.prod(SHAPE)


def draw(initializer: Initializer, shape: tuple[int, ...] = SHAPE, seed: int = 0) -> np.ndarray:
    return initializer.draw(np.random.default_rng(seed), shape)


def test_fans() -> None:
    assert fans(SHAPE) == (FAN_IN, FAN_OUT)
    assert fans((3, 7)) == (7, 3)
    assert fans((5,)) == (5, 5)
    assert fans(()) == (1, 1)


@pytest.mark.parametrize(
    ("initializer", "mean", "std"),
    [
        (Normal(0.5, 0.2), 0.5, 0.2),
        (Uniform(-1.0, 3.0), 1.0, 4 / math.sqrt(12)),
        (Xavier(), 0.0, math.sqrt(2 / (FAN_IN + FAN_OUT))),
        (Xavier(gain=3.0, uniform=False), 0.0, 3 * math.sqrt(2 / (FAN_IN + FAN_OUT))),
        (He(), 0.0, math.sqrt(2 / FAN_IN)),
        (He(gain=1.0, uniform=True), 0.0, math.sqrt(1 / FAN_IN)),
    ],
    ids=str,
)
def test_mean_and_deviation(initializer: Initializer, mean: float, std: float) -> None:
    values = draw(initializer)
    assert values.shape == SHAPE
    # Five standard errors of the mean and of the standard deviation.
    assert abs(values.mean() - mean) < 5 * std / math.sqrt(SIZE)
    assert abs(values.std() / std - 1) < 5 / math.sqrt(2 * SIZE)


def test_uniform_ones_stay_within_their_limits() -> None:
    limit = math.sqrt(6 / (FAN_IN + FAN_OUT))
    values = np.abs(draw(Xavier()))
    assert 0.999 * limit < values.max() <= limit
    assert draw(Uniform(2.0, 2.5)).min() >= 2.0


@pytest.mark.parametrize("shape", [(17, 33), (33, 17), (5, 3, 2, 2), (4, 4)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    matrix = draw(Orthogonal(gain=2.0), shape).reshape(shape[0], -1)
    if matrix.shape[0] > matrix.shape[1]:
        matrix = matrix.T
    np.testing.assert_allclose(matrix @ matrix.T, 4 * np.eye(len(matrix)), atol=1e-12)


def test_orthogonal_signs_are_even() -> None:
    # Without the sign correction of QR the diagonal would always have one sign.
    signs = [np.sign(draw(Orthogonal(), (3, 3), seed)[0, 0]) for seed in range(40)]
    assert 8 <= signs.count(1.0) <= 32


def test_bad_values() -> None:
    with pytest.raises(AttributeValueError, match=r"Orthogonal needs a matrix, got shape \(3,\)"):
        draw(Orthogonal(), (3,))
    with pytest.raises(AttributeValueError, match="gain must be finite, got inf"):
        draw(He(gain=math.inf))


def test_random_key() -> None:
    key = draw(RandomKey(), (4,))
    assert key.shape == (4,) and (key[2:] == 0).all() and (key[:2] < 2**32).all()
    assert not np.array_equal(key, draw(RandomKey(), (4,), 1))


def network() -> sg.Symbol:
    x = sg.var("x", ("N", 6))
    return sg.linear(sg.linear(x, 11, name="a"), 3, name="b")


def test_init_depends_on_seed_and_name_alone() -> None:
    first, again, other = (sg.init(network(), seed) for seed in (0, 0, 1))
    assert list(first) == ["a_weight", "a_bias", "b_weight", "b_bias"]
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
        assert first[name].dtype == np.float32
    assert not np.array_equal(first["a_weight"], other["a_weight"])
    # A further layer changes nothing before it.
    longer = sg.init(sg.linear(network(), 4, name="c"), 0)
    np.testing.assert_array_equal(longer["b_weight"], first["b_weight"])


def test_init_with_other_initialisers_and_shapes() -> None:
    made = sg.init(network(), initializers={"a_bias": Constant(2.5)})
    np.testing.assert_array_equal(made["a_bias"], np.full(11, 2.5))
    x = sg.var("x")
    with pytest.raises(ShapeError, match="the shape of fc_weight does not follow"):
        sg.init(sg.linear(x, 3, name="fc"))
    assert sg.init(sg.linear(x, 3, name="fc"), shapes={"x": (2, 9)})["fc_weight"].shape == (3, 9)
    with pytest.raises(ShapeError, match="no parameter is named 'nope'"):
        sg.init(network(), initializers={"nope": Constant(0.0)})
