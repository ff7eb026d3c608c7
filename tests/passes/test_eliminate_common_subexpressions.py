"""Nodes that compute the same are merged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

import symgraph as sg
from symgraph.errors import PipelineError
from symgraph.options import Options
from symgraph.passes import EliminateCommonSubexpressions, graph_pipeline
from symgraph.passes.eliminate_common_subexpressions import op_key
from symgraph.passes.manager import Pipeline
from tests.support.graphs import assert_same_graph, op_names, same_numbers, typed
from tests.support.toys import Dropout, Elementwise, Exp, HostDouble, Scale

CSE = EliminateCommonSubexpressions()


def x():
    return sg.var("x", ("N", 5))


def test_equal_nodes_merge_and_so_do_their_users() -> None:
    v = x()
    before = typed(Exp()(Scale(3.0)(v)) - Exp()(Scale(3.0)(v)) * v)
    after = CSE.run(before)
    v = x()
    e = Exp()(Scale(3.0)(v))
    assert_same_graph(after, typed(e - e * v))
    same_numbers(before, after)


def test_inputs_of_commutative_operators_may_change_places() -> None:
    a, b = sg.var("a", (3, 5)), sg.var("b", (3, 5))
    after = CSE.run(typed((a + b) * (b + a)))
    assert op_names(after) == ["add", "multiply"]
    after = CSE.run(typed((a - b) * (b - a)))
    assert op_names(after) == ["subtract", "subtract", "multiply"]


def test_constants_merge_by_content_dtype_and_shape() -> None:
    same = [sg.constant(np.arange(3, dtype=np.float32)) for _ in range(2)]
    other = sg.constant(np.arange(3, dtype=np.float32) + 1)
    wide = sg.constant(np.arange(3, dtype=np.float64))
    after = CSE.run(typed(*same, other, wide))
    assert after.outputs[0] == after.outputs[1]
    assert len({*after.outputs}) == 3


def test_zeros_of_either_sign_stay_apart() -> None:
    after = CSE.run(typed(sg.constant(np.float32(0.0)), sg.constant(np.float32(-0.0))))
    assert len({*after.outputs}) == 2
    assert op_key(Scale(0.0)) != op_key(Scale(-0.0))
    assert op_key(Scale(1)) != op_key(Scale(1.0)) != op_key(Scale(True))
    assert op_key(Scale(2.0)) == op_key(Scale(2.0))


def test_random_and_host_operators_stay_apart() -> None:
    v = x()
    for op in (Dropout(), HostDouble()):
        graph = typed(op(v) + op(v))
        assert CSE.run(graph) is graph


def test_operators_that_do_not_compare_by_value_stay_apart() -> None:
    @dataclass(frozen=True, eq=False)
    class Table(Elementwise):
        factor: float

    assert op_key(Table(2.0)) is None
    assert op_key(Scale(np.ones(3))) == op_key(Scale(np.ones(3)))
    assert op_key(Scale({})) is None


def test_it_is_idempotent() -> None:
    v = x()
    once = CSE.run(typed(Exp()(v) + Exp()(v)))
    assert CSE.run(once) is once


def test_it_fires_in_the_default_pipeline() -> None:
    v = x()
    y = Exp()(v) - Exp()(v) * v
    graph, report = graph_pipeline(Options(level=1), True, {}, {}, {}).run(y.graph)
    assert op_names(graph).count("toy_exp") == 1
    entries = [(n, changed) for n, _, changed in report.entries]
    assert ("eliminate_common_subexpressions", True) in entries


def test_it_requires_types() -> None:
    with pytest.raises(PipelineError, match="'eliminate_common_subexpressions' requires TYPED"):
        Pipeline((CSE,))
