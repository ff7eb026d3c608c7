"""Conditions that are the same in all lanes, on processors without masks: one branch is run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symgraph as sg


@pytest.mark.parametrize("changes", [{"cpu": "x86-64"}, {"strict": True}], ids=["v1", "strict"])
@pytest.mark.parametrize(("size", "dtype"), [(6, "float32"), (1, "float32"), (7, "float64")])
def test_rows_named_by_an_index_that_may_be_negative(
    size: int, dtype: str, changes: dict[str, Any]
) -> None:
    table = np.random.default_rng(0).normal(size=(11, size)).astype(dtype)
    w = sg.var("w", ("N", "T"), "int32")
    f = sg.compile(sg.take(sg.var("t", (11, size), dtype), w, axis=0), **changes)
    for n, t in ((2, 3), (1, 17), (0, 5)):
        at = np.random.default_rng(n).integers(-11, 11, (n, t)).astype(np.int32)
        np.testing.assert_array_equal(f(t=table, w=at), table[at])
