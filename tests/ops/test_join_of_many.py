"""Joins of more parts than Python may nest calls."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg


@pytest.mark.parametrize("target", ["llvm", "interp"])
@pytest.mark.parametrize("parts", [33, 301])
def test_a_join_of_many_parts(target: str, parts: int) -> None:
    x = sg.var("x", (parts, 3))
    pieces = [x[n : n + 1] * float(n) for n in range(parts)]
    f = sg.compile(sg.relu(sg.concat(pieces, axis=0)), target=target, cache=None, verify=2)
    given = np.random.default_rng(0).standard_normal((parts, 3)).astype("float32")
    expected = np.maximum(given * np.arange(parts, dtype="float32")[:, None], 0)
    np.testing.assert_allclose(f(x=given), expected, rtol=1e-6)
