"""What follows a contraction: several outputs, written over inputs, tiled all the same."""

from __future__ import annotations

import numpy as np

import symgraph as sg


def test_several_outputs_of_one_contraction_are_tiled() -> None:
    x, w = sg.var("x", ("N", 64)), sg.var("w", (64, 48))
    y = sg.maximum(sg.matmul(x, w), 0.0)
    f = sg.compile([y, sg.greater(y, 0.0)], target="llvm", cache=None, verify=2)
    assert len(f.program.steps) == 1
    assert "vector" in str(f.program)
    assert "unroll" in str(f.program)
    rng = np.random.default_rng(0)
    a = rng.normal(size=(33, 64)).astype(np.float32)
    b = rng.normal(size=(64, 48)).astype(np.float32)
    values, mask = f(a, b)
    expected = np.maximum(a @ b, 0)
    np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(mask, values > 0)


def test_an_update_behind_a_contraction_reads_the_old_values() -> None:
    """Momentum and weight are written over themselves; the weight's step uses the new momentum."""
    x, g = sg.var("x", (17, 33)), sg.var("g", (17, 24))
    w, m = sg.var("w", (24, 33)), sg.var("m", (24, 33))
    gradient = sg.matmul(g, x, transpose_x=True)
    momentum = m * 0.9 + gradient
    f = sg.compile([], updates={"m": momentum, "w": w - momentum * 0.1}, target="llvm", cache=None)
    rng = np.random.default_rng(0)
    arrays = {
        n: rng.normal(size=s).astype(np.float32)
        for n, s in (("x", (17, 33)), ("g", (17, 24)), ("w", (24, 33)), ("m", (24, 33)))
    }
    before = {n: a.copy() for n, a in arrays.items()}
    f(**{n: arrays[n] for n in f.inputs})
    expected = before["m"] * np.float32(0.9) + before["g"].T @ before["x"]
    np.testing.assert_allclose(arrays["m"], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(arrays["w"], before["w"] - expected * 0.1, rtol=1e-4, atol=1e-5)


def test_an_operand_that_is_read_at_many_places_is_not_packed() -> None:
    """A pooling that computes its windows from a product in Winograd's form reads all of a tile."""
    x = sg.var("x", (4, 24, 14, 14), "float32")
    h = sg.relu(sg.batch_norm(sg.conv2d(x, 24, kernel_size=3, padding=1)))
    y = sg.max_pool2d(h, 2)
    params = sg.init(y, seed=1)
    given = np.random.default_rng(0).uniform(-1, 1, (4, 24, 14, 14)).astype(np.float32)
    fast = sg.compile(y, params=params, algorithms="fast")(given)
    truth = sg.compile(y, params=params, algorithms="direct", target="interp")(given)
    np.testing.assert_allclose(fast, truth, rtol=1e-4, atol=1e-5)
