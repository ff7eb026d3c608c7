"""Fillers: what a nearly full problem leaves free, as buffers of its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.memory.hard_cases import CASES, build
from symgraph.kernel.memory import Interval, check
from symgraph.kernel.memory.fillers import filled
from symgraph.kernel.memory.heuristics import portfolio
from symgraph.kernel.memory.problem import components
from symgraph.kernel.memory.weld import unwelded, weld, welded


def problem_of(*shapes: tuple[int, int, int]):
    (found,) = components([Interval(f"b{i}", *shape, 1) for i, shape in enumerate(shapes)])
    return found


def holes(problem):
    full = filled(problem)
    rows = zip(full.first, full.last, full.sizes, strict=True)
    return [tuple(map(int, row)) for row in rows][problem.count :]


def test_a_rise_and_the_fall_that_equals_it_enclose_a_hole() -> None:
    problem = problem_of((0, 6, 7), (0, 2, 5), (2, 4, 2), (4, 6, 5))
    assert holes(problem) == [(1, 2, 3)]
    assert (filled(problem).load == problem.bound).all()


@pytest.mark.parametrize("backwards", [False, True])
def test_one_rise_may_be_two_falls(backwards: bool) -> None:
    problem = problem_of((0, 8, 1), (0, 2, 9), (3, 5, 4), (5, 8, 9), (2, 3, 1), (3, 5, 1))
    problem = problem.mirrored() if backwards else problem
    assert len(holes(problem)) == 2
    assert (filled(problem).load == problem.bound).all()


def test_a_full_problem_and_one_without_equal_changes_get_none() -> None:
    assert holes(problem_of((0, 2, 5), (0, 2, 3))) == []
    assert holes(problem_of((0, 9, 1), (0, 2, 16), (2, 4, 9), (4, 6, 5), (6, 9, 13))) == []


@pytest.mark.parametrize("name", ["C", "J", "P"])
@pytest.mark.parametrize("shift", [0, 40])
def test_fillers_never_raise_the_bound_and_leave_a_valid_packing(name: str, shift: int) -> None:
    case = next(case for case in CASES if case.name == name)
    buffers = build(replace(case, seed=case.seed + shift))
    for problem in components(buffers):
        full = filled(problem)
        assert full.bound == problem.bound
        assert (full.sizes[problem.count :] > 0).all()
        blocks = weld(full)
        packing = portfolio(welded(full, blocks))
        offsets = unwelded(problem, blocks, packing.offsets)
        part = [buffers[i] for i in problem.identities]
        unit = part[0].alignment
        check(part, (offsets * unit).tolist(), packing.peak * unit)
        assert int(np.max(offsets + problem.sizes)) <= packing.peak
