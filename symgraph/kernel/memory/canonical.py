"""A planning problem without what does not matter to its answer: names, times, units, order.

Owns the canonical form. Times become ranks, sizes and alignments multiples of the granule, buffers
are sorted; empty ones are left out. Problems of one form have the same plans, up to that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .interval import Interval, granule

Buffers = tuple[tuple[int, int, int, int], ...]
"""(start, end, size, alignment) of each buffer, sorted."""


@dataclass(frozen=True, slots=True)
class Canonical:
    """`places[i]` is where the caller's buffer stands in `buffers`, None for an empty one."""

    buffers: Buffers
    places: tuple[int | None, ...]
    unit: int

    @classmethod
    def of(cls, intervals: Sequence[Interval]) -> Canonical:
        """The canonical form; buffers that are equal in all that matters keep their order."""
        unit = granule(intervals)
        full = [i for i, interval in enumerate(intervals) if interval.nbytes]
        times = {t for i in full for t in (intervals[i].start, intervals[i].end)}
        ranks = {t: rank for rank, t in enumerate(sorted(times))}
        rows = {
            i: (ranks[b.start], ranks[b.end], -(-b.nbytes // unit), b.alignment // unit)
            for i, b in enumerate(intervals)
            if b.nbytes
        }
        order = sorted(full, key=lambda i: (rows[i], i))
        found = {i: place for place, i in enumerate(order)}
        places = tuple(found.get(i) for i in range(len(intervals)))
        return cls(tuple(rows[i] for i in order), places, unit)

    def offsets(self, found: Sequence[int]) -> tuple[int, ...]:
        """Bytes, in the caller's order, from granules in that of `buffers`."""
        return tuple(0 if p is None else found[p] * self.unit for p in self.places)
