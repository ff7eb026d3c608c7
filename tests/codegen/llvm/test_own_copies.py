"""Buffers of which every lane has a copy of its own, read where data of the lane say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symgraph as sg

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    "changes",
    [{}, {"cpu": "x86-64"}, {"cpu": "x86-64-v3"}, {"strict": True}],
    ids=["native", "v1", "v3", "strict"],
)
@pytest.mark.parametrize(("rows", "classes"), [(1, 4), (17, 5), (0, 3), (33, 24)])
def test_the_greatest_of_what_the_same_kernel_computes(
    rows: int, classes: int, changes: dict[str, Any]
) -> None:
    x = sg.var("x", ("N", classes))
    values, places = sg.top_k(sg.softmax(x), 2)
    array = RNG.normal(size=(rows, classes)).astype(np.float32)
    found = sg.compile([values, places], **changes)(array)
    e = np.exp(array - array.max(axis=1, keepdims=True, initial=-np.inf))
    chances = e / e.sum(axis=1, keepdims=True)
    order = np.argsort(-chances, axis=1, kind="stable")[:, :2]
    np.testing.assert_array_equal(found[1], order)
    expected = np.take_along_axis(chances, order, axis=1)
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)
    alone = sg.compile(values, **changes)(array)
    np.testing.assert_array_equal(alone, found[0])
