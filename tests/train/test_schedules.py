"""Schedules against their formulas, written out anew."""

from __future__ import annotations

import math

import pytest

from symgraph import train
from symgraph.errors import AttributeValueError

BASE = 0.3
ITERATIONS = (0, 1, 4, 5, 6, 9, 10, 11, 50, 99, 100, 250)


def steps_reached(i: int) -> int:
    return sum(i >= s for s in (5, 10, 100))


CASES = {
    "constant": (train.ConstantRate(BASE), lambda i: BASE),
    "step": (train.StepDecay(BASE, 5, 0.5), lambda i: BASE * 0.5 ** math.floor(i / 5)),
    "multistep": (
        train.MultiStepDecay(BASE, (5, 10, 100), 0.1),
        lambda i: BASE * 0.1 ** steps_reached(i),
    ),
    "exponential": (train.ExponentialDecay(BASE, 0.97), lambda i: BASE * 0.97**i),
    "inverse": (
        train.InverseDecay(BASE, 0.0001, 0.75),
        lambda i: BASE * (1 + 0.0001 * i) ** (-0.75),
    ),
    "polynomial": (
        train.PolynomialDecay(BASE, 100, 2.0),
        lambda i: BASE * (1 - i / 100) ** 2 if i < 100 else 0.0,
    ),
    "cosine": (
        train.CosineDecay(BASE, 100, 0.01),
        lambda i: 0.01 + (BASE - 0.01) / 2 * (1 + math.cos(math.pi * min(i, 100) / 100)),
    ),
    "sigmoid falling": (
        train.SigmoidDecay(BASE, -0.1, 10),
        lambda i: BASE / (1 + math.exp(0.1 * (i - 10))),
    ),
    "sigmoid rising": (
        train.SigmoidDecay(BASE, 0.5, 6),
        lambda i: BASE / (1 + math.exp(-0.5 * (i - 6))),
    ),
    "warm-up": (
        train.WarmUp(0.1, train.StepDecay(BASE, 5, 0.5), 10),
        lambda i: 0.1 + (BASE - 0.1) * i / 10 if i < 10 else BASE * 0.5 ** ((i - 10) // 5),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_formula(name: str) -> None:
    schedule, expected = CASES[name]
    for i in ITERATIONS:
        assert schedule(i) == pytest.approx(expected(i), rel=1e-13, abs=1e-300), i


def test_caffe_lenet_policy_at_its_end() -> None:
    # lenet_solver.prototxt: base_lr 0.01, inv, gamma 0.0001, power 0.75; Caffe's log prints
    # lr = 0.00594604 at iteration 10000.
    assert train.InverseDecay(0.01, 0.0001, 0.75)(10000) == pytest.approx(0.00594604, rel=1e-6)


def test_sigmoid_does_not_overflow() -> None:
    assert train.SigmoidDecay(1.0, -1.0, 0)(100_000) == 0.0
    assert train.SigmoidDecay(1.0, 1.0, 0)(100_000) == 1.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: train.ConstantRate(-1.0), "ConstantRate: base must be a learning rate >= 0"),
        (lambda: train.ConstantRate(math.nan), "ConstantRate: base must be a learning rate >= 0"),
        (lambda: train.StepDecay(0.1, 0), "StepDecay: step must be positive, got 0"),
        (lambda: train.MultiStepDecay(0.1, (5, 5)), "MultiStepDecay: steps must increase"),
        (lambda: train.CosineDecay(0.1, -3), "CosineDecay: steps must be positive, got -3"),
        (
            lambda: train.WarmUp(0.0, train.ConstantRate(0.1), 0),
            "WarmUp: steps must be positive, got 0",
        ),
    ],
)
def test_bad_values(make: object, message: str) -> None:
    with pytest.raises(AttributeValueError) as error:
        make()  # type: ignore[operator]
    assert str(error.value).startswith(message)
