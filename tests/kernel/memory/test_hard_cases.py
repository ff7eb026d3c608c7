"""The generator keeps its promise, and the easier of its cases are solved to optimality."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.memory.hard_cases import CAPACITY, CASES, build, from_csv
from benchmarks.memory.other_cases import cases
from symgraph.codegen.native import NativeEngine
from symgraph.kernel.memory import Interval, Means, check, lower_bound, place
from symgraph.kernel.memory.heuristics import portfolio
from symgraph.kernel.memory.problem import components

NATIVE = Means(NativeEngine())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_lower_bound_is_the_capacity(case) -> None:
    buffers = build(case)
    assert lower_bound(buffers) == CAPACITY
    assert build(case) == buffers


@pytest.mark.parametrize("shift", [0, 2100])
@pytest.mark.parametrize("name", ["A", "B", "C", "D", "E", "F", "H", "L"])
def test_perfect_packings_are_found(name: str, shift: int) -> None:
    case = next(case for case in CASES if case.name == name)
    buffers = build(replace(case, seed=case.seed + shift))
    plan = place(buffers, means=NATIVE, work_limit=1_000_000_000)
    assert plan.total_nbytes == CAPACITY
    assert plan.proved
    check(buffers, plan.offsets, CAPACITY)


def test_the_fullest_case_comes_close_where_greedy_orders_do_not() -> None:
    buffers = build(next(case for case in CASES if case.name == "I"))
    plan = place(buffers, means=NATIVE, work_limit=300_000_000)
    (problem,) = components(buffers)
    assert portfolio(problem).peak > 1.2 * problem.bound
    assert plan.ratio <= 1.061


def test_a_hard_case_is_reproducible() -> None:
    """A limit in work, not in seconds: two runs that both fail end at the same plan."""
    buffers = build(next(case for case in CASES if case.name == "I"))
    plans = {
        place(buffers, means=NATIVE, time_limit_seconds=120.0, work_limit=60_000_000)
        for _ in range(2)
    }
    assert len(plans) == 1
    assert "work limit" in plans.pop().method


@pytest.mark.parametrize("heading", ["id,lower,upper,size", "buffer,start,end,size"])
def test_both_headings_of_the_public_files_are_read(tmp_path, heading: str) -> None:
    path = tmp_path / "some.csv"
    path.write_text(f"{heading}\na,0,3,96\nb,2,5,64\n")
    assert from_csv(path) == (Interval("a", 0, 3, 96, 32), Interval("b", 2, 5, 64, 32))


def test_other_cases_fill_their_capacity_without_overlaps() -> None:
    for name, (pieces, unit) in cases().items():
        buffers = [Interval(str(n), a, b, (d - c) * unit, unit)
                   for n, (a, b, c, d) in enumerate(pieces)]  # fmt: skip
        assert lower_bound(buffers) == CAPACITY, name
        check(buffers, [low * unit for _, _, low, _ in pieces], CAPACITY)
