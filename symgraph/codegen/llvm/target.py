"""The CPU target: programs as LLVM IR, compiled to one object, loaded in process or shipped."""

from __future__ import annotations

from dataclasses import replace

from ...errors import TargetError
from ...ir.program import HostStep, Program
from ...kernel.ir import Kernel
from ...kernel.rates import Rates
from ...options import Options
from ..target import Built
from . import abi
from .check_scratch import check_scratch_at_samples
from .emit import Layout, emit_program, layout
from .machine import Machine, machine, strict_machine
from .objects import compile_object, load
from .pool import available_processors
from .runtime import LLVMRunner
from .schedule_loops import MOST_LANES
from .schedule_trial import schedule_in_registers
from .spills import spills


class LLVMTarget:
    """Any CPU that LLVM knows; the host's when `Options.cpu` is not given."""

    name = "llvm"
    alignment = abi.ALIGNMENT

    def available(self) -> str | None:
        return None

    def describe_devices(self) -> tuple[str, ...]:
        """A line about this machine, for people."""
        found = machine(None)
        registers = f"{found.registers} registers of {found.vector_bytes * 8} bits"
        fused = "with" if found.fma else "without"
        return (f"{found.cpu} ({found.triple}): {registers}, {fused} fused multiply-add",)

    def machine(self, options: Options) -> Machine:
        """The machine that code is made for.  Raises: TargetError for an unknown cpu."""
        found = machine(options.cpu, options.platform)
        if options.strict:
            return strict_machine(found)
        return replace(found, flushes=options.denormals == "zero")

    def channel_block(self, options: Options) -> int | None:
        """One vector of float32, where vectors are long enough to fill with channels."""
        lanes = min(MOST_LANES, self.machine(options).lanes(4))
        return lanes if lanes >= 8 else None

    def rates(self, options: Options) -> Rates | None:
        """Two multiply-adds of vectors a cycle, and the caches of a server's core."""
        flops = 4.0 * self.machine(options).lanes(4)
        return Rates(flops, ((48 << 10, 128.0), (2 << 20, 32.0), (64 << 20, 8.0)), 4.0)

    def schedule(
        self, kernel: Kernel, options: Options, constants: frozenset[int] = frozenset()
    ) -> Kernel:
        return schedule_in_registers(
            kernel, self.machine(options), options.level, constants, options.cache
        )

    def emit(self, program: Program, options: Options, alone: bool = False) -> str:
        """The module's text.  Raises: MemoryPlanError at verification level 2 for bad scratch."""
        found = self.machine(options)
        if options.verify >= 2:
            space = layout(program, found, options.profile, alone).workspace
            threads = options.threads if options.threads else available_processors()
            check_scratch_at_samples(program, space, found.stack_limit, threads)
        return emit_program(program, found, options.profile, alone)

    def layout(self, program: Program, options: Options, alone: bool = False) -> Layout:
        """The workspace and the exported functions of what `emit` writes; `alone` on the calling
        thread, whatever a caller offers."""
        return layout(program, self.machine(options), alone=alone)

    def object(self, program: Program, text: str, options: Options) -> bytes:
        """The object file to ship.  Raises: TargetError when Python would be called back."""
        hosts = [s for s in program.timeline if isinstance(s, HostStep)]
        if hosts:
            raise TargetError(
                f"{program.name}: host operator {hosts[0].node.op.name} in node {hosts[0].name} "
                f"(declared at {hosts[0].node.origin}) runs in Python and cannot be shipped; "
                f"write it as a native operator, with index expressions in forward"
            )
        return compile_object(text, self.machine(options), options.cache)

    def load(self, program: Program, text: str, options: Options) -> LLVMRunner:
        return self.start(program, self.build(program, text, options), options)

    def code_key(self, options: Options) -> str:
        return f"{self.machine(options)!r}|{self.machine(options).key}"

    def build(self, program: Program, text: str, options: Options) -> Built:
        found = layout(program, self.machine(options), options.profile)
        return Built(compile_object(text, self.machine(options), options.cache), found)

    def start(self, program: Program, built: Built, options: Options) -> LLVMRunner:
        loaded = load(built.body, built.layout.symbols)
        runner = LLVMRunner(program, built.layout, loaded, options.threads, options.profile)
        runner.spills = spills(built.body)
        return runner


TARGET = LLVMTarget()
