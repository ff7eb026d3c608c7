"""When buffers of a program hold values that are still read, and which may share memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from ..kernel import dims
from ..kernel.dims import Dim
from ..kernel.transform.embed import Windows
from .program import Program, ProgramBuffer, RepeatStep, Step, leaves


def arena_buffers(program: Program) -> tuple[ProgramBuffer, ...]:
    """The buffers that need memory of the arena, in order of first use."""
    found: dict[ProgramBuffer, None] = {}
    for step in program.timeline:
        for buffer in step.arguments:
            if buffer.root.place == "arena":
                found[buffer.root] = None
    return tuple(found)


def live_ranges(program: Program) -> dict[ProgramBuffer, tuple[int, int]]:
    """For each arena buffer the half-open range of the timeline during which its bytes matter.

    A buffer that a loop shares with what stands around it, or carries from one time round to the
    next (it reads before it writes), matters during the whole loop.
    """
    ranges = _used_ranges(program)
    for loop in loop_ranges(program):
        for root in loop.kept:
            start, stop = ranges[root]
            ranges[root] = (min(start, loop.start), max(stop, loop.end))
    return ranges


def _used_ranges(program: Program) -> dict[ProgramBuffer, tuple[int, int]]:
    """From the first to the last use of each arena buffer in the timeline."""
    ranges: dict[ProgramBuffer, tuple[int, int]] = {}
    for number, step in enumerate(program.timeline):
        for buffer in step.arguments:
            root = buffer.root
            if root.place == "arena":
                start, _ = ranges.get(root, (number, number))
                ranges[root] = (start, number + 1)
    return ranges


@dataclass(frozen=True, slots=True)
class LoopRange:
    """The half-open range of a loop in the timeline, and the arena buffers that matter during all
    of it."""

    start: int
    end: int
    kept: frozenset[ProgramBuffer]


def loop_ranges(program: Program) -> tuple[LoopRange, ...]:
    """Every loop of the program, those inside others before them."""
    used = _used_ranges(program)
    found: list[LoopRange] = []

    def visit(steps: Sequence[Step], place: int) -> int:
        for step in steps:
            if not isinstance(step, RepeatStep):
                place += 1
                continue
            end = visit(step.steps, place)
            kept = [
                b.root
                for b in step.arguments
                if b.root.place == "arena"
                and (used[b.root][0] < place or used[b.root][1] > end or _is_carried(b.root, step))
            ]
            found.append(LoopRange(place, end, frozenset(kept)))
            place = end
        return place

    visit(program.steps, 0)
    return tuple(found)


def _is_carried(root: ProgramBuffer, loop: RepeatStep) -> bool:
    """What the loop reads of the buffer may be from an earlier time round."""
    for step in leaves(loop.steps):
        if any(b.root is root for b in step.reads):
            return True
        if any(b.root is root for b in step.writes):
            return False
    return False


def may_overlap(a: ProgramBuffer, b: ProgramBuffer) -> bool:
    """Two buffers, views or not, may have bytes of one root in common."""
    if a.root is not b.root:
        return False
    return a is b or not (_at_least(a.start, b.end) or _at_least(b.start, a.end))


def are_apart(a: Windows, b: Windows) -> bool:
    """Two parts of one buffer have no element in common: along some axis one ends before the other
    begins."""
    return any(
        one.axis == other.axis
        and (
            _at_least(one.start, dims.add(other.start, other.extent))
            or _at_least(other.start, dims.add(one.start, one.extent))
        )
        for one in a
        for other in b
    )


def _at_least(a: Dim, b: Dim) -> bool:
    low, _ = dims.bounds(dims.add(a, dims.mul(b, -1)))
    return low is not None and low >= 0


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """Bytes [low, high) of the arena buffer `root` that matter during [first, end) of the timeline.

    `buffer` is what the first step calls them: the root, or a view that lies in it.
    """

    root: ProgramBuffer
    buffer: ProgramBuffer
    low: Dim
    high: Dim
    first: int
    end: int

    @property
    def nbytes(self) -> Dim:
        return dims.add(self.high, dims.mul(self.low, -1))


def live_segments(program: Program) -> tuple[Segment, ...]:
    """The parts of every arena buffer, each with the steps during which it matters.

    A buffer that is only used whole is one segment; one that views divide is cut at their ends
    where these are numbers, and is one segment where they depend on open extents, or where the
    buffer matters during a whole loop.
    """
    ranges = live_ranges(program)
    kept = {root for loop in loop_ranges(program) for root in loop.kept}
    uses: dict[ProgramBuffer, list[tuple[int, ProgramBuffer]]] = {}
    for number, step in enumerate(program.timeline):
        for buffer in step.arguments:
            if buffer.root.place == "arena":
                uses.setdefault(buffer.root, []).append((number, buffer))
    found: list[Segment] = []
    for root, used in uses.items():
        bounds = [(b.start, b.end) for _, b in used]
        if root in kept or all(b.is_whole for _, b in used) or not _are_numbers(bounds):
            found.append(Segment(root, root, 0, root.type.nbytes, *ranges[root]))
        else:
            found.extend(_cut(root, used))
    return tuple(found)


def _are_numbers(bounds: Sequence[tuple[Dim, Dim]]) -> bool:
    return all(isinstance(low, int) and isinstance(high, int) for low, high in bounds)


def _cut(root: ProgramBuffer, used: Sequence[tuple[int, ProgramBuffer]]) -> list[Segment]:
    """The segments of one buffer, in order of place; equal neighbours are one."""
    ends = {buffer: (_number(buffer.start), _number(buffer.end)) for _, buffer in used}
    cuts = sorted({place for pair in ends.values() for place in pair})
    found: list[Segment] = []
    for low, high in pairwise(cuts):
        inside = [(n, b) for n, b in used if ends[b][0] <= low and high <= ends[b][1]]
        if not inside:
            continue
        (first, buffer), end = inside[0], inside[-1][0] + 1
        last = found[-1] if found else None
        if last is not None and (last.first, last.end, last.high) == (first, end, low):
            found[-1] = replace(last, high=high)
        else:
            found.append(Segment(root, buffer, low, high, first, end))
    return found


def _number(dim: Dim) -> int:
    assert isinstance(dim, int)
    return dim
