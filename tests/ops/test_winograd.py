"""Winograd's forms of a convolution: that they are it, on every target, and how exactly."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.codegen.target import find_target, target_names
from symgraph.errors import AttributeValueError, ShapeError
from symgraph.ops.convolution_parts import Convolution
from symgraph.ops.winograd import WinogradTiles, convolved
from symgraph.ops.winograd_forms import FORMS, TAPS, both_axes, operations

TARGETS = [n for n in target_names() if find_target(n).available() is None]
CONVOLUTION = Convolution((1, 1), (1, 1))


def rms(array) -> float:
    return float(np.sqrt(np.mean(np.square(array.astype(np.float64)))))


@pytest.mark.parametrize("m", FORMS)
def test_the_matrices_are_a_convolution(m) -> None:
    a, g, b = FORMS[m].matrices()
    rng = np.random.default_rng(m)
    d, taps = rng.normal(size=m + TAPS - 1), rng.normal(size=TAPS)
    expected = np.convolve(d, taps[::-1], "valid")
    np.testing.assert_allclose(a @ ((g @ taps) * (b @ d)), expected, rtol=1e-12)


@pytest.mark.parametrize("m", FORMS)
def test_the_short_sequences_are_the_matrices(m) -> None:
    form = FORMS[m]
    a, g, b = form.matrices()
    for transform, matrix in ((form.inputs, b), (form.results, a), (form.weights, g)):
        columns = [list(row) for row in np.eye(matrix.shape[1])]
        np.testing.assert_allclose(np.array(transform(np.array(columns))), matrix, atol=1e-15)


def test_the_sequences_are_short() -> None:
    """Counted by Lavin and Gray for F(2x2,3x3): 32 and 24 operations."""
    assert operations(FORMS[2].inputs, 4) == 32
    assert operations(FORMS[2].results, 4) == 24
    assert operations(FORMS[4].inputs, 6) < 6 * 6 * 12 * 2 / 3
    assert operations(FORMS[4].results, 6) < 4 * 6 * 10 * 2 / 3 * 1.2


def case(image, channels, outputs, dtype="float32", batch=2, bias=True):
    rng = np.random.default_rng(channels)
    x = rng.normal(size=(batch, channels, *image)).astype(dtype)
    w = rng.normal(size=(outputs, channels, TAPS, TAPS)).astype(dtype)
    b = rng.normal(size=outputs).astype(dtype) if bias else None
    return x, w, b


def form_of(m, x_shape, w, b, dtype="float32"):
    v = sg.var("x", x_shape, dtype)
    return convolved(FORMS[m], v, sg.constant(w), None if b is None else sg.constant(b))


IMAGES = [
    pytest.param((6, 10), 3, 5, id="whole tiles"),
    pytest.param((7, 12), 16, 33, id="part of a tile left, channels of which one side is blocked"),
    pytest.param((9, 5), 32, 16, id="part of a tile left, blocked channels"),
    pytest.param((3, 3), 1, 1, id="one element"),
    pytest.param((3, 8), 17, 2, id="odd channels"),
]


@pytest.mark.parametrize("m", FORMS)
@pytest.mark.parametrize(("image", "channels", "outputs"), IMAGES)
@pytest.mark.parametrize("target", TARGETS)
def test_every_target_computes_the_convolution(target, image, channels, outputs, m) -> None:
    x, w, b = case(image, channels, outputs)
    y = form_of(m, ("N", *x.shape[1:]), w, b)
    f = sg.compile(sg.relu(y), target=target, verify=2)
    expected = np.maximum(CONVOLUTION.reference(x.astype(float), w.astype(float), b), 0)
    np.testing.assert_allclose(f(x=x), expected, atol=2e-5 * rms(expected))
    assert f(x=x[:0]).shape == (0, *expected.shape[1:]), "no image at all"
    np.testing.assert_array_equal(f(x=x[:1]), f(x=x)[:1])


@pytest.mark.parametrize("cpu", ["x86-64", "x86-64-v3"])
@pytest.mark.parametrize("m", FORMS)
def test_float64_and_no_bias(m, cpu) -> None:
    x, w, _ = case((7, 11), 16, 24, "float64", bias=False)
    f = sg.compile(form_of(m, x.shape, w, None, "float64"), cpu=cpu, verify=2)
    np.testing.assert_allclose(f(x=x), CONVOLUTION.reference(x, w), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("padding", [0, 1, ((0, 2), (1, 0)), ((3, 1), (2, 2))])
@pytest.mark.parametrize(("algorithms", "bound"), [("accurate", 1e-5), ("fast", 2e-5)])
def test_padding_residual_and_batch_through_the_compiler(padding, algorithms, bound) -> None:
    """Large enough to be chosen; what follows the convolution is done with it."""
    rng = np.random.default_rng(5)
    v = sg.var("x", ("N", 64, 37, 41))
    y = sg.conv2d(v, 48, kernel_size=3, padding=padding, name="conv")
    z = sg.relu(y + sg.conv2d(v, 48, kernel_size=3, padding=padding, name="other"))
    params = {name: rng.normal(size=a.shape).astype(np.float32)
              for name, a in sg.init(z, 0).items()}  # fmt: skip
    x = rng.uniform(-1, 1, (2, 64, 37, 41)).astype(np.float32)
    f = sg.compile(z, params=params, algorithms=algorithms, verify=2)
    assert "winograd" in str(f.program)
    direct = sg.compile(z, params=params, algorithms="direct")
    assert "winograd" not in str(direct.program)
    expected = direct(x=x)
    assert rms(f(x=x) - expected) < bound * rms(expected)


@pytest.mark.parametrize("channels", [8, 16, 64, 256])
@pytest.mark.parametrize("shape", ["uniform", "normal", "relu"])
def test_errors_are_within_the_stated_bounds(channels, shape) -> None:
    """Root mean square over the output, against the direct sum in float32 (docs/algorithms.md)."""
    rng = np.random.default_rng(channels)
    size = (1, channels, 26, 26)
    x = rng.uniform(-1, 1, size) if shape == "uniform" else rng.normal(size=size)
    x = (np.maximum(x, 0) if shape == "relu" else x).astype(np.float32)
    w = rng.normal(size=(32, channels, TAPS, TAPS)).astype(np.float32)
    exact = CONVOLUTION.reference(x.astype(np.float64), w.astype(np.float64))

    def error(symbol) -> float:
        f = sg.compile(symbol, algorithms="direct", threads=1)
        return rms(f(x=x) - exact) / rms(exact)

    direct = error(CONVOLUTION(sg.var("x", x.shape), sg.constant(w)))
    unit = float(np.finfo(np.float32).eps)
    for m, form in FORMS.items():
        found = error(form_of(m, x.shape, w, None))
        assert found <= form.error * direct
        assert found <= {2: 0.75, 4: 2.3}[m] * unit * np.sqrt(channels), "the table's own bound"


def test_whole_tiles_are_asked_for() -> None:
    with pytest.raises(ShapeError, match=r"x.shape\[2\] must be a multiple of 4, plus 2, got 9"):
        WinogradTiles(4)(sg.var("x", (1, 2, 9, 6)))
    with pytest.raises(AttributeValueError, match="tile must be one of 2, 4, got 3"):
        WinogradTiles(3)(sg.var("x", (1, 2, 10, 6)))


def test_tiles_are_transformed_by_rows_and_columns() -> None:
    _, _, b = FORMS[4].matrices()
    tile = np.random.default_rng(0).normal(size=(6, 6))
    np.testing.assert_allclose(both_axes(FORMS[4].inputs, tile), b @ tile @ b.T, atol=1e-12)
