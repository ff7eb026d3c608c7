"""Contractions ahead of a loop are computed for a band of steps at a time."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.codegen.executable import Executable
from symgraph.ir.each import Each
from symgraph.ir.graph import Graph
from symgraph.ir.program import RepeatStep
from symgraph.ir.scan import Scan
from symgraph.passes.band_loops import BandLoops
from symgraph.passes.expand import ExpandComposites
from symgraph.passes.hoist_from_loops import HoistFromLoops
from symgraph.passes.infer_types import InferTypes
from symgraph.passes.manager import run_passes

RNG = np.random.default_rng(5)

FIRST = (InferTypes(), ExpandComposites(), HoistFromLoops())


def array(*shape: int, dtype: str = "float32") -> np.ndarray:
    return RNG.normal(size=shape).astype(dtype)


def network(
    steps: object,
    batch: object = 1,
    axis: int = 0,
    reverse: bool = False,
    units: int = 1029,
    dtype: str = "float32",
) -> sg.Group:
    """A recurrent layer with its last state and all its states."""
    x = sg.var("x", (steps, batch, 3) if axis == 0 else (batch, steps, 3), dtype)
    w, u = sg.var("w", (units, 3), dtype), sg.var("u", (units, units), dtype)
    b, h = sg.var("b", (units,), dtype), sg.var("h", (batch, units), dtype)

    def step(x: sg.Symbol, h: sg.Symbol) -> tuple[sg.Symbol, sg.Symbol]:
        after = sg.tanh(sg.linear(x, units, w, b) + sg.linear(h, units, u, use_bias=False) * 0.1)
        return after, after

    last, ys = sg.scan(step, x, h, axis=axis, reverse=reverse)
    return sg.group(last, ys)


def arrays(
    net: sg.Group, steps: int, batch: int, axis: int, dtype: str = "float32"
) -> dict[str, np.ndarray]:
    shapes = {s.name: s.shape for s in net.variables}
    shapes["x"] = (steps, batch, 3) if axis == 0 else (batch, steps, 3)
    shapes["h"] = (batch, shapes["u"][0])
    return {k: array(*s, dtype=dtype) for k, s in shapes.items()}


def loop_of(graph: Graph) -> Scan:
    (loop,) = [n.op for n in graph.nodes if isinstance(n.op, Scan)]
    return loop


def depth(f: Executable) -> int:
    steps, found = f.program.steps, 0
    while True:
        inner = [s for s in steps if isinstance(s, RepeatStep)]
        if not inner:
            return found
        steps, found = inner[0].steps, found + 1


def test_a_band_is_made_inside_a_loop_over_bands() -> None:
    graph = run_passes(network(34).graph, (*FIRST, BandLoops()))
    outer = loop_of(graph)
    assert not any(isinstance(n.op, Each) for n in graph.nodes)
    (made,) = [n for n in outer.body.nodes if isinstance(n.op, Each)]
    assert made.types[0].shape == (17, 1, 1029)
    inner = loop_of(outer.body)
    assert [n.op.name for n in inner.body.nodes if n.inputs] == [
        "linear", "multiply", "add", "tanh",
    ]  # fmt: skip
    assert [t.shape for t in graph.outputs[1].node.types] == [(34, 1, 1029)]


@pytest.mark.parametrize(
    ("steps", "why"),
    [("T", "open"), (31, "prime"), (30, "a band would have too few rows"), (0, "nothing")],
)
def test_loops_that_stay_whole(steps: object, why: str) -> None:
    graph = run_passes(network(steps).graph, FIRST)
    assert BandLoops().run(graph) is graph, why


def test_small_results_stay_whole() -> None:
    graph = run_passes(network(34, units=5).graph, FIRST)
    assert BandLoops().run(graph) is graph


def test_what_two_read_stays_whole() -> None:
    """Two loops over one product, and a product that is a result too."""
    x, w = sg.var("x", (34, 1, 3)), sg.var("w", (1029, 3))
    h = sg.var("h", (1, 1029))
    z = sg.linear(x, 1029, w, use_bias=False)
    one, _ = sg.scan(lambda z, h: (h * 0.5 + z, None), z, h)
    two, _ = sg.scan(lambda z, h: (h * 0.25 + z, None), z, h)
    for outputs in ((one, two), (one, z)):
        f = sg.compile(outputs, target="interp")
        assert depth(f) == 1


@pytest.mark.parametrize("target", ["interp", "llvm"])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("reverse", [False, True])
def test_no_bit_changes(target: str, axis: int, reverse: bool) -> None:
    net = network(34, 2, axis, reverse, units=700)
    given = arrays(net, 34, 2, axis)
    whole = sg.compile(net, target=target, disable=("band_loops",))
    bands = sg.compile(net, target=target)
    assert depth(whole) == 1 and depth(bands) == 2
    assert bands.memory.nbytes < whole.memory.nbytes
    for a, b in zip(bands(**given), whole(**given), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_open_batch_and_another_dtype() -> None:
    net = network(34, "N", dtype="float64", units=700)
    f = sg.compile(net, target="llvm", verify=3)
    plain = sg.compile(net, target="interp", level=0)
    assert depth(f) == 2
    for batch in (1, 3):
        given = arrays(net, 34, batch, 0, "float64")
        for a, b in zip(f(**given), plain(**given), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_layers_after_each_other() -> None:
    """What one layer stacks, the next one reads in bands of its own."""
    x = sg.var("x", (1, 32, 3))
    net = sg.models.lstm(length=32, features=3, units=260, layers=2)
    params = sg.init(net, 0, shapes={"x": (1, 32, 3)})
    shapes = {"x": (1, 32, 3)}
    bands = sg.compile(net, params=params, shapes=shapes, target="llvm")
    whole = sg.compile(net, params=params, shapes=shapes, target="llvm", disable=("band_loops",))
    assert depth(bands) == 2 and depth(whole) == 1
    given = array(*(d for d in x.shape))
    np.testing.assert_array_equal(bands(x=given), whole(x=given))


def test_gradients_agree() -> None:
    net = network(34, units=600)
    loss = sg.mean(sg.square(net[1]))
    names = [s for s in net.variables if s.name in ("w", "u", "b")]
    grads = sg.group(loss, *sg.gradients(loss, names))
    given = arrays(net, 34, 1, 0)
    new = sg.compile(grads, target="llvm", training=True)
    old = sg.compile(grads, target="llvm", training=True, disable=("band_loops",))
    for a, b in zip(new(**given), old(**given), strict=True):
        np.testing.assert_array_equal(a, b)
