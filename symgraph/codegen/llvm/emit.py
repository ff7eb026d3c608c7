"""A program as one LLVM IR module, in text.

A pure function of the program, the machine's description and nothing else: the same input gives
the same text, byte for byte.  Equal kernels are written once for each way their arguments overlap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...errors import InternalError
from ...ir.program import KernelStep, Program, RepeatStep, Step
from ...kernel import dims
from ...kernel.dims import Dim
from ...kernel.ir import Kernel
from . import abi
from .builder import ModuleBuilder
from .entry import EntryEmitter, WorkspacePlan, segments, workspace_plan
from .functions import PhaseFunction, Sharing, emit_kernel
from .machine import Machine
from .overlaps import Overlaps
from .phases import KernelPhases, split_phases
from .stages import Call, LoopCalls, PhaseCall


@dataclass(frozen=True, slots=True)
class Layout:
    """What a caller of the module must know: the workspace and the exported functions."""

    workspace: WorkspacePlan
    symbols: tuple[str, ...]
    work: Dim = 0
    """Estimated instructions of one call."""


def layout(program: Program, machine: Machine, single: bool = False, alone: bool = False) -> Layout:
    """The workspace's size and the entry of each segment (see `segments`)."""
    split = {k: split_phases(k, machine.stack_limit) for k in dict.fromkeys(program.kernels)}
    work = _work(program.steps, split)
    count = len(segments(program, single))
    if count == 1 and not single:
        symbols: tuple[str, ...] = (abi.run_symbol(program.name),)
    else:
        symbols = tuple(abi.segment_symbol(program.name, n) for n in range(count))
    return Layout(workspace_plan(program, list(split.values()), alone), symbols, work)


def _work(steps: Sequence[Step], split: Mapping[Kernel, KernelPhases]) -> Dim:
    """Estimated instructions of the steps; those of a loop as often as it runs them."""
    total: Dim = 0
    for step in steps:
        if isinstance(step, RepeatStep):
            total = dims.add(total, dims.mul(step.count, _work(step.steps, split)))
        elif isinstance(step, KernelStep):
            for phase in split[step.kernel].phases:
                total = dims.add(total, phase.cost)
    return total


def emit_program(
    program: Program, machine: Machine, single: bool = False, alone: bool = False
) -> str:
    """The module's text; with `single` every step has an entry of its own, to be timed; `alone`
    leaves out what shares work among threads."""
    return _ProgramEmitter(program, machine, single, alone).run()


class _ProgramEmitter:
    def __init__(self, program: Program, machine: Machine, single: bool, alone: bool) -> None:
        self.program = program
        self.single = single
        self.alone = alone
        self.machine = machine
        self.module = ModuleBuilder()
        self.phases: dict[Kernel, KernelPhases] = {}
        self.done: dict[tuple[Kernel, Sharing], list[PhaseFunction]] = {}
        self.taken: set[str] = set()
        self.overlaps = Overlaps(program)

    def run(self) -> str:
        found = layout(self.program, self.machine, self.single, self.alone)
        parts = segments(self.program, self.single)
        for symbol, steps in zip(found.symbols, parts, strict=True):
            calls = [call for step in steps for call in self._calls(step)]
            entry = EntryEmitter(
                self.module, self.machine, self.program, found.workspace, self.alone
            )
            entry.emit(symbol, calls, self.overlaps)
        header = (
            f"; {self.program.name}: {self.machine.cpu}\n"
            f'target triple = "{self.machine.triple}"\n\n{abi.CONTEXT_TYPE}\n'
        )
        return self.module.text(header)

    def _calls(self, step: Step) -> list[Call]:
        if isinstance(step, RepeatStep):
            inside = tuple(call for inner in step.steps for call in self._calls(inner))
            return [LoopCalls(step, inside)]
        if not isinstance(step, KernelStep):
            raise InternalError(f"host step {step.name} stands inside a loop")
        functions = self._functions(step)
        uses_shared = self.phases[step.kernel].shared_nbytes != 0
        return [PhaseCall(step, function, uses_shared) for function in functions]

    def _functions(self, step: KernelStep) -> list[PhaseFunction]:
        sharing = self._sharing(step)
        key = (step.kernel, sharing)
        if key not in self.done:
            if step.kernel not in self.phases:
                self.phases[step.kernel] = split_phases(step.kernel, self.machine.stack_limit)
            name = self._unique(step.kernel.name)
            phases = self.phases[step.kernel]
            self.done[key] = emit_kernel(self.module, self.machine, phases, name, sharing)
        return self.done[key]

    def _unique(self, name: str) -> str:
        candidate, number = f"k_{name}", 1
        while candidate in self.taken:
            candidate, number = f"k_{name}.{number}", number + 1
        self.taken.add(candidate)
        return candidate

    def _sharing(self, step: KernelStep) -> Sharing:
        params, arguments = step.kernel.params, step.arguments
        written = {n for n, p in enumerate(params) if p in step.kernel.outputs}
        overlapping: set[int] = set()
        for a in written:
            for b in range(len(params)):
                if a != b and self.overlaps.may_overlap(arguments[a], arguments[b]):
                    overlapping.update((a, b))
        read_only = frozenset(range(len(params))) - written - overlapping
        return Sharing(frozenset(overlapping), frozenset(read_only))
