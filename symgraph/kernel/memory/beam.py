"""Beam search: many unfinished packings grow side by side, and the most promising survive.

Owns the method for the hard cases. Packings grow from the ground: each round takes, in each
packing, the valley of the skyline that leaves the fewest choices (lower ones first, by `depth`),
and lets every buffer rest there that can, or raises the floor to its surroundings. A packing whose
relaxation (`relaxation.bounds`) reaches past the capacity is dropped; of the others the `width`
best by a weighted sum of features go on:

  waste      bytes per section that nothing can fill any more, relative to the spare bytes there
  steps, walls   how rough the skyline is: how often, and by how much, it changes between sections
  lifted     how high the unplaced buffers have been lifted, weighted by area
  height     the relaxation itself
  progress   how much of the difficult (large and long-lived) has been placed, less `raised` for
             each floor raised

The weights come from a random search over instances of `benchmarks/memory/hard_cases.py`, with
hand corrections; how well they carry over to other kinds of instances is not known. All packings
are rows of a few arrays, so that numpy does the inner loops. Neither a proof nor a random choice is
made here: equal input gives equal output.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from .problem import Bools, Ints, Problem
from .relaxation import (
    Tables,
    bounds,
    floors,
    narrowed,
    start_levels,
    tabulate,
)

Floats = npt.NDArray[np.float64]
NARROW_EVERY = 16
FIRST_STAGE = 1.5
RESERVE_EVERY = 8
RESERVE = 4
ROUND_OVERHEAD = 40_000


@dataclass(frozen=True, slots=True)
class Weights:
    """The score is the weighted sum of features, lower is better."""

    waste: float = 1.0
    steps: float = 1.2
    walls: float = 0.5
    lifted: float = 0.3
    height: float = 0.3
    progress: float = 3.0
    raised: float = 0.3
    depth: float = 8.0
    size_power: float = 0.6
    duration_power: float = 0.7


@dataclass(frozen=True, slots=True, eq=False)
class BeamResult:
    """Offsets in granules (-1 where unplaced, if no packing was found) and what was learned.

    `work` counts the table entries examined; `blame` says how often each buffer was still waiting
    where the packings overflowed.
    """

    found: bool
    offsets: Ints
    work: int
    blame: Floats


@dataclass(frozen=True, slots=True, eq=False)
class _States:
    """Unfinished packings, one per row."""

    levels: Ints  # [state, buffer], padded as in `relaxation`
    skyline: Ints  # [state, section]: the floor, or the last top where nothing is left
    left: Ints  # [state, section]: bytes still to be placed
    offsets: Ints  # [state, buffer], -1 for unplaced
    progress: Floats  # [state]

    def pick(self, rows: Ints) -> _States:
        return _States(
            self.levels[rows],
            self.skyline[rows],
            self.left[rows],
            self.offsets[rows],
            self.progress[rows],
        )


def beam(
    problem: Problem,
    capacity: int,
    width: int,
    weights: Weights,
    urgency: Floats,
    trouble: Floats,
    work_limit: int,
    kept: Ints | None = None,
    patience: int = 0,
) -> BeamResult:
    """Look for a packing of at most `capacity` granules with `width` packings side by side.

    `trouble` weighs the sections by how often they overflowed, and is updated in place; the more
    trouble, the earlier a section is decided (Boussemart et al., "Boosting systematic search by
    weighting constraints", ECAI 2004).
    `kept` are offsets to start from, -1 for buffers still to be placed. Nothing that is to be
    placed may go below a kept buffer it meets.
    `patience` is how often the search goes on where all packings overflowed: with those that came
    just behind the best some rounds before, by turns few and many rounds ("ruler" sequence), so
    that early mistakes are undone too (after beam-stack search, Zhou and Hansen, ICAPS 2005).
    """
    difficulty = _difficulty(problem, weights) * urgency
    search = _Beam(
        tabulate(problem), capacity, width, weights, difficulty / difficulty.sum(), trouble
    )
    return search.run(work_limit, patience, kept)


@dataclass(frozen=True, slots=True, eq=False)
class _Beam:
    tables: Tables
    capacity: int
    width: int
    weights: Weights
    difficulty: Floats
    trouble: Floats

    def run(self, work_limit: int, patience: int, kept: Ints | None) -> BeamResult:
        states, work, deaths, step = self._start(kept), 0, 0, 0
        here, furthest, blame = self, states, np.zeros(self.tables.problem.count)
        reserves: list[tuple[_States, int]] = []
        while work < work_limit:
            if step % NARROW_EVERY == 0 or here is self:
                unplaced: Bools = np.any(states.levels[:, :-1] < self.tables.far, axis=0)
                here = replace(self, tables=narrowed(self.tables, unplaced))
            parents = states
            states, height, examined = here._expanded(states)
            work += examined * here.tables.residents.size + ROUND_OVERHEAD
            if not len(states.levels):
                deaths += 1
                if deaths == 1 or parents.progress.max() > furthest.progress.max():
                    furthest, blame = parents, here._blame(parents)
                del reserves[max(1, len(reserves) - ruler(deaths) + 1) :]
                if deaths > patience or not reserves:
                    break
                here = self
                states, step = reserves.pop()
                continue
            complete = (states.left.max(axis=1, initial=0) == 0).nonzero()[0]
            if len(complete):
                offsets = states.offsets[complete[0]]
                return BeamResult(True, offsets, work, np.zeros(len(offsets)))
            states, reserve = here._survivors(states, height)
            step += 1
            if step % RESERVE_EVERY == 0 and patience:
                reserves.append((reserve if len(reserve.levels) else states, step))
        if not deaths:
            furthest, blame = states, here._blame(states)
        return BeamResult(False, furthest.offsets[furthest.progress.argmax()], work, blame)

    def _start(self, kept: Ints | None) -> _States:
        problem, dtype = self.tables.problem, self.tables.dtype
        left: Ints = problem.load.astype(dtype)
        states = _States(
            start_levels(self.tables)[None],
            np.zeros((1, problem.sections), dtype),
            left[None],
            np.full((1, problem.count), -1, dtype),
            np.zeros(1),
        )
        if kept is not None:
            for j in kept.argsort(kind="stable")[(kept < 0).sum() :]:
                states = self._placed(states, j[None], kept[j][None])
        return states

    def _expanded(self, states: _States) -> tuple[_States, Ints, int]:
        """All feasible successors, their relaxations, and the number of successors examined."""
        far = self.tables.far
        rows = np.arange(len(states.levels))
        section, level = self._most_constrained(states)
        residents = self.tables.residents[section]
        heights = states.levels[rows[:, None], residents]
        rests, place = (heights == level[:, None]).nonzero()
        placed = self._placed(states.pick(rests), residents[rests, place], level[rests])
        own = np.where(heights > level[:, None], heights, far).min(axis=1)
        open_sections = (states.left > 0) & (states.skyline > level[:, None])
        around = np.where(open_sections, states.skyline, far).min(axis=1)
        height = np.minimum(own, around)
        raised_rows = (height + states.left[rows, section] <= self.capacity).nonzero()[0]
        raised = self._raised(states.pick(raised_rows), section[raised_rows], height[raised_rows])
        successors = _joined(placed, raised)
        return (*self._feasible(successors), len(successors.levels))

    def _most_constrained(self, states: _States) -> tuple[Ints, Ints]:
        """Per state, the section of a valley where the fewest buffers can rest, and its floor.

        Ties go to the lower floor; sections that overflowed often count as more constrained.
        """
        rows, far = np.arange(len(states.levels)), self.tables.far
        floor = np.where(states.left > 0, states.skyline, far)
        heights = states.levels.take(self.tables.columns, axis=-1)
        can_rest = (heights == floor[:, None, :]).sum(axis=1)
        can_raise = floor + states.left < self.capacity
        choices = can_rest + can_raise + self.weights.depth * (floor / self.capacity)
        choices *= np.sqrt(self.trouble.mean() / self.trouble)
        section = np.where(_valleys(floor) & (floor < far), choices, np.inf).argmin(axis=1)
        return section, floor[rows, section]

    def _placed(self, states: _States, chosen: Ints, level: Ints) -> _States:
        """Row by row, `chosen` rests on `level`."""
        problem, far = self.tables.problem, self.tables.far
        rows = np.arange(len(chosen))
        ends: Ints = (level + problem.sizes[chosen]).astype(self.tables.dtype)
        top = ends[:, None]
        levels = states.levels[:, :-1]
        rests = _aligned(problem, top)
        np.maximum(levels, rests, out=levels, where=problem.meets[chosen] & (levels < far))
        levels[rows, chosen] = far
        covered = problem.live.T[chosen]
        skyline = np.where(covered, top, states.skyline)
        left = states.left - np.where(covered, problem.sizes[chosen][:, None], 0)
        states.offsets[rows, chosen] = level
        progress = states.progress + self.difficulty[chosen]
        return _States(
            states.levels, skyline, left.astype(self.tables.dtype), states.offsets, progress
        )

    def _raised(self, states: _States, section: Ints, height: Ints) -> _States:
        """Row by row, nothing in `section` rests below `height`."""
        problem, far = self.tables.problem, self.tables.far
        levels = states.levels[:, :-1]
        rests = _aligned(problem, height[:, None])
        np.maximum(levels, rests, out=levels, where=problem.live[section] & (levels < far))
        return replace(states, progress=states.progress - self.weights.raised / problem.count)

    def _feasible(self, states: _States) -> tuple[_States, Ints]:
        """Without those that must exceed the capacity: first by the floors, then by `bounds`."""
        floor = floors(self.tables, states.levels)
        skyline = np.where(states.left > 0, floor, states.skyline)
        states = replace(states, skyline=skyline)
        states = states.pick(_within(skyline + states.left, self.capacity))
        if len(states.levels) > FIRST_STAGE * self.width:
            ranked = self._score(states, states.skyline + states.left).argsort(kind="stable")
            states = states.pick(ranked[: int(FIRST_STAGE * self.width)])
        height = bounds(self.tables, states.levels)
        height = np.where(states.left > 0, height, states.skyline)
        overflows = height.max(axis=1, initial=0) > self.capacity
        np.add.at(self.trouble, height[overflows].argmax(axis=1), 1.0)
        kept = _within(height, self.capacity)
        return states.pick(kept), height[kept]

    def _survivors(self, states: _States, height: Ints) -> tuple[_States, _States]:
        """The best `width` by score, without those equal to a better one, and those after them."""
        ranked = self._score(states, height).argsort(kind="stable")
        seen: set[bytes] = set()
        kept: list[int] = []
        for row in ranked.tolist():
            digest = states.levels[row].tobytes()
            if digest not in seen:
                seen.add(digest)
                kept.append(row)
                if len(kept) == RESERVE * self.width:
                    break
        rows = np.array(kept, np.int64)
        return states.pick(rows[: self.width]), states.pick(rows[self.width :])

    def _blame(self, states: _States) -> Floats:
        """Who waits in the sections closest to overflow, averaged over the dying packings."""
        problem = self.tables.problem
        height = bounds(self.tables, states.levels)
        tight = (height >= height.max(axis=1)[:, None]).astype(np.float64)
        waiting = states.levels[:, :-1] < self.tables.far
        blame: Floats = ((tight @ problem.live.astype(np.float64) > 0) & waiting).mean(axis=0)
        return blame

    def _score(self, states: _States, height: Ints) -> Floats:
        problem, weights, capacity = self.tables.problem, self.weights, self.capacity
        spare = (capacity - problem.load) / capacity + 1e-4
        waste = np.maximum(height - problem.load, 0) / capacity / spare
        slopes = np.abs(np.diff(states.skyline, axis=1))
        area = (problem.sizes * (problem.last - problem.first)).astype(np.float64)
        levels = np.where(states.levels < self.tables.far, states.levels, 0)[:, :-1]
        score: Floats = (
            weights.waste * waste.mean(axis=1)
            + weights.steps * (slopes != 0).sum(axis=1) / problem.sections
            + weights.walls * slopes.sum(axis=1) / (capacity * problem.sections)
            + weights.lifted * (levels @ (area / area.sum())) / capacity
            + weights.height * height.max(axis=1) / capacity
            - weights.progress * states.progress
        )
        return score


def ruler(number: int) -> int:
    """The largest power of two that divides a number: 1 2 1 4 1 2 1 8 ..."""
    return number & -number


def _difficulty(problem: Problem, weights: Weights) -> Floats:
    size = problem.sizes / problem.bound
    duration = (problem.last - problem.first) / problem.sections
    difficulty: Floats = size**weights.size_power * duration**weights.duration_power
    return difficulty


def _valleys(floor: Ints) -> Bools:
    """Sections in runs of equal floor whose neighbours on both sides are higher: [row, section].

    Whoever can rest in such a run lies inside it, so nothing can slip under it later.
    """
    return _walled(floor) & _walled(floor[:, ::-1])[:, ::-1]


def _walled(floor: Ints) -> Bools:
    """Sections whose run of equal floor begins at the edge or beside a higher section."""
    begins = np.ones(floor.shape, bool)
    higher = np.ones(floor.shape, bool)
    begins[:, 1:] = floor[:, 1:] != floor[:, :-1]
    higher[:, 1:] = floor[:, 1:] < floor[:, :-1]
    start = np.maximum.accumulate(np.where(begins, np.arange(floor.shape[1]), 0), axis=1)
    walled: Bools = np.take_along_axis(higher, start, axis=1)
    return walled


def _aligned(problem: Problem, heights: Ints) -> Ints:
    """Heights rounded up to each buffer's alignment: [row, buffer]."""
    if (problem.alignments == 1).all():
        return heights
    rounded: Ints = -(-heights // problem.alignments) * problem.alignments
    return rounded.astype(heights.dtype)


def _within(heights: Ints, capacity: int) -> Ints:
    rows: Ints = (heights.max(axis=1, initial=0) <= capacity).nonzero()[0]
    return rows


def _joined(a: _States, b: _States) -> _States:
    return _States(
        np.concatenate([a.levels, b.levels]),
        np.concatenate([a.skyline, b.skyline]),
        np.concatenate([a.left, b.left]),
        np.concatenate([a.offsets, b.offsets]),
        np.concatenate([a.progress, b.progress]),
    )
