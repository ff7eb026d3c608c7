"""symgraph and its peers on the same networks, side by side.

    python -m benchmarks.inference [--networks lenet5,mlp] [--threads 1,2] [--save FILE.json]

Every engine runs in a process of its own; rounds are interleaved, so that a noisy moment hits all
of them; ratios compare the least times, the medians stand beside them.  On one thread, times are
those of the processor, which other work on the machine disturbs less.  Results must agree.  What
the machine itself can do is measured in the same rounds: `roof` is the part of it that an engine
reaches, the network's operations at the rate of multiply-adds in registers, or its bytes at the
rate of reading as many, whichever takes longer.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from symgraph.errors import UnknownOperatorError

from .chart import chart
from .engines import PEERS
from .machine import Roof, describe
from .networks import NETWORKS, Network


@dataclass
class Row:
    """One engine on one network."""

    network: str
    threads: int
    engine: str
    median_ms: float
    minimum_ms: float
    ready_seconds: float
    peak_mebibytes: float
    largest_difference: float
    roof_ms: float


class Worker:
    """One engine in a process of its own."""

    def __init__(self, engine: str, folder: Path, threads: int) -> None:
        command = [sys.executable, "-m", "benchmarks.engines", engine, str(folder), str(threads)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.engine = engine
        self.ready = self._read()["ready"]

    def ask(self, command: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.engine} stopped with code {self.process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("quit\n")
        self.process.stdin.close()
        self.process.wait()


def prepare(network: Network, folder: Path) -> tuple[float, int]:
    """Write the graph, parameters, inputs and the ONNX model; operations and bytes of a call."""
    import symgraph as sg
    from symgraph.ir.serialize import save
    from symgraph.onnx import export_onnx

    symbol = network.build()
    inputs = network.inputs(np.random.default_rng(0))
    shapes = {name: a.shape for name, a in inputs.items()}
    params = sg.init(symbol, 0, shapes=shapes)
    save(symbol.graph, folder / "graph.json")
    np.savez(folder / "params.npz", **params)
    np.savez(folder / "inputs.npz", **inputs)
    if network.peers is None:
        export_onnx(symbol, folder / "model.onnx", params=params, shapes=shapes)
    else:
        network.peers(params, folder / "model.onnx")
    nbytes = sum(a.nbytes for a in (*params.values(), *inputs.values()))
    return operations(symbol, shapes), nbytes


def operations(symbol: Any, shapes: dict[str, tuple[int, ...]]) -> float:
    """Floating-point operations of one call in inference form."""
    from symgraph.ir.cost import node_flops
    from symgraph.passes.infer_types import InferTypes
    from symgraph.passes.inference_form import InferenceForm

    graph = InferenceForm().run(InferTypes(shapes).run(symbol.graph))
    types = {v: v.node.types[v.index] for n in graph.nodes for v in n.values}
    counts = [node_flops(n, types) for n in graph.nodes]
    return float(sum(c for c in counts if isinstance(c, int)))


def measure(network: Network, threads: int, rounds: int, engines: tuple[str, ...]) -> list[Row]:
    """All engines on one network, interleaved."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        flops, nbytes = prepare(network, folder)
        roof = Roof(threads, nbytes)
        gc.collect()
        workers = [Worker(engine, folder, threads) for engine in engines]
        times: dict[str, list[int]] = {w.engine: [] for w in workers}
        batch = _batch(workers[0])
        for _ in range(rounds):
            for worker in workers:
                answer = worker.ask(f"time {batch}")
                times[worker.engine] += [answer["cpu_ns"]] if threads == 1 else answer["ns"]
            roof.measure()
        rows = []
        for worker in workers:
            worker.ask("output")
        for worker in workers:
            difference = _difference(folder, worker.engine, engines)
            nanoseconds = np.array(times[worker.engine])
            rows.append(
                Row(
                    network.name,
                    threads,
                    worker.engine,
                    float(np.median(nanoseconds)) / 1e6,
                    float(nanoseconds.min()) / 1e6,
                    worker.ready,
                    worker.ask("memory")["bytes"] / 2**20,
                    difference,
                    roof.seconds(flops, nbytes) * 1e3,
                )
            )
            worker.close()
        return rows


def _batch(worker: Worker) -> int:
    """Inferences a round: about 0.2 seconds."""
    once = min(worker.ask("time 3")["ns"])
    return int(np.clip(0.2e9 / once, 1, 2000))


def _difference(folder: Path, engine: str, engines: tuple[str, ...]) -> float:
    """Largest difference from the first peer, relative to its largest element."""
    other = folder / f"output-{engines[-1]}.npz"
    if not other.exists():
        return float("nan")
    mine, theirs = np.load(folder / f"output-{engine}.npz"), np.load(other)
    pairs = zip(mine.values(), theirs.values(), strict=True)
    return max(float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30)) for a, b in pairs)


def table(rows: list[Row], header: bool = True) -> str:
    """Milliseconds, the ratio to the best peer, and the part of what the machine can do."""
    lines = [
        f"{'network':<24}{'threads':>8}  {'engine':<12}{'median ms':>11}{'min ms':>10}"
        f"{'ratio':>8}{'roof':>7}{'ready s':>9}{'peak MiB':>10}{'difference':>12}"
    ]
    for row in rows:
        peers = [
            r.minimum_ms
            for r in rows
            if (r.network, r.threads) == (row.network, row.threads) and r.engine in PEERS
        ]
        ratio = f"{row.minimum_ms / min(peers):.2f}" if peers else ""
        lines.append(
            f"{row.network:<24}{row.threads:>8}  {row.engine:<12}{row.median_ms:>11.4f}"
            f"{row.minimum_ms:>10.4f}{ratio:>8}{row.roof_ms / row.minimum_ms:>7.0%}"
            f"{row.ready_seconds:>9.2f}"
            f"{row.peak_mebibytes:>10.0f}{row.largest_difference:>12.1e}"
        )
    return "\n".join(lines if header else lines[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--networks", default=",".join(n.name for n in NETWORKS))
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--engines", default="symgraph,onnxruntime,openvino")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--save", type=Path, help="JSON with every row")
    parser.add_argument("--chart", type=Path, help="SVG with the ratios to the best peer")
    given = parser.parse_args()
    chosen = [n for n in NETWORKS if n.name in given.networks.split(",")]
    rows: list[Row] = []
    print(describe())
    for network in chosen:
        for threads in (int(t) for t in given.threads.split(",")):
            try:
                found = measure(network, threads, given.rounds, tuple(given.engines.split(",")))
            except UnknownOperatorError as error:
                print(f"{network.name} is left out: {error}")
                break
            rows += found
            print(table(found, header=len(rows) == len(found)), flush=True)
            # After each network: a run that is cut short keeps what it has measured.
            if given.save:
                content = {"machine": describe(), "rows": [asdict(r) for r in rows]}
                given.save.write_text(json.dumps(content, indent=1) + "\n")
            if given.chart:
                given.chart.write_text(chart(rows, describe()))


if __name__ == "__main__":
    main()
