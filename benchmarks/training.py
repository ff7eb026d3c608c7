"""Training steps: LeNet-5 with a plain linear head against large-margin heads, and torch.

    python -m benchmarks.training [--batch 128] [--rounds 9] [--threads 1]

Rounds are interleaved; the figure is the median of all steps, in samples a second.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import symgraph as sg
from symgraph.train.step import build_step

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

Step = Callable[[], None]


def features(x: sg.Symbol) -> sg.Symbol:
    """LeNet-5 without its last layer."""
    h = sg.max_pool2d(sg.relu(sg.conv2d(x, 20, kernel_size=5, name="conv1")), 2)
    h = sg.max_pool2d(sg.relu(sg.conv2d(h, 50, kernel_size=5, name="conv2")), 2)
    return sg.relu(sg.linear(sg.flatten(h), 500, name="fc1"))


def loss_of(head: str) -> sg.Symbol:
    """The loss with a plain linear head or a large-margin one."""
    from examples.large_margin import large_margin_linear

    x, y = sg.var("x", ("N", 1, 28, 28)), sg.var("y", ("N",), "int32")
    h = features(x)
    if head == "plain":
        logits = sg.linear(h, 10, name="head", use_bias=False)
    else:
        logits = large_margin_linear(h, y, 10, margin=4, beta=1.0, form=head, name="head")
    return sg.cross_entropy(logits, y)


def symgraph_step(head: str, batch: int, threads: int) -> Step:
    """One training step with momentum, updated in place."""
    loss = loss_of(head)
    params = sg.init(loss, 0, shapes={"x": (batch, 1, 28, 28)})
    step = build_step(loss, params, sg.train.SGD(0.01, momentum=0.9))
    f = sg.compile(
        [step.loss],
        updates=step.updates,
        params={**params, **step.state},
        training=True,
        threads=threads,
    )
    rng = np.random.default_rng(0)
    x = rng.random((batch, 1, 28, 28), dtype=np.float32)
    y = rng.integers(0, 10, batch).astype(np.int32)
    rate, number = np.float32(0.01), np.float32(1)
    given = {"x": x, "y": y, "learning_rate": rate, "step": number}
    named = {k: v for k, v in given.items() if k in f.inputs}
    return lambda: f(**named)


def torch_step(batch: int, threads: int) -> Step:
    """The plain network in torch, eager."""
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    net = nn.Sequential(
        nn.Conv2d(1, 20, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(20, 50, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10, bias=False),
    )  # fmt: skip
    optimizer = torch.optim.SGD(net.parameters(), 0.01, momentum=0.9)
    x, y = torch.rand(batch, 1, 28, 28), torch.randint(0, 10, (batch,))
    measure = nn.CrossEntropyLoss()

    def step() -> None:
        optimizer.zero_grad()
        measure(net(x), y).backward()
        optimizer.step()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    steps = {
        head: symgraph_step(head, given.batch, given.threads)
        for head in ("plain", "native", "composite", "host")
    }
    try:
        steps["torch"] = torch_step(given.batch, given.threads)
    except ImportError:
        print("torch is not installed: no peer")
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(given.rounds):
        for name, step in steps.items():
            for _ in range(4):
                start = time.perf_counter()
                step()
                times[name].append(time.perf_counter() - start)
    base = float(np.median(times["plain"]))
    print(f"{'head':<12}{'median ms':>10}{'min ms':>10}{'samples/s':>12}{'of plain':>10}")
    for name, found in times.items():
        median = float(np.median(found))
        print(
            f"{name:<12}{median * 1e3:>10.2f}{min(found) * 1e3:>10.2f}{given.batch / median:>12.0f}"
            f"{base / median:>10.1%}"
        )


if __name__ == "__main__":
    main()
