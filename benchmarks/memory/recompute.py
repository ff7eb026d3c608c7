"""What a memory budget costs: bytes, steps that run again, and time, on a deep chain.

One training step of a chain of layers, without a budget and with budgets down to the order of the
square root of its depth. Results are compared bit by bit with those without a budget; times are
minima of interleaved rounds.

    python -m benchmarks.memory.recompute [--layers 50] [--batch 256] [--width 256] [--rounds 20]
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np

import symgraph as sg
from symgraph.codegen.executable import Executable
from symgraph.train.step import build_step


def training_step(layers: int, batch: int, width: int, budget: int | None) -> Executable:
    """tanh(x W + b) again and again, mean square loss, plain gradient descent."""
    rng = np.random.default_rng(0)
    h, params = sg.var("x", (batch, width)), {}
    for n in range(layers):
        h = sg.tanh(sg.linear(h, width, name=f"fc{n}"))
        params[f"fc{n}_weight"] = (rng.normal(size=(width, width)) / width).astype(np.float32)
        params[f"fc{n}_bias"] = rng.normal(size=(width,)).astype(np.float32)
    step = build_step(sg.mean(sg.square(h)), params, sg.train.SGD())
    return step.compile(params, target="llvm", memory_budget=budget, threads=1)


def main() -> None:
    """Print one row per budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("layers", 50), ("batch", 256), ("width", 256), ("rounds", 20)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    shape = (given.layers, given.batch, given.width)
    plain = training_step(*shape, None)
    value = given.batch * given.width * 4
    root = (2 * math.isqrt(given.layers) + 6) * value
    budgets = [plain.memory.nbytes * 3 // 4, plain.memory.nbytes // 2, root]
    steps = [plain, *(training_step(*shape, budget) for budget in budgets)]
    x = np.random.default_rng(1).normal(size=(given.batch, given.width)).astype(np.float32)
    rate = np.float32(0.01)
    losses = [np.array(f(x=x, learning_rate=rate)) for f in steps]
    weights = [[np.array(a) for a in f.parameters.values()] for f in steps]
    best = [math.inf] * len(steps)
    for _ in range(given.rounds):
        for n, f in enumerate(steps):
            start = time.perf_counter()
            f(x=x, learning_rate=rate)
            best[n] = min(best[n], time.perf_counter() - start)
    print(f"{given.layers} layers of {given.width}, batch {given.batch}, llvm, one thread")
    print(f"{'budget':>12} {'planned':>12} {'values':>7} {'again':>6} {'ms':>8} {'time':>6}  bits")
    for n, f in enumerate(steps):
        again = sum(any("_again" in b.name for b in s.writes) for s in f.program.steps)
        same = np.array_equal(losses[n], losses[0]) and all(
            np.array_equal(a, b) for a, b in zip(weights[n], weights[0], strict=True)
        )
        budget = f"{budgets[n - 1]:,}" if n else "none"
        print(
            f"{budget:>12} {f.memory.nbytes:12,} {f.memory.nbytes / value:7.1f} {again:6} "
            f"{1e3 * best[n]:8.2f} {best[n] / best[0]:6.2f}  {'same' if same else 'DIFFER'}"
        )


if __name__ == "__main__":
    main()
