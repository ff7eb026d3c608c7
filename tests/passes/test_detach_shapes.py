"""Nodes that only look at a shape look at the earliest value that has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.errors import PipelineError
from symgraph.ir.op import Op
from symgraph.kernel.compute import compute
from symgraph.options import Options
from symgraph.passes import DetachShapes, InferTypes, graph_pipeline
from symgraph.passes.manager import Pipeline
from tests.support.graphs import assert_same_graph, op_names, same_numbers, typed
from tests.support.toys import Exp, RowSum, Scale


@dataclass(frozen=True, slots=True)
class Sevens(Op):
    """Sevens of x's shape."""

    name = "toy_sevens"

    def infer_shape(self, u: Any, x: Any) -> Any:
        return (x,)

    def forward(self, x: Any) -> Any:
        return compute(x.shape, lambda *i: 7, dtype=x.dtype)

    def reference(self, x: Any) -> Any:
        return np.full_like(x, 7)


def x(*shape):
    return sg.var("x", shape or ("N", 5))


def test_a_shape_is_taken_from_the_earliest_value_that_has_it() -> None:
    before = typed(Sevens()(Exp()(Scale(3.0)(x()))))
    after = DetachShapes().run(before)
    assert_same_graph(after, typed(Sevens()(x())))
    same_numbers(before, after)
    assert DetachShapes().run(after) is after


def test_a_value_without_an_earlier_one_of_its_type_stays() -> None:
    graph = typed(Sevens()(RowSum()(x())))
    assert DetachShapes().run(graph) is graph


def test_values_of_another_dtype_are_not_taken() -> None:
    graph = typed(Sevens()(sg.cast(x(), "float64")))
    assert DetachShapes().run(graph) is graph


def test_elements_that_are_read_stay() -> None:
    graph = typed(Exp()(Scale(3.0)(x())))
    assert DetachShapes().run(graph) is graph


def test_it_fires_in_the_default_pipeline() -> None:
    y = Sevens()(Exp()(x()))
    graph, report = graph_pipeline(Options(level=1), True, {}, {}, {}).run(y.graph)
    assert op_names(graph) == ["toy_sevens"]
    assert ("detach_shapes", True) in [(n, changed) for n, _, changed in report.entries]


def test_it_requires_types_and_primitive_operators() -> None:
    with pytest.raises(PipelineError, match="'detach_shapes' requires TYPED, PRIMITIVE"):
        Pipeline((DetachShapes(),))
    with pytest.raises(PipelineError, match="'detach_shapes' requires PRIMITIVE"):
        Pipeline((InferTypes(), DetachShapes()))
