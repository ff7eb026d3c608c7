"""Which bytes of a program may be the same: arrays of one port, and places in the arena."""

from __future__ import annotations

from dataclasses import dataclass

from ...ir.live_ranges import may_overlap
from ...ir.program import Program, ProgramBuffer
from ...kernel import dims

Owner = str | ProgramBuffer | None
"""Whose bytes a buffer's are: None for the arena, else a port's name or a buffer of its own."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Whose bytes a buffer's are, and where in the arena they begin and end, where these are
    numbers."""

    owner: Owner
    span: tuple[int, int] | None = None


class Overlaps:
    """Answers for one program with its memory plan."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.updated = {p.buffer.root: p.updates for p in program.outputs if p.updates}
        self.inputs = {p.buffer.root: p.name for p in program.inputs}
        self._places: dict[ProgramBuffer, _Place] = {}
        self._known: dict[tuple[ProgramBuffer, ProgramBuffer], bool] = {}

    def may_overlap(self, a: ProgramBuffer, b: ProgramBuffer) -> bool:
        """Whether a byte of one may be a byte of the other."""
        if a is b:
            return True
        # Most pairs are of two arrays, or of two numbered places: these need no table of pairs.
        one, other = self._place(a), self._place(b)
        if one.owner != other.owner:
            return False
        if one.span is not None and other.span is not None:
            return one.span[0] < other.span[1] and other.span[0] < one.span[1]
        pair = a, b
        if pair not in self._known:
            self._known[pair] = self._decide(a, b)
        return self._known[pair]

    def owner(self, buffer: ProgramBuffer) -> Owner:
        """Buffers of different owners never overlap."""
        return self._place(buffer).owner

    def _place(self, buffer: ProgramBuffer) -> _Place:
        found = self._places.get(buffer)
        if found is None:
            found = self._places[buffer] = self._located(buffer)
        return found

    def _located(self, buffer: ProgramBuffer) -> _Place:
        root, plan = buffer.root, self.program.plan
        if root.place != "arena":
            port = self._port(root)
            return _Place(root if port is None else port)
        start = None if plan is None else plan.offset_of(buffer)
        nbytes = buffer.type.nbytes
        if isinstance(start, int) and isinstance(nbytes, int):
            return _Place(None, (start, start + nbytes))
        return _Place(None)

    def _decide(self, a: ProgramBuffer, b: ProgramBuffer) -> bool:
        first, second = a.root, b.root
        if first is second:
            return may_overlap(a, b)
        if first.place == "arena" and second.place == "arena":
            plan = self.program.plan
            assert plan is not None
            start_a, start_b = plan.offset_of(a), plan.offset_of(b)
            end_a = dims.add(start_a, a.type.nbytes)
            end_b = dims.add(start_b, b.type.nbytes)
            return not (_at_least(start_b, end_a) or _at_least(start_a, end_b))
        return self._port(first) is not None and self._port(first) == self._port(second)

    def _port(self, root: ProgramBuffer) -> str | None:
        """The array behind a port: an output that updates an input is that input's."""
        return self.updated.get(root, self.inputs.get(root))


def _at_least(a: dims.Dim, b: dims.Dim) -> bool:
    low, _ = dims.bounds(dims.add(a, dims.mul(b, -1)))
    return low is not None and low >= 0
