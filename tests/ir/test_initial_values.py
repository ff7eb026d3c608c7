"""First values of variables."""

from __future__ import annotations

import numpy as np

import symgraph as sg


def test_values_have_the_shape_of_the_variable() -> None:
    init = sg.initializers.Constant(2.0)
    y = sg.parameter("a", (), init=init) * sg.parameter("b", (3, 0), "float64", init=init)
    values = sg.init(y)
    assert {n: (v.shape, v.dtype) for n, v in values.items()} == {
        "a": ((), np.dtype("float64")),
        "b": ((3, 0), np.dtype("float64")),
    }
