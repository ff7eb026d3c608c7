"""Scales and shifts after a contraction go into its constant weights and bias."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.errors import PipelineError
from symgraph.options import Options
from symgraph.passes import FoldConstants, FoldScale, InferTypes, Simplify, graph_pipeline
from symgraph.passes.manager import Fact, Pipeline, run_passes
from tests.support.graphs import op_names, same_numbers, typed
from tests.support.toys import Dense, Scale

RNG = np.random.default_rng(3)


def x(dtype="float32"):
    return sg.var("x", ("N", 5), dtype)


def dense(v, dtype="float32"):
    w, b = RNG.normal(size=(3, 5)).astype(dtype), RNG.normal(size=3).astype(dtype)
    return Dense()(v, sg.constant(w), sg.constant(b))


def folded(graph):
    given = Fact.TYPED | Fact.PRIMITIVE
    return run_passes(graph, [FoldScale(), FoldConstants(), Simplify()], given)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_number_is_folded(dtype) -> None:
    before = typed(Scale(0.25)(dense(x(dtype), dtype)))
    after = folded(before)
    assert op_names(after) == ["toy_dense"]
    same_numbers(before, after)


def test_chains_of_scales_are_folded() -> None:
    before = typed(Scale(3.0)(Scale(0.25)(dense(x()))))
    after = folded(before)
    assert op_names(after) == ["toy_dense"]
    same_numbers(before, after)
    assert folded(after) is after


def test_a_value_that_others_read_stays() -> None:
    d = dense(x())
    graph = typed(Scale(3.0)(d), d)
    assert FoldScale().run(graph) is graph


def test_weights_that_are_not_constant_stay() -> None:
    d = Dense()(x(), sg.var("w", (3, 5)), sg.var("b", (3,)))
    graph = typed(Scale(3.0)(d))
    assert FoldScale().run(graph) is graph


def test_it_fires_in_the_default_pipeline_of_inference() -> None:
    y = Scale(0.25)(dense(x()))
    graph, report = graph_pipeline(Options(level=1), False, {}, {}, {}).run(y.graph)
    assert op_names(graph) == ["toy_dense"]
    assert ("fold_scale", True) in [(n, changed) for n, _, changed in report.entries]
    graph, _ = graph_pipeline(Options(level=1), True, {}, {}, {}).run(y.graph)
    assert op_names(graph) == ["toy_dense", "toy_scale"]


def test_it_requires_types_and_primitive_operators() -> None:
    with pytest.raises(PipelineError, match="'fold_scale' requires TYPED, PRIMITIVE"):
        Pipeline((FoldScale(),))
    with pytest.raises(PipelineError, match="'fold_scale' requires PRIMITIVE"):
        Pipeline((InferTypes(), FoldScale()))
