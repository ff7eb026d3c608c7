"""Planned bytes of known networks beside what peers allocate for the same.

    python -m benchmarks.memory.peers [NETWORK ...] [--mxnet PYTHON] [--save FILE.json]

Needs onnx, onnxruntime and openvino beside symgraph, and a C compiler for heap.c; MXNet 1.x runs
under a Python of its own, given by its path.  One sample of each network, one thread, float32.
Every peer runs in a process of its own; bytes are counted, not sampled, so that runs agree.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import symgraph as sg
from symgraph import models
from symgraph.errors import UnknownOperatorError

from ..inference import prepare
from ..networks import FEATURES, LAYERS, LENGTH, UNITS, Network, lstm_for_peers

HERE = Path(__file__).parent
MXNET_MEBIBYTES = 128
"""A batch for MXNet is chosen so that its plan is about as large: it tells whole mebibytes."""

OPENVINO_BYTES = 4 * 2**20
"""Batches for OpenVINO differ by intermediates of about as many bytes."""


@dataclass
class Row:
    """Bytes for intermediates; None where a peer was not asked or cannot run the network."""

    network: str
    symgraph: int
    symgraph_fast: int
    ratio: float
    proved: bool
    naive: int
    onnxruntime_plan: int | None = None
    onnxruntime_live: int | None = None
    onnxruntime_arena: int | None = None
    openvino: int | None = None
    mxnet: int | None = None


def _lstm() -> sg.Symbol:
    return models.lstm(length=LENGTH, features=FEATURES, units=UNITS, layers=LAYERS)


def _image(build: Callable[[], sg.Symbol], size: int = 224, channels: int = 3) -> Network:
    return Network(build.__name__, build, {"x": (1, channels, size, size)})


NETWORKS: tuple[Network, ...] = (
    _image(models.lenet5, 28, 1),
    _image(models.alexnet),
    _image(models.vgg16),
    _image(models.resnet18),
    _image(models.resnet50),
    _image(models.mobilenet_v2),
    _image(models.densenet121),
    _image(models.inception_v3, 299),
    _image(models.unet, 256),
    Network("lstm", _lstm, {"x": (1, LENGTH, FEATURES)}, lstm_for_peers),
    Network("bert", models.bert_encoder, {"tokens": (1, 128)}, tokens=30000),
)


def heap_library(folder: Path) -> Path:
    """The counting allocator, compiled.  Raises: CalledProcessError, FileNotFoundError."""
    target = folder / "heap.so"
    command = [os.environ.get("CC", "cc"), "-O2", "-shared", "-fPIC", "-o", str(target)]
    subprocess.run([*command, str(HERE / "heap.c"), "-ldl"], check=True)
    return target


def ask(engine: str, folder: Path, heap: Path) -> dict[str, int]:
    """What a peer allocates for the model in a folder; nothing where it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory.activations", engine, str(folder)],
        env={**os.environ, "LD_PRELOAD": str(heap)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        print(f"{engine} failed on {folder.name}: {done.stderr.strip()[-300:]}", file=sys.stderr)
        return {}
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


def ask_mxnet(python: str, name: str, expected: int, training: bool = False) -> int | None:
    batch = max(2, -(-MXNET_MEBIBYTES * 2**20 // max(expected, 1)))
    flags = ["--training"] if training else []
    done = subprocess.run(
        [python, str(HERE / "mxnet_networks.py"), name, str(min(batch, 4096)), *flags],
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        print(f"mxnet failed on {name}: {done.stderr.strip()[-300:]}", file=sys.stderr)
        return None
    return round(float(done.stdout.splitlines()[-1]))


def own(network: Network, **options: Any) -> sg.MemoryReport:
    """The plan of a network with its parameters bound, for the batch in its shapes."""
    symbol = network.build()
    shapes = dict(network.shapes)
    params = sg.init(symbol, 0, shapes=shapes)
    return sg.compile(symbol, params=params, shapes=shapes, threads=1, **options).memory_report()


def measure(network: Network, mxnet: str | None, folder: Path) -> Row:
    """One row of the table."""
    report, fast = own(network, algorithms="direct"), own(network)
    row = Row(
        network.name, report.planned + report.scratch, fast.planned + fast.scratch,
        report.ratio, report.proved, report.naive,
    )  # fmt: skip
    heap = heap_library(folder)
    # OpenVINO packs weights by the batch as well: batches are compared that differ by much.
    many = max(1, -(-OPENVINO_BYTES // max(row.symgraph, 1)))
    batches = dict.fromkeys((1, many, 2 * many))
    places = {batch: folder / f"{network.name}-{batch}" for batch in batches}
    if mxnet is not None:
        row.mxnet = ask_mxnet(mxnet, network.name, row.symgraph)
    try:
        for batch, place in places.items():
            place.mkdir()
            shapes = {name: (batch, *s[1:]) for name, s in network.shapes.items()}
            prepare(replace(network, shapes=shapes), place)
    except UnknownOperatorError as error:
        print(f"{network.name} is not written as ONNX: {error}", file=sys.stderr)
        return row
    runtime = ask("onnxruntime", places[1], heap)
    row.onnxruntime_plan, row.onnxruntime_live = runtime.get("plan"), runtime.get("live")
    row.onnxruntime_arena = runtime.get("arena")
    less, more = (ask("openvino", places[n * many], heap) for n in (1, 2))
    if less and more:
        row.openvino = (more["total"] - less["total"]) // many
    return row


COLUMNS: tuple[tuple[str, Callable[[Row], int | None]], ...] = (
    ("symgraph", lambda r: r.symgraph),
    ("ORT plan", lambda r: r.onnxruntime_plan),
    ("ORT live", lambda r: r.onnxruntime_live),
    ("ORT arena", lambda r: r.onnxruntime_arena),
    ("OpenVINO", lambda r: r.openvino),
    ("MXNet", lambda r: r.mxnet),
    ("naive", lambda r: r.naive),
    ("Winograd", lambda r: r.symgraph_fast),
)


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    titles = ["network", *(title for title, _ in COLUMNS), "ratio", "proved"]
    lines = ["| " + " | ".join(titles) + " |", "|---|" + "---:|" * (len(titles) - 1)]
    for row in rows:
        cells = [column(row) for _, column in COLUMNS]
        texts = ["-" if c is None else f"{c:,}" for c in cells]
        texts += [f"{row.ratio:.3f}", "yes" if row.proved else "no"]
        lines.append(f"| {row.network} | " + " | ".join(texts) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", default=[n.name for n in NETWORKS])
    parser.add_argument("--mxnet", metavar="PYTHON", help="a Python that has MXNet 1.x")
    parser.add_argument("--save", metavar="FILE.json")
    given = parser.parse_args()
    rows = []
    for network in NETWORKS:
        if network.name in given.networks:
            with tempfile.TemporaryDirectory() as name:
                rows.append(measure(network, given.mxnet, Path(name)))
            print(rows[-1], file=sys.stderr, flush=True)
    print(table(rows))
    if given.save:
        Path(given.save).write_text(json.dumps([r.__dict__ for r in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
