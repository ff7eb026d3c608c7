"""One program and one plan: what a target runs, the interpreter runs from the same arena."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.codegen.target import find_target, target_names
from symgraph.ir.program import KernelStep
from symgraph.ir.verify_program import check_plan
from symgraph.passes.order_steps import OrderSteps
from symgraph.passes.plan_memory import PlanMemory
from symgraph.train.step import build_step

TARGETS = [n for n in target_names() if find_target(n).available() is None]


def network(batch: Any = 2) -> Any:
    """Convolutions and a pooling that run over blocks, a join, a softmax over rows."""
    h = sg.var("x", (batch, 3, 36, 36))
    h = sg.max_pool2d(sg.relu(sg.conv2d(h, 16, kernel_size=3, padding=1, name="first")), 2)
    h = sg.concat([sg.conv2d(h, 5, kernel_size=1, name="a"), sg.conv2d(h, 7, kernel_size=3,
                   padding=1, name="b")], axis=1)  # fmt: skip
    return sg.softmax(sg.linear(sg.flatten(sg.relu(h)), 11, name="last"))


def given(symbol: Any, batch: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    shapes = symbol.infer_shape(x=(batch, 3, 36, 36)).variables
    return {n: (rng.normal(size=s) / 8).astype(np.float32) for n, s in sorted(shapes.items())}


@pytest.mark.parametrize("target", TARGETS)
def test_the_interpreter_runs_what_a_target_runs(target: str) -> None:
    symbol = network()
    arrays = given(symbol, 2)
    params = {n: a for n, a in arrays.items() if n != "x"}
    f = sg.compile(symbol, params=params, target=target, threads=2)
    same = sg.interpreted(f)
    assert same.program is f.program and same.memory is f.memory
    np.testing.assert_allclose(same(x=arrays["x"]), f(x=arrays["x"]), rtol=1e-5, atol=1e-7)
    if target == "llvm":
        steps = [s for s in f.program.steps if isinstance(s, KernelStep)]
        assert any(s.before for s in steps), "kernels over blocks are among what it runs"


@pytest.mark.parametrize("target", TARGETS)
def test_open_extents_too(target: str) -> None:
    symbol = network("N")
    f = sg.compile(symbol, target=target)
    for batch in (1, 3):
        arrays = given(symbol, batch)
        np.testing.assert_allclose(sg.interpreted(f)(**arrays), f(**arrays), rtol=1e-5, atol=1e-7)


def test_a_training_step_moves_arrays_of_its_own() -> None:
    loss = sg.mean(sg.square(sg.linear(sg.var("x", (5, 3)), 7, name="fc")))
    params = {"fc_weight": np.ones((7, 3), np.float32), "fc_bias": np.zeros(7, np.float32)}
    f = build_step(loss, params, sg.train.SGD()).compile(params, target="llvm")
    same = sg.interpreted(f)
    x = np.linspace(-1, 1, 15, dtype=np.float32).reshape(5, 3)
    before = np.array(f.parameters["fc_weight"])
    first = same(x=x, learning_rate=np.float32(0.1))
    np.testing.assert_array_equal(f.parameters["fc_weight"], before)
    np.testing.assert_allclose(f(x=x, learning_rate=np.float32(0.1)), first, rtol=1e-6)
    for name, array in f.parameters.items():
        np.testing.assert_allclose(same.parameters[name], array, rtol=1e-6)


@pytest.mark.parametrize("target", TARGETS)
def test_the_plan_of_a_program_depends_on_no_target_but_for_its_alignment(target: str) -> None:
    """Planned again with the alignment of each target, a program gets the offsets that target
    would give it: those of its own, and none of the plans breaks a rule."""
    f = sg.compile(network(), target=target)
    bare = f.program.with_(plan=None)
    for name in TARGETS:
        alignment = find_target(name).alignment
        plan = PlanMemory(alignment, verify=2).run(OrderSteps(alignment).run(bare)).plan
        assert plan is not None
        assert all(int(offset) % alignment == 0 for _, offset in plan.offsets)
        if alignment == find_target(target).alignment:
            assert f.memory is not None
            assert [o for _, o in plan.offsets] == [o for _, o in f.memory.offsets]
    widest = max(find_target(name).alignment for name in TARGETS)
    program = PlanMemory(widest, verify=2).run(bare)
    for name in TARGETS:
        check_plan(program, {}, find_target(name).alignment)
