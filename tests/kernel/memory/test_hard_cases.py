"""The generator keeps its promise, and the easier of its cases are solved to optimality."""

from __future__ import annotations

import math
import sys

import pytest

from benchmarks.memory.hard_cases import CAPACITY, CASES, build
from symgraph.kernel.memory import Interval, check, lower_bound, place
from symgraph.kernel.memory.heuristics import portfolio
from symgraph.kernel.memory.problem import components

planner = sys.modules["symgraph.kernel.memory.place"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_lower_bound_is_the_capacity(case) -> None:
    buffers = build(case)
    assert lower_bound(buffers) == CAPACITY
    assert build(case) == buffers


@pytest.mark.parametrize("name", ["A", "B", "C", "D", "E", "F", "H", "M"])
def test_perfect_packings_are_found(name: str) -> None:
    buffers = build(next(case for case in CASES if case.name == name))
    plan = place(buffers, time_limit_seconds=120.0)
    assert plan.total_nbytes == CAPACITY
    assert plan.proved
    check(buffers, plan.offsets, CAPACITY)


def test_a_hard_case_is_reproducible() -> None:
    """A limit in work, not in seconds: two runs that both fail end at the same plan."""
    buffers = build(next(case for case in CASES if case.name == "I"))
    plans = {place(buffers, time_limit_seconds=120.0, work_limit=60_000_000) for _ in range(2)}
    assert len(plans) == 1
    assert "work limit" in plans.pop().method


def test_many_narrow_beams_come_close_where_greedy_orders_do_not() -> None:
    (problem,) = components(build(next(case for case in CASES if case.name == "D")))
    packing = portfolio(problem)
    plan = planner._Plan(problem, packing.offsets, packing.peak, problem.bound, packing.method)
    budget = planner._Budget(60_000_000, math.inf)
    plan = planner._restarted(plan, planner._guesses(problem), problem.bound, budget, 60_000_000)
    assert packing.peak > 1.1 * problem.bound
    assert plan.peak <= 1.02 * problem.bound and budget.work > 0
    intervals = [
        Interval(f"b{n}", int(a), int(b), int(size), 1)
        for n, (a, b, size) in enumerate(
            zip(problem.first, problem.last, problem.sizes, strict=True)
        )
    ]
    check(intervals, plan.offsets.tolist(), plan.peak)
