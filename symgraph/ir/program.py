"""PROGRAM: kernels in order over planned memory.  What a target emits, loads and ships.

    Program = ports in, ports out, constants, buffers, steps, dims, checks, memory plan

A buffer lives in one place: an input's or output's array, the constants, or the arena.  A buffer
may be a view: the same bytes as another buffer, under another shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..kernel import dims
from ..kernel.dims import Dim, DimVar
from ..kernel.ir import Kernel
from ..kernel.packing import Packing
from ..kernel.printer import Printer, kernel_text
from .node import Node
from .tensor_type import TensorType

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class ProgramBuffer:
    """`place` is "input", "output", "constant" or "arena"; `view_of` shares another's bytes.

    `source` names the graph values it holds and `origin` the user's line, for messages.
    """

    name: str
    type: TensorType
    place: str
    view_of: ProgramBuffer | None = None
    source: str = ""
    origin: str = ""

    @property
    def root(self) -> ProgramBuffer:
        """The buffer that owns the bytes."""
        buffer = self
        while buffer.view_of is not None:
            buffer = buffer.view_of
        return buffer


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

    With `packing`, `array` is packed from one of `original` shape.
    """

    buffer: ProgramBuffer
    array: Array
    packing: Packing | None = None
    original: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class KernelStep:
    """Run a kernel; `arguments` are the buffers for the kernel's `params`, in order.

    `in_place` holds (input, output) positions among the params that may share their bytes; lowering
    finds them in the naive kernel, and schedules keep them.  `node` is what the kernel computes,
    None for copies that lowering adds.
    """

    kernel: Kernel
    arguments: tuple[ProgramBuffer, ...]
    label: str = ""
    in_place: tuple[tuple[int, int], ...] = ()
    node: Node | None = None

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


Step = KernelStep | HostStep


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
    all; `proved` says that the total equals the least possible.
    """

    offsets: tuple[tuple[ProgramBuffer, Dim], ...]
    nbytes: Dim
    lower_bound: int = 0
    naive: int = 0
    proved: bool = False
    method: str = "none"
    sample: tuple[tuple[str, int], ...] = ()
    shared: tuple[tuple[ProgramBuffer, ProgramBuffer], ...] = ()
    """(input, output) of one step that lie over each other on purpose."""
    _by_buffer: dict[ProgramBuffer, Dim] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._by_buffer.update(self.offsets)

    def offset_of(self, buffer: ProgramBuffer) -> Dim:
        """Where the bytes of a buffer, or of what it is a view of, begin.  Raises: KeyError."""
        return self._by_buffer[buffer.root]


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
        for step in self.steps:
            found.update(dict.fromkeys(step.arguments))
        for buffer in tuple(found):
            found.setdefault(buffer.root)
        return tuple(found)

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """The kernels in order of use."""
        return tuple(step.kernel for step in self.steps if isinstance(step, KernelStep))

    def __str__(self) -> str:
        return program_text(self)


def arena_buffers(program: Program) -> tuple[ProgramBuffer, ...]:
    """The buffers that need memory of the arena, in order of first use."""
    found: dict[ProgramBuffer, None] = {}
    for step in program.steps:
        for buffer in step.arguments:
            if buffer.root.place == "arena":
                found[buffer.root] = None
    return tuple(found)


def live_ranges(program: Program) -> dict[ProgramBuffer, tuple[int, int]]:
    """For each arena buffer the half-open range of steps during which its bytes matter."""
    ranges: dict[ProgramBuffer, tuple[int, int]] = {}
    for number, step in enumerate(program.steps):
        for buffer in step.arguments:
            root = buffer.root
            if root.place == "arena":
                start, _ = ranges.get(root, (number, number))
                ranges[root] = (start, number + 1)
    return ranges


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
    for number, step in enumerate(program.steps):
        lines.append(_step_line(number, step))
    for kernel in dict.fromkeys(program.kernels):
        lines += ["", kernel_text(kernel).rstrip()]
    return "\n".join(lines) + "\n"


def _step_line(number: int, step: Step) -> str:
    kind = step.kernel.name if isinstance(step, KernelStep) else f"host {step.node.op.name}"
    reads = ", ".join(b.name for b in step.reads)
    writes = ", ".join(b.name for b in step.writes)
    return f"  {number}: {writes} = {kind}({reads})"


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

    def moved(step: Step) -> Step:
        if isinstance(step, KernelStep):
            return replace(step, arguments=tuple(new(b) for b in step.arguments))
        reads, writes = (tuple(new(b) for b in side) for side in (step.reads, step.writes))
        return replace(step, reads=reads, writes=writes)

    return program.with_(
        inputs=tuple(replace(p, buffer=new(p.buffer)) for p in program.inputs),
        outputs=tuple(replace(p, buffer=new(p.buffer)) for p in program.outputs),
        constants=tuple(replace(c, buffer=new(c.buffer)) for c in program.constants),
        steps=tuple(moved(step) for step in program.steps),
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
