"""Records: what is read back is what was written, whatever was built before in the process."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pytest

import symgraph as sg
from symgraph import models
from symgraph.codegen.target import find_target
from symgraph.errors import FormatError
from symgraph.ir.graph import Graph
from symgraph.ir.node import Node
from symgraph.ir.op import Op
from symgraph.ir.origin import Origin
from symgraph.ir.printer import graph_text
from symgraph.ir.program import Program
from symgraph.ir.records import NotRecordable, Places, Records, decode, encode
from symgraph.kernel import dims
from symgraph.kernel.dims import DimVar, LoopVar
from symgraph.options import Options


def graph_of(symbol: sg.Symbol) -> Graph:
    return symbol.graph


def again(value: object) -> object:
    places = Places()
    return decode(encode(value, places, grow=True), places)


def program_of(symbol: sg.Symbol, **options: object) -> Program:
    found: Program = sg.compile(symbol, params=sg.init(symbol, seed=3), **options).program
    return found


@pytest.mark.parametrize(
    "value",
    [
        None, True, False, 1, 1.0, -0.0, float("inf"), 1 << 80, "é:3", (), (1, 1.0, True, (None,)),
        [1, [2]], {"a": (1, 2)},
    ],
    ids=repr,
)  # fmt: skip
def test_plain_values_keep_value_and_type(value: object) -> None:
    assert repr(again(value)) == repr(value)


def test_values_that_python_calls_equal_stay_apart() -> None:
    assert repr(again(((1,), (1.0,), (True,), (0.0,), (-0.0,)))) == (
        "((1,), (1.0,), (True,), (0.0,), (-0.0,))"
    )


@pytest.mark.parametrize("name", ["lenet5", "mlp", "lstm"])
def test_a_graph_reads_back(name: str) -> None:
    graph = graph_of(models.KNOWN[name]())
    assert graph_text(again(graph)) == graph_text(graph)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["lenet5", "lstm"])
def test_a_program_reads_back_and_its_arrays_are_taken_as_they_are(name: str) -> None:
    program = program_of(models.KNOWN[name]())
    places = Places()
    records = encode(program, places)
    read = decode(records, places)
    assert str(read) == str(program)
    pairs = zip(read.constants, program.constants, strict=True)
    assert all(a.array is b.array for a, b in pairs)
    # Indices still cancel: the order among loop variables is kept, so the code is the same.
    target = find_target("llvm")
    assert target.emit(read, Options()) == target.emit(program, Options())


def test_equal_graphs_have_equal_text_whatever_was_shared() -> None:
    def build() -> sg.Symbol:
        x = sg.var("x", ("N", 5))
        return sg.relu(sg.linear(x, 7)) + sg.linear(x, 7)

    first = encode(graph_of(build()), Places(), grow=True).text
    models.lenet5()
    assert encode(graph_of(build()), Places(), grow=True).text == first
    other = sg.relu(sg.linear(sg.var("x", ("N", 5)), 7))
    assert encode(graph_of(other), Places(), grow=True).text != first


def test_a_long_chain_does_not_recurse() -> None:
    x = sg.var("x", (3,))
    for _ in range(5000):
        x = sg.exp(x)
    graph = graph_of(x)
    assert len(again(graph).nodes) == len(graph.nodes)  # type: ignore[attr-defined]


def test_expressions_of_extents_read_back_whole() -> None:
    """Also what follows from their parts: bounds, hashes, kinds of atoms."""
    n = DimVar("N")
    for made in (n * 3 + 1, (n * 3 + 1) // 2, (n - 1) % 5 + n, dims.minimum(n + 7, 12)):
        back = again(made)
        assert repr(back) == repr(made)
        assert back.holds == made.holds
        assert dims.bounds(back, {}) == dims.bounds(made, {})


def test_identity_and_order_of_loop_variables_are_kept() -> None:
    i, j = LoopVar("i"), LoopVar("j")
    a, b, c = again((j, i, j))  # type: ignore[misc]
    assert a is c
    assert a is not b
    assert b.serial < a.serial
    assert b.serial > j.serial


def test_places_are_those_of_the_reader() -> None:
    places = Places()
    origin = Origin("/home/me/net.py", 14, "gradient of conv1")
    encode(origin, places, grow=True)
    records = encode((origin, "made at net.py:14, not net.py:142"), places)
    assert "net.py:14," not in records.text
    moved = Places([("/tmp/net.py", 20)])
    assert decode(records, moved) == (
        Origin("/tmp/net.py", 20, "gradient of conv1"),
        "made at net.py:20, not net.py:142",
    )


def test_two_files_of_one_name_are_not_recorded() -> None:
    pair = (Origin("/a/net.py", 3), Origin("/b/net.py", 3))
    with pytest.raises(NotRecordable, match="net.py:3"):
        encode(pair, Places(), grow=True)


@dataclass(frozen=True)
class Foreign(Op):
    name = "foreign"


@pytest.mark.parametrize(
    "value",
    [Foreign(), len, np.array([None], dtype=object), np.float64(2.0), {1}, lambda: 0],
    ids=["operator", "function", "objects", "scalar", "set", "lambda"],
)
def test_what_is_not_ours_is_refused(value: object) -> None:
    with pytest.raises(NotRecordable):
        encode((value,), Places())


@pytest.mark.parametrize(
    "classes", [["os:system"], ["symgraph.compiler:compile"], ["symgraph.ir.node:Nothing"],
                ["symgraph.ir.node:Value", "node"]],
    ids=["outside", "function", "missing", "other fields"],
)  # fmt: skip
def test_reading_makes_nothing_but_data_of_this_package(classes: list[str]) -> None:
    text = json.dumps({"classes": [classes], "table": [[0, 1]], "root": [0]})
    with pytest.raises(FormatError, match="damaged records"):
        decode(Records(text, ()), Places())


def test_nodes_read_back_are_new_nodes() -> None:
    graph = graph_of(sg.exp(sg.var("x", (3,))))
    read = again(graph)
    assert isinstance(read, Graph)
    assert not set(read.nodes) & set(graph.nodes)
    assert all(isinstance(n, Node) for n in read.nodes)
