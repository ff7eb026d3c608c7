"""Many beam searches for one problem, each a small change of the best before: for the hard cases.

Owns the strategy around `grow`. A *recipe* (the weights of the score and an urgency of each buffer)
makes one packing or a part of one; how much of the area it placed before the capacity was passed is
how good it is. Each *way* to see the problem (all buffers, or blocks of them that look like pieces
of one; time forwards or backwards) keeps its best recipe and changes it a little for the next try,
as in a (1+1) evolution strategy; a recipe that nothing improves any more is thrown away. The way
that came furthest is tried most.

The capacity asked for comes down a ladder to the target, one rung after each success, and goes up
again where nothing succeeds for long. All random choices come from the seed, and effort is counted
in entries examined, so equal input gives equal output, whichever engine runs the inner loops.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ..plain import Engine
from .grow import FAR, HELPERS, Lists, States, Tables, Weights, grow
from .problem import Ints, Problem
from .weld import Block, unwelded

FloatArray = npt.NDArray[np.float64]

RUNGS = (0.0, 0.005, 0.01, 0.02, 0.03, 0.045, 0.06, 0.08, 0.1, 0.14, 0.2, 0.3, 0.5, 1.0)
FIRST_RUNG = 6
WIDTH = 10
STALE = 40
"""Tries without progress after which a recipe is thrown away."""
PATIENCE = 80
"""Tries without success after which a higher capacity is asked for."""
EXPLORE = 4
"""One try in so many takes any way, not the best."""
PLAIN = Weights(waste=1.0, steps=1.2, walls=0.5, lifted=0.3, height=0.3, progress=3.0, raised=0.3,
                depth=8.0)  # fmt: skip
SIZE_POWER, DURATION_POWER = 0.6, 0.7
DEPTHS = (2.0, 8.0, 30.0, 1000.0)
SPREAD, CHANGE = 0.6, 0.2
MOST_LEVEL = FAR >> 1
TRY_OVERHEAD = 50_000
"""Work of a try besides its entries."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A problem, or one of blocks of its buffers whose packings are packings of it."""

    problem: Problem
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Recipe:
    """What a beam is made with."""

    weights: Weights
    powers: tuple[float, float]
    urgency: FloatArray


@dataclass(slots=True, eq=False)
class _Way:
    """A view in one direction of time, with its best recipe and how far that came."""

    view: View
    problem: Problem
    tables: Tables
    states: States
    lists: Lists
    recipe: Recipe | None = None
    reached: float = 0.0
    furthest: float = 0.0
    age: int = 0
    tries: int = 0


@dataclass(slots=True, eq=False)
class Evolution:
    """The search of one problem; `offsets` and `peak` are the best packing so far."""

    offsets: Ints
    peak: int
    target: int
    engine: Engine
    seed: int
    work: int = 0
    tries: int = 0
    ways: list[_Way] = field(default_factory=list)

    def run(
        self, problem: Problem, views: Sequence[View], work: int, late: Callable[[], bool]
    ) -> None:
        """Search until the target is reached, the work is done or it is late."""
        if int((problem.sizes + problem.alignments).sum()) >= MOST_LEVEL:
            return
        rng = random.Random(self.seed)
        search = self.engine(grow, HELPERS)
        directions = [(v, p) for v in views for p in (v.problem, v.problem.mirrored())]
        self.ways = [_way(view, way) for view, way in directions]
        rung, failures = self._rung(FIRST_RUNG), 0
        while self.peak > self.target and self.work < work and not late():
            way = self._chosen(rng)
            capacity = min(self.peak - 1, self.target + int(self.target * RUNGS[rung]))
            if self._tried(problem, way, capacity, search, rng, work):
                rung, failures = self._rung(rung), 0
                for each in self.ways:
                    each.reached, each.furthest, each.age = each.reached / 2, each.furthest / 2, 0
            else:
                failures += 1
            if failures > PATIENCE and self._rung(rung + 1) > rung:
                rung, failures = rung + 1, 0

    def _rung(self, highest: int) -> int:
        """The highest rung up to `highest` that asks for less than the best packing has."""
        rungs = range(min(highest, len(RUNGS) - 1), 0, -1)
        return next((r for r in rungs if self.target * (1 + RUNGS[r]) < self.peak), 0)

    def _chosen(self, rng: random.Random) -> _Way:
        untried = next((w for w in self.ways if not w.tries), None)
        if untried is not None:
            return untried
        if rng.randrange(EXPLORE) == 0:
            return rng.choice(self.ways)
        return max(self.ways, key=lambda way: way.furthest)

    def _tried(
        self, problem: Problem, way: _Way, capacity: int, search: Callable[..., int],
        rng: random.Random, work: int,
    ) -> bool:  # fmt: skip
        """One beam; whether the best packing is better now."""
        self.tries += 1
        recipe = _next_recipe(way, rng)
        found, offsets, spent = _beam(way, recipe, capacity, search, work - self.work)
        self.work += spent + TRY_OVERHEAD
        _judge(way, recipe, _share_placed(way.problem, offsets))
        if not found:
            return False
        if way.view.blocks:
            offsets = unwelded(problem, way.view.blocks, offsets)
        peak = int((offsets + problem.sizes).max())
        if peak >= self.peak:
            return False
        self.offsets, self.peak = offsets, peak
        return True


def _next_recipe(way: _Way, rng: random.Random) -> Recipe:
    """The plain one, a change of the best so far, or one from afar."""
    way.tries += 1
    ones = np.ones(way.problem.count)
    if way.tries == 1:
        return Recipe(PLAIN, (SIZE_POWER, DURATION_POWER), ones)
    if way.recipe is None or way.age > STALE:
        way.recipe, way.reached, way.age = None, 0.0, 0
        weights = _changed(PLAIN._replace(depth=rng.choice(DEPTHS)), 1.0, SPREAD, rng)
        return Recipe(weights, _powers((SIZE_POWER, DURATION_POWER), SPREAD, rng), ones)
    urgency = way.recipe.urgency
    if rng.random() < 0.5:
        share = rng.random() ** 2
        noise = np.random.default_rng(rng.getrandbits(32))
        chosen = noise.random(way.problem.count) < share
        exponents = noise.uniform(-3 * CHANGE, 3 * CHANGE, way.problem.count)
        urgency = np.where(chosen, urgency * np.exp(exponents), urgency)
    weights = _changed(way.recipe.weights, 0.5, CHANGE, rng)
    return Recipe(weights, _powers(way.recipe.powers, CHANGE / 2, rng), urgency)


def _changed(weights: Weights, share: float, spread: float, rng: random.Random) -> Weights:
    """Some weights times a random factor; the price of raising a floor varies most."""
    return Weights(**{
        name: value * _factor(spread * (4 if name == "raised" else 1), rng)
        if rng.random() < share else value
        for name, value in weights._asdict().items()
    })  # fmt: skip


def _powers(powers: tuple[float, float], spread: float, rng: random.Random) -> tuple[float, float]:
    size, duration = powers
    return size * _factor(spread, rng), duration * _factor(spread, rng)


def _factor(spread: float, rng: random.Random) -> float:
    return float(np.exp(rng.uniform(-spread, spread)))


def _judge(way: _Way, recipe: Recipe, share: float) -> None:
    """Keep a recipe that is no worse than the best of its way."""
    way.age = 0 if share > way.reached else way.age + 1
    if share >= way.reached:
        way.recipe, way.reached = recipe, share
    way.furthest = max(way.furthest, share)


def _share_placed(problem: Problem, offsets: Ints) -> float:
    """The part of bytes times sections that lies at its place."""
    areas = problem.sizes * (problem.last - problem.first)
    return float(areas[offsets >= 0].sum() / areas.sum())


def _beam(
    way: _Way, recipe: Recipe, capacity: int, search: Callable[..., int], work: int
) -> tuple[bool, Ints, int]:
    """Whether a packing was found; its offsets, or those of an unfinished one; and the work."""
    problem, states, lists = way.problem, way.states, way.lists
    size, duration = recipe.powers
    difficulty = (problem.sizes / problem.bound) ** size * recipe.urgency
    difficulty *= ((problem.last - problem.first) / problem.sections) ** duration
    spare = (capacity - problem.load) / capacity + 1e-4
    tables = way.tables._replace(
        capacity=capacity, relief=1.0 / capacity / spare, difficulty=difficulty / difficulty.sum()
    )
    _start(problem, states)
    lists.trouble[:] = np.ones(problem.sections)
    report = np.zeros(1, np.int64)
    found = search(WIDTH, work, tables, recipe.weights, states, lists, report)
    row = int(report[0]) * problem.count
    offsets = np.array(states.offsets[row : row + problem.count], np.int64)
    return bool(found), offsets, int(lists.work[0])


def _start(problem: Problem, states: States) -> None:
    """Nothing is placed in slot 0."""
    count, sections = problem.count, problem.sections
    states.levels[:count] = np.zeros(count, np.int32)
    states.offsets[:count] = np.full(count, -1, np.int32)
    states.floor[:sections] = np.zeros(sections, np.int32)
    for row in (states.left, states.height):
        row[:sections] = problem.load.astype(np.int32)
    states.resting[:sections] = problem.live.sum(axis=1).astype(np.int32)
    for numbers in (states.digest, states.waste, states.lifted, states.progress, states.filled):
        numbers[0] = 0


def _way(view: View, problem: Problem) -> _Way:
    """The arrays of one way; buffers that live long come first in their sections, since their
    levels are the highest, which keeps the lists nearly in order."""
    count, sections, slots = problem.count, problem.sections, 2 * WIDTH + 2
    duration = problem.last - problem.first
    order = np.argsort(-duration, kind="stable")
    _, residents = problem.live[:, order].nonzero()
    apart = problem.meets & ~np.eye(count, dtype=bool)
    fields = np.stack([problem.first, problem.last, problem.sizes, problem.alignments])
    _, kinds = np.unique(fields, axis=1, return_inverse=True)
    areas = (problem.sizes * duration).astype(np.float64)
    keys = np.random.default_rng(0).integers(1, 1 << 31, count)
    tables = Tables(
        count, sections, problem.bound, bool((problem.alignments != 1).any()),
        _small(problem.first), _small(problem.last), _small(problem.sizes),
        _small(problem.alignments), _small(kinds.ravel()), _small(problem.load),
        _starts(problem.live), _small(order[residents]), _starts(apart), _small(apart.nonzero()[1]),
        keys, areas, np.zeros(sections), np.zeros(count), float(areas.sum()),
    )  # fmt: skip
    rows = [np.zeros(slots * count, np.int32) for _ in range(2)]
    spans = [np.zeros(slots * sections, np.int32) for _ in range(4)]
    numbers = [np.zeros(slots) for _ in range(5)]
    states = States(rows[0], rows[1], spans[0], spans[1], spans[2], spans[3],
                    np.zeros(slots, np.int64), *numbers)  # fmt: skip
    widest = int(problem.live.sum(axis=1).max(initial=1))
    slot_lists = [np.zeros(slots, np.int64) for _ in range(3)]
    lists = Lists(
        slot_lists[0], slot_lists[1], slot_lists[2],
        np.zeros(widest, np.int64), np.zeros(widest, np.int64), np.ones(sections),
        np.ones(sections), np.zeros(1, np.int64), np.zeros(sections + 1, np.int64),
        np.zeros(len(residents), np.int32), np.zeros(count, np.int32),
    )  # fmt: skip
    return _Way(view, problem, tables, states, lists)


def _small(values: Any) -> Any:
    return np.ascontiguousarray(values, np.int32)


def _starts(table: Any) -> Any:
    """Where the list of each row starts, and the end of the last."""
    return np.concatenate([[0], np.cumsum(table.sum(axis=1))]).astype(np.int64)
