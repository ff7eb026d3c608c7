"""Which steps of a program must stay before which: what a pass that moves steps must respect."""

from __future__ import annotations

from ..ir.live_ranges import may_overlap
from ..ir.program import HostStep, Program, ProgramBuffer


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
