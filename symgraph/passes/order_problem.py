"""The bytes alive in a program under any order of its steps: what a search for orders asks.

Sets of steps are integers, bit n for step n, so that a set is a key of a dictionary and a question
of one operation.  Sizes of open extents are those at `SAMPLE`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..ir.live_ranges import Segment, live_segments, may_overlap
from ..ir.program import KernelStep, Program, ProgramBuffer, Step
from ..kernel import dims
from ..kernel.dims import Dim
from .dependences import dependences

SAMPLE = 32
"""Size of open extents at which bytes are compared."""

MOST_PAIRS = 4_000_000
"""Steps times buffers up to which the lower bound counts what waits for later steps."""


def dims_at(dim: Dim) -> int:
    """An integer expression at the sizes by which orders are compared."""
    if isinstance(dim, int):
        return dim
    return int(dims.evaluate(dim, dict.fromkeys(dims.dim_vars(dim), SAMPLE)))


@dataclass(frozen=True, slots=True)
class OrderProblem:
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
    def of(cls, program: Program, alignment: int, given: bool = False) -> OrderProblem:
        """`given`: only the given order is asked about, so that nothing need come `before`."""
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
        needed = () if given else dependences(program)
        before = tuple(sum(1 << n for n in s) for s in needed)
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
        return closures(self.before)

    def only_adds(self, step: int) -> bool:
        """Whether a step leaves alive all that it touches, for later steps."""
        return all(self.users[n] & ~((2 << step) - 1) for n in self.touched[step])

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


def closures(before: Sequence[int]) -> tuple[list[int], list[int]]:
    """The sets of all that come before, and of all that come after, each member."""
    ancestors, descendants = [0] * len(before), [0] * len(before)
    for n in range(len(before)):
        for b in members(before[n]):
            ancestors[n] |= ancestors[b] | 1 << b
    for n in reversed(range(len(before))):
        for b in members(before[n]):
            descendants[b] |= descendants[n] | 1 << n
    return ancestors, descendants


def members(steps: int) -> list[int]:
    """The numbers of the bits that are set, rising."""
    found = []
    while steps:
        low = steps & -steps
        found.append(low.bit_length() - 1)
        steps ^= low
    return found
