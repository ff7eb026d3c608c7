"""The chart of ratios says what its table says."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

from benchmarks.chart import chart


@dataclass
class Row:
    network: str
    threads: int
    engine: str
    minimum_ms: float


def _texts(rows: list[Row]) -> list[str]:
    root = ElementTree.fromstring(chart(rows, "a <machine>"))
    return ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]


def test_forms_of_symgraph_are_no_peers_of_each_other() -> None:
    texts = _texts([
        Row("net/1", 1, "symgraph", 6.0),
        Row("net/1", 1, "symgraph-fast", 3.0),
        Row("net/1", 1, "openvino", 8.0),
        Row("net/1", 1, "onnxruntime", 12.0),
        Row("net/1", 2, "symgraph", 4.5),
        Row("net/1", 2, "onnxruntime", 3.0),
        Row("alone/1", 2, "symgraph", 1.0),
    ])  # fmt: skip
    assert "a <machine>" in texts
    assert texts[3:] == [
        "net/1, 1 thread",
        "0.75   6 ms, OpenVINO 8",
        "net/1, fast, 1 thread",
        "0.38   3 ms, OpenVINO 8",
        "net/1, 2 threads",
        "1.50   4.5 ms, ONNX Runtime 3",
    ]
