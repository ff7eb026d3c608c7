"""An independent judge of the scratch of a program: what every thread writes lies in its own bytes.

Nothing of the layout is used but the offsets it decided: which memory a kernel needs, how often a
vector loop multiplies it, and for how long it matters are found again from the kernel as emitted.
At given extents and for a number of threads

W1  memory that a kernel's phases share lies at its offset inside the shared part of the workspace,
    at a multiple of the alignment, and over no other that matters at the same time
W2  so does memory of one thread, inside that thread's part behind the words of the team
W3  memory of a kernel has an offset, or is small enough for the stack
W4  the parts of the workspace (arena, shared, each thread's) follow one another inside its size
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ...errors import MemoryPlanError
from ...ir.program import Check, Program
from ...kernel import dims
from ...kernel.dims import Dim, DimVar
from ...kernel.ir import Alloc, Block, Buffer, For, If, Stmt
from . import team
from .abi import ALIGNMENT
from .entry import WorkspacePlan
from .machine import STACK_LIMIT
from .phases import KernelPhases, Phase, split_phases
from .stages import is_shared

SAMPLES = (1, 3, 8, 100, 32)
"""Values of open extents at which a program is judged."""


def check_scratch(
    program: Program,
    kernels: Sequence[KernelPhases],
    workspace: WorkspacePlan,
    sizes: Mapping[str, int],
    threads: int,
) -> None:
    """Judge the scratch of a program's kernels.

    Raises: MemoryPlanError with the rule, the kernel and the bytes where one is broken.
    """
    _Check(program, workspace, {DimVar(name): n for name, n in sizes.items()}, threads).run(kernels)


def check_scratch_at_samples(
    program: Program, workspace: WorkspacePlan, stack_limit: int, threads: int
) -> None:
    """Judge a program's scratch at several extents that its checks allow.

    Raises: MemoryPlanError as `check_scratch` does.
    """
    kernels = [split_phases(k, stack_limit) for k in dict.fromkeys(program.kernels)]
    for size in SAMPLES if program.dims else SAMPLES[:1]:
        sizes = {var.name: size for var in program.dims}
        if all(_allows(check, sizes) for check in program.checks):
            check_scratch(program, kernels, workspace, sizes, threads)


def _allows(check: Check, sizes: Mapping[str, int]) -> bool:
    env = {DimVar(name): size for name, size in sizes.items()}
    left, right = dims.evaluate(check.left, env), dims.evaluate(check.right, env)
    return bool(left == right if check.relation == "==" else left >= right)


@dataclass(frozen=True, slots=True)
class _Need:
    """Bytes of one buffer with all its copies; `fixed` where they depend on no extent."""

    buffer: Buffer
    nbytes: int
    fixed: bool


class _Check:
    def __init__(
        self, program: Program, workspace: WorkspacePlan, env: Mapping[DimVar, int], threads: int
    ) -> None:
        self.program, self.workspace, self.env, self.threads = program, workspace, env, threads

    def value(self, dim: Dim) -> int:
        return int(dims.evaluate(dim, dict(self.env)))

    def run(self, kernels: Sequence[KernelPhases]) -> None:
        words = team.LINE if any(is_shared(p) for k in kernels for p in k.phases) else 0
        self._parts(words)
        for kernel in kernels:
            name = kernel.kernel.name
            around, body = _around(kernel.kernel.body)
            needs = [_Need(b, self.value(b.nbytes), True) for b in around]
            self._places("W1", f"kernel {name}", needs, kernel.shared, self.workspace.shared)
            own = dims.add(self.workspace.own, -self.workspace.line)
            seen: set[Buffer] = set()
            for number, phase in enumerate(kernel.phases):
                inside = list(self._needs(phase.body, 1))
                seen |= {need.buffer for need in inside}
                self._phase(f"kernel {name}, phase {number}", phase, inside, own)
            missed = {need.buffer for need in self._needs(body, 1)} - seen
            if missed:
                raise MemoryPlanError(f"[W3] kernel {name}: no phase has {min(map(str, missed))}")

    def _parts(self, words: int) -> None:
        space = self.workspace
        arena = 0 if self.program.plan is None else self.value(self.program.plan.nbytes)
        starts = [self.value(space.arena) + self.value(space.shared) + n * self.value(space.own)
                  for n in range(self.threads + 1)]  # fmt: skip
        total = self.value(space.nbytes(self.threads))
        bad = (
            self.value(space.arena) < arena
            or any(s % ALIGNMENT for s in (self.value(space.arena), *starts[:-1]))
            or starts[-1] > total
            or space.line < (words if self.threads > 1 else 0)
            or self.value(space.own) < space.line
        )
        if bad:
            raise MemoryPlanError(
                f"[W4] program {self.program.name}: an arena of {arena} bytes, shared scratch, "
                f"then {self.threads} parts with {words} bytes of words do not follow one another "
                f"in {total} bytes: they would begin at {self.value(space.arena)} and {starts}"
            )

    def _phase(self, where: str, phase: Phase, needs: list[_Need], room: Dim) -> None:
        given = {buffer for buffer, _ in phase.own}
        for need in needs:
            if need.buffer not in given and not (need.fixed and need.nbytes <= STACK_LIMIT):
                raise MemoryPlanError(
                    f"[W3] {where}: {need.buffer.name} of {need.nbytes} bytes has no place; the "
                    f"stack takes {STACK_LIMIT} bytes of fixed size"
                )
        self._places("W2", where, [n for n in needs if n.buffer in given], phase.own, room)

    def _places(
        self, rule: str, where: str, needs: Sequence[_Need],
        placed: Sequence[tuple[Buffer, Dim]], room: Dim,
    ) -> None:  # fmt: skip
        at = {buffer: self.value(offset) for buffer, offset in placed}
        end, last = 0, "the start"
        for need in sorted(needs, key=lambda n: at.get(n.buffer, -1)):
            if need.buffer not in at:
                raise MemoryPlanError(f"[W3] {where}: {need.buffer.name} has no place")
            low = at[need.buffer]
            high = low + need.nbytes
            if low % ALIGNMENT or low < 0 or high > self.value(room):
                raise MemoryPlanError(
                    f"[{rule}] {where}: {need.buffer.name} holds bytes [{low}, {high}): it must "
                    f"begin at a multiple of {ALIGNMENT} inside {self.value(room)} bytes"
                )
            if low < end:
                raise MemoryPlanError(
                    f"[{rule}] {where}: {need.buffer.name} at bytes [{low}, {high}) overlaps "
                    f"{last}, which ends at {end}"
                )
            end, last = (high, need.buffer.name) if need.nbytes else (end, last)

    def _needs(self, stmt: Stmt, copies: int) -> Iterator[_Need]:
        """What is allocated in a statement; vector loops hold a copy for each lane."""
        match stmt:
            case Alloc(buffer=buffer, body=body):
                if buffer.scope != "register" or not isinstance(buffer.nbytes, int):
                    nbytes = self.value(buffer.nbytes) * copies
                    yield _Need(buffer, nbytes, isinstance(buffer.nbytes, int))
                yield from self._needs(body, copies)
            case For(body=body):
                width = stmt.lanes if stmt.lanes else stmt.extent
                inner = width if stmt.kind == "vector" and isinstance(width, int) else copies
                yield from self._needs(body, inner)
            case Block(stmts=stmts):
                for part in stmts:
                    yield from self._needs(part, copies)
            case If(then=then, otherwise=otherwise):
                yield from self._needs(then, copies)
                if otherwise is not None:
                    yield from self._needs(otherwise, copies)
            case _:
                return


def _around(stmt: Stmt) -> tuple[list[Buffer], Stmt]:
    """The memory allocated around all of a kernel, which its phases share, and what is inside."""
    found: list[Buffer] = []
    while isinstance(stmt, Alloc) and stmt.buffer.scope != "register":
        found.append(stmt.buffer)
        stmt = stmt.body
    return found, stmt
