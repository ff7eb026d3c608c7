"""The planner: certificates, determinism, and optimality against brute force."""

from __future__ import annotations

import json
import random
import sys
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symgraph.codegen.native import NativeEngine
from symgraph.kernel.memory import Interval, Means, check, lower_bound, naive_total, place
from symgraph.kernel.memory.heuristics import portfolio
from symgraph.kernel.memory.interval import granule
from symgraph.kernel.memory.problem import components
from symgraph.kernel.memory.search import Outcome, search
from symgraph.passes.plan_memory import WORK_LIMIT

SMALL = 2_000_000
NATIVE = Means(NativeEngine())


@st.composite
def interval_sets(
    draw: st.DrawFn, most: int = 40, alignments: tuple[int, ...] = (1, 16, 64, 256)
) -> tuple[Interval, ...]:
    count = draw(st.integers(0, most))
    starts = st.integers(0, 20)
    return tuple(
        Interval(
            f"b{i}",
            start := draw(starts),
            start + draw(st.integers(1, 9)),
            draw(st.integers(0, 5000)),
            draw(st.sampled_from(alignments)),
        )
        for i in range(count)
    )


def brute_force(intervals: tuple[Interval, ...], unit: int) -> int:
    """The best total over all orders in which buffers are stacked, each as low as it can."""
    best = None
    for order in permutations(intervals):
        ends: list[tuple[Interval, int]] = []
        for b in order:
            offset = max((e for a, e in ends if a.start < b.end and b.start < a.end), default=0)
            offset = -(-offset // b.alignment) * b.alignment
            ends.append((b, offset + -(-b.nbytes // unit) * unit))
        total = max((e for b, e in ends if b.nbytes), default=0)
        best = total if best is None else min(best, total)
    return best or 0


@given(interval_sets())
@settings(max_examples=80, deadline=None)
def test_every_plan_passes_the_checker_and_its_bounds(intervals: tuple[Interval, ...]) -> None:
    plan = place(intervals, work_limit=SMALL, means=NATIVE)
    check(intervals, plan.offsets, plan.total_nbytes)
    assert plan.lower_bound == lower_bound(intervals) <= plan.total_nbytes
    assert plan.naive == naive_total(intervals)
    assert plan.proved or plan.total_nbytes > plan.lower_bound


@given(interval_sets(most=6, alignments=(1, 2, 8)))
@settings(max_examples=120, deadline=None)
def test_brute_force_agrees(intervals: tuple[Interval, ...]) -> None:
    plan = place(intervals, means=NATIVE)
    assert plan.proved
    assert plan.total_nbytes == brute_force(intervals, granule(intervals))


@given(interval_sets(most=6, alignments=(1, 4)))
@settings(max_examples=120, deadline=None)
def test_exact_search_alone_agrees_with_brute_force(intervals: tuple[Interval, ...]) -> None:
    small = (Interval(i.name, i.start, i.end, i.nbytes % 7, i.alignment) for i in intervals)
    kept = tuple(i for i in small if i.nbytes)
    unit = granule(kept)
    for problem in components(kept):
        part = tuple(kept[i] for i in problem.identities)
        optimum = brute_force(part, unit) // unit
        assert search(problem, optimum, 100_000).outcome is Outcome.FOUND
        assert search(problem, optimum - 1, 100_000).outcome is Outcome.IMPOSSIBLE


@given(interval_sets())
@settings(max_examples=25, deadline=None)
def test_same_input_same_plan(intervals: tuple[Interval, ...]) -> None:
    assert place(intervals, work_limit=SMALL, means=NATIVE) == place(
        intervals, work_limit=SMALL, means=NATIVE
    )


def test_a_plan_is_made_once_whatever_its_buffers_are_called(monkeypatch) -> None:
    planner = sys.modules["symgraph.kernel.memory.place"]
    solved = []
    original = planner._plan_parts
    monkeypatch.setattr(planner, "_plan_parts",
                        lambda *arguments: solved.append(1) or original(*arguments))  # fmt: skip
    sizes = [(n % 7 + 1) * 192 + 11 for n in range(23)]

    def buffers(prefix: str, alignment: int = 64) -> tuple[Interval, ...]:
        return tuple(Interval(f"{prefix}{n}", n, n + 2 + n % 5, size, alignment)
                     for n, size in enumerate(sizes))  # fmt: skip

    first = place(buffers("a"))
    assert place(buffers("b")) == first and len(solved) == 1
    assert place(buffers("a", 128)) != first and len(solved) == 2
    place(buffers("a"), seed=1)
    place(buffers("a"), work_limit=77)
    assert len(solved) == 4
    assert place(buffers("a"), time_limit_seconds=60.0) == first, "a limit in seconds is not kept"
    assert len(solved) == 5


def test_five_hundred_buffers_need_no_search_where_a_heuristic_suffices() -> None:
    """The first order that reaches the lower bound ends it: no search, no beam."""
    rng = random.Random(0)
    buffers = tuple(Interval(f"b{n}", n, n + rng.choice((2, 2, 3, 5, 40)), 64 << rng.randrange(9))
                    for n in range(500))  # fmt: skip
    plan = place(buffers, work_limit=0)
    assert plan.proved and plan.method.startswith("greedy")


def test_empty() -> None:
    plan = place(())
    assert (plan.offsets, plan.total_nbytes, plan.proved, plan.ratio) == ((), 0, True, 1.0)


def test_one_buffer() -> None:
    plan = place((Interval("only", 3, 4, 100),))
    assert (plan.offsets, plan.total_nbytes, plan.lower_bound, plan.naive) == ((0,), 128, 128, 128)


def test_zero_sizes_take_no_room() -> None:
    plan = place((Interval("a", 0, 5, 0), Interval("b", 0, 5, 64), Interval("c", 0, 5, 0)))
    assert plan.total_nbytes == 64


def test_an_empty_buffer_of_a_finer_alignment_changes_nothing() -> None:
    full = (Interval("a", 0, 1, 3, 2), Interval("b", 0, 1, 4, 2))
    plan = place((*full, Interval("empty", 0, 1, 0, 1)))
    assert plan.total_nbytes == plan.lower_bound == 7 and plan.proved


def test_huge_sizes() -> None:
    size = (1 << 44) + 64
    buffers = tuple(Interval(f"b{i}", i, i + 2, size * (1 + i % 3)) for i in range(9))
    plan = place(buffers)
    assert plan.proved
    assert plan.total_nbytes == lower_bound(buffers) == 5 * size


def test_alignment_above_the_granule() -> None:
    """100 bytes, then 64: the page-aligned one goes first, its neighbour right behind it."""
    plan = place((Interval("small", 0, 2, 64, 64), Interval("page", 1, 3, 100, 4096)))
    assert plan.proved
    assert plan.total_nbytes == 192


def test_a_case_where_every_greedy_order_fails() -> None:
    """A pinwheel of five, doubled: no greedy order finds the perfect packing, the search does."""
    shapes = ((0, 5, 3), (5, 8, 5), (3, 8, 3), (0, 3, 5), (3, 5, 2))
    buffers = tuple(
        Interval(f"{copy}{i}", start, end, 64 * height)
        for copy in "ab"
        for i, (start, end, height) in enumerate(shapes)
    )
    plan = place(buffers)
    assert plan.total_nbytes == plan.lower_bound == 16 * 64
    assert plan.proved


def test_independent_parts_need_not_beat_the_worst() -> None:
    left = tuple(Interval(f"l{i}", 0, 1, 64) for i in range(10))
    right = tuple(Interval(f"r{i}", 1 + i % 3, 3 + i % 3, 64) for i in range(5))
    assert place(left + right).total_nbytes == 640
    assert len(components(left + right)) == 2


def test_heuristics_stop_at_the_bound() -> None:
    problem = components([Interval(f"b{i}", i, i + 2, 64) for i in range(50)])[0]
    assert portfolio(problem).method == "greedy by size, first fit"


def test_invalid_intervals_are_refused() -> None:
    with pytest.raises(ValueError, match=r"buffer x: the live range \[3, 3\) is empty"):
        Interval("x", 3, 3, 1)
    with pytest.raises(ValueError, match="nbytes must not be negative: -1"):
        Interval("x", 3, 4, -1)
    with pytest.raises(ValueError, match="alignment must be positive: 0"):
        Interval("x", 3, 4, 1, 0)


class TestHeritage:
    """The worked examples of NNVM's memory planner, live ranges written out by hand."""

    def test_add_flatten_add(self) -> None:
        """addk, r, add2, out of 32 bytes each, without in-place: NNVM needs 96, so do we.

        `r` is live until `add2` reads it, and `add2` is placed while `r` and `addk` live.
        """
        buffers = (
            Interval("addk", 0, 3, 32, 32),
            Interval("r", 1, 3, 32, 32),
            Interval("add2", 2, 4, 32, 32),
            Interval("out", 3, 5, 32, 32),
        )
        plan = place(buffers)
        assert (plan.total_nbytes, plan.lower_bound, plan.naive) == (96, 96, 128)

    def test_add_flatten_add_in_place(self) -> None:
        """With `r` and `add2` one buffer, and `out` in the place of `addk`: 64 bytes."""
        plan = place((Interval("addk+out", 0, 5, 32, 32), Interval("r+add2", 1, 4, 32, 32)))
        assert plan.total_nbytes == 64

    @pytest.mark.parametrize(("sharing", "total"), [("two", 8192), ("none", 40960)])
    def test_ten_unary_operators(self, sharing: str, total: int) -> None:
        chain = tuple(Interval(f"u{i}", i, i + 2, 4096) for i in range(10))
        plan = place(chain)
        assert (plan.total_nbytes if sharing == "two" else plan.naive) == total

    def test_uneven_chain_beats_block_reuse(self) -> None:
        """Sizes 64, 64, 1280, 64: NNVM needs 1344 or 1408 bytes by its match range."""
        sizes = (64, 64, 1280, 64)
        chain = tuple(Interval(f"u{i}", i, i + 2, n) for i, n in enumerate(sizes))
        plan = place(chain)
        assert plan.total_nbytes == plan.lower_bound == 1344

    def test_two_layer_perceptron(self) -> None:
        """fc1 (100x1000), relu (100x1000) in place, fc2 (100x10): 404 000 bytes, not 804 000.

        In 64 bytes of granule both are whole numbers of granules except the last.
        """
        plan = place((Interval("fc1+relu", 0, 3, 400_000), Interval("fc2", 2, 4, 4_000)))
        assert plan.total_nbytes == 400_000 + 4_032


def test_the_training_step_of_resnet_18_is_proved_within_the_default_work() -> None:
    """205 buffers that no greedy order places within 0.6 % of the bound."""
    path = Path(__file__).parent / "data" / "resnet18_training.json"
    rows = json.loads(path.read_text())["buffers"]
    buffers = [Interval(f"b{n}", *row) for n, row in enumerate(rows)]
    assert max(portfolio(p).peak for p in components(buffers)) * 64 > lower_bound(buffers)
    plan = place(buffers, work_limit=WORK_LIMIT, means=NATIVE)
    assert plan.proved and plan.ratio == 1.0, plan.method
