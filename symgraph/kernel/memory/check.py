"""An independent judge of memory plans.

Owns `check`, which shares no code with the planner: a sweep over time that keeps the live buffers
sorted by offset and compares every newcomer with its two neighbours only. That is enough: as long
as the live buffers are disjoint, a newcomer that overlaps any of them overlaps a neighbour.
Sorting makes it O(n log n), plus one list insertion per buffer.

Rules, in the order they are tested:
  1. there is one offset per buffer, and no offset is negative;
  2. an offset is a multiple of its buffer's alignment;
  3. no buffer reaches past the end of the arena;
  4. two buffers that are live in a common step have no byte in common.
A buffer of zero bytes has no byte to share, so only rules 1 to 3 hold for it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

from ...errors import MemoryPlanError
from .interval import Interval


def check(intervals: Sequence[Interval], offsets: Sequence[int], total: int) -> None:
    """Accept the plan silently.

    Raises: MemoryPlanError naming the buffers, bytes and steps of the first broken rule.
    """
    if len(intervals) != len(offsets):
        raise MemoryPlanError(f"{len(intervals)} buffers but {len(offsets)} offsets")
    for interval, offset in zip(intervals, offsets, strict=True):
        _check_alone(interval, offset, total)
    _check_disjoint(intervals, offsets)


def _check_alone(interval: Interval, offset: int, total: int) -> None:
    if offset < 0:
        raise MemoryPlanError(f"buffer {interval.name} has the negative offset {offset}")
    if offset % interval.alignment:
        raise MemoryPlanError(
            f"buffer {interval.name} is misaligned: its offset {offset} is not a multiple of "
            f"{interval.alignment}"
        )
    if offset + interval.nbytes > total:
        raise MemoryPlanError(
            f"buffer {interval.name} reaches past the end of the arena: it holds "
            f"{_describe(interval, offset)}, the arena has {total} bytes"
        )


def _check_disjoint(intervals: Sequence[Interval], offsets: Sequence[int]) -> None:
    events: list[tuple[int, int, int]] = []  # (step, 0 for an end and 1 for a start, buffer)
    for index, interval in enumerate(intervals):
        if interval.nbytes:
            events += [(interval.start, 1, index), (interval.end, 0, index)]
    live: list[tuple[int, int]] = []  # (offset, buffer), sorted
    for _, is_start, index in sorted(events):
        entry = (offsets[index], index)
        if not is_start:
            del live[bisect_left(live, entry)]
            continue
        position = bisect_left(live, entry)
        live.insert(position, entry)
        around = live[max(position - 1, 0) : position + 2]
        for low, high in pairwise(around):
            _check_pair(intervals, low, high)


def _check_pair(intervals: Sequence[Interval], low: tuple[int, int], high: tuple[int, int]) -> None:
    first, second = intervals[low[1]], intervals[high[1]]
    if low[0] + first.nbytes > high[0]:
        raise MemoryPlanError(
            f"buffers {first.name} and {second.name} overlap: {first.name} holds "
            f"{_describe(first, low[0])}, {second.name} holds {_describe(second, high[0])}"
        )


def _describe(interval: Interval, offset: int) -> str:
    return (
        f"bytes [{offset}, {offset + interval.nbytes}) in steps [{interval.start}, {interval.end})"
    )
