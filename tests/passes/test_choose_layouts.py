"""Blocked channels from the first convolution to the last."""

from __future__ import annotations

import numpy as np

import symgraph as sg
from symgraph.ir.layout import InLayout
from symgraph.passes import CANONICAL
from symgraph.passes.choose_layouts import ChooseLayouts
from symgraph.passes.expand import ExpandComposites
from symgraph.passes.infer_types import InferTypes
from symgraph.passes.manager import run_passes


def network():
    x = sg.var("x", ("N", 3, 18, 17))
    h = sg.tanh(sg.conv2d(x, 16, kernel_size=3, name="first"))
    h = sg.max_pool2d(h, 2)
    h = sg.tanh(sg.conv2d(h, 16, kernel_size=3, padding=1, groups=16, name="depthwise")) + h
    h = sg.conv2d(h, 24, kernel_size=1, stride=2, name="pointwise")
    return sg.linear(sg.flatten(sg.global_avg_pool2d(h)), 10, name="head")


def primitive():
    return run_passes(network().graph, [InferTypes(), ExpandComposites(), *CANONICAL])


def changed():
    return ChooseLayouts(8).run(primitive())


def test_one_conversion_for_the_first_layer_and_none_between() -> None:
    kinds = [
        (n.op.op.name, n.op.outs[0] is None) for n in changed().nodes if isinstance(n.op, InLayout)
    ]
    activations = [k for k in kinds if k == ("relayout", True)]
    assert len(activations) == 1, "only the end goes back to the plain layout"
    assert ("convolution", False) in kinds
    assert kinds.count(("convolution", False)) == 3
    assert ("max_pool2d", False) in kinds


def test_the_way_back_from_one_pixel_is_a_view() -> None:
    (back,) = [
        n for n in changed().nodes
        if isinstance(n.op, InLayout) and n.op.op.name == "relayout" and n.op.outs == (None,)
    ]  # fmt: skip
    assert back.op.is_view


def test_numbers_are_the_same() -> None:
    before, after = primitive(), changed()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 18, 17)).astype(np.float32)
    params = sg.init(network())
    results = []
    for graph in (before, after):
        f = sg.compile(sg.Symbol(graph.outputs[0]), params=params, target="interp", verify=2)
        results.append(f(x=x))
    np.testing.assert_allclose(results[0], results[1], rtol=1e-4, atol=1e-5)


def test_a_graph_without_images_is_left_alone() -> None:
    graph = InferTypes().run(sg.linear(sg.var("x", (2, 3)), 5).graph)
    assert ChooseLayouts(8).run(graph) is graph


def test_a_few_odd_channels_lie_in_one_block() -> None:
    x = sg.var("x", (1, 16, 9, 7))
    h = sg.conv2d(x, 12, kernel_size=1, name="narrow")
    y = sg.conv2d(h + sg.tanh(h), 32, kernel_size=1, name="wide")
    graph = run_passes(y.graph, [InferTypes(), ExpandComposites(), *CANONICAL])
    nodes = [n for n in ChooseLayouts(8).run(graph).nodes if isinstance(n.op, InLayout)]
    made = {n.op.op.name: n.types[0].shape for n in nodes if n.op.outs[0] is not None}
    assert made["tanh"] == made["add"] == (1, 1, 9, 7, 12)
    back = [n for n in nodes if n.op.outs == (None,)]
    assert len(back) == 1, "nothing between is brought to the plain layout"
    odd = sg.conv2d(x, 13, kernel_size=1, name="odd")
    graph = run_passes(odd.graph, [InferTypes(), ExpandComposites(), *CANONICAL])
    assert not any(isinstance(n.op, InLayout) for n in ChooseLayouts(8).run(graph).nodes)
