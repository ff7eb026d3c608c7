"""An independent judge of planned programs: every step finds the bytes that it means to read.

Nothing of the planner is used, neither its live ranges nor its list of shared buffers.  The steps
are followed in order, those of loops as often as they run, and for every byte of the arena and of
the ports it is known which buffer wrote it last:

P1  a view lies inside the buffer it is a part of, at a whole number of its elements
P2  an argument has as many bytes as the kernel's parameter
P3  a buffer of the arena begins at a multiple of the alignment and ends inside the arena
P4  a step reads only bytes that its own buffer wrote last: not bytes that nobody wrote, nor bytes
    that another buffer has written over
P5  a step writes over no byte that it reads, but where the kernel may run in place, and then
    exactly over it; it writes no byte twice
P6  at the end every output holds what was written to it
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence

from ..errors import MemoryPlanError
from ..kernel import dims
from ..kernel.dims import Dim, DimVar
from ..kernel.dtypes import as_dtype
from ..kernel.transform.embed import Fixed, Windows
from .program import KernelStep, Leaf, Program, ProgramBuffer, RepeatStep, Step

Range = tuple[int, int]
Part = tuple[Fixed, Windows]
"""What a step may touch of an argument."""
WHOLE: Part = ((), ())


def check_plan(program: Program, sizes: Mapping[str, int], alignment: int = 64) -> None:
    """Follow a planned program at given extents.

    Raises: MemoryPlanError with the rule, the buffers, bytes and step where one is broken.
    """
    _Check(program, sizes, alignment).run()


class _Bytes:
    """Who wrote each byte of one piece of memory last, as ranges in order."""

    def __init__(self) -> None:
        self.ends: list[int] = []
        """Sorted; `owners[n]` wrote the bytes from `ends[n]` to `ends[n + 1]`."""
        self.owners: list[ProgramBuffer | None] = []

    def write(self, low: int, high: int, owner: ProgramBuffer) -> None:
        self._cut(high)
        self._cut(low)
        first, last = bisect_right(self.ends, low) - 1, bisect_right(self.ends, high) - 1
        self.ends[first:last] = [low]
        self.owners[first:last] = [owner]

    def _cut(self, place: int) -> None:
        """Make a range begin at a place."""
        at = bisect_right(self.ends, place)
        if at and self.ends[at - 1] == place:
            return
        self.ends.insert(at, place)
        self.owners.insert(at, self.owners[at - 1] if at else None)

    def find_other(
        self, low: int, high: int, owner: ProgramBuffer
    ) -> tuple[int, int, ProgramBuffer | None] | None:
        """The first bytes of a range that some other buffer wrote, or nobody."""
        at = bisect_right(self.ends, low) - 1
        if at < 0:
            return low, high, None
        while at < len(self.ends) and self.ends[at] < high:
            if self.owners[at] is not owner:
                end = self.ends[at + 1] if at + 1 < len(self.ends) else high
                return max(low, self.ends[at]), min(high, end), self.owners[at]
            at += 1
        return None


class _Check:
    def __init__(self, program: Program, sizes: Mapping[str, int], alignment: int) -> None:
        if program.plan is None:
            raise MemoryPlanError(f"program {program.name} has no memory plan")
        self.program, self.plan = program, program.plan
        self.env = {DimVar(name): size for name, size in sizes.items()}
        self.alignment = alignment
        self.total = self.value(self.plan.nbytes)
        inputs = {p.name: p.buffer.root for p in program.inputs}
        # An output that updates an input lies in the input's own array.
        self.home = {p.buffer.root: inputs[p.updates] for p in program.outputs if p.updates}
        self.memory: dict[object, _Bytes] = {}

    def value(self, dim: Dim) -> int:
        return int(dims.evaluate(dim, self.env))

    def run(self) -> None:
        for root in [p.buffer.root for p in self.program.inputs]:
            self._write(root)
        for data in self.program.constants:
            self._write(data.buffer)
        used = {b for step in self.program.timeline for b in step.arguments}
        for buffer in self.program.buffers:
            self._alone(buffer, buffer in used)
        self._steps(self.program.steps, "step ")
        for port in self.program.outputs:
            self._read(port.buffer, f"output {port.name}", "P6")

    # -- where things lie ------------------------------------------------------------------------

    def space(self, buffer: ProgramBuffer) -> object:
        """The piece of memory that a buffer lies in."""
        root = buffer.root
        return "arena" if root.place == "arena" else self.home.get(root, root)

    def range(self, buffer: ProgramBuffer) -> Range:
        """Its bytes there."""
        in_arena = buffer.root.place == "arena"
        start = self.value(self.plan.offset_of(buffer.root)) if in_arena else 0
        start += self.value(buffer.start)
        return start, start + self.value(buffer.type.nbytes)

    def _alone(self, buffer: ProgramBuffer, is_used: bool) -> None:
        start, nbytes = self.value(buffer.start), self.value(buffer.type.nbytes)
        whole = self.value(buffer.root.type.nbytes)
        element = as_dtype(buffer.type.dtype).nbytes
        if start < 0 or start + nbytes > whole or start % element:
            raise MemoryPlanError(
                f"[P1] buffer {buffer.name} is bytes [{start}, {start + nbytes}) of "
                f"{buffer.root.name}: it must lie inside its {whole} bytes, at a multiple of "
                f"{element}"
            )
        if buffer.root.place == "arena":
            first, last = self.range(buffer)
            misplaced = buffer.root is buffer and first % self.alignment != 0
            if misplaced or first < 0 or (is_used and last > self.total):
                raise MemoryPlanError(
                    f"[P3] buffer {buffer.name} holds bytes [{first}, {last}): it must begin at a "
                    f"multiple of {self.alignment} inside the {self.total} bytes of the arena"
                )

    # -- steps -----------------------------------------------------------------------------------

    def _steps(self, steps: Sequence[Step], prefix: str) -> None:
        for number, step in enumerate(steps):
            where = f"{prefix}{number} ({step.label})"
            if isinstance(step, RepeatStep):
                for time in range(self.value(step.count)):
                    self.env[step.counter] = time
                    self._steps(step.steps, f"{where}, time {time}, step ")
                self.env.pop(step.counter, None)
            else:
                self._step(step, where)

    def _step(self, step: Leaf, where: str) -> None:
        if isinstance(step, KernelStep):
            self._parameters(step, where)
        touched = self._touched(step)
        reads = len(step.reads)
        for buffer, part in zip(step.arguments[:reads], touched, strict=False):
            self._read(buffer, where, "P4", part)
        self._over_itself(step, where)
        for buffer, part in zip(step.arguments[reads:], touched[reads:], strict=True):
            self._write(buffer, part)

    @staticmethod
    def _touched(step: Leaf) -> Sequence[Part]:
        """What the step may touch of each argument: places held, and windows."""
        if not isinstance(step, KernelStep):
            return (WHOLE,) * len(step.arguments)
        none = ((),) * len(step.arguments)
        return tuple(zip(step.fixed or none, step.windows or none, strict=True))

    def ranges(self, buffer: ProgramBuffer, part: Part) -> list[Range]:
        """The bytes of what lies at some places and in some windows along axes of a buffer."""
        low, high = self.range(buffer)
        extents = [self.value(d) for d in buffer.type.shape or ()]
        seen = {axis: (self.value(place), 1) for axis, place in part[0]}
        seen |= {w.axis: (self.value(w.start), self.value(w.extent)) for w in part[1]}
        if not seen:
            return [(low, high)]
        if any(not 0 <= at <= at + count <= extents[axis] for axis, (at, count) in seen.items()):
            raise MemoryPlanError(
                f"[P1] the slice at {seen} (axis: start and extent) of buffer {buffer.name} lies "
                f"outside its extents {extents}"
            )
        last = max(seen)
        inner = as_dtype(buffer.type.dtype).nbytes * math.prod(extents[last + 1 :])
        outer = [seen.get(n, (0, extents[n])) for n in range(last)]
        found = []
        for index in itertools.product(*(range(at, at + count) for at, count in outer)):
            place = 0
            for extent, at in zip(extents, index, strict=False):
                place = place * extent + at
            first = place * extents[last] + seen[last][0]
            found.append((low + first * inner, low + (first + seen[last][1]) * inner))
        return [r for r in found if r[0] < r[1]]

    def _parameters(self, step: KernelStep, where: str) -> None:
        for parameter, buffer in zip(step.kernel.params, step.arguments, strict=True):
            wanted, got = self.value(parameter.nbytes), self.value(buffer.type.nbytes)
            if wanted != got:
                raise MemoryPlanError(
                    f"[P2] {where} passes {buffer.name} of {got} bytes for {parameter.name}, which "
                    f"has {wanted}"
                )

    def _over_itself(self, step: Leaf, where: str) -> None:
        reads = len(step.reads)
        places = [
            (self.space(b), self.ranges(b, part))
            for b, part in zip(step.arguments, self._touched(step), strict=True)
        ]
        allowed = set(step.in_place) if isinstance(step, KernelStep) else set()
        for target, out in enumerate(step.arguments):
            if target < reads:
                continue
            for source, other in enumerate(step.arguments):
                if source == target or (source >= reads and source > target):
                    continue
                if not _overlap(places[source], places[target]):
                    continue
                if (source, target) in allowed and places[source] == places[target]:
                    continue
                raise MemoryPlanError(
                    f"[P5] buffers {out.name} and {other.name} overlap in {where}: bytes "
                    f"{_text(places[target])} are written, bytes {_text(places[source])} are used "
                    f"too, and the kernel may not run in place on them"
                )

    def _read(self, buffer: ProgramBuffer, where: str, rule: str, part: Part = WHOLE) -> None:
        for low, high in self.ranges(buffer, part):
            if low < high:
                self._read_range(buffer, low, high, where, rule)

    def _read_range(
        self, buffer: ProgramBuffer, low: int, high: int, where: str, rule: str
    ) -> None:
        found = self._bytes(buffer).find_other(low, high, buffer.root)
        if found is None:
            return
        first, last, owner = found
        what = "nobody wrote" if owner is None else f"{owner.name} wrote last"
        names = "" if owner is None else f"buffers {buffer.root.name} and {owner.name} overlap: "
        raise MemoryPlanError(
            f"[{rule}] {names}{where} needs bytes [{low}, {high}) of {buffer.name}, of which "
            f"{what} bytes [{first}, {last})"
        )

    def _write(self, buffer: ProgramBuffer, part: Part = WHOLE) -> None:
        for low, high in self.ranges(buffer, part):
            if low < high:
                self._bytes(buffer).write(low, high, buffer.root)

    def _bytes(self, buffer: ProgramBuffer) -> _Bytes:
        return self.memory.setdefault(self.space(buffer), _Bytes())


def _overlap(a: tuple[object, list[Range]], b: tuple[object, list[Range]]) -> bool:
    return a[0] == b[0] and any(max(x[0], y[0]) < min(x[1], y[1]) for x in a[1] for y in b[1])


def _text(place: tuple[object, list[Range]]) -> str:
    return ", ".join(f"[{low}, {high})" for low, high in place[1][:3])
