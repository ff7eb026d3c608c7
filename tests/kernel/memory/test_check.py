"""The checker must catch every planted mistake, and nothing else."""

from __future__ import annotations

import re

import pytest

from symgraph.errors import MemoryPlanError
from symgraph.kernel.memory import Interval, check, place

A = Interval("a", 0, 3, 128)
B = Interval("b", 2, 5, 192)
C = Interval("c", 3, 7, 320, 128)
GOOD = ((A, B, C), (0, 128, 384), 704)


def test_a_good_plan_passes() -> None:
    check(*GOOD)


def test_touching_lives_and_touching_bytes_are_no_overlap() -> None:
    check((A, Interval("next", 3, 4, 128), Interval("above", 0, 4, 64)), (0, 0, 128), 192)


def test_overlap_names_both_buffers_their_bytes_and_steps() -> None:
    message = (
        "buffers a and b overlap: a holds bytes [0, 128) in steps [0, 3), "
        "b holds bytes [64, 256) in steps [2, 5)"
    )
    with pytest.raises(MemoryPlanError, match=f"^{re.escape(message)}$"):
        check((A, B, C), (0, 64, 384), 704)


def test_same_offset_is_an_overlap() -> None:
    with pytest.raises(MemoryPlanError, match="overlap"):
        check((A, B), (0, 0), 192)


def test_containment_is_an_overlap() -> None:
    outer, inner = Interval("outer", 0, 9, 1024), Interval("inner", 4, 5, 64)
    for order in ((outer, inner), (inner, outer)):
        offsets = tuple(0 if i is outer else 512 for i in order)
        with pytest.raises(MemoryPlanError, match="outer and inner overlap"):
            check(order, offsets, 1024)


def test_misalignment() -> None:
    message = "buffer c is misaligned: its offset 448 is not a multiple of 128"
    with pytest.raises(MemoryPlanError, match=f"^{re.escape(message)}$"):
        check((A, B, C), (0, 128, 448), 1000)


def test_past_the_end() -> None:
    message = (
        "buffer c reaches past the end of the arena: it holds bytes [384, 704) in steps [3, 7), "
        "the arena has 703 bytes"
    )
    with pytest.raises(MemoryPlanError, match=f"^{re.escape(message)}$"):
        check((A, B, C), (0, 128, 384), 703)


def test_negative_offset() -> None:
    with pytest.raises(MemoryPlanError, match="buffer a has the negative offset -64"):
        check((A,), (-64,), 128)


def test_wrong_number_of_offsets() -> None:
    with pytest.raises(MemoryPlanError, match="3 buffers but 2 offsets"):
        check((A, B, C), (0, 128), 704)


def test_zero_bytes_overlap_nothing() -> None:
    check((A, Interval("empty", 0, 3, 0)), (0, 64), 128)


@pytest.mark.parametrize("moved", range(12))
def test_every_downward_shift_of_a_tight_plan_is_caught(moved: int) -> None:
    """In a stack without gaps, any buffer that sinks hits the one below or the ground."""
    stack = tuple(Interval(f"b{i}", 0, 4 + i, 64 * (i + 1)) for i in range(12))
    plan = place(stack)
    assert plan.ratio == 1.0
    offsets = list(plan.offsets)
    offsets[moved] -= 64
    with pytest.raises(MemoryPlanError, match=r"overlap|negative"):
        check(stack, offsets, plan.total_nbytes)
