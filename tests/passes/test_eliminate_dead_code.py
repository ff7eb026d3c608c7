"""Outputs that nobody reads and updates that change nothing go."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.errors import PipelineError
from symgraph.ir.graph import Graph
from symgraph.options import Options
from symgraph.passes import EliminateDeadCode, graph_pipeline
from symgraph.passes.manager import Pipeline
from tests.support.graphs import assert_same_graph, op_names, same_numbers, typed
from tests.support.toys import Pair


def x():
    return sg.var("x", ("N", 5))


def test_an_operator_is_narrowed_to_the_outputs_that_are_read() -> None:
    more, _ = Pair()(x())
    before = typed(more * 2.0)
    after = EliminateDeadCode().run(before)
    assert_same_graph(after, typed((x() + 1) * 2.0))
    same_numbers(before, after)


def test_chains_of_unread_outputs_go() -> None:
    more, _ = Pair()(x())
    _, less = Pair()(more)
    after = EliminateDeadCode().run(typed(less))
    assert_same_graph(after, typed((x() + 1) - 1))


def test_an_operator_whose_outputs_are_all_read_stays() -> None:
    graph = typed(*Pair()(x()))
    assert EliminateDeadCode().run(graph) is graph


def test_an_update_by_itself_goes() -> None:
    base = typed(x() + sg.var("s", (5,)))
    s = next(n for n in base.nodes if n.name == "s")
    graph = Graph(base.outputs, [("s", s[0])])
    after = EliminateDeadCode().run(graph)
    assert after.updates == ()
    assert EliminateDeadCode().run(after) is after
    other = Graph(base.outputs, [("x", s[0])])
    assert EliminateDeadCode().run(other) is other


def test_an_idle_update_costs_nothing_in_a_program() -> None:
    s = sg.var("s", (5,))
    f = sg.compile(x() + s, updates={"s": s}, target="interp", level=1, verify=2)
    assert [p.updates for p in f.program.outputs] == [""]
    before = np.ones(5, np.float32)
    f(x=np.zeros((2, 5), np.float32), s=before)
    assert before.tolist() == [1.0] * 5


def test_it_fires_in_the_default_pipeline() -> None:
    more, _ = Pair()(x())
    graph, report = graph_pipeline(Options(level=1), True, {}, {}, {}).run(more.graph)
    assert op_names(graph) == ["add"]
    assert ("eliminate_dead_code", True) in [(n, changed) for n, _, changed in report.entries]


def test_it_requires_names_and_types() -> None:
    with pytest.raises(PipelineError, match="'eliminate_dead_code' requires NAMED, TYPED"):
        Pipeline((EliminateDeadCode(),))
