"""Search for the order of steps with the lowest peak, with proof where the limit allows.

A state is the set of steps done so far (a downset of the dependences); it fixes which buffers are
alive.  States are taken by rising peak, and among equals the one that has done most: the first
that has done everything needs the least, and while it is not there, the peak of the state in hand
is a bound that no order can beat.  (Dynamic programming over downsets: Ahn et al., "Ordering chaos:
memory-aware scheduling of irregularly wired neural networks", MLSys 2020; here best first.)

Three rules keep the states few without losing the optimum:

    a step that waits for nothing and only adds bytes comes right before the first that needs it
    where one step is ordered against all others, the steps fall into parts, solved one by one
    a ready step that frees at least as much as it takes, at no new peak, is done at once

When the limit is reached, a beam of `WIDTH` states goes on to the end: the order found is then
good, not proved.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from heapq import heappop, heappush
from operator import or_

from .order_problem import OrderProblem, closures, members

WIDTH = 16
"""States that a level of the beam keeps; one after the limit is reached a second time."""


@dataclass(frozen=True, slots=True)
class Order:
    """Steps in order, the most bytes alive at once, and whether no order needs fewer.

    No order needs fewer bytes than `bound`; where `proved` it equals the peak.
    """

    order: tuple[int, ...]
    peak: int
    proved: bool
    bound: int = 0


def search_order(problem: OrderProblem, work_limit: int) -> Order:
    """The best order that is found within a number of steps tried; the given one if none is."""
    given = tuple(range(len(problem.before)))
    peak = problem.peak(given)
    if not given or peak <= problem.least:
        return Order(given, peak, True, peak)
    found = _Search(problem, work_limit).run()
    return found if found.peak < peak else Order(given, peak, found.bound >= peak, found.bound)


_Path = tuple[int, "_Path"] | None


@dataclass(frozen=True, slots=True)
class _State:
    """A way to have done a set of steps, and the groups that can follow.

    `path` is the last group and the way before it.
    """

    done: int
    ready: int
    alive: int
    peak: int
    path: _Path


@dataclass(frozen=True, slots=True)
class _Part:
    """Groups to be ordered from a state on, and their peak in the given order."""

    groups: tuple[int, ...]
    start: _State
    goal: int
    peak: int


@dataclass(frozen=True, slots=True)
class _Found:
    """An order of a part, its peak, and what no order of the part can stay below."""

    groups: tuple[int, ...]
    peak: int
    bound: int


class _Search:
    """Part by part, each against the peak that some other part needs anyway."""

    def __init__(self, problem: OrderProblem, work_limit: int) -> None:
        self.problem = problem
        self.work = self.limit = work_limit
        self.groups = _groups(problem)
        self.steps = [sum(1 << n for n in group) for group in self.groups]
        group_of = {n: g for g, group in enumerate(self.groups) for n in group}
        self.before = [_union(problem.before[n] for n in group) & ~steps
                       for group, steps in zip(self.groups, self.steps, strict=True)]  # fmt: skip
        self.behind = [sum(1 << g for g in {group_of[n] for n in members(before)})
                       for before in self.before]  # fmt: skip
        self.followers: list[list[int]] = [[] for _ in self.groups]
        for g, behind in enumerate(self.behind):
            for b in members(behind):
                self.followers[b].append(g)

    def run(self) -> Order:
        """Each part that might set the peak, the worst first."""
        parts = self._parts()
        orders = [part.groups for part in parts]
        reached = bound = self.problem.least
        for number in sorted(range(len(parts)), key=lambda n: (-parts[n].peak, n)):
            part = parts[number]
            if part.peak <= reached:
                break
            found = self._best_first(part, reached)
            orders[number] = found.groups
            reached, bound = max(reached, found.peak), max(bound, found.bound)
        order = tuple(n for groups in orders for g in groups for n in self.groups[g])
        peak = self.problem.peak(order)
        return Order(order, peak, peak <= bound, min(bound, peak))

    def _parts(self) -> list[_Part]:
        """The groups in the given order, cut behind each that is ordered against all others."""
        count = len(self.groups)
        ancestors, descendants = closures(self.behind)
        everything = (1 << count) - 1
        cuts: list[list[int]] = [[]]
        for g in range(count):
            cuts[-1].append(g)
            if ancestors[g] | descendants[g] | 1 << g == everything:
                cuts.append([])
        parts, state = [], _State(0, 0, 0, 0, None)
        for groups in filter(None, cuts):
            goal = state.done | _union(self.steps[g] for g in groups)
            ready = sum(1 << g for g in groups if not self.before[g] & ~state.done)
            start = state = _State(state.done, ready, state.alive, 0, None)
            for g in groups:
                state = self._advanced(state, g, goal)
            parts.append(_Part(tuple(groups), start, goal, state.peak))
        return parts

    def _best_first(self, part: _Part, target: int) -> _Found:
        """The best order of a part, or a good one with the bound proved when the limit came.

        Peaks below the target count as the target; the given order is kept unless beaten.
        """
        heap = [_ranked(part.start, target)]
        best = {part.start.done: target}
        while heap:
            peak, _, _, done, state = heappop(heap)
            if peak > best[done]:
                continue
            if done == part.goal:
                return _Found(_way(state), peak, peak if peak > target else 0)
            if self.work <= 0:
                return self._beam(part, target, peak if peak > target else 0)
            for new in self._successors(state, part.goal, max(peak, target)):
                there = max(new.peak, target)
                if there < min(part.peak, best.get(new.done, part.peak)):
                    best[new.done] = there
                    heappush(heap, _ranked(new, target))
        return _Found(part.groups, part.peak, part.peak)

    def _beam(self, part: _Part, target: int, bound: int) -> _Found:
        """The best `WIDTH` states of each level, by the number of steps done, to the end."""
        levels = {part.start.done.bit_count(): {part.start.done: part.start}}
        for level in range(part.start.done.bit_count(), part.goal.bit_count()):
            states = sorted(levels.pop(level, {}).values(), key=lambda s: (s.peak, s.alive, s.done))
            for state in states[: WIDTH if self.work > -self.limit else 1]:
                for new in self._successors(state, part.goal, target):
                    there = levels.setdefault(new.done.bit_count(), {})
                    old = there.get(new.done)
                    if new.peak < part.peak and (old is None or new.peak < old.peak):
                        there[new.done] = new
        best = levels.get(part.goal.bit_count(), {}).get(part.goal)
        if best is None:
            return _Found(part.groups, part.peak, bound)
        return _Found(_way(best), best.peak, bound)

    def _successors(self, state: _State, goal: int, target: int) -> list[_State]:
        """The states after a next group, or the one after all groups that cost nothing.

        To move such a group forward raises no later set of live buffers: what it frees now it
        would free later too.
        """
        settled, untried = state, state.ready
        while untried:
            group = untried.bit_length() - 1
            untried &= ~(1 << group)
            new = self._advanced(settled, group, goal)
            if new.alive <= settled.alive and new.peak <= max(settled.peak, target):
                settled, untried = new, new.ready
        if settled is not state:
            return [settled]
        return [self._advanced(state, group, goal) for group in members(state.ready)]

    def _advanced(self, state: _State, group: int, goal: int) -> _State:
        self.work -= 1
        done, alive, peak = state.done, state.alive, state.peak
        for step in self.groups[group]:
            during, after = self.problem.during(done, step)
            peak, alive, done = max(peak, alive + during), alive + after, done | 1 << step
        ready = state.ready & ~(1 << group)
        for follower in self.followers[group]:
            if not self.before[follower] & ~done and self.steps[follower] & goal:
                ready |= 1 << follower
        return _State(done, ready, alive, peak, (group, state.path))


def _groups(problem: OrderProblem) -> list[tuple[int, ...]]:
    """The steps in the given order, those that wait for nothing with the first that needs them.

    Such a step only adds bytes, which the one that needs it holds as well: just before it they
    cost nothing, earlier they may.
    """
    _, descendants = problem.closures()
    ahead: dict[int, list[int]] = {}
    moved = set()
    for n, before in enumerate(problem.before):
        if before or not problem.only_adds(n):
            continue
        needing = members(descendants[n])
        first = next((m for m in needing if not descendants[n] & ~descendants[m] & ~(1 << m)), None)
        if first is not None:
            ahead.setdefault(first, []).append(n)
            moved.add(n)
    return [(*ahead.get(n, ()), n) for n in range(len(problem.before)) if n not in moved]


def _ranked(state: _State, target: int) -> tuple[int, int, int, int, _State]:
    return max(state.peak, target), -state.done.bit_count(), state.alive, state.done, state


def _way(state: _State) -> tuple[int, ...]:
    path, groups = state.path, []
    while path is not None:
        groups.append(path[0])
        path = path[1]
    return tuple(reversed(groups))


def _union(sets: Iterable[int]) -> int:
    return reduce(or_, sets, 0)
