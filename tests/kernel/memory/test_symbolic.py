"""Symbolic placement: valid for every value of the symbols, not only for the samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symgraph.codegen.native import NativeEngine
from symgraph.kernel.memory import (
    Interval,
    Means,
    SymbolicInterval,
    SymbolicPlacement,
    check,
    lower_bound,
    place_symbolic,
)

NATIVE = Means(NativeEngine())


@dataclass(frozen=True, slots=True, eq=False)
class Formula:
    """The smallest stand-in for a symbolic dimension: a function of the symbols, and its text."""

    at: Callable[[Mapping[str, int]], int]
    text: str

    def __add__(self, other: Formula | int) -> Formula:
        o = lift(other)
        return Formula(lambda s: self.at(s) + o.at(s), f"({self.text} + {o.text})")

    def __mul__(self, other: Formula | int) -> Formula:
        o = lift(other)
        return Formula(lambda s: self.at(s) * o.at(s), f"{self.text}*{o.text}")

    __radd__ = __add__
    __rmul__ = __mul__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Formula) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


def lift(value: Formula | int) -> Formula:
    return value if isinstance(value, Formula) else Formula(lambda _: value, str(value))


def symbol(name: str) -> Formula:
    return Formula(lambda s: s[name], name)


def maximum(a: Formula | int, b: Formula | int) -> Formula:
    x, y = lift(a), lift(b)
    return Formula(lambda s: max(x.at(s), y.at(s)), f"max({x.text}, {y.text})")


def align(a: Formula | int, k: int) -> Formula:
    x = lift(a)
    return Formula(lambda s: -(-x.at(s) // k) * k, f"align({x.text}, {k})")


def evaluate(size: Formula | int, sample: Mapping[str, int]) -> int:
    return lift(size).at(sample)


def valid_at(
    intervals: tuple[SymbolicInterval[Formula], ...],
    plan: SymbolicPlacement[Formula],
    sample: Mapping[str, int],
) -> int:
    fixed = tuple(
        Interval(i.name, i.start, i.end, evaluate(i.nbytes, sample), i.alignment) for i in intervals
    )
    total = evaluate(plan.total_nbytes, sample)
    check(fixed, [evaluate(o, sample) for o in plan.offsets], total)
    assert total >= lower_bound(fixed)
    return total


N, M = symbol("N"), symbol("M")


@st.composite
def symbolic_sets(draw: st.DrawFn) -> tuple[SymbolicInterval[Formula], ...]:
    small = st.integers(0, 9)
    return tuple(
        SymbolicInterval(
            f"b{i}",
            start := draw(small),
            start + 1 + draw(st.integers(0, 4)),
            N * (4 * draw(small)) + M * (4 * draw(small)) + draw(small),
            draw(st.sampled_from((1, 16, 64))),
        )
        for i in range(draw(st.integers(0, 14)))
    )


@given(symbolic_sets(), st.integers(0, 10_000), st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_valid_for_values_that_were_no_samples(
    intervals: tuple[SymbolicInterval[Formula], ...], n: int, m: int
) -> None:
    samples = ({"N": 1, "M": 64}, {"N": 100, "M": 3})
    plan = place_symbolic(
        intervals, evaluate, samples, maximum, align, work_limit=200_000, means=NATIVE
    )
    valid_at(intervals, plan, {"N": n, "M": m})
    for sample, total in zip(samples, plan.totals, strict=True):
        assert valid_at(intervals, plan, sample) == total
    assert all(t >= b for t, b in zip(plan.totals, plan.lower_bounds, strict=True))


def chain(*sizes: Formula) -> tuple[SymbolicInterval[Formula], ...]:
    return tuple(SymbolicInterval(f"u{i}", i, i + 2, size) for i, size in enumerate(sizes))


def test_a_chain_needs_no_excess_at_either_extreme() -> None:
    """The long buffer at the bottom, whichever of the others is larger."""
    intervals = (
        SymbolicInterval("long", 0, 4, N * 64),
        SymbolicInterval("early", 0, 2, M * 64),
        SymbolicInterval("late", 2, 4, N * 128),
    )
    samples = ({"N": 1, "M": 100}, {"N": 100, "M": 1})
    plan = place_symbolic(intervals, evaluate, samples, maximum, align)
    assert plan.excess == (0.0, 0.0)
    assert plan.totals == (101 * 64, 300 * 64)


def split(size: Formula) -> tuple[int, Formula]:
    """Understands `N*k` only."""
    name, _, factor = size.text.partition("*")
    return (int(factor), N) if name == "N" and factor.isdigit() else (1, size)


def test_multiples_of_one_symbol_scale_the_fixed_plan() -> None:
    """No maxima: every offset is a constant times one aligned unit."""
    intervals = chain(*(N * (256 * k) for k in (1, 3, 2, 5, 1)))
    plan = place_symbolic(intervals, evaluate, ({"N": 1}, {"N": 7}), maximum, align, split=split)
    assert plan.method == "scaled fixed plan"
    assert plan.excess == (0.0, 0.0)
    assert evaluate(plan.total_nbytes, {"N": 1000}) == 7 * 256 * 1000
    assert all("max" not in lift(offset).text for offset in plan.offsets)


def test_scaling_must_not_lose_bytes_to_alignment() -> None:
    """12 bytes per item would be padded to 64 each: the structure of maxima is smaller."""
    intervals = chain(*(N * (4 * k) for k in (3, 300, 200, 500)))
    plan = place_symbolic(intervals, evaluate, ({"N": 1},), maximum, align, split=split)
    assert plan.method == "structure of maxima"
    assert plan.excess == (0.0,)


def test_different_quantities_do_not_scale() -> None:
    plan = place_symbolic(
        chain(N * 64, M * 64), evaluate, ({"N": 2, "M": 3},), maximum, align, split=split
    )
    assert plan.method == "structure of maxima"


def test_same_input_same_formulas() -> None:
    intervals = chain(N * 3, M * 5, N * 7, M * 2, N * 64)
    texts = [
        tuple(
            lift(o).text
            for o in place_symbolic(
                intervals, evaluate, ({"N": 5, "M": 9},), maximum, align
            ).offsets
        )
        for _ in range(2)
    ]
    assert texts[0] == texts[1]


def test_nothing_to_place() -> None:
    plan = place_symbolic((), evaluate, ({"N": 1},), maximum, align)
    assert (plan.offsets, plan.total_nbytes, plan.excess) == ((), 0, (0.0,))


def test_zero_sizes_at_run_time() -> None:
    intervals = chain(N * 4, M * 4, N * 8)
    plan = place_symbolic(intervals, evaluate, ({"N": 8, "M": 8},), maximum, align)
    assert valid_at(intervals, plan, {"N": 0, "M": 0}) == 0


def test_a_sample_is_required() -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        place_symbolic((), evaluate, (), maximum, align)
