"""LeNet-5 inference against a plain numpy implementation, at batch 1 and 64.

    python -m benchmarks.lenet_numpy

Convolutions in numpy are windows times weights (one matrix product each).  Rounds are interleaved;
the figure is the minimum.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

import symgraph as sg

from .networks import NETWORKS

Array = np.ndarray[Any, np.dtype[Any]]


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


def main() -> None:
    (network,) = [n for n in NETWORKS if n.name == "lenet5/1"]
    symbol = network.build()
    params = sg.init(symbol, 0)
    f = sg.compile(symbol, params=params, threads=1)
    rng = np.random.default_rng(0)
    for batch in (1, 64):
        x = rng.random((batch, 1, 28, 28), dtype=np.float32)
        np.testing.assert_allclose(f(x), lenet(x, params), rtol=1e-3, atol=1e-4)
        best = {"symgraph": float("inf"), "numpy": float("inf")}
        for _ in range(30):
            start = time.perf_counter()
            f(x)
            middle = time.perf_counter()
            lenet(x, params)
            end = time.perf_counter()
            best["symgraph"] = min(best["symgraph"], middle - start)
            best["numpy"] = min(best["numpy"], end - middle)
        ratio = best["numpy"] / best["symgraph"]
        print(
            f"batch {batch:<3} symgraph {best['symgraph'] * 1e3:.3f} ms   "
            f"numpy {best['numpy'] * 1e3:.3f} ms   {ratio:.1f} times as fast"
        )


if __name__ == "__main__":
    main()
