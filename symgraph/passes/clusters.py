"""Which buffers of the arena lie over each other, and when which of their bytes matter.

A cluster is a set of buffers with fixed places to each other: an output that is written over an
input, and the parts of joined buffers on which such a pair lies.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..ir.live_ranges import Segment, live_segments, loop_ranges, may_overlap
from ..ir.program import KernelStep, Program, ProgramBuffer
from ..kernel import dims
from ..kernel.dims import Dim
from ..kernel.memory import Rectangle, Shape

Share = tuple[ProgramBuffer, ProgramBuffer]


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes [low, high) of a cluster that matter during the steps [start, end)."""

    low: Dim
    high: Dim
    start: int
    end: int


@dataclass(slots=True, eq=False)
class Cluster:
    """Buffers with the place of each in the cluster, and the pieces that matter."""

    buffers: list[tuple[ProgramBuffer, Dim]]
    pieces: list[Piece]

    @property
    def name(self) -> str:
        return self.buffers[0][0].name

    @property
    def start(self) -> int:
        return min(p.start for p in self.pieces)

    @property
    def end(self) -> int:
        return max(p.end for p in self.pieces)

    @property
    def nbytes(self) -> Dim:
        """Up to the end of its highest buffer."""
        total: Dim = 0
        for buffer, base in self.buffers:
            total = dims.maximum(total, dims.add(base, buffer.type.nbytes))
        return total

    @property
    def is_whole(self) -> bool:
        """All of it matters from its start to its end."""
        return len(self.pieces) == 1

    def shape(self) -> Shape:
        """The pieces as numbers.  Only where no extent is open."""
        return Shape(
            self.name,
            tuple(Rectangle(_number(p.low), _number(p.high), p.start, p.end) for p in self.pieces),
        )


def find_clusters(program: Program, alignment: int) -> tuple[list[Cluster], tuple[Share, ...]]:
    """The clusters in order of first use, and the (input, output) pairs that are one."""
    return _Clusters(program, alignment).run()


class _Clusters:
    def __init__(self, program: Program, alignment: int) -> None:
        self.program = program
        self.alignment = alignment
        self.loops = loop_ranges(program)
        self.segments: dict[ProgramBuffer, list[Segment]] = {}
        for segment in live_segments(program):
            self.segments.setdefault(segment.root, []).append(segment)
        self.home: dict[ProgramBuffer, Cluster] = {}
        self.base: dict[ProgramBuffer, Dim] = {}
        for root, segments in self.segments.items():
            pieces = [Piece(s.low, s.high, s.first, s.end) for s in segments]
            self.home[root] = Cluster([(root, 0)], pieces)
            self.base[root] = 0

    def run(self) -> tuple[list[Cluster], tuple[Share, ...]]:
        shared = []
        for number, step in enumerate(self.program.timeline):
            if isinstance(step, KernelStep):
                shared += self._step(number, step)
        return list(dict.fromkeys(self.home.values())), tuple(shared)

    def _step(self, number: int, step: KernelStep) -> list[Share]:
        taken: set[ProgramBuffer] = set()
        found = []
        # What matters during a whole loop may not be written over in it.
        kept = {b for loop in self.loops if loop.start <= number < loop.end for b in loop.kept}
        for source_at, target_at in step.in_place:
            source, target = step.arguments[source_at], step.arguments[target_at]
            if source in taken or target in taken or {source.root, target.root} & kept:
                continue
            if self._may_share(step, number, source, target, target_at) and self._merge(
                number, source, target
            ):
                found.append((source, target))
                taken.update((source, target))
        return found

    def _may_share(
        self,
        step: KernelStep,
        number: int,
        source: ProgramBuffer,
        target: ProgramBuffer,
        target_at: int,
    ) -> bool:
        """The input's last use is the output's first, and the kernel allows it."""
        if source.root not in self.home or target.root not in self.home:
            return False
        if source.root is target.root or source.type.nbytes != target.type.nbytes:
            return False
        old, new = self._within(source), self._within(target)
        if not old or not new:
            return False
        if any(s.end != number + 1 for s in old) or any(s.first != number for s in new):
            return False
        # Every way in which the step sees these bytes must allow it, other views included.
        return all(
            (n, target_at) in step.in_place and b.start == source.start
            for n, b in enumerate(step.arguments)
            if may_overlap(b, source)
        )

    def _within(self, buffer: ProgramBuffer) -> list[Segment]:
        """The segments that make up a buffer; none where one of them reaches beyond it."""
        segments = self.segments[buffer.root]
        if buffer.is_whole:
            return segments
        start, end = buffer.start, buffer.end
        if not isinstance(start, int) or not isinstance(end, int):
            return []
        touched = [s for s in segments if _number(s.low) < end and start < _number(s.high)]
        inside = all(start <= _number(s.low) and _number(s.high) <= end for s in touched)
        return touched if inside else []

    def _merge(self, number: int, source: ProgramBuffer, target: ProgramBuffer) -> bool:
        """Make one cluster of two, where nothing but the pair comes to lie over each other."""
        old, new = self.home[source.root], self.home[target.root]
        if old is new:
            return False
        from_start = dims.add(self.base[source.root], source.start)
        to_start = dims.add(self.base[target.root], target.start)
        shift = dims.add(from_start, dims.mul(to_start, -1))
        if old.is_whole and new.is_whole and shift == 0 and _same(old.pieces[0], new.pieces[0]):
            if old.end != number + 1 or new.start != number:
                return False
            pieces = [Piece(0, old.pieces[0].high, old.start, new.end)]
        else:
            if not isinstance(shift, int) or shift % self.alignment or not _are_fixed(old, new):
                return False
            moved = [_moved(p, shift) for p in new.pieces]
            place = (_number(from_start), _number(dims.add(from_start, source.type.nbytes)))
            if any(_clash(a, b, number, place) for a in old.pieces for b in moved):
                return False
            pieces = [*old.pieces, *moved]
        self._join(old, new, shift, pieces)
        return True

    def _join(self, old: Cluster, new: Cluster, shift: Dim, pieces: list[Piece]) -> None:
        old.buffers += [(b, dims.add(base, shift)) for b, base in new.buffers]
        old.pieces = pieces
        low = min((_number(p.low) for p in pieces), default=0) if shift != 0 else 0
        low = min([low, *(base for _, base in old.buffers if isinstance(base, int))])
        if low < 0:
            old.pieces = [_moved(p, -low) for p in pieces]
            old.buffers = [(b, dims.add(base, -low)) for b, base in old.buffers]
        for buffer, base in old.buffers if low < 0 else old.buffers[-len(new.buffers) :]:
            self.home[buffer] = old
            self.base[buffer] = base


def _same(a: Piece, b: Piece) -> bool:
    return (a.low, a.high) == (b.low, b.high)


def _are_fixed(*clusters: Cluster) -> bool:
    return all(
        isinstance(p.low, int) and isinstance(p.high, int) for c in clusters for p in c.pieces
    )


def _moved(piece: Piece, shift: int) -> Piece:
    return Piece(dims.add(piece.low, shift), dims.add(piece.high, shift), piece.start, piece.end)


def _clash(a: Piece, b: Piece, number: int, place: tuple[int, int]) -> bool:
    """They share bytes in some step, other than the bytes of the pair in its step."""
    first, last = max(a.start, b.start), min(a.end, b.end)
    low, high = max(_number(a.low), _number(b.low)), min(_number(a.high), _number(b.high))
    if first >= last or low >= high:
        return False
    return (first, last) != (number, number + 1) or low < place[0] or high > place[1]


def _number(dim: Dim) -> int:
    assert isinstance(dim, int)
    return dim
