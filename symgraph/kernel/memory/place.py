"""The memory planner: greedy portfolio, then beam search, then exact search; checked at the end.

Owns `place` and its strategy, nothing of the methods. Parts of the problem that share no step are
planned one by one against a common target, the largest of their lower bounds: a part that fits
below it needs no better plan. Each method runs only if those before it missed the target.

Effort is counted in *work*, table entries examined (some nanoseconds each), so the result
depends on the input alone. The clock is asked only where a caller gives a limit in seconds, which
the passes never do; a plan that it cut short says so in `Placement.method`.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache

import numpy as np

from .beam import BeamResult, Weights, beam
from .check import check
from .fillers import filled
from .heuristics import completed, portfolio
from .interval import (
    Interval,
    Placement,
    granule,
    lower_bound,
    naive_total,
)
from .problem import Ints, Problem, components
from .relaxation import entries
from .search import MOST_BUFFERS, Outcome, search
from .weld import Block, unwelded, weld, welded

NARROWEST = 2
WIDTHS = (16, 24, 4, 32, 8, 48)
DEPTHS = (8.0, 1000.0, 2.0, 1000.0, 30.0, 1000.0)
FIRST_GAP = 0.3
ASK_TARGET = 4
NEAR = 0.01
WELDED_SHARE = 3
RESTARTS_SHARE = 3
RESTART_WIDTH = 3
CLOSE = 0.02
EXPLORE = 3
WIDEN = 1.5
SPREAD = 0.6
BLAME = 0.5
FORGET = 0.9
REPAIRS = 4
PATIENCE = 64
NODE_OVERHEAD = 5_000
KEPT_PLANS = 256
WORK_LIMIT = 1_400_000_000


def place(
    intervals: Sequence[Interval],
    *,
    time_limit_seconds: float = math.inf,
    work_limit: int = WORK_LIMIT,
    seed: int = 0,
) -> Placement:
    """Offsets that keep simultaneously live buffers apart, with a total as small as can be found.

    Raises: MemoryPlanError if the plan fails its own check, which would be a bug.
    """
    bound = lower_bound(intervals)
    key = tuple((i.start, i.end, i.nbytes, i.alignment) for i in intervals)
    solve = _solved if math.isinf(time_limit_seconds) else _solved.__wrapped__
    offsets, total, least, method = solve(key, time_limit_seconds, work_limit, seed)
    check(intervals, offsets, total)
    least = max(bound, least)
    return Placement(offsets, total, bound, naive_total(intervals), total <= least, method)


def forget_plans() -> None:
    """Drop the plans kept in memory, so that the next is made anew: for measurements."""
    _solved.cache_clear()


@lru_cache(maxsize=KEPT_PLANS)
def _solved(
    buffers: tuple[tuple[int, int, int, int], ...], seconds: float, work_limit: int, seed: int
) -> tuple[tuple[int, ...], int, int, str]:
    """Offsets, total, a total that no plan can beat, and the method; names do not matter.

    Plans are kept because one network is often planned again: for another target, another level,
    after a change elsewhere. They depend on the arguments alone, so nobody can tell.
    """
    intervals = [Interval("", *buffer) for buffer in buffers]
    unit = granule(intervals)
    budget = _Budget(work_limit, time.monotonic() + seconds)
    plans = _plan_parts(components(intervals), budget, seed)
    offsets = [0] * len(intervals)
    for plan in plans:
        for identity, offset in zip(plan.problem.identities, plan.offsets.tolist(), strict=True):
            offsets[identity] = offset * unit
    total = unit * max((plan.peak for plan in plans), default=0)
    least = unit * max((plan.least for plan in plans), default=0)
    method = _method(plans, total <= max(least, lower_bound(intervals)), budget)
    return tuple(offsets), total, least, method


@dataclass(slots=True)
class _Budget:
    """What may still be spent."""

    work: int
    deadline: float

    @property
    def late(self) -> bool:
        return time.monotonic() > self.deadline

    @property
    def spent(self) -> bool:
        return self.work <= 0 or self.late


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """The best packing of one part, and the peak that no packing of it can beat."""

    problem: Problem
    offsets: Ints
    peak: int
    least: int
    method: str

    def better(self, offsets: Ints, method: str) -> _Plan:
        peak = int((offsets + self.problem.sizes).max())
        if peak >= self.peak:
            return self
        return replace(self, offsets=offsets.astype(np.int64), peak=peak, method=method)


def _plan_parts(problems: Sequence[Problem], budget: _Budget, seed: int) -> list[_Plan]:
    """The part that looks worst comes first: the others need not be better than it ends up."""
    plans: list[_Plan] = []
    for problem in problems:
        packing = portfolio(problem)
        plans.append(_Plan(problem, packing.offsets, packing.peak, problem.bound, packing.method))
    target = max((problem.bound for problem in problems), default=0)
    plans.sort(key=lambda plan: -plan.peak)
    for index, plan in enumerate(plans):
        plans[index] = _improved(plan, target, budget, seed)
        target = max(target, plans[index].peak)
    return plans


def _improved(plan: _Plan, target: int, budget: _Budget, seed: int) -> _Plan:
    """A quick exact try, narrow beams, beams over welded buffers, narrow beams by the dozen for a
    plan that is close, beams over all buffers, and exact search."""
    plan = _searched(plan, target, budget, budget.work // 20)
    plan = _narrowly(plan, max(target, plan.least), budget)
    if plan.peak > max(target, plan.least):
        guesses = _guesses(plan.problem)
        work = budget.work
        plan = _welded(plan, guesses, max(target, plan.least), budget, work // WELDED_SHARE, seed)
        plan = _restarted(plan, guesses, max(target, plan.least), budget, work // RESTARTS_SHARE)
    plan = _beamed(plan, max(target, plan.least), budget, budget.work * 4 // 5, seed)
    return _searched(plan, target, budget, budget.work)


def _narrowly(plan: _Plan, target: int, budget: _Budget) -> _Plan:
    """The narrowest beam that is one, once in each direction of time: most plans of networks that
    the portfolio misses by little are found so, for the work of a few greedy packings."""
    ones = np.ones(plan.problem.count), np.ones(plan.problem.sections)
    for direction in (plan.problem, plan.problem.mirrored()):
        if plan.peak <= target or budget.spent:
            break
        result = beam(direction, target, NARROWEST, Weights(), *ones, budget.work)
        budget.work -= result.work
        plan = _adopted(plan, result, f"beam search of width {NARROWEST}")
    return plan


@dataclass(frozen=True, slots=True, eq=False)
class _Guess:
    """A problem with pieces recognised as blocks, any packing of which is one of the buffers."""

    problem: Problem
    blocks: tuple[Block, ...]


def _guesses(problem: Problem) -> tuple[_Guess, ...]:
    """Blocks of buffers that look like the pieces of one, with and without fillers.

    Where alignments are coarser than the granule nothing can be welded.
    """
    if (problem.alignments != 1).any():
        return ()
    full = filled(problem)
    found = []
    for variant in [full, problem] if full.count > problem.count else [problem]:
        blocks = weld(variant)
        if len(blocks) < problem.count:
            found.append(_Guess(welded(variant, blocks), blocks))
    return tuple(found)


def _welded(
    plan: _Plan, guesses: Sequence[_Guess], target: int, budget: _Budget, work: int, seed: int
) -> _Plan:
    """The beam over blocks of buffers."""
    for guess in guesses:
        if plan.peak <= target:
            break
        packing = portfolio(small := guess.problem)
        found = _Plan(small, packing.offsets, packing.peak, small.bound, packing.method)
        found = _beamed(found, target, budget, work // len(guesses), seed, guessed=True)
        offsets = unwelded(plan.problem, guess.blocks, found.offsets)
        plan = plan.better(offsets, f"welded, {found.method}")
    return plan


def _restarted(
    plan: _Plan, guesses: Sequence[_Guess], target: int, budget: _Budget, work: int
) -> _Plan:
    """Beams as narrow as can be with weights of their own, for a peak `CLOSE` to the target.

    Where every step is nearly full one wrong buffer low down spoils a packing; so many different
    beginnings do more than many packings side by side, which resemble each other.  Now and then
    they ask for half the way there; the kind of blocks and the direction of time that came
    furthest are tried most.
    """
    close = target + int(target * CLOSE)
    rng = random.Random(0)
    whole = _Guess(plan.problem, ())
    ways = [(g, way) for g in (*guesses, whole) for way in (g.problem, g.problem.mirrored())]
    reached = [0.0] * len(ways)
    spare = max(0, budget.work - work)
    number = 0
    while plan.peak > close and budget.work > spare and not budget.late:
        chosen = number if number < len(ways) else (
            rng.randrange(len(ways)) if number % EXPLORE == 0 else
            max(range(len(ways)), key=reached.__getitem__))  # fmt: skip
        guess, way = ways[chosen]
        weights = Weights() if number < len(ways) else _perturbed(
            Weights(depth=rng.choice(DEPTHS)), rng)  # fmt: skip
        asked = close if number % 4 != 3 else close + (plan.peak - close) // 2
        ones = np.ones(way.count), np.ones(way.sections)
        result = beam(way, asked, RESTART_WIDTH, weights, *ones, budget.work)
        budget.work -= result.work
        number += 1
        reached[chosen] = max(reached[chosen], _share_placed(way, result.offsets))
        if result.found:
            offsets = result.offsets
            offsets = unwelded(plan.problem, guess.blocks, offsets) if guess.blocks else offsets
            plan = plan.better(offsets, f"beam search of width {RESTART_WIDTH}, restarted")
    return plan


def _share_placed(problem: Problem, offsets: Ints) -> float:
    """The part of bytes times sections that lies at its place."""
    areas = problem.sizes * (problem.last - problem.first)
    return float(areas[offsets >= 0].sum() / areas.sum())


def _beamed(
    plan: _Plan, target: int, budget: _Budget, work: int, seed: int, *, guessed: bool = False
) -> _Plan:
    """Beams with perturbed weights in either direction of time, wider and wider.

    Each attempt asks for a peak between the target and the best so far, which comes closer to the
    target after a success and recedes after failures; some, and all for a guess, which reaches the
    target easily if it is right, ask for the target first. Buffers that were still waiting where a
    beam died are more urgent in the next: "squeaky wheel optimization" (Joslin and Clements, JAIR
    1999).
    """
    state = _Attempts(plan, seed)
    spare = max(0, budget.work - work)
    gap = (plan.peak - target) * FIRST_GAP
    while plan.peak > target and budget.work > spare and not budget.late:
        most = work // 5 if guessed else (budget.work - spare) // 2
        near = plan.peak - target <= NEAR * target
        if guessed or near or state.number % ASK_TARGET == ASK_TARGET - 1:
            plan = state.attempt(plan, target, budget, work // 5 if guessed else work // 10)
        if plan.peak > target:
            asked = min(plan.peak - 1, target + int(gap))
            before, plan = plan, state.attempt(plan, asked, budget, most)
            if plan.peak <= asked:
                gap = (plan.peak - target) / 2
            else:
                gap = min(gap * WIDEN, before.peak - target)
        plan = _repaired(plan, target, state, budget, most)
    return plan


class _Attempts:
    """What beams learn from those before: weights, directions, urgency of buffers, trouble."""

    def __init__(self, plan: _Plan, seed: int) -> None:
        self.rng = random.Random(seed)
        self.number = 0
        self.directions = (plan.problem, plan.problem.mirrored())
        self.troubles = tuple(np.ones(plan.problem.sections) for _ in self.directions)
        self.urgency = np.ones(plan.problem.count)

    def attempt(self, plan: _Plan, capacity: int, budget: _Budget, work: int) -> _Plan:
        """One beam for a capacity; the plan is the better of what was and what it found."""
        mode = self.number // 2 % len(WIDTHS)
        weights, width = Weights(depth=DEPTHS[mode]), WIDTHS[mode]
        if self.number >= 2 * len(WIDTHS):
            weights = _perturbed(weights, self.rng)
        way = self.number % 2
        result = beam(self.directions[way], capacity, width, weights, self.urgency,
                      self.troubles[way], work, patience=PATIENCE)  # fmt: skip
        budget.work -= result.work
        self.number += 1
        np.power(self.troubles[way], FORGET, out=self.troubles[way])
        self.urgency = (self.urgency * (1.0 + BLAME * result.blame)) ** FORGET
        return _adopted(plan, result, f"beam search of width {width}")


def _adopted(plan: _Plan, result: BeamResult, method: str) -> _Plan:
    """The packing found, or the one that failed with the rest put wherever it fits."""
    if result.found:
        return plan.better(result.offsets, method)
    return plan.better(completed(plan.problem, result.offsets), f"{method}, completed greedily")


def _repaired(plan: _Plan, target: int, state: _Attempts, budget: _Budget, most: int) -> _Plan:
    """Rebuild the upper part of the best packing, or of its reflection, a few times."""
    reflectable = bool((plan.problem.alignments == 1).all())
    for _ in range(REPAIRS):
        if plan.peak <= target or budget.spent:
            break
        offsets = plan.offsets
        if reflectable and state.rng.random() < 0.5:
            offsets = _sunk(plan.problem, plan.peak - offsets - plan.problem.sizes)
        level = plan.peak * state.rng.uniform(0.1, 0.8)
        kept = np.where(offsets < level, offsets, -1)
        if kept.min() >= 0:
            continue
        gap = plan.peak - target
        asked = target + min(gap - 1, int(gap * state.rng.choice((0.0, 0.4, 0.7, 0.85, 1.0))))
        width = state.rng.choice(WIDTHS)
        weights = _perturbed(Weights(), state.rng)
        result = beam(plan.problem, asked, width, weights, state.urgency, state.troubles[0],
                      min(budget.work, most), kept, PATIENCE // 8)  # fmt: skip
        budget.work -= result.work
        plan = _adopted(plan, result, "beam search and repair")
    return plan


def _sunk(problem: Problem, offsets: Ints) -> Ints:
    """Every buffer in the order of offsets moved as low as it can be: no gap survives below."""
    skyline = np.zeros(problem.sections, np.int64)
    sunk = np.zeros_like(offsets)
    for j in offsets.argsort(kind="stable").tolist():
        under = skyline[problem.first[j] : problem.last[j]]
        sunk[j] = under.max()
        under[:] = sunk[j] + problem.sizes[j]
    return sunk


def _perturbed(weights: Weights, rng: random.Random) -> Weights:
    """Each weight times a random factor; the price of raising a floor varies most."""
    factors = {f.name: math.exp(rng.uniform(-SPREAD, SPREAD)) for f in fields(weights)}
    factors["raised"] **= 4
    return Weights(**{name: getattr(weights, name) * by for name, by in factors.items()})


def _searched(plan: _Plan, target: int, budget: _Budget, work: int) -> _Plan:
    """Exact search: first at the target, then just below the best packing, until one fails."""
    if plan.problem.count > MOST_BUFFERS:
        return plan
    cost = entries(plan.problem) + NODE_OVERHEAD
    capacity = max(target, plan.least)
    while plan.peak > max(target, plan.least) and work >= cost and not budget.late:
        result = search(plan.problem, capacity, work // cost, budget.deadline)
        budget.work -= result.nodes * cost
        work -= result.nodes * cost
        if result.outcome is Outcome.FOUND:
            plan = plan.better(result.offsets, "exact search")
        elif result.outcome is Outcome.IMPOSSIBLE:
            plan = replace(plan, least=max(plan.least, capacity + 1))
        else:
            break
        capacity = plan.peak - 1
    return plan


def _method(plans: Sequence[_Plan], proved: bool, budget: _Budget) -> str:
    if not plans:
        return "nothing to place"
    worst = max(plans, key=lambda plan: plan.peak)
    if proved:
        return worst.method
    reason = "time limit" if budget.late else "work limit"
    return f"{worst.method}; not proved optimal, stopped by the {reason}"
