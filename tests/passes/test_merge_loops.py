"""Loops over the same steps become one."""

from __future__ import annotations

import numpy as np

import symgraph as sg
from symgraph.ir.graph import Graph
from symgraph.ir.scan import Scan
from symgraph.passes.eliminate_common_subexpressions import EliminateCommonSubexpressions
from symgraph.passes.expand import ExpandComposites
from symgraph.passes.infer_types import InferTypes
from symgraph.passes.manager import run_passes
from symgraph.passes.merge_loops import MergeLoops


def loops(graph: Graph) -> list[Scan]:
    return [n.op for n in graph.nodes if isinstance(n.op, Scan)]


def merged(*outputs: sg.Symbol) -> Graph:
    passes = (InferTypes(), ExpandComposites(), EliminateCommonSubexpressions(), MergeLoops())
    return run_passes(sg.group(*outputs).graph, passes)


def two(second_scale: float = 0.5, second_start: bool = True) -> tuple[sg.Symbol, sg.Symbol]:
    """Two loops that differ in what they stack."""
    x, h, other = sg.var("x", ("T", 3)), sg.var("h", (3,)), sg.var("other", (3,))
    _, a = sg.scan(lambda x, h: (sg.tanh(h * 0.5 + x),) * 2, x, h)
    start = h if second_start else other

    def step(x: sg.Symbol, h: sg.Symbol) -> tuple[sg.Symbol, sg.Symbol]:
        after = sg.tanh(h * second_scale + x)
        return after, sg.exp(after)

    _, b = sg.scan(step, x, start)
    return a, b


def test_equal_states_are_carried_once() -> None:
    a, b = two()
    graph = merged(a, b)
    (only,) = loops(graph)
    assert len(only.states) == 1 and len(only.stacked) == 2
    assert [n.op.name for n in only.body.nodes].count("tanh") == 1
    f = sg.compile(sg.group(a, b), target="interp", verify=3)
    x, h = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)[:, :, :]
    ya, yb = f(x=x, h=h[0])
    np.testing.assert_allclose(yb, np.exp(ya), rtol=1e-6)
    np.testing.assert_allclose(ya[0], np.tanh(h[0] * 0.5 + x[0]), rtol=1e-6)


def test_states_that_begin_or_go_on_otherwise_stay_apart() -> None:
    assert len(loops(merged(*two(second_scale=0.25)))) == 2
    assert len(loops(merged(*two(second_start=False)))) == 2


def test_the_other_direction_stays_apart() -> None:
    x, h = sg.var("x", ("T", 3)), sg.var("h", (3,))
    _, a = sg.scan(lambda x, h: (h + x, h), x, h)
    _, b = sg.scan(lambda x, h: (h + x, h), x, h, reverse=True)
    assert len(loops(merged(a, b))) == 2


def test_a_loop_that_reads_the_other_stays_apart() -> None:
    x, h = sg.var("x", ("T", 3)), sg.var("h", (3,))
    _, a = sg.scan(lambda x, h: (h + x, h), x, h)
    _, b = sg.scan(lambda x, h: (h + x, h), a, h)
    assert len(loops(merged(a, b))) == 2


def test_a_second_state_joins() -> None:
    x, h = sg.var("x", ("T", 3)), sg.var("h", (3,))
    _, a = sg.scan(lambda x, h: (h + x, h), x, h)
    (_, m), b = sg.scan(
        lambda x, h, m: ((h + x, sg.maximum(m, h)), h * m), x, (h, sg.var("m", (3,)))
    )
    (only,) = loops(merged(a, b, m))
    assert only.states == ("h", "m")
    f = sg.compile(sg.group(a, b, m), target="interp", verify=3)
    rng = np.random.default_rng(1)
    arrays = {n: rng.normal(size=s).astype(np.float32)
              for n, s in (("x", (4, 3)), ("h", (3,)), ("m", (3,)))}  # fmt: skip
    before = arrays["h"] + np.concatenate([np.zeros((1, 3)), np.cumsum(arrays["x"], 0)[:-1]])
    most = np.maximum.accumulate(np.concatenate([arrays["m"][None], before]))
    got = f(**arrays)
    np.testing.assert_allclose(got[0], before, rtol=1e-5)
    np.testing.assert_allclose(got[1], before * most[:-1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(got[2], most[-1], rtol=1e-5)


def test_training_runs_the_forward_loop_once() -> None:
    """In the default pipeline: the loss and its gradient share one forward loop."""
    x = sg.var("x", ("T", 2, 3))
    h0 = sg.zeros((2, 4))
    (_, c), ys = sg.scan(
        lambda x, h, c: ((s := sg.lstm_cell(x, h, c, 4, name="cell")), s[0]), x, (h0, h0)
    )
    loss = sg.sum(ys * ys) + sg.sum(c)
    grads = sg.gradients(loss, loss.parameters)
    f = sg.compile(sg.group(loss, *grads), target="interp")
    repeated = [s for s in f.program.steps if hasattr(s, "counter")]
    assert len(repeated) == 2
