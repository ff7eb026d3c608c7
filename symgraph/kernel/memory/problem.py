"""One independent part of a planning problem, as arrays in granules: what every method works on.

Owns the reduction from intervals to `Problem`:
  * sizes are divided by the granule, zero sizes are left out (they fit anywhere);
  * time shrinks to *sections*, the steps with a maximal set of live buffers. Two buffers meet
    exactly when they share a section, because the live sets of all other steps are subsets;
  * parts of the problem that share no section are separate problems (`components`).
Invariant: each section has at least one buffer, each buffer covers `first[i] <= t < last[i]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .interval import Interval, granule

Ints = npt.NDArray[np.signedinteger[Any]]  # int64; small tables are int32 for speed
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """Buffers over sections; `identities` are their positions in the caller's sequence."""

    identities: tuple[int, ...]
    first: Ints
    last: Ints
    sizes: Ints
    alignments: Ints
    sections: int
    meets: Bools  # meets[i, j]: i and j share a section (true on the diagonal)
    live: Bools  # live[t, i]
    load: Ints  # bytes live per section

    @property
    def count(self) -> int:
        return len(self.identities)

    @property
    def bound(self) -> int:
        """No plan needs less."""
        return int(self.load.max(initial=0))

    @classmethod
    def of(
        cls,
        identities: tuple[int, ...],
        first: Ints,
        last: Ints,
        sizes: Ints,
        alignments: Ints,
    ) -> Problem:
        """Fill in what follows from the sections that each buffer covers."""
        sections = int(last.max(initial=0))
        steps = np.arange(sections)[:, None]
        live = (first <= steps) & (steps < last)
        meets = (first[:, None] < last) & (first < last[:, None])
        load = np.where(live, sizes, 0).sum(axis=1, dtype=np.int64)
        return cls(identities, first, last, sizes, alignments, sections, meets, live, load)

    def mirrored(self) -> Problem:
        """The same problem with time running backwards: offsets carry over unchanged."""
        first, last = self.sections - self.last, self.sections - self.first
        return Problem.of(self.identities, first, last, self.sizes, self.alignments)


def components(intervals: Sequence[Interval], unit: int | None = None) -> tuple[Problem, ...]:
    """The independent parts of a problem, in the order of time; `unit` is the granule."""
    unit = granule(intervals) if unit is None else unit
    kept = [i for i, interval in enumerate(intervals) if interval.nbytes]
    kept.sort(key=lambda i: (intervals[i].start, intervals[i].end, i))
    groups: list[list[int]] = []
    reach = 0
    for i in kept:
        if not groups or intervals[i].start >= reach:
            groups.append([])
            reach = intervals[i].end
        groups[-1].append(i)
        reach = max(reach, intervals[i].end)
    return tuple(_from_group(intervals, group, unit) for group in groups)


def _from_group(intervals: Sequence[Interval], group: Sequence[int], unit: int) -> Problem:
    chosen = [intervals[i] for i in group]
    first, last = _sections([i.start for i in chosen], [i.end for i in chosen])
    sizes = np.array([-(-i.nbytes // unit) for i in chosen], np.int64)
    alignments = np.array([i.alignment // unit for i in chosen], np.int64)
    return Problem.of(tuple(group), first, last, sizes, alignments)


def _sections(starts: Sequence[int], ends: Sequence[int]) -> tuple[Ints, Ints]:
    """Number the maximal live sets: one wherever a start is followed by an end."""
    section, grew = 0, False
    start_section: dict[int, int] = {}
    end_section: dict[int, int] = {}
    for step, is_start in sorted({(s, 1) for s in starts} | {(e, 0) for e in ends}):
        if is_start:
            start_section[step], grew = section, True
        else:
            section, grew = section + grew, False
            end_section[step] = section
    first = np.array([start_section[s] for s in starts], np.int64)
    last = np.array([end_section[e] for e in ends], np.int64)
    return first, last
