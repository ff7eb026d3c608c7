"""Models, pictures and tables of real graphs."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import Any, ClassVar

import networkx as nx
import pytest

import symgraph as sg
from symgraph.errors import InputError, ShapeError
from symgraph.ir.initializer import Constant
from symgraph.ir.op import Op
from symgraph.ir.symbol import Symbol
from symgraph.lower import lower
from symgraph.passes.plan_memory import PlanMemory
from symgraph.viz import DrawError, draw, draw_memory, summary, to_networkx

SVG = "{http://www.w3.org/2000/svg}"


@dataclass(frozen=True, slots=True)
class Halves(Op):
    """y, z = x, x.   Two outputs and a stated cost."""

    name = "halves"
    outputs: ClassVar[tuple[str, ...]] = ("low", "high")

    def infer_shape(self, u: Any, x: Any) -> tuple[Any, ...]:
        return (x, x)

    def flops(self, ins: Any, outs: Any) -> Any:
        return 7


@dataclass(frozen=True, slots=True)
class Square(sg.CompositeOp):
    """y = x * x."""

    name = "square"

    def infer_shape(self, u: Any, x: Any) -> tuple[Any, ...]:
        return (x,)

    def forward(self, x: Any) -> Any:
        return x * x


@dataclass(frozen=True, slots=True)
class Peek(sg.HostOp):
    """y = x, in Python."""

    name = "peek"

    def infer_shape(self, u: Any, x: Any) -> tuple[Any, ...]:
        return (x,)


def network() -> sg.Group:
    x = sg.var("x", ("N", 7))
    with sg.name_scope("body"):
        h = sg.linear(x, 5, name="fc1")
        h = h * h + h
    with sg.name_scope("head"):
        y = sg.linear(h, 3, name="fc2")
    return sg.group(y, y - 1.0)


def test_every_node_and_edge_of_the_graph() -> None:
    symbol = network()
    model = to_networkx(symbol)
    graph = symbol.graph
    assert list(model) == [graph.names[n] for n in graph.nodes]
    pairs = {(v.node, n) for n in graph.nodes for v in n.inputs}
    assert model.number_of_edges() == len(pairs)
    root = ET.fromstring(draw(symbol, parameters="show").svg)
    assert len(root.findall(f".//{SVG}g[@data-node]")) == len(graph)
    assert len(root.findall(f".//{SVG}g[@data-edge]")) == len(pairs)


def test_attributes_of_nodes_and_edges() -> None:
    model = to_networkx(network())
    fc1 = model.nodes["body/fc1"]
    origin = fc1.pop("origin")
    assert re.fullmatch(r"test_model\.py:\d+", origin)
    assert fc1 == {
        "label": "fc1", "kind": "operator", "op": "linear", "attributes": "units=5",
        "scope": "body", "type": "f32[N,5]", "flops": 2 * 7 * 5 + 5, "nbytes": 20,
        "counted_at": "N=1",
    }  # fmt: skip
    assert model.nodes["x"]["kind"] == "input"
    assert model.nodes["body/fc1_weight"]["kind"] == "parameter"
    assert model.nodes["head/fc2"]["output"] == "head/fc2"
    assert model.nodes["scalar0"]["label"] == "1.0"
    assert model.nodes["scalar0"]["kind"] == "constant"
    # Both uses of one value are one edge that names both arguments.
    assert model.edges["body/fc1", "body/multiply0"] == {
        "label": "f32[N,5]", "inputs": "x, y", "nbytes": 20, "style": "solid",
    }  # fmt: skip


def test_several_outputs_have_their_own_labels() -> None:
    a, b = Halves()(sg.var("x", (2, 3)), name="cut")
    model = to_networkx(a * 1.0 + b)
    assert model.nodes["cut"]["type"] == "f32[2,3], f32[2,3]"
    assert model.nodes["cut"]["flops"] == 7
    assert list(model.successors("cut")) == ["multiply0", "add0"]


def test_composites_count_their_parts_at_the_given_shapes() -> None:
    y = Square()(sg.var("x", ("N", 3)), name="sq")
    assert to_networkx(y).nodes["sq"]["flops"] == 3
    assert to_networkx(y, {"x": (5, 3)}).nodes["sq"]["flops"] == 15


def test_host_operators_and_unknown_shapes_can_be_drawn() -> None:
    y = Peek()(sg.var("x"), name="look") + 1.0
    model = to_networkx(y)
    assert model.nodes["look"]["kind"] == "opaque"
    assert model.nodes["look"]["type"] == "f32[...]"
    assert "flops" not in model.nodes["look"]
    ET.fromstring(draw(y).svg)
    assert "?" in summary(y).text


def test_given_shapes() -> None:
    symbol = network()
    texts = {t.text for t in ET.fromstring(draw(symbol, x=(64, 7)).svg).iter(f"{SVG}text")}
    assert {"f32[64,7]", "f32[64,5]", "f32[64,3]", "body", "head"} <= texts
    assert draw(symbol, given={"x": (64, 7)}).svg == draw(symbol, x=(64, 7)).svg
    with pytest.raises(ShapeError):
        draw(symbol, given={"x": (64, 7), "body/fc1_weight": (5, 9)})
    with pytest.raises(InputError, match=r"need a symbol, a group or a graph, got int"):
        draw(3)  # type: ignore[arg-type]
    with pytest.raises(DrawError, match=r"a model has its types already"):
        draw(nx.DiGraph(), x=(1,))


def test_pictures_do_not_depend_on_what_was_built_before() -> None:
    def lines(svg: str) -> str:
        return re.sub(r"test_model\.py:\d+", "", svg)

    first = draw(network(), parameters="show").svg
    network()
    assert lines(draw(network(), parameters="show").svg) == lines(first)


def test_a_deep_graph() -> None:
    x: Symbol = sg.var("x", (2,))
    for _ in range(3000):
        x = -x
    assert len(draw(x).view.nodes) == 3001


SUMMARY = """\
name            operator  output    parameters  FLOP   bytes
------------------------------------------------------------
x               input     f32[N,7]                    28*N B
body/fc1        linear    f32[N,5]          40  75*N  20*N B
body/multiply0  multiply  f32[N,5]               5*N  20*N B
body/add0       add       f32[N,5]               5*N  20*N B
head/fc2        linear    f32[N,3]          18  33*N  12*N B
subtract0       subtract  f32[N,3]               3*N  12*N B
------------------------------------------------------------
parameters: 58 (232 B)
work: 121*N FLOP
outputs of operators: 84*N B
"""


def test_summary_as_text() -> None:
    assert summary(network()).text == SUMMARY
    assert str(summary(network())) == SUMMARY


def test_summary_at_given_shapes_and_as_markdown() -> None:
    table = summary(network(), x=(1000, 7))
    assert (table.parameters, table.flops, table.nbytes) == (58, 121_000, 84_000)
    lines = table.markdown.splitlines()
    assert lines[0] == "| name | operator | output | parameters | FLOP | bytes |"
    assert "| body/fc1 | linear | f32[1000,5] | 40 | 75 k | 19.5 KiB |" in lines
    assert "* parameters: 58 (232 B)" in lines


def test_shared_parameters_count_once() -> None:
    w = sg.parameter("w", (5, 5), init=Constant(0.0))
    x = sg.var("x", (2, 5))
    table = summary(sg.matmul(sg.matmul(x, w), w))
    assert table.parameters == 25
    assert [row.parameters for row in table.rows] == [0, 25, 0]


def test_memory_of_a_program() -> None:
    x = sg.var("x", ("N", 4), "float32")
    graph = sg.matmul(sg.matmul(x, x, transpose_y=True), x).graph
    program = lower(graph, "square")
    with pytest.raises(DrawError, match=r"^program square has no memory plan$"):
        draw_memory(program)
    planned = PlanMemory().run(program)
    assert "square: memory plan at N=" in draw_memory(planned).svg
    svg = draw_memory(planned, N=8).svg
    assert "square: memory plan at N=8" in svg
    assert "256 B at 0..256" in svg


def test_totals_do_not_hide_what_is_unknown() -> None:
    q = sg.var("q")
    text = summary(sg.linear(sg.relu(sg.linear(q, 8, name="a")), 3, name="b")).text
    assert "parameters: at least 11 (44 B)" in text
    assert "work: unknown" in text
    assert "outputs of operators: unknown" in text
    whole = summary(sg.linear(q, 8, name="a"), q=(2, 5)).text
    assert "at least" not in whole
    assert "unknown" not in whole
