"""Readers of a value that is padded anyway."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.ir.read_inside import ReadInside
from symgraph.passes import CANONICAL
from symgraph.passes.expand import ExpandComposites
from symgraph.passes.infer_types import InferTypes
from symgraph.passes.manager import run_passes
from symgraph.passes.share_padding import SharePadding


def primitive(*symbols):
    graph = sg.group(*symbols).graph
    return run_passes(graph, [InferTypes(), ExpandComposites(), *CANONICAL])


def inside(graph):
    """(operator, margins) of every node that reads inside a larger tensor."""
    return [(n.op.op.name, n.op.margins) for n in graph.nodes if isinstance(n.op, ReadInside)]


ONE = ((0, 0), (0, 0), (1, 1), (1, 1))


def block(x, name="c"):
    """A convolution of a padded value, and the value itself added behind it."""
    h = sg.tanh(x)
    return sg.conv2d(h, 3, kernel_size=3, padding=1, use_bias=False, name=name) + h


def test_the_other_reader_reads_the_padded_one() -> None:
    graph = SharePadding().run(primitive(block(sg.var("x", (2, 3, 5, 7)))))
    assert inside(graph) == [("add", (None, ONE))] or inside(graph) == [("add", (ONE, None))]
    (source,) = [n for n in graph.nodes if n.op.name == "tanh"]
    assert [u.op.name for u, _ in graph.users[source[0]]] == ["pad"]


def test_the_widest_of_several_paddings_serves_all() -> None:
    h = sg.tanh(sg.var("x", (2, 3, 5, 7)))
    a = sg.conv2d(h, 4, kernel_size=3, padding=1, name="a")
    b = sg.conv2d(h, 4, kernel_size=5, padding=2, name="b")
    graph = SharePadding().run(primitive(a + b))
    assert [n.op.name for n in graph.nodes].count("pad") == 1
    assert [name for name, _ in inside(graph)] == ["convolution"]
    assert inside(graph)[0][1][0] == ONE


def test_other_numbers_around_stay_apart() -> None:
    h = sg.tanh(sg.var("x", (3, 5)))
    a = sg.sum(sg.pad(h, ((0, 0), (1, 1))) * 2.0, axis=1)
    b = sg.sum(sg.pad(h, ((0, 0), (2, 2)), value=7.0) * 3.0, axis=1)
    graph = SharePadding().run(primitive(a + b))
    pads = [n.op.op.name if isinstance(n.op, ReadInside) else n.op.name for n in graph.nodes]
    assert pads.count("pad") == 2


@pytest.mark.parametrize("keep", ["result", "view", "variable", "single"])
def test_left_alone(keep) -> None:
    x = sg.var("x", (2, 3, 5, 7))
    h = x if keep == "variable" else sg.tanh(x)
    c = sg.conv2d(h, 3, kernel_size=3, padding=1, name="c")
    outputs = {
        "result": (c + h, h),
        "view": (c, sg.reshape(h, (2, -1)) @ sg.var("w", (105, 4))),
        "variable": (c + h,),
        "single": (c,),
    }[keep]
    graph = primitive(*outputs)
    assert SharePadding().run(graph) is graph


def test_twice_is_once() -> None:
    once = SharePadding().run(primitive(block(sg.var("x", (2, 3, 5, 7)))))
    assert SharePadding().run(once) is once


@pytest.mark.parametrize("target", ["interp", "llvm"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_are_the_same(target, dtype) -> None:
    symbol = block(block(sg.var("x", ("N", 3, 5, 7), dtype)), "d")
    params = {k: v.astype(dtype) for k, v in sg.init(symbol).items()}
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 7)).astype(dtype)
    expected = sg.compile(symbol, params=params, target="interp", level=0)(x=x)
    f = sg.compile(symbol, params=params, target=target, verify=3 if target == "interp" else 2)
    np.testing.assert_allclose(f(x=x), expected, rtol=1e-4, atol=1e-5)


def test_no_kernel_only_pads() -> None:
    """In the default pipeline every padded value is written by what makes it."""
    h = x = sg.var("x", (1, 16, 9, 11))
    for n in range(3):
        c = sg.conv2d(h, 32, kernel_size=3, padding=1, name=f"c{n}")
        h = sg.relu(c + h) if n else sg.relu(c)
    f = sg.compile(h, params=sg.init(h), target="llvm")
    kinds = [s.operators for s in f_steps(f)]
    assert sum("pad" in k for k in kinds) == 3
    assert [k for k in kinds if set(k) <= {"pad"}] == []
    assert len(kinds) <= 5  # the input, three convolutions, the result's own layout
    a = np.random.default_rng(3).normal(size=x.shape).astype(np.float32)
    g = sg.compile(h, params=sg.init(h), target="interp", level=0)
    np.testing.assert_allclose(f(x=a), g(x=a), rtol=1e-3, atol=1e-4)


def f_steps(f):
    from symgraph.codegen.profile import step_times

    return step_times(f.program, [0] * len(f.program.steps), {})
