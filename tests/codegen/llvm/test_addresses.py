"""Where buffers lie is found once, however many steps read them."""

from __future__ import annotations

from collections import Counter

import pytest

import symgraph as sg
from symgraph.kernel import dims
from symgraph.kernel.dims import Dim


def test_an_open_offset_is_simplified_once(monkeypatch: pytest.MonkeyPatch) -> None:
    x, w = sg.var("x", ("N", 5)), sg.var("w", (5, 5))
    h = x
    for _ in range(6):
        h = sg.tanh(h @ w)
    asked: Counter[Dim] = Counter()
    simplify = dims.simplify

    def counted(dim: Dim, ranges: dims.Ranges) -> Dim:
        if any(isinstance(atom, dims.Maximum) for atom in dims.atoms(dim)):
            asked[dim] += 1
        return simplify(dim, ranges)

    monkeypatch.setattr(dims, "simplify", counted)
    sg.compile(sg.gradients(sg.sum(h), [w])[0], target="llvm")
    assert asked, "the plan has an offset that is a maximum"
    assert max(asked.values()) <= 2  # once for each of the two functions: the entry, the body
