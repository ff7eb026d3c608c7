"""Exact search: a packing below a given height, or the certainty that there is none.

Depth first over *canonical* packings, those in which no buffer can sink (each rests on the ground
or on another buffer), after MiniMalloc (Moffitt, ASPLOS 2023). A node takes the lowest and earliest
section floor and branches on who rests exactly there: one of the unplaced buffers, or nobody, which
raises the floor to the next height that something could rest on. Every canonical packing below
is in exactly one branch. Pruned are nodes

  * whose relaxation reaches past the capacity (`relaxation.bounds`);
  * that repeat a failed node: the same buffers left on the same levels (by a 128-bit digest);
  * that place a buffer while an identical one of lower index waits.

Nodes whose unplaced buffers share no section are split and solved one part at a time, so a failure
in one part is not searched again for each packing of another. A buffer left alone is such a part:
it never causes backtracking, which is the "hatless" rule.

The limit is counted in nodes, so the outcome does not depend on the machine; the clock is asked
only if a deadline is given. Recursion is bounded by `MOST_BUFFERS`, not by the size of a graph.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import Enum, auto
from hashlib import blake2b

import numpy as np

from .problem import Ints, Problem
from .relaxation import Tables, bounds, floors, start_levels, tabulate

MOST_BUFFERS = 150


class Outcome(Enum):
    """How a search ended."""

    FOUND = auto()
    IMPOSSIBLE = auto()
    NODE_LIMIT = auto()
    TIME_LIMIT = auto()


@dataclass(frozen=True, slots=True, eq=False)
class SearchResult:
    """Offsets in granules, meaningful if the outcome is FOUND, and the nodes spent."""

    outcome: Outcome
    offsets: Ints
    nodes: int


class _Exhausted(Exception):
    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.name)
        self.outcome = outcome


def search(
    problem: Problem, capacity: int, node_limit: int, deadline: float | None = None
) -> SearchResult:
    """Look for a packing of at most `capacity` granules.

    `deadline` is a value of `time.monotonic`. Problems above `MOST_BUFFERS` are not tried: they
    end at once with NODE_LIMIT.
    """
    run = _Search(tabulate(problem), capacity, node_limit, deadline)
    offsets = np.zeros(problem.count, np.int64)
    if problem.count > MOST_BUFFERS:
        return SearchResult(Outcome.NODE_LIMIT, offsets, 0)
    try:
        found = run.solve(start_levels(run.tables), offsets)
    except _Exhausted as exhausted:
        return SearchResult(exhausted.outcome, offsets, run.nodes)
    return SearchResult(Outcome.FOUND if found else Outcome.IMPOSSIBLE, offsets, run.nodes)


@dataclass(slots=True, eq=False)
class _Search:
    """One run: the counters and the failed nodes are its only state."""

    tables: Tables
    capacity: int
    node_limit: int
    deadline: float | None
    nodes: int = 0
    failed: set[bytes] = field(default_factory=set)

    def solve(self, levels: Ints, offsets: Ints) -> bool:
        """Place all buffers that are not yet, writing `offsets`; False if that is impossible."""
        self._count()
        if bounds(self.tables, levels).max(initial=0) > self.capacity:
            return False
        parts = _split(self.tables, levels)
        return all(self._solve_part(part, offsets) for part in parts)

    def _solve_part(self, levels: Ints, offsets: Ints) -> bool:
        left = (levels < self.tables.far).nonzero()[0]
        if len(left) == 1:
            offsets[left] = levels[left]
            return True
        digest = blake2b(levels.tobytes(), digest_size=16).digest()
        if digest in self.failed:
            return False
        if self._branch(levels, offsets):
            return True
        self.failed.add(digest)
        return False

    def _branch(self, levels: Ints, offsets: Ints) -> bool:
        while True:
            self._count()
            floor = floors(self.tables, levels)
            section = int(floor.argmin())
            level = int(floor[section])
            residents = self.tables.residents[section]
            resting = residents[levels[residents] == level]
            for j in self._ordered(resting):
                if self.solve(self._placed(levels, j, level), offsets):
                    offsets[j] = level
                    return True
            levels = self._raised(levels, section, level, resting)
            if bounds(self.tables, levels).max() > self.capacity:
                return False

    def _count(self) -> None:
        self.nodes += 1
        if self.nodes > self.node_limit:
            raise _Exhausted(Outcome.NODE_LIMIT)
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise _Exhausted(Outcome.TIME_LIMIT)

    def _ordered(self, resting: Ints) -> list[int]:
        """Large areas first, one of each kind of identical buffers."""
        problem = self.tables.problem
        seen: set[tuple[int, int, int, int]] = set()
        kept: list[int] = []
        for j in resting.tolist():
            kind = (
                int(problem.first[j]),
                int(problem.last[j]),
                int(problem.sizes[j]),
                int(problem.alignments[j]),
            )
            if kind not in seen:
                seen.add(kind)
                kept.append(j)
        area = problem.sizes * (problem.last - problem.first)
        return sorted(kept, key=lambda j: (-int(area[j]), j))

    def _placed(self, levels: Ints, j: int, level: int) -> Ints:
        problem = self.tables.problem
        top = level + int(problem.sizes[j])
        lifted: Ints = levels.copy()
        _lift(self.tables, lifted, (problem.meets[j] & (levels[:-1] < top)).nonzero()[0], top)
        lifted[j] = self.tables.far
        return lifted

    def _raised(self, levels: Ints, section: int, level: int, resting: Ints) -> Ints:
        """Nobody rests on `level` in `section`: lift its buffers to the next possible height.

        The lowest buffer of the section then either rests on its own level, above this one, or on
        a buffer of other sections.
        """
        problem = self.tables.problem
        residents = self.tables.residents[section]
        own = levels[residents]
        height = int(own[own > level].min(initial=self.tables.far))
        others = (levels[:-1] < self.tables.far) & ~problem.live[section]
        below = others & problem.meets[resting].any(axis=0)
        height = min(height, int((levels[:-1] + problem.sizes)[below].min(initial=self.tables.far)))
        lifted: Ints = levels.copy()
        _lift(self.tables, lifted, resting, height)
        return lifted


def _lift(tables: Tables, levels: Ints, indices: Ints, height: int) -> None:
    alignments = tables.problem.alignments[indices]
    levels[indices] = np.minimum(-(-height // alignments) * alignments, tables.far - 1)


def _split(tables: Tables, levels: Ints) -> list[Ints]:
    """One vector of levels per independent part; buffers are sorted by their first section."""
    left = (levels < tables.far).nonzero()[0]
    if not len(left):
        return []
    reach = np.maximum.accumulate(tables.problem.last[left])
    cuts = (tables.problem.first[left][1:] >= reach[:-1]).nonzero()[0] + 1
    parts: list[Ints] = []
    for indices in np.split(left, cuts):
        part = np.full_like(levels, tables.far)
        part[indices] = levels[indices]
        parts.append(part)
    parts.sort(key=lambda part: int((part < tables.far).sum()))
    return parts
