"""LeNet-5 inference against a plain numpy implementation, at batch 1 and 64.

    python -m benchmarks.lenet_numpy

Convolutions in numpy are windows times weights (one matrix product each).  Both run on the same
number of threads, one and two; rounds of several calls are interleaved, the figure is the minimum.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from typing import Any

import numpy as np

import symgraph as sg

from .networks import NETWORKS

Array = np.ndarray[Any, np.dtype[Any]]

ROUNDS, CALLS = 30, 5
COUNTS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Where numpy's libraries look for the number of threads."""


def convolution(x: Array, weight: Array, bias: Array) -> Array:
    view = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axis=(2, 3))
    n, c, h, w, kh, kw = view.shape
    rows = view.transpose(0, 2, 3, 1, 4, 5).reshape(n * h * w, c * kh * kw)
    y = rows @ weight.reshape(weight.shape[0], -1).T + bias
    return y.reshape(n, h, w, -1).transpose(0, 3, 1, 2)


def pool(x: Array) -> Array:
    n, c, h, w = x.shape
    return x.reshape(n, c, h // 2, 2, w // 2, 2).max(axis=(3, 5))


def lenet(x: Array, p: dict[str, Array]) -> Array:
    h = pool(np.maximum(convolution(x, p["conv1_weight"], p["conv1_bias"]), 0))
    h = pool(np.maximum(convolution(h, p["conv2_weight"], p["conv2_bias"]), 0))
    h = np.maximum(h.reshape(len(h), -1) @ p["fc1_weight"].T + p["fc1_bias"], 0)
    return h @ p["fc2_weight"].T + p["fc2_bias"]


def measure(threads: int, batch: int) -> dict[str, float]:
    """The least seconds of one call of each."""
    (network,) = [n for n in NETWORKS if n.name == "lenet5/1"]
    symbol = network.build()
    params = sg.init(symbol, 0)
    f = sg.compile(symbol, params=params, threads=threads)
    x = np.random.default_rng(0).random((batch, 1, 28, 28), dtype=np.float32)
    np.testing.assert_allclose(f(x), lenet(x, params), rtol=1e-3, atol=1e-4)
    best = {"symgraph": float("inf"), "numpy": float("inf")}
    calls = {"symgraph": lambda: f(x), "numpy": lambda: lenet(x, params)}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            for _ in range(CALLS):
                start = time.perf_counter()
                call()
                best[name] = min(best[name], time.perf_counter() - start)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description="LeNet-5 inference against plain numpy.")
    parser.add_argument("--threads", type=int, help="both on so many; both counts by default")
    threads = parser.parse_args().threads
    if threads is None:
        for count in (1, 2):
            # numpy's own threads are counted when it is loaded.
            command = [sys.executable, "-m", "benchmarks.lenet_numpy", "--threads", str(count)]
            subprocess.run(
                command, env=dict(os.environ) | dict.fromkeys(COUNTS, str(count)), check=True
            )
        return
    for batch in (1, 64):
        best = measure(threads, batch)
        print(
            f"threads {threads} batch {batch:<3} symgraph {best['symgraph'] * 1e3:.3f} ms   "
            f"numpy {best['numpy'] * 1e3:.3f} ms   "
            f"{best['numpy'] / best['symgraph']:.1f} times as fast",
            flush=True,
        )


if __name__ == "__main__":
    main()
