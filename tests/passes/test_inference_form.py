"""Operators that differ at inference are replaced by their own inference form."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.errors import PipelineError
from symgraph.options import Options
from symgraph.passes import InferenceForm, graph_pipeline
from symgraph.passes.manager import Fact, Pipeline
from tests.support.graphs import assert_same_graph, op_names, typed
from tests.support.toys import Dropout, Twice


def x():
    return sg.var("x", ("N", 5))


def test_the_form_takes_the_operators_place() -> None:
    after = InferenceForm().run(typed(Dropout()(Dropout()(x())) + 1.0))
    assert_same_graph(after, typed(x() + 1.0))


def test_parts_of_composites_are_asked_too() -> None:
    after = InferenceForm().run(typed(Twice()(x()), primitive=False))
    v = x()
    assert_same_graph(after, typed(v + v * 1.5))


def test_it_is_idempotent() -> None:
    once = InferenceForm().run(typed(Dropout()(x()) + 1.0))
    assert InferenceForm().run(once) is once


def test_it_fires_at_inference_only_at_every_level() -> None:
    y = Dropout()(x()) + 1.0
    for level in (0, 1, 2, 3):
        graph, _ = graph_pipeline(Options(level=level), False, {}, {}, {}).run(y.graph)
        assert op_names(graph) == ["add"]
    graph, _ = graph_pipeline(Options(level=1), True, {}, {}, {}).run(y.graph)
    assert op_names(graph) == ["toy_dropout", "add"]


def test_compiled_numbers_differ_between_training_and_inference() -> None:
    y = Dropout(0.25)(x())
    a = np.ones((2, 5), np.float32)
    np.testing.assert_array_equal(sg.compile(y, target="interp")(a), a)
    np.testing.assert_array_equal(sg.compile(y, target="interp", training=True)(a), a / 4)


def test_it_requires_types_and_provides_primitive_operators() -> None:
    with pytest.raises(PipelineError, match="'inference_form' requires TYPED"):
        Pipeline((InferenceForm(),))
    assert Fact.PRIMITIVE in InferenceForm.provides
