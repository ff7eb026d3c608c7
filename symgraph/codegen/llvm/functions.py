"""One internal function for each phase of a kernel.

    void @kernel_0(ptr a, ptr b, ..., ptr shared, ptr own, i64 N, ..., i64 begin, i64 end)

It runs the iterations begin .. end-1 of the phase's shared loop, or all of a phase without one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ...kernel.dims import Dim
from ...kernel.ir import Buffer, Kernel
from .abi import ALIGNMENT
from .builder import FunctionBuilder, ModuleBuilder
from .machine import Machine
from .memory import Memory
from .phases import KernelPhases, Phase
from .statements import Range, Statements
from .touched import Touched, touched

ATTRIBUTES = "nounwind"


@dataclass(frozen=True, slots=True)
class Sharing:
    """Which parameters may overlap another one, and which are never written while it runs."""

    overlapping: frozenset[int] = frozenset()
    read_only: frozenset[int] = frozenset()


@dataclass(frozen=True, eq=False)
class PhaseFunction:
    """The name of a phase's function."""

    phase: Phase
    name: str

    @cached_property
    def touched(self) -> tuple[Touched, ...]:
        """The elements of the kernel's buffers that the phase touches."""
        return touched(self.phase.body)


class _Body(Statements):
    """Statements of one phase, with its parameters and scratch in place."""

    def __init__(self, builder: FunctionBuilder, machine: Machine, phases: KernelPhases,
                 phase: Phase, sharing: Sharing) -> None:  # fmt: skip
        super().__init__(builder, machine, self._own_scratch)
        self.own = dict(phase.own)
        for number, var in enumerate(phases.kernel.dims):
            self.variables[var] = (0, f"%d{number}")
        for number, buffer in enumerate(phases.kernel.params):
            self.places[buffer] = Memory(f"%p{number}", number in sharing.read_only)
        for buffer, offset in phases.shared:
            self.places[buffer] = Memory(self._scratch_at("%shared", offset), False)

    def _own_scratch(self, buffer: Buffer) -> str:
        return self._scratch_at("%own", self.own[buffer])

    def _scratch_at(self, base: str, offset: Dim) -> str:
        if offset == 0:
            return base
        text = self.scalar(offset)
        return self.builder.hoisted(f"getelementptr i8, ptr {base}, i64 {text}", 0)


def emit_kernel(
    module: ModuleBuilder, machine: Machine, phases: KernelPhases, name: str, sharing: Sharing
) -> list[PhaseFunction]:
    """Write the functions of every phase; return their names."""
    functions = []
    for number, phase in enumerate(phases.phases):
        symbol = f"{name}_{number}"
        module.functions.append(_phase_text(module, machine, phases, phase, symbol, sharing))
        functions.append(PhaseFunction(phase, symbol))
    return functions


def _phase_text(
    module: ModuleBuilder,
    machine: Machine,
    phases: KernelPhases,
    phase: Phase,
    symbol: str,
    sharing: Sharing,
) -> str:
    builder = FunctionBuilder(module)
    body = _Body(builder, machine, phases, phase, sharing)
    if phase.loop is None:
        body.stmt(phase.body)
    else:
        body.loop(phase.loop, Range("%begin", "%end"))
    builder.line("ret void")
    head = f"define internal void @{symbol}({', '.join(_parameters(phases.kernel, sharing))})"
    return builder.text(f"{head} {ATTRIBUTES}{_width_attribute(machine)}")


def _width_attribute(machine: Machine) -> str:
    return ' "prefer-vector-width"="512"' if machine.vector_bytes == 64 else ""


def _parameters(kernel: Kernel, sharing: Sharing) -> list[str]:
    found = []
    for number, _ in enumerate(kernel.params):
        alias = "" if number in sharing.overlapping else " noalias"
        access = " readonly" if number in sharing.read_only else ""
        found.append(f"ptr{alias}{access} %p{number}")
    found += [f"ptr noalias align {ALIGNMENT} %shared", f"ptr noalias align {ALIGNMENT} %own"]
    found += [f"i64 %d{number}" for number, _ in enumerate(kernel.dims)]
    return [*found, "i64 %begin", "i64 %end"]


def argument_types(kernel: Kernel) -> list[str]:
    """The types of a phase's arguments up to `begin`."""
    return ["ptr"] * (len(kernel.params) + 2) + ["i64"] * len(kernel.dims)
