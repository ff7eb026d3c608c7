"""Registers that do not suffice are seen in the machine code."""

from __future__ import annotations

import platform
from dataclasses import replace
from typing import Any

import pytest

import symgraph as sg
from symgraph.cli.time import spill_text
from symgraph.codegen.llvm import schedule_trial, target, tiles_of_columns
from symgraph.codegen.llvm.spills import spills
from symgraph.options import Options

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="looks at x86-64 objects")

CPUS = ("x86-64", "x86-64-v3", "x86-64-v4")


def code(cpu: str) -> bytes:
    """The object of a product of matrices, for a processor that need not be this one."""
    net = sg.linear(sg.var("x", (253, 251)), 241, name="fc")
    build = sg.compiler.Build(net.graph, sg.init(net, seed=0), False, {}, {}, "model", Options())
    made = target.LLVMTarget()
    options = Options(cpu=cpu)
    program = replace(build, options=options).program(made)
    return made.build(program, made.emit(program, options), options).body


# Without fused multiply-add tails may spill, innermost loops not (see test_schedule_trial.py).
@pytest.mark.parametrize("cpu", CPUS[1:])
def test_tiles_as_they_are_chosen_do_not_spill(cpu: str) -> None:
    assert spills(code(cpu)) == {}


@pytest.mark.parametrize("cpu", CPUS)
def test_a_tile_that_is_too_big_is_seen(cpu: str, monkeypatch: pytest.MonkeyPatch) -> None:
    original = schedule_trial.schedule_kernel

    def greedy(kernel: Any, machine: Any, *rest: Any) -> Any:
        return original(kernel, replace(machine, registers=2 * machine.registers), *rest)

    monkeypatch.setattr(schedule_trial, "schedule_kernel", greedy)
    monkeypatch.setattr(schedule_trial, "is_crowded", lambda *_: False)
    monkeypatch.setattr(tiles_of_columns, "MOST_ROWS", 60)
    found = spills(code(cpu))
    assert set(found) == {"k_fc_0"}
    assert found["k_fc_0"] > 30


@pytest.mark.parametrize("body", [b"", b"\x7fELF", b"MZ" + bytes(200), bytes(64)])
def test_other_files_have_none(body: bytes) -> None:
    assert spills(body) == {}


def test_objects_for_other_processors_are_not_looked_at() -> None:
    made, options = target.LLVMTarget(), Options(platform="aarch64-linux")
    net = sg.linear(sg.var("x", (4, 6)), 5)
    build = sg.compiler.Build(net.graph, sg.init(net, seed=0), False, {}, {}, "model", options)
    program = build.program(made)
    assert spills(made.build(program, made.emit(program, options), options).body) == {}


def test_executables_tell_and_the_command_says_so() -> None:
    run = sg.compile(sg.exp(sg.var("x", (3,))))
    assert run.spills == run.with_threads(1).spills == {}
    assert sg.compile(sg.exp(sg.var("x", (3,))), target="interp").spills == {}
    assert spill_text({}) == ""
    text = spill_text({f"k_{n}": n for n in range(1, 12)})
    assert "k_11 11, k_10 10" in text
    assert text.endswith("k_4 4 and 3 more")
