"""The exported entry of a program: it checks the context and hands over to its threads, once.

    int32_t NAME(in, out, workspace, context)
    void NAME_member(frame, index, thread)       the task of a thread: becomes a member of the team

Owns: the decision whether other threads take part (by estimated work, never by timing), and the
workspace's size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...ir.program import HostStep, KernelStep, Program, RepeatStep
from ...kernel import dims
from ...kernel.dims import Dim
from . import abi, team
from .body import PARAMETERS, BodyEmitter
from .builder import FunctionBuilder, ModuleBuilder
from .denormals import in_mode
from .indices import Indices
from .machine import Machine
from .overlaps import Overlaps
from .phases import KernelPhases
from .stages import Call, LoopCalls, is_shared

TEAM_CUTOFF = 20_000
"""Estimated instructions of all shared phases (about 5 us) below which nothing is handed over."""

FRAME = ("in", "out", "workspace", "constants", "lines", "stride", "parts", "relax", "pool")
"""What the entry leaves for the members, in slots of 8 bytes."""


@dataclass(frozen=True, slots=True)
class WorkspacePlan:
    """What the workspace holds, in this order: arena, scratch that phases share, then for each
    thread `own` bytes: `line` for its words (see team.py; 0 in programs that are never shared),
    then its scratch."""

    arena: Dim
    shared: Dim
    own: Dim
    line: int = 0

    def nbytes(self, threads: Dim = 1) -> Dim:
        """The size, a closed form of the open extents."""
        return dims.add(dims.add(self.arena, self.shared), dims.mul(self.own, threads))


def workspace_plan(
    program: Program, kernels: Sequence[KernelPhases], alone: bool = False
) -> WorkspacePlan:
    """The workspace that a program of these kernels needs; `alone` on the calling thread."""
    arena: Dim = 0 if program.plan is None else program.plan.nbytes
    shared: Dim = 0
    own: Dim = 0
    for kernel in kernels:
        shared = dims.maximum(shared, kernel.shared_nbytes)
        own = dims.maximum(own, kernel.own_nbytes)
    shares = not alone and any(is_shared(p) for kernel in kernels for p in kernel.phases)
    line = team.LINE if shares else 0
    return WorkspacePlan(dims.align(arena, abi.ALIGNMENT), shared, dims.add(own, line), line)


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


class EntryEmitter(Indices):
    """Writes one exported function, with what it calls."""

    def __init__(
        self,
        module: ModuleBuilder,
        machine: Machine,
        program: Program,
        workspace: WorkspacePlan,
        alone: bool = False,
    ) -> None:
        super().__init__(FunctionBuilder(module), machine)
        self.alone = alone
        self.module = module
        self.program = program
        self.workspace = workspace

    def emit(self, symbol: str, calls: Sequence[Call], overlaps: Overlaps) -> None:
        """Add the function that runs the calls, and those that it needs, to the module."""
        work = shared_work(calls)
        is_heavy = not isinstance(work, int) or work >= TEAM_CUTOFF
        has_team = is_heavy and not self.alone
        shared_at = self.workspace.arena
        body = BodyEmitter(self.module, self.machine, self.program, overlaps, shared_at, has_team)
        self.module.functions.append(body.emit(f"{symbol}_body", calls))
        run = in_mode(self.module, self.machine, f"{symbol}_body", PARAMETERS)
        if has_team:
            self.module.functions.append(_member_text(symbol, run))
        self._prologue()
        if has_team:
            self._hand_over(symbol, work)
        own = self._lines()
        if self.workspace.line:
            own = self.builder.pure(f"getelementptr i8, ptr {own}, i64 {self.workspace.line}")
        self.builder.line(f"call void @{run}(ptr %in, ptr %out, ptr %workspace, "
                          f"ptr {self.constants}, ptr {own}, ptr null, i64 1)")  # fmt: skip
        self.builder.line(f"ret i32 {abi.OK}")
        self._ready.lines.append(f"br label %{self._run.name}")
        self.module.functions.append(
            self.builder.text(
                f"define i32 @{symbol}(ptr %in, ptr %out, ptr %workspace, ptr %context) nounwind"
            )
        )

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
        self.constants = self._context("constants", "ptr")
        first = len(self.program.inputs) * abi.POINTER_BYTES
        for number, var in enumerate(self.program.dims):
            self.variables[var] = (0, self._field("%in", first + 8 * number, "i64"))
        builder.place(inside)
        self._ready, self._run = good, inside

    def _field(self, base: str, offset: int, type: str) -> str:
        pointer = self.builder.hoisted(f"getelementptr i8, ptr {base}, i64 {offset}", 0)
        return self.builder.hoisted(f"load {type}, ptr {pointer}, align 8", 0)

    def _context(self, name: str, type: str) -> str:
        return self._field("%context", getattr(abi.Context, name).offset, type)

    def _lines(self) -> str:
        """Where the threads' own memory begins, with the words of the first one."""
        start = dims.add(self.workspace.arena, self.workspace.shared)
        if start == 0:
            return "%workspace"
        return self.builder.hoisted(
            f"getelementptr i8, ptr %workspace, i64 {self.scalar(start)}", 0
        )

    def _hand_over(self, symbol: str, work: Dim) -> None:
        """Let `parallel_for` call the members and return; fall through for a thread alone."""
        builder = self.builder
        parallel_for = self._context("parallel_for", "ptr")
        threads = self._context("threads", "i64")
        given = builder.pure(f"icmp ne ptr {parallel_for}, null")
        many = builder.pure(f"icmp sgt i64 {threads}, 1")
        wanted = builder.pure(f"and i1 {given}, {many}")
        if not isinstance(work, int):
            heavy = builder.pure(f"icmp sge i64 {self.scalar(work)}, {TEAM_CUTOFF}")
            wanted = builder.pure(f"and i1 {wanted}, {heavy}")
        share, alone = builder.block("share"), builder.block("alone")
        builder.line(f"br i1 {wanted}, label %{share.name}, label %{alone.name}")
        builder.place(share)
        builder.open(None)
        lines, stride = self._lines(), self.scalar(self.workspace.own)
        pool, relax = self._context("pool", "ptr"), self._context("relax", "ptr")
        values = {"in": "ptr %in", "out": "ptr %out", "workspace": "ptr %workspace",
                  "constants": f"ptr {self.constants}", "lines": f"ptr {lines}",
                  "stride": f"i64 {stride}", "parts": f"i64 {threads}", "relax": f"ptr {relax}",
                  "pool": f"ptr {pool}"}  # fmt: skip
        builder.blocks[0].lines.insert(0, f"%frame = alloca [{len(FRAME)} x i64], align 8")
        for number, name in enumerate(FRAME):
            slot = builder.pure(f"getelementptr i8, ptr %frame, i64 {8 * number}")
            builder.line(f"store {values[name]}, ptr {slot}, align 8")
        self._clear(lines, stride, threads)
        builder.line(f"call void {parallel_for}(ptr {pool}, ptr @{symbol}_member, ptr %frame, "
                     f"i64 {threads})")  # fmt: skip
        builder.line(f"ret i32 {abi.OK}")
        builder.close()
        builder.place(alone)

    def _clear(self, lines: str, stride: str, threads: str) -> None:
        """Every thread's words to zero."""
        builder = self.builder
        before, clear, cleared = builder.current, builder.block("clear"), builder.block("cleared")
        builder.line(f"br label %{clear.name}")
        builder.place(clear)
        slot, following = builder.fresh(), builder.fresh()
        builder.line(f"{slot} = phi i64 [0, %{before.name}], [{following}, %{clear.name}]")
        offset = builder.pure(f"mul i64 {slot}, {stride}")
        line = builder.pure(f"getelementptr i8, ptr {lines}, i64 {offset}")
        builder.line(f"store i64 0, ptr {line}, align 8")
        builder.line(f"{following} = add i64 {slot}, 1")
        more = builder.pure(f"icmp slt i64 {following}, {threads}")
        builder.line(f"br i1 {more}, label %{clear.name}, label %{cleared.name}")
        builder.place(cleared)


def shared_work(calls: Sequence[Call]) -> Dim:
    """Estimated instructions of what may be cut into chunks, as often as it runs."""
    total: Dim = 0
    for call in calls:
        if isinstance(call, LoopCalls):
            total = dims.add(total, dims.mul(call.loop.count, shared_work(call.calls)))
        elif is_shared(call.phase):
            total = dims.add(total, call.phase.cost)
    return total


def _member_text(symbol: str, run: str) -> str:
    types = {"stride": "i64", "parts": "i64"}
    head = f"define internal void @{symbol}_member(ptr %frame, i64 %index, i64 %thread)"
    lines = [f"{head} nounwind {{",
             f"  %me = alloca [{team.MEMBER_BYTES // 8} x i64], align 8"]  # fmt: skip
    for number, name in enumerate(FRAME):
        lines.append(f"  %{name}_p = getelementptr i8, ptr %frame, i64 {8 * number}")
        lines.append(f"  %{name} = load {types.get(name, 'ptr')}, ptr %{name}_p, align 8")
    lines += ["  %slot = trunc i64 %index to i32", "  %count = trunc i64 %parts to i32"]
    known = {"lines": "ptr %lines", "stride": "i64 %stride", "relax": "ptr %relax",
             "pool": "ptr %pool", "slot": "i32 %slot", "parts": "i32 %count"}  # fmt: skip
    for name, offset in team.MEMBER.items():
        value = known.get(name, "i32 0")
        align = 4 if value.startswith("i32") else 8
        lines.append(f"  %{name}_q = getelementptr i8, ptr %me, i64 {offset}")
        lines.append(f"  store {value}, ptr %{name}_q, align {align}")
    lines += [
        "  %skip = mul i64 %index, %stride",
        "  %line = getelementptr i8, ptr %lines, i64 %skip",
        f"  %own = getelementptr i8, ptr %line, i64 {team.LINE}",
        f"  call void @{run}(ptr %in, ptr %out, ptr %workspace, ptr %constants, ptr %own, "
        f"ptr %me, i64 %parts)",
        "  ret void",
        "}",
        "",
    ]
    return "\n".join(lines)
