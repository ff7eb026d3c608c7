"""Programs as text."""

from __future__ import annotations

from collections.abc import Sequence

from ..kernel.printer import Printer, kernel_text
from .program import KernelStep, Leaf, MemoryPlan, Program, ProgramBuffer, RepeatStep, Step, leaves


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
