"""Graphs as JSON: identical round trips, unknown operators, damage."""

from __future__ import annotations

import json

import pytest

import symgraph as sg
from symgraph.errors import FormatError, UnknownOperatorError
from symgraph.ir.serialize import from_json, to_json
from symgraph.ir.symbol import Symbol


def sample() -> Symbol:
    x = sg.var("x", ("N", None), "float64")
    with sg.name_scope("head"):
        y = sg.linear(x, 5) * sg.constant([[1.0, 2, 3, 4, float("inf")]], "float64")
    return y + 1.0


def test_round_trip_is_identical() -> None:
    text = sample().to_json()
    assert to_json(from_json(text)) == text
    assert str(from_json(text)) == str(sample())


def test_unknown_operators_load_as_opaque_nodes() -> None:
    text = sample().to_json().replace('"op": "multiply"', '"op": "frobnicate"')
    graph = from_json(text)
    assert to_json(graph) == text
    assert "frobnicate" in str(graph)
    with pytest.raises(UnknownOperatorError, match="frobnicate.*import the module"):
        sg.compile(Symbol(graph.outputs[0]), target="interp", shapes={"x": (2, 3)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: "{", "no valid JSON"),
        (lambda d: "[]", "expected an object"),
        (lambda d: json.dumps({**d, "version": 99}), "version 99 cannot be read"),
        (lambda d: json.dumps({**d, "nodes": [{}]}), "damaged graph: KeyError"),
        (lambda d: json.dumps({**d, "outputs": [[99, 0]]}), "damaged graph: IndexError"),
    ],
)
def test_damage_is_an_error_that_says_what(change, message) -> None:
    data = json.loads(sample().to_json())
    with pytest.raises(FormatError, match=message):
        from_json(change(data))


def test_cycles_are_refused() -> None:
    data = json.loads((-sg.var("x", (3,))).to_json())
    data["nodes"][1]["inputs"] = [[1, 0]]
    with pytest.raises(FormatError, match="a graph has no cycles"):
        from_json(json.dumps(data))


def test_files_are_written_whole_and_read_back(tmp_path) -> None:
    path = sample().save(tmp_path / "net.json")
    assert sg.load_graph(path).to_json() == sample().to_json()
    assert [p.name for p in tmp_path.iterdir()] == ["net.json"]
    path.write_text(path.read_text()[:200])
    with pytest.raises(FormatError, match=r"net\.json: .*no valid JSON"):
        sg.load_graph(path)
    with pytest.raises(FormatError, match="there is no such file"):
        sg.load_graph(tmp_path / "other.json")
