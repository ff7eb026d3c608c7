"""The interface of a program is the same at every optimisation level."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from tests.support.toys import Exp, Scale


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_names_and_order_of_inputs_and_outputs_stay(level) -> None:
    b, a, c = (sg.var(n, ("N", 3)) for n in "bac")
    y, z = Exp()(b) * a, Exp()(b) + Scale(1.0)(c)
    twice = Exp()(b) * a
    f = sg.compile([y, z, twice, Scale(1.0)(c)], target="interp", level=level, verify=2)
    assert f.inputs == ("b", "a", "c")
    assert f.outputs == sg.group(y, z, twice, Scale(1.0)(c)).list_outputs()
    arrays = [np.random.default_rng(n).normal(size=(2, 3)).astype(np.float32) for n in range(3)]
    got = f(*arrays)
    expected = np.exp(arrays[0]) * arrays[1], np.exp(arrays[0]) + arrays[2]
    np.testing.assert_allclose(got[0], expected[0], rtol=1e-5)
    np.testing.assert_allclose(got[1], expected[1], rtol=1e-5)
    np.testing.assert_array_equal(got[2], got[0])
    np.testing.assert_array_equal(got[3], arrays[2])


@pytest.mark.parametrize("level", [0, 2])
def test_an_input_that_simplification_makes_useless_is_still_taken(level) -> None:
    x, y = sg.var("x", (3,), "int32"), sg.var("y", ("M",), "int32")
    f = sg.compile(x + 0 * sg.sum(y), target="interp", level=level)
    assert f.inputs == ("x", "y")
    a = np.arange(3, dtype=np.int32)
    np.testing.assert_array_equal(f(x=a, y=np.arange(5, dtype=np.int32)), a)
