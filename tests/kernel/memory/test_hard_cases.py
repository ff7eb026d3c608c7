"""The generator keeps its promise, and the easier of its cases are solved to optimality."""

from __future__ import annotations

import pytest

from benchmarks.memory.hard_cases import CAPACITY, CASES, build
from symgraph.kernel.memory import check, lower_bound, place


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
