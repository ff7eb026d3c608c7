"""Bytes that a peer allocates for intermediates, counted at its allocator.

    LD_PRELOAD=heap.so python -m benchmarks.memory.activations ENGINE FOLDER

Prints JSON.  `heap.so` is made from heap.c (see peers.py); the folder holds model.onnx and
inputs.npz.  Only allocations are counted, so the numbers are the same in every run and on every
machine; nothing is timed.

onnxruntime   `plan`   most bytes alive in a run that takes its intermediates as one planned block
              `live`   the same with one allocation for each tensor, freed after its last reader
              `arena`  what the arena of a session as shipped grows by in its first two runs
openvino      `total`  all that is alive after two inferences; intermediates are allocated when a
              model is compiled, together with weights and code, so the caller compares batches
"""

from __future__ import annotations

import ctypes
import gc
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np


class Heap:
    """The counters of heap.so."""

    def __init__(self) -> None:
        library = ctypes.CDLL(None)
        self._live, self._peak, self.reset = (
            library.heap_live, library.heap_peak, library.heap_reset,
        )  # fmt: skip
        self._live.restype = self._peak.restype = ctypes.c_longlong

    @property
    def live(self) -> int:
        return int(self._live())

    @property
    def peak(self) -> int:
        return int(self._peak())


def onnxruntime(heap: Heap, folder: Path, inputs: dict[str, Any]) -> dict[str, int]:
    import onnxruntime as ort

    def runs(arena: bool, pattern: bool) -> list[tuple[int, int]]:
        """(most, kept) bytes above what was alive before, of each of three runs."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena, options.enable_mem_pattern = arena, pattern
        session = ort.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        gc.collect()
        found = []
        for _ in range(3):
            before = heap.live
            heap.reset()
            results = session.run(None, inputs)
            most = heap.peak - before
            del results
            found.append((most, heap.live - before))
        return found

    shipped = runs(arena=True, pattern=True)
    return {
        "plan": runs(arena=False, pattern=True)[-1][0],
        "live": runs(arena=False, pattern=False)[-1][0],
        "arena": sum(kept for _, kept in shipped[:2]),
    }


def openvino(heap: Heap, folder: Path, inputs: dict[str, Any]) -> dict[str, int]:
    import openvino as ov

    core = ov.Core()
    config = {
        "INFERENCE_NUM_THREADS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "NUM_STREAMS": 1,
    }
    model = core.read_model(folder / "model.onnx")
    model.reshape({name: list(a.shape) for name, a in inputs.items()})
    compiled = core.compile_model(model, "CPU", config)
    del model
    request = compiled.create_infer_request()
    tensors = {name: ov.Tensor(array, shared_memory=True) for name, array in inputs.items()}
    for _ in range(2):
        request.infer(tensors)
    gc.collect()
    return {"total": heap.live}


def main() -> None:
    engine, folder = sys.argv[1], Path(sys.argv[2])
    inputs = {k: np.ascontiguousarray(v) for k, v in np.load(folder / "inputs.npz").items()}
    print(json.dumps({"onnxruntime": onnxruntime, "openvino": openvino}[engine](
        Heap(), folder, inputs)))  # fmt: skip


if __name__ == "__main__":
    main()
