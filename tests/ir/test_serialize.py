"""Graphs as JSON: identical round trips, unknown operators, damage."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

import symgraph as sg
from symgraph.errors import FormatError, UnknownOperatorError, UserError
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
        (lambda d: json.dumps({**d, "nodes": [{}]}), "damaged graph: node 0: 'op' is missing"),
        (lambda d: json.dumps({**d, "nodes": {}}), "damaged graph: nodes must be a list, got {}"),
        (lambda d: json.dumps({**d, "outputs": [[99, 0]]}), "outputs: there is no node 99"),
        (lambda d: json.dumps({**d, "outputs": [[0, 1]]}), r"node 0 \(variable\) has no output 1"),
        (lambda d: json.dumps({**d, "outputs": [[True, 0]]}), r"got \[True, 0\]"),
    ],
)
def test_damage_is_an_error_that_says_what(change, message) -> None:
    data = json.loads(sample().to_json())
    with pytest.raises(FormatError, match=message):
        from_json(change(data))


def everything() -> Symbol:
    """Attributes and extents of every kind that files hold."""
    x = sg.var("x", ("N", 3, 9, 8))
    h = sg.max_pool2d(sg.conv2d(x, 4, kernel_size=3, padding=1, stride=(2, 1), name="c"), 2)
    steps = sg.scan(lambda s, v: (s + v,) * 2, sg.zeros((4,)), [sg.reshape(h, (-1, 4))])
    return sg.group(sg.linear(sg.flatten(h), 5, name="fc"), steps[0], sample())


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = data.items() if isinstance(data, dict) else enumerate(data)
    inside = [(key, v) for key, v in items] if isinstance(data, (dict, list)) else []
    below = [p for key, v in inside if isinstance(v, (dict, list)) for p in places(v, (*path, key))]
    return [(*path, key) for key, _ in inside] + below


WRONG = [None, True, -1, 0, 7, 2**70, 1.5, "", "x", "relu", [], {}, [1, 2], {"a": 1}, [["N"]]]


@pytest.mark.parametrize("seed", range(3))
def test_no_damage_gets_through(seed: int) -> None:
    """Anything anywhere replaced, left out or put in between: a graph, or an error of ours."""
    rng = random.Random(seed)
    text = everything().to_json()
    every = places(json.loads(text))
    refused = 0
    for _ in range(100):
        data = json.loads(text)
        *path, key = rng.choice(every)
        inner = data
        for step in path:
            inner = inner[step]
        match rng.choice(["replace", "replace", "leave out", "put in"]):
            case "leave out":
                del inner[key]
            case "put in" if isinstance(inner, list):
                inner.insert(key, rng.choice(WRONG))
            case _:
                inner[key] = rng.choice(WRONG)
        try:
            from_json(json.dumps(data))
        except UserError:
            refused += 1
    assert refused > 50


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
