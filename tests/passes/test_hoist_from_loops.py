"""What needs no state leaves the loop."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.ir.each import Each
from symgraph.ir.graph import Graph
from symgraph.ir.program import RepeatStep
from symgraph.ir.scan import Scan
from symgraph.passes.expand import ExpandComposites
from symgraph.passes.hoist_from_loops import HoistFromLoops
from symgraph.passes.infer_types import InferTypes
from symgraph.passes.manager import run_passes

RNG = np.random.default_rng(3)


def array(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def hoisted(*outputs: sg.Symbol) -> Graph:
    return run_passes(
        sg.group(*outputs).graph, (InferTypes(), ExpandComposites(), HoistFromLoops())
    )


def body_ops(graph: Graph) -> list[str]:
    (loop,) = [n.op for n in graph.nodes if isinstance(n.op, Scan)]
    return [n.op.name for n in loop.body.nodes if n.inputs]


def outside(graph: Graph) -> list[str]:
    return [n.op.op.name for n in graph.nodes if isinstance(n.op, Each)]


def network(axis: int = 0) -> tuple[sg.Symbol, dict[str, tuple[int, ...]]]:
    """Contractions before, in and after the loop."""
    shapes = {"x": (5, 2, 3) if axis == 0 else (2, 5, 3), "w": (4, 3), "b": (4,), "u": (4, 4),
              "v": (7, 4), "h": (2, 4)}  # fmt: skip
    v = {k: sg.var(k, s) for k, s in shapes.items()}

    def step(x: sg.Symbol, h: sg.Symbol) -> tuple[sg.Symbol, sg.Symbol]:
        z = sg.linear(x * 2.0, 4, v["w"], v["b"])
        after = sg.tanh(z + sg.linear(h, 4, v["u"], use_bias=False))
        return after, sg.relu(sg.linear(after, 7, v["v"], use_bias=False))

    _, ys = sg.scan(step, v["x"], v["h"], axis=axis)
    return ys, shapes


@pytest.mark.parametrize("axis", [0, 1])
def test_only_what_the_state_needs_stays(axis: int) -> None:
    ys, shapes = network(axis)
    graph = hoisted(ys)
    assert body_ops(graph) == ["linear", "add", "tanh"]
    assert outside(graph) == ["multiply", "linear", "linear", "relu"]
    plain = sg.compile(ys, target="interp", disable=("hoist_from_loops",))
    moved = sg.compile(ys, target="interp", verify=3)
    arrays = {k: array(*s) for k, s in shapes.items()}
    np.testing.assert_allclose(moved(**arrays), plain(**arrays), rtol=1e-5, atol=1e-6)


def test_elementwise_work_alone_stays() -> None:
    """Storing it for all steps would cost more than it saves."""
    x, h = sg.var("x", ("T", 3)), sg.var("h", (3,))
    _, ys = sg.scan(lambda x, h: ((after := sg.exp(x) + h), sg.exp(after)), x, h)
    graph = hoisted(ys)
    assert body_ops(graph) == ["exp", "add", "exp"] and not outside(graph)


def test_a_state_that_adds_up_becomes_one_contraction() -> None:
    x, y = sg.var("x", ("T", 17, 3)), sg.var("y", ("T", 17, 5))
    h, start = sg.var("h", (5,)), sg.var("start", (3, 5))

    def step(x: sg.Symbol, y: sg.Symbol, h: sg.Symbol, total: sg.Symbol) -> tuple[object, None]:
        after = sg.tanh(h + sg.sum(y, axis=0))
        return (after, total + sg.matmul(x, y * after, transpose_x=True)), None

    (_, total), _ = sg.scan(step, (x, y), (h, start))
    graph = hoisted(total)
    each = [n.op for n in graph.nodes if isinstance(n.op, Each)]
    assert [(e.op.name, e.total) for e in each] == [("matmul", True)]
    f = sg.compile(total, target="interp", verify=3)
    arrays = [array(4, 17, 3), array(4, 17, 5), array(5), array(3, 5)]
    state, expected = arrays[2], arrays[3].copy()
    for xs, ys in zip(arrays[0], arrays[1], strict=True):
        state = np.tanh(state + ys.sum(0))
        expected += xs.T @ (ys * state)
    got = f(x=arrays[0], y=arrays[1], h=arrays[2], start=arrays[3])
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    assert f(x=arrays[0][:0], y=arrays[1][:0], h=arrays[2], start=arrays[3]) == pytest.approx(
        arrays[3]
    )


def test_a_state_that_is_read_stays() -> None:
    x, start = sg.var("x", ("T", 2, 3)), sg.var("start", (2, 2))

    def step(x: sg.Symbol, total: sg.Symbol) -> tuple[sg.Symbol, sg.Symbol]:
        after = total + sg.matmul(x, x, transpose_y=True)
        return after, sg.sum(after)

    last, ys = sg.scan(step, x, start)
    assert "add" in body_ops(hoisted(last, ys))


def test_weight_gradients_leave_the_loop_in_the_default_pipeline() -> None:
    ys, _ = network()
    loss = sg.sum(ys * ys)
    names = ("w", "b", "u", "v")
    graph = loss.graph
    weights = [sg.Symbol(n[0]) for n in graph.variables if graph.names[n] in names]
    f = sg.compile(sg.group(*sg.gradients(loss, weights)), target="interp")
    loops = [s for s in f.program.steps if isinstance(s, RepeatStep)]
    assert [len(s.steps) for s in loops] == [2, 2]


def test_running_it_again_changes_nothing() -> None:
    graph = hoisted(network()[0])
    assert HoistFromLoops().run(graph) is graph
