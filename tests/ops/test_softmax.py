"""Softmax beyond its samples."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg


@pytest.mark.parametrize("target", ["interp", "llvm"])
def test_results_below_the_normal_numbers_are_kept(target: str) -> None:
    """As numpy has them; -100 is what masks are often made of."""
    x = np.array([[0, -100, -1], [-90, -95, 0]], np.float32)
    y = sg.compile(sg.softmax(sg.var("x", (2, 3))), target=target)(x)
    powers = np.exp(x.astype(np.float64))
    expected = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    assert 0 < expected.min() < np.finfo(np.float32).smallest_normal
    np.testing.assert_allclose(y, expected, rtol=1e-6, atol=3e-45)
