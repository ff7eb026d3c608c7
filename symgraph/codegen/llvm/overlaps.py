"""Which bytes of a program may be the same: arrays of one port, and places in the arena."""

from __future__ import annotations

from ...ir.live_ranges import may_overlap
from ...ir.program import Program, ProgramBuffer
from ...kernel import dims


class Overlaps:
    """Answers for one program with its memory plan."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.updated = {p.buffer.root: p.updates for p in program.outputs if p.updates}
        self.inputs = {p.buffer.root: p.name for p in program.inputs}
        self._known: dict[tuple[ProgramBuffer, ProgramBuffer], bool] = {}

    def may_overlap(self, a: ProgramBuffer, b: ProgramBuffer) -> bool:
        """Whether a byte of one may be a byte of the other."""
        pair = a, b
        if pair not in self._known:
            self._known[pair] = self._decide(a, b)
        return self._known[pair]

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
