"""PROGRAM: kernels in order over planned memory.  What a target emits, loads and ships.

    Program = ports in, ports out, constants, buffers, steps, dims, checks, memory plan

A buffer lives in one place: an input's or output's array, the constants, or the arena.  A buffer
may be a view: some contiguous bytes of another buffer, under a shape of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..kernel import dims
from ..kernel.dims import Dim, DimVar
from ..kernel.ir import Kernel
from ..kernel.packing import Packing
from ..kernel.transform.embed import Fixed, Windows
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
    follows from parameters, where that was asked for.  `is_own`: the array lies in the block that
    targets run from, which nobody else can change.
    """

    buffer: ProgramBuffer
    array: Array
    packing: Packing | None = None
    original: tuple[int, ...] = ()
    recipe: Value | None = None
    is_own: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class KernelStep:
    """Run a kernel; `arguments` are the buffers for the kernel's `params`, in order.

    `in_place` holds (input, output) positions among the params that may share their bytes; lowering
    finds them in the naive kernel, and schedules keep them.  `node` is what the kernel computes,
    None for copies that lowering adds.  Of an argument that has `fixed` axes the kernel touches
    only what lies at these places along them, of one with `windows` only what lies in them; none
    given: it may touch all of every argument.
    """

    kernel: Kernel
    arguments: tuple[ProgramBuffer, ...]
    label: str = ""
    in_place: tuple[tuple[int, int], ...] = ()
    node: Node | None = None
    fixed: tuple[Fixed, ...] = ()
    before: tuple[Node, ...] = ()
    """What the kernel computes besides, for `node` and in this order."""
    windows: tuple[Windows, ...] = ()

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
        from .program_text import program_text

        return program_text(self)


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
