"""Buffers with live ranges, and where they were placed: the data of the memory planner.

Owns the vocabulary (`Interval`, `Placement`) and the two yardsticks of every
plan: the lower bound that no plan can beat, and the naive total that any plan must beat. Knows
nothing of operators, graphs or targets.

Sizes are rounded up to the *granule*, the greatest common divisor of all alignments: every offset
is a multiple of it, so the bytes up to the next multiple cannot serve anybody else. Rounding to
each buffer's own alignment would not be a bound: 100 bytes aligned to 4096 leave room for others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Interval:
    """A buffer of `nbytes` that is live in the steps `start <= step < end`.

    Raises: ValueError for an empty live range, a negative size or a non-positive alignment.
    """

    name: str
    start: int
    end: int
    nbytes: int
    alignment: int = 64

    def __post_init__(self) -> None:
        if self.start >= self.end:
            raise ValueError(
                f"buffer {self.name}: the live range [{self.start}, {self.end}) is empty; "
                "a buffer is live at least in the step that writes it"
            )
        if self.nbytes < 0:
            raise ValueError(f"buffer {self.name}: nbytes must not be negative: {self.nbytes}")
        if self.alignment < 1:
            raise ValueError(f"buffer {self.name}: alignment must be positive: {self.alignment}")


@dataclass(frozen=True, slots=True)
class Placement:
    """Offsets in the order of the intervals given, with the evidence of how good they are.

    `proved` says that no smaller total exists; `method` says what found the plan, and why the
    search ended if it ended without a proof.
    """

    offsets: tuple[int, ...]
    total_nbytes: int
    lower_bound: int
    naive: int
    proved: bool
    method: str

    @property
    def ratio(self) -> float:
        """Total over lower bound: 1.0 is perfect."""
        return self.total_nbytes / self.lower_bound if self.lower_bound else 1.0


def granule(intervals: Sequence[Interval]) -> int:
    """The greatest common divisor of the alignments: every offset is a multiple of it."""
    return math.gcd(*(interval.alignment for interval in intervals)) or 1


def lower_bound(intervals: Sequence[Interval]) -> int:
    """The largest number of bytes live at one time, sizes rounded up to the granule."""
    unit = granule(intervals)
    changes: list[tuple[int, int]] = []
    for interval in intervals:
        size = -(-interval.nbytes // unit) * unit
        changes += [(interval.start, size), (interval.end, -size)]
    live = peak = 0
    for _, change in sorted(changes):  # at one time the negative changes, the ends, come first
        live += change
        peak = max(peak, live)
    return peak


def naive_total(intervals: Sequence[Interval]) -> int:
    """The bytes needed when every buffer has its own place, sizes rounded up to the granule."""
    unit = granule(intervals)
    return sum(-(-interval.nbytes // unit) * unit for interval in intervals)
