"""Single operators beside torch, on one thread: where is symgraph clearly slower?

    python -m benchmarks.operators [--only NAME,...] [--rounds 5] [--save FILE.json]

Odd shapes on purpose: channels that no vector divides, reductions over inner and outer axes,
kernels of 5x5, dilation, narrow and wide element types.  Each operator is compiled by itself and
called with its output given; torch runs the same in inference mode.  Least times, in turns; results
are compared.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

import symgraph as sg

from .machine import describe, on_one_thread

CLEARLY_SLOWER = 1.5


@dataclass
class Case:
    """An operator on arrays: how symgraph and torch are asked for it."""

    name: str
    arrays: tuple[Any, ...]
    ours: Callable[..., Any]
    theirs: Callable[..., Any]


def _random(*shape: int, dtype: str = "float32", seed: int = 0) -> Any:
    random = np.random.default_rng(seed)
    if dtype.startswith("int"):
        return random.integers(-50, 50, shape).astype(dtype)
    return random.uniform(-1, 1, shape).astype(dtype)


def _convolutions() -> Iterator[Case]:
    for name, batch, channels, filters, size, kernel, options in (
        ("3->7 5x5", 1, 3, 7, 64, 5, {}),
        ("7->20 3x3 batch 3", 3, 7, 20, 40, 3, {"padding": 1}),
        ("20->20 3x3 dilated", 1, 20, 20, 56, 3, {"padding": 2, "dilation": 2}),
        ("24->40 1x1 stride 2", 1, 24, 40, 57, 1, {"stride": 2}),
        ("30->45 groups 5", 1, 30, 45, 40, 3, {"padding": 1, "groups": 5}),
        ("36 depthwise 5x5", 1, 36, 36, 48, 5, {"padding": 2, "groups": 36}),
        ("100->100 7x7 3x3", 1, 100, 100, 7, 3, {"padding": 1}),
    ):
        x = _random(batch, channels, size, size)
        w = _random(filters, channels // options.get("groups", 1), kernel, kernel, seed=1)
        weight = torch.from_numpy(w)
        ours = {**options, "kernel_size": kernel, "use_bias": False, "weight": sg.constant(w)}
        yield Case(f"conv {name}", (x,), lambda x, f=filters, o=ours: sg.conv2d(x, f, **o),
                   lambda x, w=weight, o=options: F.conv2d(x, w, **o))  # fmt: skip
    x = _random(2, 20, 45, 45)
    yield Case("max_pool 3/2", (x,), lambda x: sg.max_pool2d(x, 3, stride=2),
               lambda x: F.max_pool2d(x, 3, 2))  # fmt: skip
    yield Case("avg_pool 2/2", (x,), lambda x: sg.avg_pool2d(x, 2, stride=2),
               lambda x: F.avg_pool2d(x, 2, 2))  # fmt: skip


def _products() -> Iterator[Case]:
    for m, k, n, dtype in ((1, 500, 300, "float32"), (3, 784, 100, "float32"),
                           (50, 70, 90, "float32"), (200, 300, 7, "float32"),
                           (130, 130, 130, "float64"), (1, 1000, 1000, "float64"),
                           (64, 200, 100, "float16"), (64, 200, 100, "int32")):  # fmt: skip
        a, b = _random(m, k, dtype=dtype), _random(k, n, dtype=dtype, seed=1)
        yield Case(f"matmul {m}x{k}x{n} {dtype}", (a, b), sg.matmul, torch.matmul)
    a, b = _random(12, 70, 64), _random(12, 64, 70, seed=1)
    yield Case("batched matmul 12x70x64x70", (a, b), sg.matmul, torch.matmul)
    yield Case("matmul of a transposed 200x150x90", (_random(150, 200), _random(150, 90, seed=1)),
               lambda a, b: sg.matmul(a, b, transpose_x=True), lambda a, b: a.T @ b)  # fmt: skip


def _reductions() -> Iterator[Case]:
    for shape, axis in (((1000, 1000), 1), ((1000, 1000), 0), ((37, 50, 61), 1), ((10, 100003), 1),
                        ((100003, 7), 0), ((100003, 7), 1), ((300000,), 0)):  # fmt: skip
        for name in ("sum", "max", "mean"):
            if name != "sum" and shape not in ((1000, 1000), (100003, 7)):
                continue
            yield Case(f"{name} {shape} axis {axis}", (_random(*shape),),
                       lambda x, n=name, a=axis: getattr(sg, n)(x, axis=a),
                       lambda x, n=name, a=axis: (torch.amax if n == "max" else
                                                  getattr(torch, n))(x, dim=a))  # fmt: skip
    x = _random(500, 1000, dtype="float64")
    yield Case("sum (500, 1000) axis 1 float64", (x,), lambda x: sg.sum(x, axis=1),
               lambda x: x.sum(dim=1))  # fmt: skip
    x = _random(500, 1000)
    yield Case("argmax (500, 1000) axis 1", (x,), lambda x: sg.argmax(x, axis=1),
               lambda x: x.argmax(dim=1))  # fmt: skip
    yield Case("cumsum (500, 1000) axis 1", (x,), lambda x: sg.cumsum(x, axis=1),
               lambda x: x.cumsum(dim=1))  # fmt: skip
    yield Case("cumsum (500, 1000) axis 0", (x,), lambda x: sg.cumsum(x, axis=0),
               lambda x: x.cumsum(dim=0))  # fmt: skip


def _rows() -> Iterator[Case]:
    for shape, axis in (((1000, 10), -1), ((64, 1000), -1), ((8, 30000), -1), ((64, 21, 500), 1)):
        yield Case(f"softmax {shape} axis {axis}", (_random(*shape),),
                   lambda x, a=axis: sg.softmax(x, axis=a),
                   lambda x, a=axis: torch.softmax(x, dim=a))  # fmt: skip
    for shape in ((128, 768), (500, 33)):
        g, b = _random(shape[-1], seed=1), _random(shape[-1], seed=2)
        yield Case(f"layer_norm {shape}", (_random(*shape), g, b),
                   lambda x, g, b: sg.layer_norm(x, gamma=g, beta=b),
                   lambda x, g, b: F.layer_norm(x, g.shape, g, b))  # fmt: skip


def _elements() -> Iterator[Case]:
    x, y = _random(300, 1003), _random(300, 1003, seed=1)
    for name in ("exp", "tanh", "sigmoid", "relu", "sqrt", "sin", "erf"):
        source = np.abs(x) if name == "sqrt" else x
        yield Case(f"{name} (300, 1003)", (source,), getattr(sg, name), getattr(torch, name))
    yield Case("gelu (300, 1003)", (x,), sg.gelu, F.gelu)
    yield Case("add (300, 1003)", (x, y), lambda x, y: x + y, torch.add)
    yield Case("add a row", (x, y[0]), lambda x, y: x + y, torch.add)
    yield Case("add a column", (x, y[:, :1]), lambda x, y: x + y, torch.add)
    yield Case("divide float64", (x.astype("d"), y.astype("d") + 2), lambda x, y: x / y, torch.div)
    for dtype in ("int8", "int32", "int64"):
        a, b = _random(300, 1003, dtype=dtype), _random(300, 1003, dtype=dtype, seed=1)
        yield Case(f"multiply {dtype}", (a, b), lambda x, y: x * y, torch.mul)
    yield Case("exp float16", (x.astype("float16"),), sg.exp, torch.exp)
    yield Case("float32 to float16", (x,), lambda x: sg.cast(x, "float16"), lambda x: x.half())
    yield Case("where", (x > 0, x, y), sg.where, torch.where)


def _moves() -> Iterator[Case]:
    x = _random(300, 1003)
    yield Case("transpose (300, 1003)", (x,), lambda x: sg.transpose(x, (1, 0)),
               lambda x: x.T.contiguous())  # fmt: skip
    z = _random(20, 30, 40, 50)
    for order in ((0, 2, 3, 1), (3, 2, 1, 0), (0, 2, 1, 3)):
        yield Case(f"transpose {order}", (z,), lambda x, o=order: sg.transpose(x, o),
                   lambda x, o=order: x.permute(o).contiguous())  # fmt: skip
    table, rows = _random(5000, 300), np.random.default_rng(0).integers(0, 5000, 700)
    yield Case("take rows", (table, rows), lambda t, r: sg.take(t, r, axis=0),
               lambda t, r: t[r])  # fmt: skip
    y = _random(300, 77, seed=1)
    yield Case("concat axis 1", (x, y), lambda x, y: sg.concat((x, y), axis=1),
               lambda x, y: torch.cat((x, y), 1))  # fmt: skip
    yield Case("concat axis 0", (x, x), lambda x, y: sg.concat((x, y), axis=0),
               lambda x, y: torch.cat((x, y), 0))  # fmt: skip
    yield Case("slice [:, 3:]", (x,), lambda x: x[:, 3:], lambda x: x[:, 3:].contiguous())
    yield Case("pad (300, 1003)", (x,), lambda x: sg.pad(x, ((1, 2), (3, 4))),
               lambda x: F.pad(x, (3, 4, 1, 2)))  # fmt: skip


def cases() -> Iterator[Case]:
    """All of them."""
    for group in (_convolutions, _products, _reductions, _rows, _elements, _moves):
        yield from group()


@dataclass
class Row:
    """Microseconds of one operator."""

    name: str
    symgraph_us: float
    torch_us: float

    @property
    def ratio(self) -> float:
        return self.symgraph_us / self.torch_us


def ready(case: Case) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Both ways to run a case; their results agree."""
    variables = [sg.var(f"x{n}", a.shape, dtype=a.dtype.name) for n, a in enumerate(case.arrays)]
    f = sg.compile(case.ours(*variables), threads=1, cache=None)
    out = np.empty_like(f(*case.arrays))
    tensors = [torch.from_numpy(a) for a in case.arrays]

    def theirs() -> Any:
        with torch.inference_mode():
            return case.theirs(*tensors)

    expected = theirs().numpy()
    close = {"float16": 2e-2, "float64": 1e-10}.get(str(expected.dtype), 2e-4)
    np.testing.assert_allclose(f(*case.arrays).astype(expected.dtype), expected, rtol=close,
                               atol=close * max(1.0, float(np.abs(expected).max())))  # fmt: skip
    return lambda: f(*case.arrays, out=out), theirs


def least(run: Callable[[], Any], seconds: float) -> float:
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best * 1e6


def measure(only: tuple[str, ...], rounds: int) -> list[Row]:
    """Every case, both engines in turns."""
    chosen = [c for c in cases() if not only or any(o in c.name for o in only)]
    both = {case.name: ready(case) for case in chosen}
    rows = {name: Row(name, float("inf"), float("inf")) for name in both}
    for _ in range(rounds):
        for name, (ours, theirs) in both.items():
            row = rows[name]
            row.symgraph_us = min(row.symgraph_us, least(ours, 0.01))
            row.torch_us = min(row.torch_us, least(theirs, 0.01))
    return list(rows.values())


def table(rows: list[Row]) -> str:
    lines = [f"{'operator':<36}{'symgraph us':>12}{'torch us':>12}{'ratio':>8}"]
    for row in sorted(rows, key=lambda r: -r.ratio):
        mark = "  slower" if row.ratio > CLEARLY_SLOWER else ""
        lines.append(
            f"{row.name:<36}{row.symgraph_us:12.1f}{row.torch_us:12.1f}{row.ratio:8.2f}{mark}"
        )
    slower = sum(row.ratio > CLEARLY_SLOWER for row in rows)
    lines.append(f"{slower} of {len(rows)} more than {CLEARLY_SLOWER} times as slow")
    return "\n".join(lines)


def main() -> None:
    on_one_thread("benchmarks.operators")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="parts of names, with commas")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--save", type=Path, help="JSON with every row")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = measure(tuple(o for o in given.only.split(",") if o), given.rounds)
    print(describe())
    print(table(rows))
    if given.save:
        content = {"machine": describe(), "rows": [asdict(r) for r in rows]}
        given.save.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
