"""Small models for the tests of artefacts: open extents, several dtypes, updates."""

from __future__ import annotations

import numpy as np

import symgraph as sg


def perceptron() -> tuple[sg.Symbol, dict[str, np.ndarray]]:
    """Two layers over an open batch: workspace and weights."""
    x = sg.var("x", ("N", 7))
    h = sg.linear(x, 33, name="fc1")
    h = h * h + 0.5
    y = sg.linear(h, 5, name="fc2")
    return y, sg.init(y, seed=3)


def convolution() -> tuple[sg.Symbol, dict[str, np.ndarray]]:
    """A small convolutional network with softmax over an open batch."""
    x = sg.var("x", ("N", 2, 17, 13))
    h = sg.max_pool2d(sg.conv2d(x, 6, kernel_size=3, name="conv1"), 2)
    h = sg.conv2d(h, 10, kernel_size=3, name="conv2")
    y = sg.softmax(sg.linear(sg.flatten(h), 11, name="fc"))
    return y, sg.init(y, seed=4)


def batch(n: int, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed + n).normal(size=(n, *shape)).astype(np.float32)
