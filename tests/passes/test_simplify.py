"""The identities that operators offer are applied until none fires."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.errors import InternalError, PipelineError
from symgraph.options import Options
from symgraph.passes import InferTypes, Simplify, graph_pipeline
from symgraph.passes.manager import Pipeline
from tests.support.graphs import assert_same_graph, op_names, same_numbers, typed
from tests.support.toys import Flip, Scale, WrongShape


def x(dtype="float32"):
    return sg.var("x", ("N", 5), dtype)


def test_identities_apply_to_what_others_leave() -> None:
    before = typed(Scale(0.5)(Scale(2.0)(Scale(8.0)(Scale(0.125)(x())))) + 3.0)
    after = Simplify().run(before)
    assert_same_graph(after, typed(x() + 3.0))
    same_numbers(before, after)


def test_chains_merge_into_one_node_that_keeps_name_and_origin() -> None:
    last = Scale(4.0)(Scale(2.0)(x("float64")), name="last")
    after = Simplify().run(typed(last))
    assert_same_graph(after, typed(Scale(8.0)(x("float64"))))
    assert after.outputs[0].node.name == "last"
    assert after.outputs[0].node.origin == last.node.origin


def test_it_is_idempotent() -> None:
    once = Simplify().run(typed(Scale(1.0)(Scale(3.0)(x())) + 1.0))
    assert op_names(once) == ["toy_scale", "add"]
    assert Simplify().run(once) is once


def test_an_offer_of_another_type_is_refused() -> None:
    with pytest.raises(InternalError, match=r"WrongShape offers .* f32\[N\], expected f32\[N,5\]"):
        Simplify().run(typed(WrongShape()(x())))


def test_rules_that_undo_each_other_are_named() -> None:
    with pytest.raises(InternalError, match="the rules of toy_fl[io]p undo each other"):
        Simplify().run(typed(Flip()(x())))


def test_long_chains_take_linear_time() -> None:
    y = x()
    for _ in range(5000):
        y = Scale(1.0)(y)
    assert op_names(Simplify().run(typed(y))) == []


def test_it_fires_in_the_default_pipeline() -> None:
    y = Scale(1.0)(x()) + 1.0
    graph, report = graph_pipeline(Options(level=1), True, {}, {}, {}).run(y.graph)
    assert op_names(graph) == ["add"]
    assert ("simplify", True) in [(n, changed) for n, _, changed in report.entries]


def test_it_requires_primitive_operators() -> None:
    with pytest.raises(PipelineError, match=r"requires PRIMITIVE, .*put 'expand_composites'"):
        Pipeline((InferTypes(), Simplify()))


def test_it_requires_types() -> None:
    with pytest.raises(PipelineError, match=r"requires TYPED, PRIMITIVE"):
        Pipeline((Simplify(),))


def test_a_sum_over_nothing_keeps_the_extents_that_it_states() -> None:
    z = sg.var("z", ("N", "T", 5))
    before = sg.pad(z[:, :-1], [(0, 0), (1, 0), (0, 0)])
    gradients = sg.gradients(sg.sum((z * 0.5 + before) * z), z)
    f = sg.compile(gradients, target="interp")
    array = np.random.default_rng(0).normal(size=(2, 3, 5)).astype(np.float32)
    earlier, later = np.zeros_like(array), np.zeros_like(array)
    earlier[:, 1:], later[:, :-1] = array[:, :-1], array[:, 1:]
    np.testing.assert_allclose(f(array), array + earlier + later, rtol=1e-5, atol=1e-6)
