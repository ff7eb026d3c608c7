"""Denormal numbers taken for zero: a mode of the processor, set while a program's steps run.

The mode is the thread's own, so every thread sets it for itself, and gives back the one it came
with: code around the program, numpy's above all, never meets another one.

Intel 64 manual, volume 1, 10.2.3 (MXCSR: flush to zero, denormals are zero); Arm Architecture
Reference Manual, FPCR.FZ.
"""

from __future__ import annotations

from .builder import ModuleBuilder
from .machine import Machine

MXCSR_FLUSH = 1 << 15 | 1 << 6
FPCR_FLUSH = 1 << 24

_X86 = f"""\
  %old = alloca i32, align 4
  %new = alloca i32, align 4
  call void @llvm.x86.sse.stmxcsr(ptr %old)
  %mode = load i32, ptr %old, align 4
  %flush = or i32 %mode, {MXCSR_FLUSH}
  store i32 %flush, ptr %new, align 4
  call void @llvm.x86.sse.ldmxcsr(ptr %new)
  CALL
  call void @llvm.x86.sse.ldmxcsr(ptr %old)
"""
_ARM = f"""\
  %mode = call i64 @llvm.aarch64.get.fpcr()
  %flush = or i64 %mode, {FPCR_FLUSH}
  call void @llvm.aarch64.set.fpcr(i64 %flush)
  CALL
  call void @llvm.aarch64.set.fpcr(i64 %mode)
"""
_DECLARED = {
    _X86: (
        "declare void @llvm.x86.sse.stmxcsr(ptr)",
        "declare void @llvm.x86.sse.ldmxcsr(ptr)",
    ),
    _ARM: (
        "declare i64 @llvm.aarch64.get.fpcr()",
        "declare void @llvm.aarch64.set.fpcr(i64)",
    ),
}


def in_mode(module: ModuleBuilder, machine: Machine, body: str, parameters: str) -> str:
    """The name of a function that calls `body` in the mode that the machine is to have.

    `parameters` are those of both, as LLVM writes them.  It is `body` itself where denormal numbers
    are kept, and on processors without such a mode.
    """
    text = _mode_text(machine)
    if not machine.flushes or text is None:
        return body
    for line in _DECLARED[text]:
        module.declare(line)
    call = f"call void @{body}({parameters})"
    lines = text.replace("CALL", call)
    name = f"{body}_flushed"
    module.functions.append(
        f"define internal void @{name}({parameters}) nounwind {{\n{lines}  ret void\n}}\n"
    )
    return name


def _mode_text(machine: Machine) -> str | None:
    if machine.triple.startswith("x86_64"):
        return _X86
    return _ARM if machine.triple.startswith(("aarch64", "arm64")) else None
