"""What depends on constants only is evaluated at compile time."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.errors import PipelineError
from symgraph.options import Options
from symgraph.passes import FoldConstants, graph_pipeline
from symgraph.passes.manager import Pipeline
from tests.support.graphs import assert_same_graph, op_names, same_numbers, typed
from tests.support.toys import Broken, Dropout, HostDouble, Pair, Repeat

A = np.arange(6, dtype=np.float32).reshape(2, 3)


def c(value=A):
    return sg.constant(value)


def test_constants_are_folded_through_several_nodes() -> None:
    x = sg.var("x", (2, 3))
    before = typed(x + (c() * c() + c()))
    after = FoldConstants().run(before)
    assert_same_graph(after, typed(x + c(A * A + A)))
    same_numbers(before, after)


def test_every_output_of_an_operator_is_folded() -> None:
    more, less = Pair()(c())
    after = FoldConstants().run(typed(more, less))
    assert_same_graph(after, typed(c(A + 1), c(A - 1)))


def test_it_is_idempotent_and_keeps_what_depends_on_inputs() -> None:
    before = typed(sg.var("x", (2, 3)) + 1.0)
    assert FoldConstants().run(before) is before
    once = FoldConstants().run(typed(sg.var("x", (2, 3)) + (c() + c())))
    assert FoldConstants().run(once) is once


@pytest.mark.parametrize("value", [np.float64(3.0), np.zeros((0, 3), np.int32), np.ones((1, 7))])
def test_scalars_empty_arrays_and_other_dtypes(value) -> None:
    after = FoldConstants().run(typed(c(value) + c(value)))
    assert_same_graph(after, typed(c(np.asarray(value + value))))


def test_a_large_result_from_a_small_one_stays() -> None:
    small = typed(Repeat(1000)(c(np.float32(1))))
    large = typed(Repeat(1_000_000)(c(np.float32(1))))
    assert op_names(FoldConstants().run(small)) == []
    assert FoldConstants().run(large) is large


def test_random_and_host_operators_stay() -> None:
    for op in (Dropout(), HostDouble()):
        graph = typed(op(c()))
        assert FoldConstants().run(graph) is graph


def test_a_reference_that_fails_leaves_the_node() -> None:
    graph = typed(Broken()(c()))
    assert FoldConstants().run(graph) is graph


def test_it_fires_in_the_default_pipeline() -> None:
    y = sg.var("x", (2, 3)) + (c() * c())
    graph, report = graph_pipeline(Options(level=1), True, {}, {}, {}).run(y.graph)
    assert op_names(graph) == ["add"]
    assert ("fold_constants", True) in [(n, changed) for n, _, changed in report.entries]
    graph, _ = graph_pipeline(Options(level=0), True, {}, {}, {}).run(y.graph)
    assert op_names(graph) == ["multiply", "add"]


def test_it_requires_types() -> None:
    with pytest.raises(PipelineError, match="'fold_constants' requires TYPED"):
        Pipeline((FoldConstants(),))
