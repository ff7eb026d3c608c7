"""Facts, verification, dumps, stopping, timing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest

import symgraph as sg
from symgraph.errors import PipelineError, VerifyError
from symgraph.ir.graph import Graph
from symgraph.ir.node import Node
from symgraph.options import Options
from symgraph.passes import ExpandComposites, FoldConstants, InferTypes, Simplify
from symgraph.passes.manager import Dump, Fact, Pass, Pipeline, run_passes
from symgraph.passes.simplify import Simplify as SimplifyAgain
from tests.support.graphs import op_names, typed
from tests.support.toys import Exp, Scale


def x():
    return sg.var("x", ("N", 5))


@dataclass(frozen=True)
class Forget(Pass):
    """Breaks what others provided."""

    name: ClassVar[str] = "forget"
    breaks: ClassVar[Fact] = Fact.TYPED


@dataclass(frozen=True)
class Corrupt(Pass):
    """Makes a node with a type that its inputs do not give."""

    name: ClassVar[str] = "corrupt"

    def run(self, graph: Graph) -> Graph:
        (old,) = graph.outputs
        wrong = (graph.variables[0].types[0],)
        node = Node(old.node.op, old.node.inputs, (*wrong, *wrong), "bad")
        return Graph([node[0]])


PREPARE = (InferTypes(), ExpandComposites())


def test_a_missing_fact_names_its_provider() -> None:
    with pytest.raises(PipelineError) as error:
        Pipeline((FoldConstants(),))
    assert str(error.value) == (
        "pass 'fold_constants' requires TYPED, which nothing before it provides; "
        "put 'infer_types' before it"
    )


def test_a_broken_fact_names_who_broke_it() -> None:
    with pytest.raises(PipelineError, match=r"'fold_constants' requires TYPED.*forget breaks it"):
        Pipeline((*PREPARE, Forget(), FoldConstants()))


def test_facts_given_count_and_the_end_is_known() -> None:
    assert Pipeline((FoldConstants(),), Fact.TYPED).after == Fact.TYPED
    assert Fact.TYPED not in Pipeline((*PREPARE, Forget())).after
    assert Simplify is SimplifyAgain


def test_each_pass_reports_time_and_whether_it_changed_anything(capsys) -> None:
    pipeline = Pipeline((*PREPARE, FoldConstants(), Simplify()))
    _, report = pipeline.run(Scale(1.0)(x()).graph, Options(timing=True))
    assert [(n, c) for n, _, c in report.entries] == [
        ("infer_types", True), ("expand_composites", False), ("fold_constants", False),
        ("simplify", True),
    ]  # fmt: skip
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert lines[1].startswith("expand_composites")
    assert lines[1].endswith("ms  (unchanged)")


def test_passes_can_be_left_out_and_stopped_after() -> None:
    pipeline = Pipeline((*PREPARE, Simplify(), FoldConstants()))
    graph, _ = pipeline.run(Scale(1.0)(Exp()(x())).graph, Options(disable=("simplify",)))
    assert op_names(graph) == ["toy_exp", "toy_scale"]
    _, report = pipeline.run(x().graph, Options(stop_after="expand_composites"))
    assert [n for n, _, _ in report.entries] == ["infer_types", "expand_composites"]


def test_a_pass_that_breaks_an_invariant_is_named() -> None:
    graph = typed(Exp()(x()))
    with pytest.raises(VerifyError, match=r"\[G2\] after pass 'corrupt': \[G2\] .* has 2 types"):
        Pipeline((Corrupt(),)).run(graph, Options(verify=1))
    Pipeline((Corrupt(),)).run(graph, Options(verify=0))


def test_dumps_are_numbered_and_say_unchanged(tmp_path) -> None:
    pipeline = Pipeline((*PREPARE, FoldConstants(), Simplify()))
    pipeline.run(Scale(1.0)(x()).graph, Options(dump=str(tmp_path)))
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["00-input.txt", "01-infer_types.txt", "02-expand_composites.txt",
                     "03-fold_constants.txt", "04-simplify.txt"]  # fmt: skip
    assert (tmp_path / "03-fold_constants.txt").read_text().startswith("(unchanged)\n%x: f32[N,5]")
    assert (tmp_path / "04-simplify.txt").read_text() == "%x: f32[N,5] = variable\nreturn %x\n"


def test_numbers_go_on_through_the_program_stages(tmp_path) -> None:
    sg.compile(Exp()(x()), target="interp", dump=str(tmp_path), level=0)
    names = sorted(p.name for p in tmp_path.iterdir())
    assert [n.split("-")[0] for n in names] == [f"{n:02d}" for n in range(len(names))]
    assert [n.split("-")[1] for n in names[-4:]] == [
        "lower.txt",
        "schedule.txt",
        "order_steps.txt",
        "plan_memory.txt",
    ]


def test_a_dump_without_a_folder_makes_no_text() -> None:
    class Loud:
        def __str__(self) -> str:
            raise AssertionError("nobody wants this text")

    Dump(None).write("stage", Loud())


def test_an_error_points_to_the_dump(tmp_path) -> None:
    with pytest.raises(VerifyError, match=f"see {tmp_path}"):
        Pipeline((Corrupt(),)).run(typed(Exp()(x())), Options(dump=str(tmp_path)))


def test_a_pass_without_run_says_so() -> None:
    with pytest.raises(NotImplementedError, match="Forget does not define run"):
        run_passes(typed(x()), [Forget()])
