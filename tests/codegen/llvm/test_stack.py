"""The stack that is reported, against what LLVM itself says of every function."""

from __future__ import annotations

import re
import subprocess
import sys

import llvmlite.binding as llvm
import pytest

import symgraph as sg
from symgraph.codegen.llvm.frames import frame_nbytes
from symgraph.codegen.llvm.machine import initialise, machine, target_machine
from symgraph.codegen.llvm.platform import PLATFORMS
from symgraph.codegen.llvm.stack import TASKS, measured
from symgraph.codegen.target import find_target
from symgraph.options import Options

# A frame that is aligned by hand, one that calls with many arguments, one that is called through a
# pointer: each in a size that needs more than a byte.
MODULE = """
target triple = "@TRIPLE@"
declare void @outside(ptr, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64)
define internal void @aligned(ptr %p, i64 %a, i64 %b, i64 %c, i64 %d, i64 %e, i64 %f, i64 %g, \
i64 %h, i64 %i, i64 %j) nounwind noinline {
  %room = alloca [300 x i8], align 64
  call void @outside(ptr %room, i64 %j, i64 %a, i64 %b, i64 %c, i64 %d, i64 %e, i64 %f, i64 %g, \
i64 %h, i64 %i)
  ret void
}
define internal void @large(ptr %p) nounwind noinline {
  %room = alloca [4000 x i8], align 4
  call void @aligned(ptr %room, i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, \
i64 9)
  ret void
}
define i32 @start(ptr %through, i1 %early) nounwind {
  br i1 %early, label %leave, label %go
go:
  call void %through(ptr @large)
  br label %leave
leave:
  ret i32 0
}
"""
WORKER = """
import sys
import llvmlite.binding as llvm
from symgraph.codegen.llvm.machine import initialise, machine, target_machine
initialise()
target_machine(machine(sys.argv[2], sys.argv[1])).emit_object(llvm.parse_assembly(sys.stdin.read()))
"""


def of_llvm(text: str, platform: str, cpu: str) -> dict[str, int]:
    """The frame of each function as LLVM tells it on standard error."""
    marked = re.sub(r"^(define .*) \{$", r'\1 "warn-stack-size"="0" {', text, flags=re.MULTILINE)
    done = subprocess.run(
        [sys.executable, "-c", WORKER, platform, cpu], input=marked, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    found = re.findall(r"size \((\d+)\) exceeds limit \(0\) in function '([^']*)'", done.stderr)
    return {name: int(nbytes) for nbytes, name in found}


def assembly_of(text: str, platform: str, cpu: str) -> tuple[str, str]:
    initialise()
    host = machine(cpu, platform)
    return target_machine(host).emit_assembly(llvm.parse_assembly(text)), host.triple


CPUS = [(name, next(iter(p.cpus))) for name, p in PLATFORMS.items()]
CPUS.append(("x86_64-linux", "x86-64-v4"))


@pytest.mark.parametrize(("platform", "cpu"), CPUS)
def test_the_chain_of_a_module(platform, cpu):
    text = MODULE.replace("@TRIPLE@", machine(cpu, platform).triple)
    truth = of_llvm(text, platform, cpu)
    assembly, triple = assembly_of(text, platform, cpu)
    found = measured(text, assembly, triple, ("start",))
    chain = found["start"]
    assert chain is not None
    assert [name for name, _ in chain.chain] == ["start", "large", "aligned"]
    for name, nbytes in chain.chain:
        # The return address and the arguments of calls are in ours alone.
        assert truth.get(name, 0) <= nbytes <= truth.get(name, 0) + 200, name
    task = found[TASKS]
    assert task is not None and chain.nbytes == task.nbytes + chain.chain[0][1]


@pytest.mark.parametrize(("platform", "cpu"), CPUS)
def test_every_function_of_a_network(platform, cpu):
    x = sg.var("x", ("N", 2, 17, 13))
    h = sg.relu(sg.conv2d(x, 6, kernel_size=3, name="conv"))
    y = sg.softmax(sg.linear(sg.flatten(h), 11, name="fc"))
    options = Options(target="llvm", platform=platform, cpu=cpu)
    function = sg.compiler.Build(y.graph, sg.init(y, seed=0), False, {}, {}, "net", options)
    target = find_target("llvm")
    text = target.emit(function.program(target), options)
    truth = of_llvm(text, platform, cpu)
    assembly, triple = assembly_of(text, platform, cpu)
    names = re.findall(r"^define [^@\n]*@([\w.$]+)\(", text, re.MULTILINE)
    assert len(names) > 5
    found = measured(text, assembly, triple, tuple(names))
    assert all(found.values())
    for name in names:
        stack = found[name]
        assert stack is not None
        own = stack.chain[0][1] if stack.chain else 0
        assert truth.get(name, 0) <= own <= truth.get(name, 0) + 200, name


def test_recursion_is_not_bounded():
    text = MODULE.replace("@TRIPLE@", machine("x86-64", "x86_64-linux").triple).replace(
        "call void @outside(", "call void @aligned("
    )
    assembly, triple = assembly_of(text, "x86_64-linux", "x86-64")
    assert measured(text, assembly, triple, ("start",))["start"] is None


@pytest.mark.parametrize(
    ("triple", "line"),
    [
        ("x86_64-unknown-linux-gnu", "subq\t%rax, %rsp"),
        ("x86_64-unknown-linux-gnu", "movq\t%rax, %rsp"),
        ("aarch64-unknown-linux-gnu", "sub\tsp, sp, x9"),
        ("riscv64-unknown-linux-gnu", "sub\tsp, sp, a0"),
        ("thumbv7em-none-eabihf", "sub.w\tsp, sp, r12"),
    ],
)
def test_what_is_dynamic_is_not_known(triple, line):
    assert frame_nbytes(["nop"], triple) in (0, 8)
    assert frame_nbytes([line], triple) is None


def test_pushes_for_arguments_come_and_go():
    lines = ["pushq\t%rbx", "je\t.L2", ".L1:", "pushq\t%rax", "pushq\t%rax", "callq\tf",
             "addq\t$16, %rsp", "jmp\t.L1", ".L2:", "pushq\t%rax", "popq\t%rax", "popq\t%rbx",
             "retq"]  # fmt: skip
    assert frame_nbytes(lines, "x86_64-unknown-linux-gnu") == 8 + 8 + 16
