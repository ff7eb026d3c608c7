"""The memory planner: greedy portfolio, then exact search, then many beams; checked at the end.

Owns `place` and its strategy, nothing of the methods. Parts of the problem that share no step are
planned one by one against a common target, the largest of their lower bounds: a part that fits
below it needs no better plan. Each method runs only if those before it missed the target.

Effort is counted in *work*, table entries examined (some nanoseconds each), so the result
depends on the input alone. The clock is asked only where a caller gives a limit in seconds, which
the passes never do; a plan that it cut short says so in `Placement.method`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from ...errors import MemoryPlanError
from ..plain import Engine, interpreted
from .canonical import Buffers, Canonical
from .check import check
from .evolve import Evolution, View
from .fillers import filled
from .heuristics import portfolio
from .interval import (
    Interval,
    Placement,
    lower_bound,
    naive_total,
)
from .problem import Ints, Problem, components
from .relaxation import entries
from .search import MOST_BUFFERS, Outcome, search
from .store import PlanStore, Solution
from .weld import weld, welded

NODE_OVERHEAD = 12_000
"""Work of a node of the exact search besides its entries, of which each counts twice."""
KEPT_PLANS = 256
WORK_LIMIT = 3_000_000_000


@dataclass(frozen=True, slots=True)
class Means:
    """What runs the inner loops of the search, and where plans are kept, if anywhere.

    Neither changes a plan.
    """

    engine: Engine = interpreted
    store: PlanStore | None = None


def place(
    intervals: Sequence[Interval],
    *,
    time_limit_seconds: float = math.inf,
    work_limit: int = WORK_LIMIT,
    seed: int = 0,
    means: Means | None = None,
) -> Placement:
    """Offsets that keep simultaneously live buffers apart, with a total as small as can be found.

    Hard problems want `means=Means(NativeEngine())` (`symgraph.codegen.native`): without it Python
    runs the inner loops, to the same plan, some hundred times slower.

    Raises: MemoryPlanError if the plan fails its own check, which would be a bug.
    """
    bound = lower_bound(intervals)
    form = Canonical.of(intervals)
    means = Means() if means is None else means
    if math.isinf(time_limit_seconds):
        found = _kept(form.buffers, work_limit, seed, means)
    else:
        deadline = time.monotonic() + time_limit_seconds
        found = _solved(form.buffers, _Budget(work_limit, deadline), seed, means.engine)
    offsets, total = form.offsets(found.offsets), found.peak * form.unit
    check(intervals, offsets, total)
    least = max(bound, found.least * form.unit)
    return Placement(offsets, total, bound, naive_total(intervals), total <= least, found.method)


def forget_plans() -> None:
    """Drop the plans kept in memory, so that the next is made anew: for measurements."""
    _kept.cache_clear()


@lru_cache(maxsize=KEPT_PLANS)
def _kept(buffers: Buffers, work_limit: int, seed: int, means: Means) -> Solution:
    """The plan as it was made before, in this process or on disk, else a new one.

    Plans are kept because one network is often planned again: for another target, another level,
    after a change elsewhere. They depend on the arguments alone, so nobody can tell.
    """
    question = (buffers, work_limit, seed)
    known = None if means.store is None else means.store.load(question)
    if known is not None and means.store is not None:
        if _holds(buffers, known):
            return known
        means.store.remove(question)
    budget = _Budget(work_limit, math.inf)
    found = _solved(buffers, budget, seed, means.engine)
    if means.store is not None and budget.work < work_limit:
        means.store.save(question, found)
    return found


def _holds(buffers: Buffers, plan: Solution) -> bool:
    """Whether a plan from elsewhere is one: the file may be another program's mistake."""
    intervals = [Interval(str(n), *buffer) for n, buffer in enumerate(buffers)]
    if len(plan.offsets) != len(intervals) or plan.least > plan.peak:
        return False
    try:
        check(intervals, plan.offsets, plan.peak)
    except MemoryPlanError:
        return False
    return True


def _solved(buffers: Buffers, budget: _Budget, seed: int, engine: Engine) -> Solution:
    """The best plan that the budget gives, in granules."""
    intervals = [Interval("", *buffer) for buffer in buffers]
    plans = _plan_parts(components(intervals, 1), budget, seed, engine)
    offsets = [0] * len(intervals)
    for plan in plans:
        for identity, offset in zip(plan.problem.identities, plan.offsets.tolist(), strict=True):
            offsets[identity] = offset
    peak = max((plan.peak for plan in plans), default=0)
    least = max((plan.least for plan in plans), default=0)
    method = _method(plans, peak <= least, budget)
    return Solution(tuple(offsets), peak, least, method)


@dataclass(slots=True)
class _Budget:
    """What may still be spent."""

    work: int
    deadline: float

    @property
    def late(self) -> bool:
        return not math.isinf(self.deadline) and time.monotonic() > self.deadline


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


def _plan_parts(
    problems: Sequence[Problem], budget: _Budget, seed: int, engine: Engine
) -> list[_Plan]:
    """The part that looks worst comes first: the others need not be better than it ends up."""
    plans: list[_Plan] = []
    for problem in problems:
        packing = portfolio(problem)
        plans.append(_Plan(problem, packing.offsets, packing.peak, problem.bound, packing.method))
    target = max((problem.bound for problem in problems), default=0)
    plans.sort(key=lambda plan: -plan.peak)
    for index, plan in enumerate(plans):
        plans[index] = _improved(plan, target, budget, seed, engine)
        target = max(target, plans[index].peak)
    return plans


def _improved(plan: _Plan, target: int, budget: _Budget, seed: int, engine: Engine) -> _Plan:
    """A quick exact try, beams by the thousand, and exact search with the rest."""
    plan = _searched(plan, target, budget, budget.work // 20)
    plan = _evolved(plan, max(target, plan.least), budget, seed, engine)
    return _searched(plan, target, budget, budget.work)


def _evolved(plan: _Plan, target: int, budget: _Budget, seed: int, engine: Engine) -> _Plan:
    if plan.peak <= target or budget.work <= 0 or budget.late:
        return plan
    evolution = Evolution(plan.offsets, plan.peak, target, engine, seed)
    evolution.run(plan.problem, _views(plan.problem), budget.work * 9 // 10, lambda: budget.late)
    budget.work -= evolution.work
    return plan.better(evolution.offsets, f"beam search, {evolution.tries} tries")


def _views(problem: Problem) -> tuple[View, ...]:
    """The problem as blocks of buffers that look like the pieces of one, with and without fillers,
    and as it is.

    Where alignments are coarser than the granule nothing can be welded.
    """
    whole = View(problem, ())
    if (problem.alignments != 1).any():
        return (whole,)
    full = filled(problem)
    found = []
    for variant in [full, problem] if full.count > problem.count else [problem]:
        blocks = weld(variant)
        if len(blocks) < problem.count:
            found.append(View(welded(variant, blocks), blocks))
    return (*found, whole)


def _searched(plan: _Plan, target: int, budget: _Budget, work: int) -> _Plan:
    """Exact search: first at the target, then just below the best packing, until one fails."""
    if plan.problem.count > MOST_BUFFERS:
        return plan
    cost = 2 * entries(plan.problem) + NODE_OVERHEAD
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
