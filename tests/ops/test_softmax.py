"""Softmax of elements that are far apart: zeros where an exponential is no normal number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symgraph as sg


@pytest.mark.parametrize("target", ["interp", "llvm"])
@pytest.mark.parametrize(("dtype", "far"), [("float32", -100.0), ("float64", -730.0)])
def test_what_is_next_to_nothing_is_zero(dtype: Any, far: float, target: str) -> None:
    array = np.array([[0.0, far, -80.0], [3.0, -np.inf, 3.0 + far]], dtype)
    x = sg.var("x", ("N", 3), dtype)
    y, log_y = sg.softmax(x), sg.log_softmax(x)
    found, log_found, gradient = sg.compile(
        [y, log_y, sg.gradients(sg.sum(log_y * log_y), x)], target=target
    )(np.where(np.isinf(array), -1e30, array).astype(dtype))
    np.testing.assert_array_equal(found == 0, [[False, True, False], [False, True, True]])
    np.testing.assert_allclose(found[0, 2], np.exp(np.array(-80.0, dtype)), rtol=1e-5)
    np.testing.assert_allclose(log_found[0], array[0], rtol=1e-6, atol=1e-30)
    assert np.isfinite(gradient[0]).all()
    masked = sg.compile(y, target=target)(array)
    np.testing.assert_array_equal(masked, found)


def test_no_number_below_the_normal_ones_is_worked_with() -> None:
    program = sg.compile(sg.softmax(sg.var("x", (7,))), target="interp").program
    assert "where((x[i] - t0[]) < -87.3365478515625, 0.0" in str(program)
    array = np.linspace(0, -110, 111).astype(np.float32)
    found = sg.compile(sg.softmax(sg.var("x", (111,))))(array)
    tiny = np.finfo(np.float32).smallest_normal
    assert not ((found > 0) & (found < tiny / 2)).any()
