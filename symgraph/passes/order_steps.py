"""Order the steps of a program so that the fewest bytes are alive at once.

A state of the search is the set of steps done so far (a downset of the dependences); it fixes which
buffers are alive.  States are visited level by level, by the number of steps done, and of all ways
to reach one state only that with the lowest peak is kept: dynamic programming over downsets
(Ahn et al., "Ordering chaos: memory-aware scheduling of irregularly wired neural networks", MLSys
2020).  Two rules keep the levels narrow without losing the optimum:

    where one step is ordered against all others, the program falls into parts, solved one by one
    a ready step that frees at least as much as it takes, at no new peak, is done at once

A level that is still too wide keeps its best states only; the order found is then good, not proved.
The given order is kept where nothing better is found, so a chain costs nothing and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ..ir.program import (
    HostStep,
    KernelStep,
    Program,
    ProgramBuffer,
    Segment,
    Step,
    live_segments,
    may_overlap,
)
from ..kernel import dims
from ..kernel.dims import Dim

SAMPLE = 32
"""Size of open extents at which bytes are compared."""

WIDTH = 16
"""States that a level keeps once the work limit is reached; one after twice the limit."""

MOST_PAIRS = 4_000_000
"""Steps times buffers up to which the lower bound counts what waits for later steps."""

WORK_LIMIT = 120_000
"""Steps tried from states, about a third of a second, and again as many in narrow levels."""


@dataclass(frozen=True)
class OrderSteps:
    """a = f(x); b = f(y); c = g(a); d = g(b)   ->   a = f(x); c = g(a); b = f(y); d = g(b)

    where c is smaller than a.
    """

    alignment: int = 64
    effort: float = 1.0
    name: ClassVar[str] = "order_steps"

    def run(self, program: Program) -> Program:
        """Updates over inputs and the order of host calls are kept."""
        order = best_order(program, self.alignment, round(WORK_LIMIT * self.effort)).order
        if order == tuple(range(len(program.steps))):
            return program
        return program.with_(steps=tuple(program.steps[n] for n in order))


@dataclass(frozen=True, slots=True)
class Order:
    """Steps in order, the most bytes alive at once, and whether no order needs fewer.

    No order needs fewer bytes than `bound`; where `proved` it equals the peak.
    """

    order: tuple[int, ...]
    peak: int
    proved: bool
    bound: int = 0


def best_order(program: Program, alignment: int = 64, work_limit: int = WORK_LIMIT) -> Order:
    """The order of a program's steps with the lowest peak that is found within the limit."""
    given = tuple(range(len(program.steps)))
    problem = _Problem.of(program, alignment)
    peak = problem.peak(given)
    if not given or peak <= problem.least:
        return Order(given, peak, True, peak)
    search = _Search(problem, peak, work_limit)
    return search.run()


def peak_of(program: Program, alignment: int = 64) -> tuple[int, int]:
    """The first step at which the most bytes are alive in the given order, and how many."""
    problem = _Problem.of(program, alignment)
    done = alive = 0
    best = (0, 0)
    for step in range(len(program.steps)):
        during, after = problem.during(done, step)
        if alive + during > best[1]:
            best = (step, alive + during)
        alive += after
        done |= 1 << step
    return best


def eagerly(program: Program, alignment: int = 64) -> Program:
    """The given order, but steps that free at least as much as they take come as soon as they can.

    A fast order, good where values pile up that wait for a step that could have run long before.
    """
    problem = _Problem.of(program, alignment)
    left = dict.fromkeys(range(len(program.steps)))
    done, order = 0, []
    while left:
        ready = [n for n in left if not problem.before[n] & ~done]
        free = [n for n in ready if problem.during(done, n)[1] <= 0]
        step = free[0] if free else ready[0]
        order.append(step)
        done |= 1 << step
        del left[step]
    return program.with_(steps=tuple(program.steps[n] for n in order))


def dims_at(dim: Dim) -> int:
    """An integer expression at the sizes by which orders are compared."""
    return int(dims.evaluate(dim, dict.fromkeys(dims.dim_vars(dim), SAMPLE)))


def dependences(program: Program, settled: bool = True) -> tuple[frozenset[int], ...]:
    """For each step the earlier ones that must stay before it.

    A step stays behind the writers of what it reads or writes, and behind the readers of what it
    writes, byte by byte where buffers are parts of others.  Once updates are settled, an output
    that updates an input is that input.  Host calls stay in order.
    """
    inputs = {p.name: p.buffer.root for p in program.inputs}
    updates = [p for p in program.outputs if p.updates and settled]
    place = {p.buffer.root: inputs[p.updates] for p in updates}
    writers: _Uses = {}
    readers: _Uses = {}
    last_host: int | None = None
    found: list[frozenset[int]] = []
    for number, step in enumerate(program.steps):
        before: set[int] = set()
        reads = [(place.get(b.root, b.root), b) for b in step.reads]
        writes = [(place.get(b.root, b.root), b) for b in step.writes]
        for root, buffer in reads:
            before.update(_users(writers, root, buffer))
        for root, buffer in writes:
            before.update(_users(writers, root, buffer))
            before.update(_users(readers, root, buffer))
        if isinstance(step, HostStep):
            if last_host is not None:
                before.add(last_host)
            last_host = number
        for root, buffer in writes:
            writers.setdefault(root, []).append((number, buffer))
        for root, buffer in reads:
            readers.setdefault(root, []).append((number, buffer))
        before.discard(number)
        found.append(frozenset(before))
    return tuple(found)


_Uses = dict[ProgramBuffer, list[tuple[int, ProgramBuffer]]]


def _users(uses: _Uses, root: ProgramBuffer, buffer: ProgramBuffer) -> list[int]:
    """The steps that use bytes of a buffer, among those that use its place."""
    return [
        number
        for number, other in uses.get(root, ())
        if buffer.is_whole or other.root is not buffer.root or may_overlap(other, buffer)
    ]


@dataclass(frozen=True, slots=True)
class _Problem:
    """Sets of steps are integers, bit n for step n."""

    before: tuple[int, ...]
    touched: tuple[tuple[int, ...], ...]
    """The segments of buffers that a step reads or writes."""
    pairs: tuple[tuple[tuple[int, int], ...], ...]
    """(source, target) segments of a step that may be one."""
    users: tuple[int, ...]
    """The steps that read or write a segment."""
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, program: Program, alignment: int) -> _Problem:
        segments: dict[ProgramBuffer, list[tuple[int, Segment]]] = {}
        sizes = []
        for number, segment in enumerate(live_segments(program)):
            segments.setdefault(segment.root, []).append((number, segment))
            low, high = (dims.align(d, alignment) for d in (segment.low, segment.high))
            sizes.append(dims_at(high) - dims_at(low))
        within = {b: _within(b, segments[b.root]) for s in program.steps for b in s.arguments
                  if b.root in segments}  # fmt: skip
        users = [0] * len(sizes)
        touched = []
        for n, step in enumerate(program.steps):
            used = dict.fromkeys(i for b in step.arguments for i in within.get(b, ()))
            for item in used:
                users[item] |= 1 << n
            touched.append(tuple(used))
        before = tuple(sum(1 << n for n in s) for s in dependences(program))
        pairs = tuple(tuple(_pairs(s, within)) for s in program.steps)
        return cls(before, tuple(touched), pairs, tuple(users), tuple(sizes))

    @property
    def least(self) -> int:
        """No order needs less than its most demanding step, with all that waits meanwhile in any
        order: what a step that must come earlier and one that must come later both use."""
        steps = range(len(self.before))
        if len(steps) * len(self.sizes) > MOST_PAIRS:
            return max((self._least_at(n, 0, 0) for n in steps), default=0)
        ancestors, descendants = self.closures()
        found = [self._least_at(n, ancestors[n], descendants[n]) for n in steps]
        return max(found, default=0)

    def _least_at(self, step: int, ancestors: int, descendants: int) -> int:
        touched = set(self.touched[step])
        waiting = sum(
            self.sizes[n]
            for n, users in enumerate(self.users)
            if users & ancestors and users & descendants and n not in touched
        ) if ancestors and descendants else 0  # fmt: skip
        saved = 0
        taken: set[int] = set()
        for source, target in self.pairs[step]:
            may = not self.users[source] & descendants and not self.users[target] & ancestors
            if may and source not in taken and target not in taken:
                saved += self.sizes[target]
                taken.update((source, target))
        return waiting + sum(self.sizes[n] for n in touched) - saved

    def closures(self) -> tuple[list[int], list[int]]:
        """For each step those that must come before it, and those that must come after it."""
        count = len(self.before)
        ancestors, descendants = [0] * count, [0] * count
        for n in range(count):
            for b in _members(self.before[n]):
                ancestors[n] |= ancestors[b] | 1 << b
        for n in reversed(range(count)):
            for b in _members(self.before[n]):
                descendants[b] |= descendants[n] | 1 << n
        return ancestors, descendants

    def during(self, done: int, step: int) -> tuple[int, int]:
        """Bytes that running a step adds while it runs, and after it, to those alive before."""
        after = done | 1 << step
        more = freed = 0
        dying: list[int] = []
        for buffer in self.touched[step]:
            users = self.users[buffer]
            if not users & done:
                more += self.sizes[buffer]
            if not users & ~after:
                freed += self.sizes[buffer]
                dying.append(buffer)
        saved = 0
        taken: set[int] = set()
        for source, target in self.pairs[step]:
            new = not self.users[target] & done
            if source in dying and new and source not in taken and target not in taken:
                saved += self.sizes[target]
                taken.update((source, target))
        return more - saved, more - freed

    def peak(self, order: Iterable[int]) -> int:
        done = alive = peak = 0
        for step in order:
            during, after = self.during(done, step)
            peak = max(peak, alive + during)
            alive += after
            done |= 1 << step
        return peak


def _within(buffer: ProgramBuffer, segments: list[tuple[int, Segment]]) -> tuple[int, ...]:
    """The segments that a buffer holds bytes of."""
    if len(segments) == 1 or buffer.is_whole:
        return tuple(number for number, _ in segments)
    low, high = dims_at(buffer.start), dims_at(buffer.end)
    return tuple(n for n, s in segments if dims_at(s.low) < high and low < dims_at(s.high))


def _pairs(step: Step, within: dict[ProgramBuffer, tuple[int, ...]]) -> list[tuple[int, int]]:
    if not isinstance(step, KernelStep):
        return []
    found = []
    for source_at, target_at in step.in_place:
        source, target = step.arguments[source_at], step.arguments[target_at]
        seen = [n for n, b in enumerate(step.arguments) if may_overlap(b, source)]
        allowed = all((n, target_at) in step.in_place for n in seen)
        if allowed and source.type.nbytes == target.type.nbytes:
            old, new = within.get(source, ()), within.get(target, ())
            if len(old) == 1 and len(new) == 1:
                found.append((old[0], new[0]))
    return found


@dataclass(slots=True)
class _State:
    """A way to have done a set of steps, and the steps that can follow.

    `path` is the last step and the way before it.
    """

    done: int
    ready: int
    alive: int
    peak: int
    path: tuple[int, _Path] | None


_Path = tuple[int, "_Path"] | None


class _Search:
    """Part by part, each against the peak that some other part needs anyway."""

    def __init__(self, problem: _Problem, given_peak: int, work_limit: int) -> None:
        self.problem = problem
        self.work = self.limit = work_limit
        self.given_peak = given_peak
        count = len(problem.before)
        self.followers: list[list[int]] = [[] for _ in range(count)]
        for n, before in enumerate(problem.before):
            for b in _members(before):
                self.followers[b].append(n)

    def run(self) -> Order:
        parts = self._parts()
        starts: list[tuple[int, int]] = []
        done = alive = 0
        peaks = []
        for part in parts:
            starts.append((done, alive))
            peak = 0
            for step in part:
                during, after = self.problem.during(done, step)
                peak, alive, done = max(peak, alive + during), alive + after, done | 1 << step
            peaks.append(peak)
        orders = [tuple(p) for p in parts]
        least = self.problem.least
        proved, reached = True, least
        for number in sorted(range(len(parts)), key=lambda n: (-peaks[n], n)):
            if peaks[number] <= reached:
                break
            found = self._part(orders[number], *starts[number], peaks[number], reached)
            orders[number] = found.order
            proved = proved and (found.proved or found.peak <= reached)
            reached = max(reached, found.peak)
        order = tuple(step for part in orders for step in part)
        peak = self.problem.peak(order)
        return Order(order, peak, proved, peak if proved else least)

    def _parts(self) -> list[list[int]]:
        """The given order, cut behind every step that is ordered against all others."""
        count = len(self.problem.before)
        ancestors, descendants = self.problem.closures()
        everything = (1 << count) - 1
        parts: list[list[int]] = [[]]
        for n in range(count):
            parts[-1].append(n)
            if ancestors[n] | descendants[n] | 1 << n == everything:
                parts.append([])
        return [p for p in parts if p]

    def _part(self, steps: Sequence[int], done: int, alive: int, given: int, target: int) -> Order:
        """The best order of some steps, from a state, below the given peak."""
        goal = done | sum(1 << n for n in steps)
        ready = sum(1 << n for n in steps if not self.problem.before[n] & ~done)
        levels = {done.bit_count(): {done: _State(done, ready, alive, 0, None)}}
        complete = True
        for level in range(done.bit_count(), goal.bit_count()):
            states = sorted(levels.pop(level, {}).values(), key=lambda s: (s.peak, s.alive, s.done))
            width = len(states) if self.work > 0 else WIDTH if self.work > -self.limit else 1
            states, complete = states[:width], complete and width >= len(states)
            for state in states:
                settled = self._settled(state, goal, target)
                found = [settled] if settled is not state else self._successors(state, goal)
                for new in found:
                    there = levels.setdefault(new.done.bit_count(), {})
                    old = there.get(new.done)
                    better = old is None or (new.peak, new.alive) < (old.peak, old.alive)
                    if new.peak < given and better:
                        there[new.done] = new
        best = levels.get(goal.bit_count(), {}).get(goal)
        if best is None:  # nothing below the given peak
            return Order(tuple(steps), given, complete)
        path, order = best.path, []
        while path is not None:
            order.append(path[0])
            path = path[1]
        return Order(tuple(reversed(order)), best.peak, complete)

    def _successors(self, state: _State, goal: int) -> list[_State]:
        return [self._advanced(state, step, goal) for step in _members(state.ready)]

    def _advanced(self, state: _State, step: int, goal: int) -> _State:
        self.work -= 1
        during, after = self.problem.during(state.done, step)
        done = state.done | 1 << step
        ready = state.ready & ~(1 << step)
        for follower in self.followers[step]:
            if not self.problem.before[follower] & ~done and goal >> follower & 1:
                ready |= 1 << follower
        return _State(
            done, ready, state.alive + after, max(state.peak, state.alive + during),
            (step, state.path),
        )  # fmt: skip

    def _settled(self, state: _State, goal: int, target: int) -> _State:
        """The state after every ready step that costs nothing: moving such a step forward raises
        no later set of live buffers, since what it frees now it would free later too."""
        untried = state.ready
        while untried:
            step = untried.bit_length() - 1
            untried &= ~(1 << step)
            self.work -= 1
            during, after = self.problem.during(state.done, step)
            if after <= 0 and state.alive + during <= max(state.peak, target):
                state = self._advanced(state, step, goal)
                untried = state.ready
        return state


def _members(steps: int) -> list[int]:
    found = []
    while steps:
        low = steps & -steps
        found.append(low.bit_length() - 1)
        steps ^= low
    return found
