"""PROGRAM: kernels in order over planned memory.  What a target emits, loads and ships.

    Program = ports in, ports out, constants, buffers, steps, dims, checks, memory plan

A buffer lives in one place: an input's or output's array, the constants, or the arena.  A buffer
may be a view: some contiguous bytes of another buffer, under a shape of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from ..kernel import dims
from ..kernel.dims import Dim, DimVar
from ..kernel.ir import Kernel
from ..kernel.packing import Packing
from ..kernel.printer import Printer, kernel_text
from ..kernel.transform.embed import Fixed
from .node import Node, Value
from .tensor_type import TensorType

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class ProgramBuffer:
    """`place` is "input", "output", "constant" or "arena".

    With `view_of` it is the contiguous bytes of that buffer from `offset_bytes` on, where they lie.
    `source` names the graph values it holds and `origin` the user's line, for messages.
    """

    name: str
    type: TensorType
    place: str
    view_of: ProgramBuffer | None = None
    source: str = ""
    origin: str = ""
    offset_bytes: Dim = 0

    @property
    def root(self) -> ProgramBuffer:
        """The buffer that owns the bytes."""
        buffer = self
        while buffer.view_of is not None:
            buffer = buffer.view_of
        return buffer

    @property
    def start(self) -> Dim:
        """Where its bytes begin in those of `root`."""
        start: Dim = 0
        buffer = self
        while buffer.view_of is not None:
            start = dims.add(start, buffer.offset_bytes)
            buffer = buffer.view_of
        return start

    @property
    def end(self) -> Dim:
        """Where they end."""
        return dims.add(self.start, self.type.nbytes)

    @property
    def is_whole(self) -> bool:
        """It holds all bytes of `root`."""
        return self.view_of is None or (
            self.start == 0 and self.type.nbytes == self.root.type.nbytes
        )


@dataclass(frozen=True, slots=True, eq=False)
class Port:
    """A named array of the program's interface.

    `role` of an input is "input", "parameter" or "auxiliary".  An output with `updates` is the
    next value of that input and is written over it.
    """

    name: str
    buffer: ProgramBuffer
    role: str = "input"
    updates: str = ""

    @property
    def type(self) -> TensorType:
        return self.buffer.type


@dataclass(frozen=True, slots=True, eq=False)
class ConstantData:
    """An array that the program carries.

    With `packing`, `array` is packed from one of `original` shape.  `recipe` tells how that one
    follows from parameters, where that was asked for.
    """

    buffer: ProgramBuffer
    array: Array
    packing: Packing | None = None
    original: tuple[int, ...] = ()
    recipe: Value | None = None


@dataclass(frozen=True, slots=True, eq=False)
class KernelStep:
    """Run a kernel; `arguments` are the buffers for the kernel's `params`, in order.

    `in_place` holds (input, output) positions among the params that may share their bytes; lowering
    finds them in the naive kernel, and schedules keep them.  `node` is what the kernel computes,
    None for copies that lowering adds.  Of an argument that has `fixed` axes the kernel touches
    only what lies at these places along them; none given: it may touch all of every argument.
    """

    kernel: Kernel
    arguments: tuple[ProgramBuffer, ...]
    label: str = ""
    in_place: tuple[tuple[int, int], ...] = ()
    node: Node | None = None
    fixed: tuple[Fixed, ...] = ()
    before: tuple[Node, ...] = ()
    """What the kernel computes besides, for `node` and in this order."""

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All that the kernel computes, in order."""
        return self.before if self.node is None else (*self.before, self.node)

    @property
    def origin(self) -> str:
        """The line that declares what the kernel computes, or nothing."""
        return "" if self.node is None else str(self.node.origin)

    @property
    def reads(self) -> tuple[ProgramBuffer, ...]:
        return self.arguments[: len(self.kernel.inputs)]

    @property
    def writes(self) -> tuple[ProgramBuffer, ...]:
        written = dict(zip(self.kernel.params, self.arguments, strict=True))
        return tuple(written[b] for b in self.kernel.outputs)


@dataclass(frozen=True, slots=True, eq=False)
class HostStep:
    """Call a host operator back in Python."""

    node: Node
    name: str
    reads: tuple[ProgramBuffer, ...]
    writes: tuple[ProgramBuffer, ...]

    @property
    def arguments(self) -> tuple[ProgramBuffer, ...]:
        return (*self.reads, *self.writes)

    @property
    def label(self) -> str:
        return self.name

    @property
    def origin(self) -> str:
        return str(self.node.origin)


@dataclass(frozen=True, slots=True, eq=False)
class RepeatStep:
    """Run `steps` in order `count` times; `counter` is 0, 1, ... count-1 in them.

    Kernels inside take the counter as one of their dims.  What only they touch is theirs for one
    time round; what is read from an earlier round is written before the loop, too.
    """

    counter: DimVar
    count: Dim
    steps: tuple[Step, ...]
    label: str = ""
    node: Node | None = None

    @property
    def origin(self) -> str:
        return "" if self.node is None else str(self.node.origin)

    @property
    def arguments(self) -> tuple[ProgramBuffer, ...]:
        return tuple(dict.fromkeys(b for s in self.steps for b in s.arguments))

    @property
    def reads(self) -> tuple[ProgramBuffer, ...]:
        return tuple(dict.fromkeys(b for s in self.steps for b in s.reads))

    @property
    def writes(self) -> tuple[ProgramBuffer, ...]:
        return tuple(dict.fromkeys(b for s in self.steps for b in s.writes))


Step = KernelStep | HostStep | RepeatStep
Leaf = KernelStep | HostStep


def leaves(steps: Iterable[Step]) -> Iterator[Leaf]:
    """Every step that is no loop, in order, those inside loops once."""
    for step in steps:
        if isinstance(step, RepeatStep):
            yield from leaves(step.steps)
        else:
            yield step


def map_leaves(steps: Iterable[Step], change: Callable[[Leaf], Leaf]) -> tuple[Step, ...]:
    """The steps with every one that is no loop replaced, inside loops too."""
    return tuple(
        replace(step, steps=map_leaves(step.steps, change))
        if isinstance(step, RepeatStep)
        else change(step)
        for step in steps
    )


@dataclass(frozen=True, slots=True)
class Check:
    """A condition on the named extents of a call: left == right, or left >= right."""

    left: Dim
    relation: str
    right: Dim
    message: str


@dataclass(frozen=True, slots=True, eq=False)
class MemoryPlan:
    """Where each arena buffer lies: byte offsets and the total as integer expressions.

    `lower_bound` is the greatest sum of live bytes (at the sizes in `sample`), `naive` the sum of
    all; `proved` says that the total equals the least possible (there).
    """

    offsets: tuple[tuple[ProgramBuffer, Dim], ...]
    nbytes: Dim
    lower_bound: int = 0
    naive: int = 0
    proved: bool = False
    method: str = "none"
    sample: tuple[tuple[str, int], ...] = ()
    shared: tuple[tuple[ProgramBuffer, ProgramBuffer], ...] = ()
    """(input, output) of one step that lie over each other on purpose; either may be a view."""
    excess: float = 0.0
    """Of open extents: how far the total is above that of a plan for one size, relative to it, at
    the worst of the sizes tried."""
    _by_buffer: dict[ProgramBuffer, Dim] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._by_buffer.update(self.offsets)

    def offset_of(self, buffer: ProgramBuffer) -> Dim:
        """Where the bytes of a buffer, a view or not, begin in the arena.  Raises: KeyError."""
        return dims.add(self._by_buffer[buffer.root], buffer.start)


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """See the module's text.  Frozen; passes return changed copies."""

    name: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    constants: tuple[ConstantData, ...]
    steps: tuple[Step, ...]
    dims: tuple[DimVar, ...]
    checks: tuple[Check, ...] = ()
    plan: MemoryPlan | None = None

    def with_(self, **changes: Any) -> Program:
        """A copy with some fields changed."""
        return replace(self, **changes)

    @property
    def buffers(self) -> tuple[ProgramBuffer, ...]:
        """Every buffer once: ports, constants, then in order of use."""
        found: dict[ProgramBuffer, None] = {}
        for port in (*self.inputs, *self.outputs):
            found[port.buffer] = None
        for data in self.constants:
            found[data.buffer] = None
        for step in self.timeline:
            found.update(dict.fromkeys(step.arguments))
        for buffer in tuple(found):
            found.setdefault(buffer.root)
        return tuple(found)

    @property
    def timeline(self) -> tuple[Leaf, ...]:
        """Kernels and host calls in order, those of a loop once: by these, memory is planned."""
        return tuple(leaves(self.steps))

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """The kernels in order of use."""
        return tuple(step.kernel for step in self.timeline if isinstance(step, KernelStep))

    def __str__(self) -> str:
        return program_text(self)


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


def program_text(program: Program) -> str:
    """The program as text: ports, constants, steps with their kernels, the memory plan."""
    lines = [f"program {program.name}"]
    for port in program.inputs:
        lines.append(f"  {port.role} {port.name}: {port.type}")
    for data in program.constants:
        lines.append(f"  constant {data.buffer.name}: {data.buffer.type}")
    for port in program.outputs:
        note = f" updates {port.updates}" if port.updates else ""
        lines.append(f"  output {port.name}: {port.type}{note}")
    lines += [f"  check {c.left} {c.relation} {c.right}" for c in program.checks]
    lines += _plan_lines(program.plan)
    lines += _step_lines(program.steps, 0, "  ")
    for kernel in dict.fromkeys(program.kernels):
        lines += ["", kernel_text(kernel).rstrip()]
    return "\n".join(lines) + "\n"


def _step_lines(steps: Sequence[Step], number: int, indent: str) -> list[str]:
    """A line for each step, numbered by its place in the timeline; a loop's steps indented."""
    lines: list[str] = []
    for step in steps:
        if isinstance(step, RepeatStep):
            lines.append(f"{indent}repeat {step.counter} < {step.count}:")
            inner = _step_lines(step.steps, number, indent + "  ")
            lines += inner
            number += len(tuple(leaves(step.steps)))
        else:
            lines.append(f"{indent}{_step_line(number, step)}")
            number += 1
    return lines


def _step_line(number: int, step: Leaf) -> str:
    kind = step.kernel.name if isinstance(step, KernelStep) else f"host {step.node.op.name}"
    reads = ", ".join(_buffer_text(b) for b in step.reads)
    writes = ", ".join(_buffer_text(b) for b in step.writes)
    return f"{number}: {writes} = {kind}({reads})"


def _buffer_text(buffer: ProgramBuffer) -> str:
    """Its name, and for a part of another buffer also where that part begins."""
    if buffer.is_whole:
        return buffer.name
    return f"{buffer.name}@{buffer.root.name}[{Printer().dim(buffer.start)}]"


def _plan_lines(plan: MemoryPlan | None) -> Sequence[str]:
    if plan is None:
        return []
    lines = [f"  arena {plan.nbytes} bytes ({plan.method})"]
    for buffer, offset in plan.offsets:
        lines.append(f"    {buffer.name}: {buffer.type} at {Printer().dim(offset)}")
    return lines


def substitute_buffers(program: Program, mapping: Mapping[ProgramBuffer, ProgramBuffer]) -> Program:
    """The program with buffers replaced everywhere; views of a replaced buffer follow it."""
    done: dict[ProgramBuffer, ProgramBuffer] = dict(mapping)

    def new(buffer: ProgramBuffer) -> ProgramBuffer:
        if buffer not in done:
            base = None if buffer.view_of is None else new(buffer.view_of)
            same = base is buffer.view_of
            done[buffer] = (
                buffer if same or base is None else replace(buffer, view_of=base, place=base.place)
            )
        return done[buffer]

    def moved(step: Leaf) -> Leaf:
        if isinstance(step, KernelStep):
            return replace(step, arguments=tuple(new(b) for b in step.arguments))
        reads, writes = (tuple(new(b) for b in side) for side in (step.reads, step.writes))
        return replace(step, reads=reads, writes=writes)

    return program.with_(
        inputs=tuple(replace(p, buffer=new(p.buffer)) for p in program.inputs),
        outputs=tuple(replace(p, buffer=new(p.buffer)) for p in program.outputs),
        constants=tuple(replace(c, buffer=new(c.buffer)) for c in program.constants),
        steps=map_leaves(program.steps, moved),
    )


def constant_layout(program: Program, alignment: int = 64) -> tuple[tuple[int, ...], int]:
    """The byte offset of each constant in one aligned block, and the block's size."""
    offsets: list[int] = []
    position = 0
    for data in program.constants:
        offsets.append(position)
        size = dims.align(position + data.array.nbytes, alignment)
        assert isinstance(size, int)
        position = size
    return tuple(offsets), position
