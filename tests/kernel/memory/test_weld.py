"""Welding: blocks are packed like buffers, and the pieces of a cut rectangle find each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.memory.hard_cases import CASES, build
from symgraph.kernel.memory import Interval, check
from symgraph.kernel.memory.heuristics import portfolio
from symgraph.kernel.memory.problem import components
from symgraph.kernel.memory.weld import unwelded, weld, welded


def problem_of(*shapes: tuple[int, int, int]):
    """(start, end, size) each, all alive in one piece of time."""
    (found,) = components([Interval(f"b{i}", *shape, 1) for i, shape in enumerate(shapes)])
    return found


def test_one_that_ends_where_another_of_its_size_begins() -> None:
    problem = problem_of((0, 2, 5), (2, 4, 5), (0, 4, 3), (1, 3, 7))
    blocks = weld(problem)
    assert sorted((b.size, len(b.members)) for b in blocks) == [(3, 1), (5, 2), (7, 1)]
    (joined,) = [b for b in blocks if len(b.members) == 2]
    assert (joined.first, joined.last) == (0, problem.sections)


def test_two_that_live_alike_fit_beside_their_sum() -> None:
    problem = problem_of((0, 2, 5), (2, 4, 3), (2, 4, 2), (0, 3, 11), (3, 4, 13))
    blocks = weld(problem)
    (joined,) = [b for b in blocks if len(b.members) == 3]
    assert (joined.size, joined.first, joined.last) == (5, 0, problem.sections)
    shifts = {problem.identities[n]: shift for n, shift in joined.members}
    assert shifts[0] == 0 and {shifts[1], shifts[2]} in ({0, 2}, {0, 3})


def test_equal_sizes_that_could_pair_in_two_ways_stay_apart() -> None:
    problem = problem_of((0, 2, 5), (1, 2, 5), (2, 4, 5), (0, 3, 1), (1, 4, 2), (2, 3, 9))
    assert all(len(b.members) == 1 for b in weld(problem))


@pytest.mark.parametrize("case", [CASES[0], CASES[3], CASES[-1]], ids=lambda case: case.name)
@pytest.mark.parametrize("shift", [0, 40])
def test_a_packing_of_the_blocks_is_one_of_the_buffers(case, shift: int) -> None:
    buffers = build(replace(case, seed=case.seed + shift))
    for problem in components(buffers):
        blocks = weld(problem)
        small = welded(problem, blocks)
        assert small.bound == problem.bound
        assert sorted(n for b in blocks for n, _ in b.members) == list(range(problem.count))
        packing = portfolio(small)
        offsets = unwelded(problem, blocks, packing.offsets)
        part = [buffers[i] for i in problem.identities]
        granule = part[0].alignment
        check(part, (offsets * granule).tolist(), packing.peak * granule)
        assert int(np.max(offsets + problem.sizes)) <= packing.peak


def test_the_same_blocks_each_time() -> None:
    (problem, *_) = components(build(CASES[6]))
    assert weld(problem) == weld(problem)


WINDMILL = ((0, 5, 3), (5, 8, 8), (2, 8, 4), (0, 2, 9), (2, 5, 5))
"""Low, right, high, left, centre: 8 steps long, 12 bytes high."""


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (4, 2, 0, 3, 1)])
def test_a_windmill_becomes_one_block(order: tuple[int, ...]) -> None:
    problem = problem_of(*(WINDMILL[n] for n in order))
    (block,) = weld(problem)
    assert (block.first, block.last, block.size) == (0, problem.sections, 12)
    offsets = unwelded(problem, (block,), np.zeros(1, np.int64))
    part = [Interval(f"b{i}", *WINDMILL[order[i]], 1) for i in problem.identities]
    check(part, offsets.tolist(), 12)


def test_arms_may_be_stacks_and_sums_must_agree() -> None:
    stacked = ((0, 5, 3), (5, 8, 8), (2, 8, 3), (2, 8, 1), (0, 2, 9), (2, 5, 5))
    assert len(weld(problem_of(*stacked))) == 1
    broken = ((0, 5, 3), (5, 8, 8), (2, 8, 4), (0, 2, 10), (2, 5, 5))
    assert len(weld(problem_of(*broken))) == 5
