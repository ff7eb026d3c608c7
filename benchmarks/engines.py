"""Inference engines behind one small interface, each run in a process of its own.

    python -m benchmarks.engines ENGINE FOLDER THREADS

The worker loads `graph.json`, `params.npz`, `inputs.npz` (symgraph) or `model.onnx` (peers) from
the folder, says how long that took, and then answers lines on standard input: `time K` runs K
inferences and prints their nanoseconds and the processor time of one; `output` writes
`output-ENGINE.npz`; `memory` prints the
process's peak memory in bytes; `quit` ends it.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

Runner = Callable[[], list[Any]]


def symgraph_engine(folder: Path, threads: int, inputs: dict[str, Any], **options: Any) -> Runner:
    """This package, with the graph and its parameters."""
    import symgraph as sg
    from symgraph.ir.serialize import load

    graph = load(folder / "graph.json")
    group = sg.group(*(sg.Symbol(v) for v in graph.outputs))
    shapes = {name: array.shape for name, array in inputs.items()}
    # From the file, as the peers read theirs: nothing else holds the arrays.
    with np.load(folder / "params.npz") as params:
        f = sg.compile(group, params=params, shapes=shapes, threads=threads, cache=None, **options)
    outs = f(**inputs)
    given = outs if isinstance(outs, tuple) else (outs,)
    out = tuple(np.empty_like(a) for a in given)
    target = out if len(out) > 1 else out[0]

    def run() -> list[Any]:
        f(**inputs, out=target)
        return list(out)

    return run


def onnxruntime_engine(folder: Path, threads: int, inputs: dict[str, Any]) -> Runner:
    """ONNX Runtime on the CPU, all graph optimisations."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = ort.InferenceSession(
        str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )
    return lambda: session.run(None, inputs)


def openvino_engine(folder: Path, threads: int, inputs: dict[str, Any]) -> Runner:
    """OpenVINO on the CPU, float32, latency mode."""
    import openvino as ov

    core = ov.Core()
    config = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "NUM_STREAMS": 1,
    }
    model = core.read_model(folder / "model.onnx")
    model.reshape({name: list(a.shape) for name, a in inputs.items()})
    compiled = core.compile_model(model, "CPU", config)
    request = compiled.create_infer_request()
    tensors = {name: ov.Tensor(array, shared_memory=True) for name, array in inputs.items()}

    def run() -> list[Any]:
        request.infer(tensors)
        return [request.get_output_tensor(i).data for i in range(len(compiled.outputs))]

    return run


ENGINES: dict[str, Callable[..., Runner]] = {
    "symgraph": symgraph_engine,
    "symgraph-direct": partial(symgraph_engine, algorithms="direct"),
    "symgraph-fast": partial(symgraph_engine, algorithms="fast"),
    "onnxruntime": onnxruntime_engine,
    "openvino": openvino_engine,
}
PEERS = ("onnxruntime", "openvino")


def main() -> None:
    engine, folder, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    inputs = {k: np.ascontiguousarray(v) for k, v in np.load(folder / "inputs.npz").items()}
    start = time.perf_counter()
    run = ENGINES[engine](folder, threads, inputs)
    run()
    say({"ready": time.perf_counter() - start})
    for line in sys.stdin:
        command = line.split()
        if command[0] == "time":
            before = time.process_time_ns()
            times = [_once(run) for _ in range(int(command[1]))]
            say({"ns": times, "cpu_ns": (time.process_time_ns() - before) / len(times)})
        elif command[0] == "output":
            np.savez(folder / f"output-{engine}.npz", *run())
            say({"written": True})
        elif command[0] == "memory":
            say({"bytes": _peak_bytes()})
        else:
            return


def _peak_bytes() -> int:
    """Most memory of this process; that of the one which started it does not count."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _once(run: Runner) -> int:
    start = time.perf_counter_ns()
    run()
    return time.perf_counter_ns() - start


def say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
