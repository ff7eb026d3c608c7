"""Whole rows and single batches in place, on every target."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.codegen.target import find_target, target_names

TARGETS = [n for n in target_names() if find_target(n).available() is None]


def random(*shape):
    return np.random.default_rng(0).uniform(-2, 2, shape).astype(np.float32)


def softmax(a, axis):
    e = np.exp(a - a.max(axis, keepdims=True), dtype=np.float64)
    return e / e.sum(axis, keepdims=True)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("shape", "axis"),
    [((17, 33), 1), ((17, 33), 0), ((3, 5, 7), 1), ((1, 1000), 1), ((64, 130), 1)],
)
def test_a_softmax_lies_over_its_input(target, shape, axis) -> None:
    x, w = sg.var("x", shape), sg.var("w", (shape[-1], shape[-1]))
    y = sg.matmul(sg.softmax(sg.matmul(x, w), axis=axis), w)
    f = sg.compile(y, target=target, verify=2, threads=2)
    a, b = random(*shape), random(shape[-1], shape[-1]) / 20
    np.testing.assert_allclose(f(a, b), softmax(a @ b, axis) @ b, rtol=2e-3, atol=2e-4)
    if any("softmax" in s.label for s in f.program.steps):
        assert f.memory.shared
        assert f.memory.nbytes < a.nbytes + 128


@pytest.mark.parametrize("target", TARGETS)
def test_layer_norm_and_the_residual_of_one_image_lie_over_their_input(target) -> None:
    x, w = sg.var("x", (1, 6, 5, 7)), sg.var("w", (6, 6, 1, 1))
    h = sg.conv2d(x, 6, w, kernel_size=1, use_bias=False, name="first")
    y = sg.relu(sg.conv2d(h, 6, w, kernel_size=1, use_bias=False, name="second") + sg.tanh(h))
    z = sg.conv2d(y, 6, w, kernel_size=1, use_bias=False, name="third")
    f = sg.compile(z, target=target, level=1, verify=2)
    a, b = random(1, 6, 5, 7), random(6, 6, 1, 1)
    product = b.reshape(6, 6) @ a.reshape(6, 35)
    inner = np.maximum(b.reshape(6, 6) @ product + np.tanh(product), 0)
    np.testing.assert_allclose(
        f(a, b).reshape(6, 35), b.reshape(6, 6) @ inner, rtol=1e-3, atol=1e-4
    )
    assert f.memory.nbytes < 2 * (a.nbytes + 128)


@pytest.mark.parametrize("target", TARGETS)
def test_a_residual_sum_is_accumulated_into_what_it_adds(target) -> None:
    """h + conv(conv(h)) at batch 1: two buffers, since the sum lies over h."""
    x, w = sg.var("x", (1, 16, 5, 7)), sg.var("w", (16, 16, 1, 1))

    def conv(h, name):
        return sg.conv2d(h, 16, w, kernel_size=1, use_bias=False, name=name)

    h = conv(x, "a")
    for n in range(3):
        h = h + conv(sg.relu(conv(h, f"b{n}")), f"c{n}")
    f = sg.compile(conv(h, "d"), target=target, verify=2)
    a, b = random(1, 16, 5, 7), random(16, 16, 1, 1) / 4
    m = b.reshape(16, 16)
    expected = m @ a.reshape(16, 35)
    for _ in range(3):
        expected = expected + m @ np.maximum(m @ expected, 0)
    np.testing.assert_allclose(f(a, b).reshape(16, 35), m @ expected, rtol=1e-3, atol=1e-4)
    size = -(-a.nbytes // 64) * 64
    assert sum(int(b.type.nbytes) >= a.nbytes for b, _ in f.memory.offsets) >= 2
    assert f.memory.lower_bound <= 2 * size + 2 * 1024
