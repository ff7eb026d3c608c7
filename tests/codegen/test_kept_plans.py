"""Placements that took a search are kept beside the programs, for other compilations to find."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import symgraph as sg
from symgraph.kernel.memory import forget_plans
from symgraph.kernel.memory.heuristics import Packing

planner = sys.modules["symgraph.kernel.memory.place"]


def stacked(problem) -> Packing:
    """What no plan should be: every buffer above the one before."""
    offsets = np.cumsum(problem.sizes) - problem.sizes
    return Packing(offsets, int(problem.sizes.sum()), "stacked")


def chain(prefix: str) -> list[sg.Symbol]:
    h = sg.var(f"{prefix}x", (7, 64))
    for n in range(5):
        h = sg.linear(h, 64 + 16 * n, name=f"{prefix}{n}")
    return [h]


@pytest.mark.parametrize("kept", [True, False])
def test_a_plan_is_searched_once_unless_nothing_is_kept(
    kept: bool, monkeypatch, tmp_path: Path
) -> None:
    solved: list[int] = []
    original = planner._solved
    monkeypatch.setattr(planner, "portfolio", stacked)
    monkeypatch.setattr(planner, "_solved", lambda *a: solved.append(1) or original(*a))
    monkeypatch.setenv("SYMGRAPH_CACHE", str(tmp_path) if kept else "")
    totals = []
    for prefix in "ab":
        forget_plans()
        totals.append(sg.compile(chain(prefix), target="interp").program.plan.nbytes)
    files = list(tmp_path.rglob("*.plan"))
    forget_plans()
    assert totals[0] == totals[1]
    assert (len(solved), len(files)) == ((1, 1) if kept else (2, 0))
