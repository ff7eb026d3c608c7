"""The exported entry of a program: where every buffer lies, then the kernels in order.

Owns: the evaluation of offsets, the choice between calling a phase and sharing it among threads
(by estimated work, never by timing), and the workspace's size.  The parts into which work is cut
depend on the number of threads alone, and no part computes what another one needs, so that results
are the same bits for every number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...errors import InternalError
from ...ir.program import (
    HostStep,
    KernelStep,
    Program,
    ProgramBuffer,
    RepeatStep,
    Step,
    constant_layout,
)
from ...kernel import dims
from ...kernel.dims import Dim
from . import abi
from .builder import FunctionBuilder, ModuleBuilder
from .functions import PhaseFunction, argument_types
from .indices import Indices
from .machine import Machine
from .phases import KernelPhases

SERIAL_CUTOFF = 16000
"""Estimated instructions (about 4 us) below which waking another thread does not pay."""


@dataclass(frozen=True, slots=True)
class WorkspacePlan:
    """What the workspace holds, in this order: arena, scratch that phases share, scratch of each
    thread."""

    arena: Dim
    shared: Dim
    own: Dim

    def nbytes(self, threads: Dim = 1) -> Dim:
        """The size, a closed form of the open extents."""
        return dims.add(dims.add(self.arena, self.shared), dims.mul(self.own, threads))


def workspace_plan(program: Program, kernels: Sequence[KernelPhases]) -> WorkspacePlan:
    """The workspace that a program of these kernels needs."""
    arena: Dim = 0 if program.plan is None else program.plan.nbytes
    shared: Dim = 0
    own: Dim = 0
    for kernel in kernels:
        shared = dims.maximum(shared, kernel.shared_nbytes)
        own = dims.maximum(own, kernel.own_nbytes)
    return WorkspacePlan(dims.align(arena, abi.ALIGNMENT), shared, own)


NativeStep = KernelStep | RepeatStep
"""What runs without Python."""


def segments(program: Program, single: bool = False) -> tuple[tuple[NativeStep, ...], ...]:
    """The steps between host steps; one more than there are host steps.

    With `single` every step is a segment of its own, an empty one where a host step stands.
    """
    if single:
        return tuple(() if isinstance(s, HostStep) else (s,) for s in program.steps)
    found: list[list[NativeStep]] = [[]]
    for step in program.steps:
        if isinstance(step, HostStep):
            found.append([])
        else:
            found[-1].append(step)
    return tuple(tuple(s) for s in found)


FindFunctions = Callable[[KernelStep], Sequence[PhaseFunction]]
"""The functions of a step's kernel."""


class EntryEmitter(Indices):
    """Writes one exported function."""

    def __init__(
        self,
        module: ModuleBuilder,
        machine: Machine,
        program: Program,
        workspace: WorkspacePlan,
    ) -> None:
        super().__init__(FunctionBuilder(module), machine)
        self.program = program
        self.workspace = workspace
        self.offsets = dict(
            zip((d.buffer for d in program.constants), constant_layout(program)[0], strict=True)
        )
        self.slots = 0

    def emit(self, symbol: str, steps: Sequence[Step], functions: FindFunctions) -> str:
        """The text of the function that runs the steps."""
        self._prologue()
        self._steps(steps, functions)
        self.builder.line(f"ret i32 {abi.OK}")
        self._ready.lines.append(f"br label %{self._run.name}")
        if self.slots:
            self.builder.blocks[0].lines.insert(0, f"%data = alloca [{self.slots} x i64], align 8")
        return self.builder.text(
            f"define i32 @{symbol}(ptr %in, ptr %out, ptr %workspace, ptr %context) nounwind"
        )

    # -- where things lie ----------------------------------------------------------------------

    def _prologue(self) -> None:
        builder = self.builder
        good, bad, check = (builder.block(n) for n in ("ready", "bad", "check"))
        missing = builder.pure("icmp eq ptr %context, null")
        builder.line(f"br i1 {missing}, label %{bad.name}, label %{check.name}")
        builder.place(check)
        size = builder.fresh()
        builder.line(f"{size} = load i32, ptr %context, align 4")
        small = builder.pure(f"icmp ult i32 {size}, {abi.CONTEXT_BYTES}")
        builder.line(f"br i1 {small}, label %{bad.name}, label %{good.name}")
        builder.place(bad)
        builder.line(f"ret i32 {abi.BAD_CONTEXT}")
        builder.place(good)
        # From here on everything is put where the context is known to be good.
        builder.scopes[0].hoist = good
        inside = builder.block("run")
        self._context()
        first = len(self.program.inputs) * abi.POINTER_BYTES
        for number, var in enumerate(self.program.dims):
            self.variables[var] = (0, self._field("%in", first + 8 * number, "i64"))
        builder.place(inside)
        self._ready, self._run = good, inside

    def _field(self, base: str, offset: int, type: str) -> str:
        pointer = self.builder.hoisted(f"getelementptr i8, ptr {base}, i64 {offset}", 0)
        return self.builder.hoisted(f"load {type}, ptr {pointer}, align 8", 0)

    def _context(self) -> None:
        builder = self.builder
        loaded: dict[str, str] = {}
        for name, type in (("parallel_for", "ptr"), ("pool", "ptr"), ("threads", "i64"),
                           ("constants", "ptr")):  # fmt: skip
            offset = getattr(abi.Context, name).offset
            loaded[name] = self._field("%context", offset, type)
        self.parallel_for, self.pool = loaded["parallel_for"], loaded["pool"]
        self.constants = loaded["constants"]
        none = builder.hoisted(f"icmp eq ptr {self.parallel_for}, null", 0)
        few = builder.hoisted(f"icmp slt i64 {loaded['threads']}, 1", 0)
        alone = builder.hoisted(f"or i1 {none}, {few}", 0)
        self.threads = builder.hoisted(f"select i1 {alone}, i64 1, i64 {loaded['threads']}", 0)
        self.several = builder.hoisted(f"icmp sgt i64 {self.threads}, 1", 0)

    def address(self, buffer: ProgramBuffer) -> str:
        """The pointer to a buffer's bytes."""
        root = buffer.root
        for number, port in enumerate(self.program.inputs):
            if port.buffer.root is root:
                return self._field("%in", abi.POINTER_BYTES * number, "ptr")
        for number, port in enumerate(self.program.outputs):
            if port.buffer.root is root:
                return self._field("%out", abi.POINTER_BYTES * number, "ptr")
        if root.place == "constant":
            return self._at(self.constants, self.offsets[root])
        if root.place == "arena" and self.program.plan is not None:
            return self._at("%workspace", self.program.plan.offset_of(root))
        raise InternalError(f"buffer {buffer.name} has no place")

    def _at(self, base: str, offset: Dim) -> str:
        if offset == 0:
            return base
        text = self.scalar(offset)
        return self.builder.hoisted(f"getelementptr i8, ptr {base}, i64 {text}", 0)

    # -- steps ---------------------------------------------------------------------------------

    def _steps(self, steps: Sequence[Step], functions: FindFunctions) -> None:
        for step in steps:
            if isinstance(step, RepeatStep):
                self._repeat(step, functions)
            elif isinstance(step, KernelStep):
                self._step(step, functions(step))
            else:
                raise InternalError(f"host step {step.name} stands inside a loop")

    def _repeat(self, loop: RepeatStep, functions: FindFunctions) -> None:
        """for counter in 0 .. count-1: steps."""
        builder = self.builder
        count = self.scalar(loop.count)
        head, inside, after = (builder.block(n) for n in ("repeat", "steps", "done"))
        some = builder.pure(f"icmp sgt i64 {count}, 0")
        before = builder.current
        builder.line(f"br i1 {some}, label %{head.name}, label %{after.name}")
        builder.place(head)
        builder.open(head)
        counter, next = builder.fresh(), builder.fresh()
        self.variables[loop.counter] = (builder.depth, counter)
        builder.place(inside)
        self._steps(loop.steps, functions)
        latch = builder.current
        builder.line(f"{next} = add nuw nsw i64 {counter}, 1")
        more = builder.fresh()
        builder.line(f"{more} = icmp slt i64 {next}, {count}")
        builder.line(f"br i1 {more}, label %{head.name}, label %{after.name}")
        head.lines.insert(0, f"{counter} = phi i64 [0, %{before.name}], [{next}, %{latch.name}]")
        head.lines.append(f"br label %{inside.name}")
        builder.close()
        del self.variables[loop.counter]
        builder.place(after)

    def _step(self, step: KernelStep, functions: Sequence[PhaseFunction]) -> None:
        pointers = [self.address(b) for b in step.arguments]
        shared = self._at("%workspace", self.workspace.arena)
        own = self._at("%workspace", dims.add(self.workspace.arena, self.workspace.shared))
        extents = [self.scalar(var) for var in step.kernel.dims]
        types = argument_types(step.kernel)
        arguments = [*pointers, shared, own, *extents]
        for function in functions:
            self._phase(function, list(zip(types, arguments, strict=True)))

    def _phase(self, function: PhaseFunction, arguments: list[tuple[str, str]]) -> None:
        passed = ", ".join(f"{t} {v}" for t, v in arguments)
        phase, builder = function.phase, self.builder
        if phase.loop is None:
            builder.line(f"call void @{function.name}({passed}, i64 0, i64 0)")
            return
        count = self.scalar(phase.loop.extent)
        direct = f"call void @{function.name}({passed}, i64 0, i64 {count})"
        work = self.resolve(phase.cost)
        if isinstance(work, int) and work < SERIAL_CUTOFF:
            builder.line(direct)
            return
        share, alone, after = (builder.block(n) for n in ("share", "alone", "after"))
        heavy = builder.pure(f"icmp sge i64 {self.scalar(work)}, {SERIAL_CUTOFF}")
        many = builder.pure(f"icmp sgt i64 {count}, 1")
        wanted = builder.pure(f"and i1 {self.several}, {heavy}")
        wanted = builder.pure(f"and i1 {wanted}, {many}")
        builder.line(f"br i1 {wanted}, label %{share.name}, label %{alone.name}")
        builder.place(alone)
        builder.line(direct)
        builder.line(f"br label %{after.name}")
        builder.place(share)
        builder.open(None)
        fewer = builder.pure(f"icmp slt i64 {count}, {self.threads}")
        parts = builder.pure(f"select i1 {fewer}, i64 {count}, i64 {self.threads}")
        slots = [*arguments, ("i64", self.scalar(self.workspace.own)), ("i64", count),
                 ("i64", parts)]  # fmt: skip
        self.slots = max(self.slots, len(slots))
        for number, (type, value) in enumerate(slots):
            slot = builder.pure(f"getelementptr i8, ptr %data, i64 {8 * number}")
            builder.line(f"store {type} {value}, ptr {slot}, align 8")
        builder.line(f"call void {self.parallel_for}(ptr {self.pool}, ptr @{function.task}, "
                     f"ptr %data, i64 {parts})")  # fmt: skip
        builder.close()
        builder.line(f"br label %{after.name}")
        builder.place(after)
