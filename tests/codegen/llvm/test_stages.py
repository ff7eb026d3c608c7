"""What may run at the same time: phases, items, stages."""

from __future__ import annotations

import numpy as np

import symgraph as sg
from symgraph.codegen.executable import Executable
from symgraph.codegen.llvm.emit import _ProgramEmitter
from symgraph.codegen.llvm.machine import machine
from symgraph.codegen.llvm.phases import split_phases
from symgraph.codegen.llvm.stages import Stage, stages
from symgraph.codegen.llvm.touched import touched
from symgraph.kernel.dims import LoopVar
from symgraph.kernel.dtypes import float32
from symgraph.kernel.ir import Buffer, For, If, IndexValue, Store, call, const


def compiled(symbol: sg.Symbol, **options: object) -> Executable:
    params = sg.init(symbol, seed=0)
    return sg.compile(symbol, params=params, cache=None, threads=2, **options)


def stages_of(executable: Executable) -> list[Stage]:
    emitter = _ProgramEmitter(executable.program, machine(None), False, alone=False)
    calls = [c for step in executable.program.steps for c in emitter._calls(step)]
    return stages(calls, emitter.overlaps)


def test_a_chain_of_small_steps_is_one_item() -> None:
    x = sg.var("x", (3, 5))
    h = x
    for number, units in enumerate((7, 11, 13)):
        h = sg.relu(sg.linear(h, units, name=f"fc{number}"))
    found = stages_of(compiled(h))
    assert [len(stage) for stage in found] == [1]
    assert not found[0][0].is_shared
    assert len(found[0][0].calls) == 3


def test_large_steps_that_depend_on_each_other_are_stages() -> None:
    x = sg.var("x", (1, 16, 40, 36))
    h = sg.relu(sg.conv2d(x, 24, kernel_size=3, name="a"))
    h = sg.conv2d(h, 20, kernel_size=3, name="b")
    shared = [[item.is_shared for item in stage] for stage in stages_of(compiled(h))]
    assert shared.count([True]) >= 2


def test_branches_run_at_the_same_time() -> None:
    x = sg.var("x", (1, 16, 40, 36))
    left = sg.conv2d(x, 24, kernel_size=1, name="a")
    right = sg.conv2d(x, 20, kernel_size=1, name="b")
    executable = compiled(sg.group(left, right))
    together = [stage for stage in stages_of(executable) if len(stage) == 2]
    assert together
    assert all(item.is_shared for item in together[0])
    alone = sg.compile(
        sg.group(left, right), params=sg.init(sg.group(left, right), seed=0), cache=None, threads=1
    )
    a = np.random.default_rng(1).standard_normal((1, 16, 40, 36)).astype("float32")
    for _ in range(10):
        for mine, theirs in zip(executable(x=a), alone(x=a), strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_a_padding_written_by_the_producer_does_not_wait() -> None:
    """The zeros around an image are other elements than those of the image."""
    x = sg.var("x", (1, 16, 21, 19))
    h = sg.relu(sg.conv2d(x, 32, kernel_size=1, name="a"))
    h = sg.conv2d(h, 16, kernel_size=3, padding=1, name="b")
    executable = compiled(h, cpu="x86-64-v4") if _is_x86() else compiled(h)
    kernels = [k for k in executable.program.kernels if len(split_phases(k).phases) == 2]
    for stage in stages_of(executable):
        steps = [call.step for item in stage for call in item.calls]
        if any(step.kernel in kernels for step in steps):
            both = [step for step in steps if step.kernel in kernels]
            assert len(both) == 2


def _is_x86() -> bool:
    return machine(None).triple.startswith("x86_64")


def test_conditions_narrow_what_is_touched() -> None:
    """then: rows 0..3, else: rows 14..19 of the buffer."""
    i, out = LoopVar("i"), Buffer("out", (20,), float32)
    inside = Store(out, (i,), const(1.0, float32))
    outside = Store(out, (i + 10,), const(1.0, float32))
    body = If(call("lt", IndexValue(i), IndexValue(4)), inside, outside)
    found = touched(For(i, 10, "parallel", body))
    assert [t.intervals for t in found] == [((0, 3),), ((14, 19),)]
    assert found[0].is_apart(found[1])
    assert not found[0].is_apart(found[0])
