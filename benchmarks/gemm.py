"""Products of square float32 matrices, the right one constant, on one thread.

    python -m benchmarks.gemm [--sizes 128,256,512,1024,2048] [--rounds 7] [--save FILE.json]

symgraph beside torch (oneDNN or MKL) and numpy (OpenBLAS), and beside the rate of multiply-adds in
registers, measured in the same rounds; `sustained` is the rate of multiply-adds whose operands come
from the nearest cache, for as long as the product takes: what is left of the peak over many
milliseconds.  Rates are of least times; as a processor reaches its peak in short bursts alone,
`beside` is for symgraph the median against multiply-adds in registers just before and after, for as
long.  symgraph packs the right side when it
compiles, and is called through `bind`; torch gets it as a plain operand and as the weight of a
linear layer, and the better of the two counts.  Every result is checked against float64.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

import symgraph as sg

from .machine import Roof, describe, on_one_thread

Run = Callable[[], object]
Array = np.ndarray

PEAKS = 8
"""How often the peak is measured before each size: it is a limit only if nothing disturbed it."""

STRETCH = 0.02
"""Seconds of calls, one after the other, of which the fastest counts."""

BESIDES = 4
"""How often a round compares calls with multiply-adds beside them."""

SIZES = (128, 192, 256, 384, 512, 768, 1024, 1536, 2048)


def symgraph_run(a: Array, b: Array, out: Array) -> Run:
    """The product as a compiled program."""
    product = sg.matmul(sg.var("x", a.shape), sg.constant(b))
    f = sg.compile(product, threads=1, cache=None)
    call = f.bind({"x": a}, out)

    def run() -> Array:
        call()
        return out

    return run


def numpy_run(a: Array, b: Array, out: Array) -> Run:
    """OpenBLAS, or what numpy was built with."""
    return lambda: np.matmul(a, b, out=out)


def torch_runs(a: Array, b: Array, out: Array) -> list[Run]:
    """Both ways torch has; none without torch."""
    try:
        import torch
    except ImportError:
        return []
    torch.set_num_threads(1)
    x, y, z = (torch.from_numpy(v) for v in (a, b, out))
    weight = torch.from_numpy(np.ascontiguousarray(b.T))
    linear = torch.nn.functional.linear

    def plain() -> object:
        with torch.inference_mode():
            return torch.mm(x, y, out=z)

    def layer() -> object:
        with torch.inference_mode():
            return linear(x, weight)

    return [plain, layer]


def case(size: int) -> dict[str, list[Run]]:
    """What is run at one size, checked."""
    random = np.random.default_rng(0)
    a, b = (random.uniform(-1, 1, (size, size)).astype(np.float32) for _ in range(2))
    expected = a.astype(float) @ b.astype(float)
    found: dict[str, list[Run]] = {}
    for name, make in (("symgraph", symgraph_run), ("numpy", numpy_run), ("torch", torch_runs)):
        out = np.empty((size, size), np.float32)
        made = make(a, b, out)
        found[name] = made if isinstance(made, list) else [made]
        for run in found[name]:
            result = run()
            np.testing.assert_allclose(np.asarray(result), expected, atol=size * 1e-6)
    return {name: runs for name, runs in found.items() if runs}


def least(run: Run, seconds: float) -> float:
    """The least time of calls within so many seconds, two at least."""
    best, end = float("inf"), time.perf_counter() + seconds
    count = 0
    while count < 2 or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
        count += 1
    return best


def beside(run: Run, size: float, seconds: float, roof: Roof) -> float:
    """The rate of calls against that of as long multiply-adds in registers before and after."""
    count = max(1, round(STRETCH / 4 / seconds))
    before = roof.in_registers(count * seconds)
    start = time.perf_counter()
    for _ in range(count):
        run()
    rate = count * 2 * size**3 / (time.perf_counter() - start)
    return rate / (0.5 * (before + roof.in_registers(count * seconds)))


def measure(sizes: list[int], rounds: int) -> tuple[list[dict[str, float]], float]:
    """Seconds by engine for each size, what is sustained as long, and the peak; engines take
    turns."""
    cases = {size: case(size) for size in sizes}
    roof = Roof(1, 1 << 20)
    rows: list[dict[str, float]] = [{"size": float(size)} for size in sizes]
    ratios: dict[float, list[float]] = {size: [] for size in sizes}
    for _ in range(rounds):
        for row, runs in zip(rows, cases.values(), strict=True):
            for _ in range(PEAKS):
                roof.measure()
            for name, ways in runs.items():
                best = min(least(run, STRETCH) for run in ways)
                row[name] = min(row.get(name, float("inf")), best)
            again = max(1, int(STRETCH / row["symgraph"]))
            (own,) = runs["symgraph"]
            ratios[row["size"]] += [
                beside(own, row["size"], row["symgraph"], roof) for _ in range(min(BESIDES, again))
            ]
            rates = [roof.sustained(row["symgraph"]) for _ in range(again)]
            row["sustained"] = max(row.get("sustained", 0.0), *rates)
    for row in rows:
        row["beside"] = median(ratios[row["size"]])
    return rows, roof.flops_per_second


def table(rows: list[dict[str, float]], peak: float) -> str:
    """Rates, and the part of the peak."""
    names = [name for name in rows[0] if name not in ("size", "sustained", "beside")]
    heads = "".join(f"{name + ' GF/s':>16}{'of peak':>9}" for name in names)
    last = f"{'beside':>9}{'sustained GF/s':>16}{'of it':>9}"
    lines = [f"peak {peak / 1e9:.1f} GF/s", f"{'size':>6}{heads}{last}"]
    for row in rows:
        rates = [2 * row["size"] ** 3 / row[name] for name in names]
        cells = "".join(f"{rate / 1e9:16.1f}{rate / peak:9.1%}" for rate in rates)
        fed = row["sustained"]
        own = f"{row['beside']:9.1%}{fed / 1e9:16.1f}{rates[0] / fed:9.1%}"
        lines.append(f"{row['size']:6.0f}{cells}{own}")
    return "\n".join(lines)


def main() -> None:
    on_one_thread("benchmarks.gemm")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--save", type=Path, help="JSON with every row, in seconds")
    given = parser.parse_args()
    rows, peak = measure([int(s) for s in given.sizes.split(",")], given.rounds)
    print(describe())
    print(table(rows, peak))
    if given.save:
        content = {"machine": describe(), "peak_flops_per_second": peak, "rows": rows}
        given.save.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
