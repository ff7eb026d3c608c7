"""Tiles whose innermost loops spill give way to smaller ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from symgraph.codegen.llvm import inner_loops, schedule_trial
from symgraph.codegen.llvm.inner_loops import InnerLoops, count
from symgraph.codegen.llvm.machine import machine, strict_machine
from symgraph.codegen.llvm.schedule import schedule_kernel
from symgraph.codegen.llvm.schedule_trial import is_crowded, schedule_in_registers, tried
from symgraph.kernel.printer import kernel_text
from symgraph.kernel.verify import verify_kernel
from symgraph.options import Options
from tests.kernel.transform.kernels import bias, product, random_inputs
from tests.support.kernels import interpret, run_on

Sizes = tuple[int, int, int]

SPILLING = [
    ("x86-64", None, (253, 241, 251), "nn"),
    ("x86-64", None, (253, 251, 241), "nt"),
    ("x86-64-v3", None, (4, 96, 320), "nt"),
    (None, "aarch64-linux", (9, 40, 36), "tn"),
]


@pytest.mark.parametrize(("cpu", "platform", "sizes", "form"), SPILLING)
def test_a_tile_that_spills_gives_way(
    cpu: str | None, platform: str | None, sizes: Sizes, form: str
) -> None:
    chosen, kernel = machine(cpu, platform), product(*sizes, form)
    first = schedule_kernel(kernel, chosen, 2)
    assert is_crowded(first, chosen)
    assert tried(first, chosen, None).spills > 0
    kept = schedule_in_registers(kernel, chosen, 2)
    verify_kernel(kept, 2)
    found = tried(kept, chosen, None)
    assert found.spills == 0 and found.multiplies > 0


def test_kernels_with_room_are_not_compiled_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> InnerLoops:
        raise AssertionError("compiled")

    monkeypatch.setattr(schedule_trial, "tried", never)
    for cpu in ("x86-64-v4", "x86-64-v3"):
        for kernel in (product(512, 512, 512), product(65, 33, 130), bias(3, 37)):
            schedule_in_registers(kernel, machine(cpu), 2)
    # Strict code does not ask any one machine.
    crowded = product(253, 251, 241, "nt")
    for real in (machine("x86-64-v3"), machine("x86-64")):
        schedule_in_registers(crowded, strict_machine(real), 2)


def test_the_fewest_spills_win_on_wide_vectors_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with fewer registers than the rule believes."""
    real = machine("x86-64-v4")
    believed = replace(real, registers=38)
    monkeypatch.setattr(schedule_trial, "is_crowded", lambda *_: True)
    kernel = product(252, 96, 256)
    assert tried(schedule_kernel(kernel, believed, 2), real, None).spills > 0
    assert tried(schedule_in_registers(kernel, believed, 2), real, None).spills == 0


def test_results_agree() -> None:
    kernel = product(25, 40, 37, "nt")
    kept = schedule_in_registers(kernel, machine("x86-64"), 2)
    inputs = random_inputs(kernel, {})
    expected = interpret(kernel, inputs, {})
    moved = [a.reshape(b.shape) for a, b in zip(inputs, kept.inputs, strict=True)]
    found = run_on("llvm", kept, moved, {}, Options(cache=None, threads=1, cpu="x86-64"))
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-4, atol=1e-4)


def test_the_same_choice_every_time_and_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, kernel = machine("x86-64"), product(253, 241, 251)
    first = schedule_in_registers(kernel, chosen, 2, cache=str(tmp_path))

    def never(_: str) -> InnerLoops:
        raise AssertionError("counted again")

    monkeypatch.setattr(inner_loops, "count", never)
    again = schedule_in_registers(kernel, chosen, 2, cache=str(tmp_path))
    assert kernel_text(again) == kernel_text(first)


X86 = """
f:
\tvmovups\t%zmm1, 64(%rsp)                  # 64-byte Spill
.LBB0_1:                                # outer
\tvmulps\t%zmm0, %zmm1, %zmm2
.LBB0_2:                                # inner
\tvmovups\t64(%rsp), %zmm1                  # 64-byte Reload
\tvfmadd231ps\t%zmm0, %zmm1, %zmm2
\tvfmadd231ps\t(%rsp), %zmm1, %zmm2 # 64-byte Folded Reload
\tmovq\t8(%rsp), %rax                  # 8-byte Reload
\tjne\t.LBB0_2
\tjne\t.LBB0_1
.LBB0_3:
\taddq\t$1, %rax
\tjb\t.LBB0_3
\tretq
"""

ARM = """
f:
.LBB0_1:
\tldr\tq0, [sp, #16]                   // 16-byte Reload
\tfmla\tv1.4s, v0.4s, v2.s[1]
\tfmla\tv3.4s, v0.4s, v2.s[1]
\tcbnz\tx9, .LBB0_1
\tb.ne\t.LBB0_1
"""


def test_innermost_loops_with_products_are_counted() -> None:
    # What is stored before a loop costs little; addresses are no vectors.
    assert count(X86) == InnerLoops(spills=2, multiplies=2, instructions=5)
    # Two jumps back to one label: the longer way is the loop that contains the other.
    assert count(ARM) == InnerLoops(spills=1, multiplies=2, instructions=4)
    assert count("") == InnerLoops(0, 0, 0)
    assert InnerLoops(0, 0, 0).rate == (0.0, 0.0)
