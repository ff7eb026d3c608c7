"""Which steps of a program must stay before which: what a pass that moves steps must respect."""

from __future__ import annotations

from ..ir.live_ranges import are_apart, may_overlap
from ..ir.program import HostStep, KernelStep, Program, ProgramBuffer, Step
from ..kernel.transform.embed import Windows


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
        reads, writes = (
            [(place.get(b.root, b.root), (b, seen)) for b, seen in side] for side in _sides(step)
        )
        for root, part in reads:
            before.update(_users(writers, root, part))
        for root, part in writes:
            before.update(_users(writers, root, part))
            before.update(_users(readers, root, part))
        if isinstance(step, HostStep):
            if last_host is not None:
                before.add(last_host)
            last_host = number
        for root, part in writes:
            writers.setdefault(root, []).append((number, part))
        for root, part in reads:
            readers.setdefault(root, []).append((number, part))
        before.discard(number)
        found.append(frozenset(before))
    return tuple(found)


_Part = tuple[ProgramBuffer, Windows]
_Uses = dict[ProgramBuffer, list[tuple[int, _Part]]]


def _sides(step: Step) -> tuple[list[_Part], list[_Part]]:
    """What the step reads and what it writes, each with the windows through which it sees it."""
    if not isinstance(step, KernelStep) or not step.windows:
        return [(b, ()) for b in step.reads], [(b, ()) for b in step.writes]
    parts = list(zip(step.arguments, step.windows, strict=True))
    return parts[: len(step.reads)], parts[len(step.reads) :]


def _users(uses: _Uses, root: ProgramBuffer, part: _Part) -> list[int]:
    """The steps that use bytes of a part, among those that use its place."""
    buffer, seen = part
    return [
        number
        for number, (other, windows) in uses.get(root, ())
        if (buffer.is_whole or other.root is not buffer.root or may_overlap(other, buffer))
        and not (other is buffer and are_apart(windows, seen))
    ]
