"""A memory budget: values are computed again, the results stay the same to the bit."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

import symgraph as sg
from symgraph.errors import AttributeValueError, MemoryPlanError
from symgraph.ir.verify_program import check_plan
from symgraph.kernel import dims
from symgraph.passes.order_steps import OrderSteps
from symgraph.passes.plan_memory import PlanMemory
from symgraph.passes.recompute import Recompute
from symgraph.train.step import build_step

BATCH, WIDTH = 17, 5
VALUE = 384  # bytes of one activation, aligned


def step(layers: int, target: str, budget: int | None = None):
    """A training step of a chain, its parameters, and how many activations it keeps."""
    rng = np.random.default_rng(0)
    h, params = sg.var("x", (BATCH, WIDTH)), {}
    for n in range(layers):
        h = sg.tanh(sg.linear(h, WIDTH, name=f"fc{n}"))
        params[f"fc{n}_weight"] = rng.normal(size=(WIDTH, WIDTH)).astype(np.float32)
        params[f"fc{n}_bias"] = rng.normal(size=(WIDTH,)).astype(np.float32)
    loss = sg.mean(sg.square(h))
    names = loss.list_variables()
    weights = dict(zip([n for n in names if n != "x"], params.values(), strict=True))
    built = build_step(loss, weights, sg.train.SGD())
    return built.compile(weights, target=target, memory_budget=budget, threads=1)


def result(f) -> list[np.ndarray]:
    x = np.random.default_rng(1).normal(size=(BATCH, WIDTH)).astype(np.float32)
    loss = f(x=x, learning_rate=np.float32(0.1))
    return [np.array(loss), *(np.array(a) for a in f.parameters.values())]


def again(f) -> list:
    return [s for s in f.program.steps if any(b.name.endswith("_again") for b in s.writes)]


@pytest.mark.parametrize("target", ["interp", "llvm"])
def test_results_do_not_change_by_a_bit(target: str) -> None:
    plain = step(30, target)
    tight = step(30, target, plain.memory.nbytes * 3 // 5)
    assert again(tight) and not again(plain)
    assert tight.memory.nbytes <= plain.memory.nbytes * 3 // 5
    check_plan(tight.program, {})
    for a, b in zip(result(plain), result(tight), strict=True):
        np.testing.assert_array_equal(a, b)


def test_fifty_layers_fit_a_square_root_with_one_more_forward_pass() -> None:
    plain = step(50, "interp")
    forward = plain.memory.nbytes // VALUE  # values kept without a budget
    assert forward >= 50
    budget = (2 * math.isqrt(forward) + 6) * VALUE
    tight = step(50, "interp", budget)
    assert tight.memory.nbytes <= budget < plain.memory.nbytes / 2
    assert len(again(tight)) <= 50 + 1
    labels = [s.label for s in again(tight)]
    assert len(labels) == len(set(labels)), "every step runs again at most once"
    check_plan(tight.program, {})


def test_a_budget_that_is_met_already_changes_nothing() -> None:
    plain = step(4, "interp")
    roomy = step(4, "interp", plain.memory.nbytes)
    assert [s.label for s in roomy.program.steps] == [s.label for s in plain.program.steps]


def test_an_impossible_budget_says_what_is_needed() -> None:
    with pytest.raises(MemoryPlanError, match=r"memory_budget=64 bytes cannot be met .* needs \d+"):
        step(30, "interp", 64)
    with pytest.raises(AttributeValueError, match="memory_budget must be >= 0 bytes, got -1"):
        sg.compile(sg.relu(sg.var("x", (3,))), memory_budget=-1)


def test_what_an_update_has_overwritten_is_not_read_again() -> None:
    """A recomputed step never comes after the update of a parameter that it reads."""
    f = step(30, "interp", step(30, "interp").memory.nbytes * 3 // 5)
    inputs = {p.name: p.buffer.root for p in f.program.inputs}
    place = {p.buffer.root: inputs[p.updates] for p in f.program.outputs if p.updates}
    overwritten: set = set()
    for s in f.program.steps:
        assert not overwritten & {b.root for b in s.reads}, s.label
        overwritten |= {place[b.root] for b in s.writes if b.root in place}


def test_the_plan_itself_fits_the_budget_whatever_its_extents() -> None:
    """The arena as it is planned is what is judged, open extents at 32."""
    rng = np.random.default_rng(0)
    h = sg.var("x", ("N", WIDTH))
    params = {}
    for n in range(20):
        h = sg.tanh(sg.linear(h, WIDTH, name=f"fc{n}"))
        params[f"fc{n}_weight"] = rng.normal(size=(WIDTH, WIDTH)).astype(np.float32)
        params[f"fc{n}_bias"] = rng.normal(size=(WIDTH,)).astype(np.float32)
    built = build_step(sg.mean(sg.square(h)), params, sg.train.SGD())
    plain = built.compile(params, target="interp")
    whole = plain.memory_report(N=32).planned
    budget = whole * 3 // 5
    tight = built.compile(params, target="interp", memory_budget=budget)
    assert tight.memory_report(N=32).planned <= budget < whole
    assert again(tight)
    for n in (0, 1, 17, 64):
        check_plan(tight.program, {"N": n})
    # What the passes that follow plan decides, not the peak of the order before them.
    with pytest.raises(MemoryPlanError, match=rf"needs {2 * whole} bytes"):
        Recompute(1, planning=(Doubled(),)).run(plain.program.with_(plan=None))


class Doubled:
    """A planner that needs twice as much."""

    def run(self, program):
        planned = PlanMemory().run(OrderSteps().run(program))
        plan = planned.plan
        return planned.with_(plan=replace(plan, nbytes=dims.mul(plan.nbytes, 2)))


def normalised(layers: int, target: str, budget: int | None = None):
    """A training step of convolutions with batch normalisation, whose statistics move."""
    rng = np.random.default_rng(0)
    h = sg.var("x", (4, 3, 17, 13))
    for n in range(layers):
        h = sg.conv2d(h, 5, kernel_size=3, padding=1, use_bias=False, name=f"conv{n}")
        h = sg.relu(sg.batch_norm(h, name=f"bn{n}"))
    loss = sg.mean(sg.square(h))
    params = sg.init(loss, seed=0, shapes={"x": (4, 3, 17, 13)})
    params = {k: v + rng.normal(size=v.shape).astype(v.dtype) / 8 for k, v in params.items()}
    built = build_step(loss, params, sg.train.SGD())
    return built.compile(params, target=target, memory_budget=budget, threads=1)


@pytest.mark.parametrize("target", ["interp", "llvm"])
def test_what_moves_statistics_is_computed_again_without_moving_them(target: str) -> None:
    plain = normalised(9, target)
    tight = normalised(9, target, plain.memory.nbytes * 7 // 10)
    moving = [s for s in again(tight) if len(s.kernel.outputs) < len(_first(tight, s).writes)]
    assert moving, "a step that writes moving statistics runs again, for the rest of its results"
    assert all(b.root.place == "arena" for s in again(tight) for b in s.writes)
    check_plan(tight.program, {})
    x = np.random.default_rng(1).normal(size=(4, 3, 17, 13)).astype(np.float32)
    for f in (plain, tight):
        for _ in range(2):
            f(x=x, learning_rate=np.float32(0.1))
    for name, value in plain.parameters.items():
        np.testing.assert_array_equal(tight.parameters[name], value, err_msg=name)
    assert any("moving" in name for name in plain.parameters)


def _first(f, step):
    """The step of which one is a repetition."""
    return next(s for s in f.program.steps if s.label == step.label)
