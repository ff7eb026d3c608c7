"""Borders around the parts of a join."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.passes import CANONICAL
from symgraph.passes.expand import ExpandComposites
from symgraph.passes.infer_types import InferTypes
from symgraph.passes.manager import run_passes
from symgraph.passes.pad_parts import PadParts


def primitive(*symbols):
    return run_passes(sg.group(*symbols).graph, [InferTypes(), ExpandComposites(), *CANONICAL])


def operators(graph):
    return [n.op.name for n in graph.nodes if n.inputs]


BESIDE = ((0, 0), (0, 0), (1, 2), (0, 3))


def branches(batch=2):
    x = sg.var("x", (batch, 4, 5, 7))
    return (sg.tanh(x), sg.exp(x))


@pytest.mark.parametrize("batch", [1, 2, "N"])
def test_the_border_goes_around_each_part(batch) -> None:
    joined = sg.concat(branches(batch), axis=1)
    graph = primitive(sg.pad(joined, BESIDE, value=3.0))
    after = PadParts().run(graph)
    assert operators(graph) == ["tanh", "exp", "concat", "pad"]
    assert sorted(operators(after)) == ["concat", "exp", "pad", "pad", "tanh"]
    assert after.outputs[0].node.op.name == "concat"
    assert after.outputs[0].type == graph.outputs[0].type
    assert PadParts().run(after) is after


def left_alone():
    a, b = branches()
    joined = sg.concat([a, b], axis=1)
    yield "along the axis", [sg.pad(joined, ((0, 0), (1, 0), (1, 1), (1, 1)))]
    yield "the join is read", [sg.pad(joined, BESIDE), sg.exp(joined)]
    yield "a part is read", [sg.pad(joined, BESIDE), sg.exp(a)]
    yield "a part is given", [sg.pad(sg.concat([a, sg.var("g", (2, 4, 5, 7))], axis=1), BESIDE)]
    yield "no constant", [sg.pad(joined, BESIDE, mode="edge")]


@pytest.mark.parametrize("name", [name for name, _ in left_alone()])
def test_left_alone(name) -> None:
    graph = primitive(*dict(left_alone())[name])
    assert PadParts().run(graph) is graph


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
@pytest.mark.parametrize("target", ["interp", "llvm"])
@pytest.mark.parametrize("batch", [0, 1, 3])
def test_numbers_are_the_same(target, dtype, batch) -> None:
    x, w, v = (sg.var(n, s, dtype) for n, s in (("x", ("N", 7, 4)), ("w", (4, 3)), ("v", (4, 5))))
    joined = sg.concat([sg.matmul(x, w), sg.matmul(x, v)], axis=2)
    padded = sg.pad(joined, ((0, 0), (2, 1), (0, 0)), value=2)
    y = sg.matmul(padded, sg.var("u", (8, 6), dtype))
    f = sg.compile(y, target=target, verify=2)
    rng = np.random.default_rng(0)
    shapes = {"x": (batch, 7, 4), "w": (4, 3), "v": (4, 5), "u": (8, 6)}
    given = {n: rng.integers(-4, 5, s).astype(dtype) for n, s in shapes.items()}
    parts = np.concatenate([given["x"] @ given["w"], given["x"] @ given["v"]], axis=2)
    wanted = np.pad(parts, ((0, 0), (2, 1), (0, 0)), constant_values=2) @ given["u"]
    np.testing.assert_array_equal(f(**given), wanted)
    assert not any("copy" in s.label or "concat" in s.label for s in f.program.steps)
