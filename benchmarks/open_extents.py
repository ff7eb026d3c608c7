"""One program for every batch against one made for each: what an open extent costs.

    python -m benchmarks.open_extents [--networks lenet5,lstm] [--batches 1,64] [--threads 1]

Each network is compiled once with its batch open and once for each batch, on the same inputs.
Rounds are interleaved, the figures are minima; results are compared.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

import symgraph as sg

from .networks import NETWORKS, Network

NAMES = "mlp-small,lenet5,mlp,lstm,resnet18,mobilenet_v2"
LEAST_NS = 5_000_000
"""A round repeats a call for at least so long."""


def network_of(name: str, batch: int) -> Network:
    """The first network of that name, with another batch.  Raises: SystemExit for no such name."""
    for network in NETWORKS:
        if network.name.split("/")[0] == name:
            shapes = {n: (batch, *shape[1:]) for n, shape in network.shapes.items()}
            return replace(network, name=f"{name}/{batch}", shapes=shapes)
    known = ", ".join(dict.fromkeys(n.name.split("/")[0] for n in NETWORKS))
    raise SystemExit(f"there is no network {name!r}; known are {known}")


def best_of(calls: Sequence[Callable[[], Any]], rounds: int) -> list[float]:
    """The least seconds of each call, in interleaved rounds."""
    best = [float("inf")] * len(calls)
    repeats = []
    for call in calls:
        call()
        start = time.perf_counter_ns()
        call()
        repeats.append(max(1, LEAST_NS // max(1, time.perf_counter_ns() - start)))
    for _ in range(rounds):
        for number, call in enumerate(calls):
            for _ in range(repeats[number]):
                start = time.perf_counter_ns()
                call()
                best[number] = min(best[number], (time.perf_counter_ns() - start) * 1e-9)
    return best


def prepare(
    name: str, batches: Sequence[int], threads: int
) -> list[tuple[str, list[Callable[[], Any]]]]:
    """For each batch the call of the open program and of the one made for it."""
    symbol = network_of(name, 1).build()
    params = sg.init(symbol, 0)
    whole = sg.compile(symbol, params=params, threads=threads)
    found: list[tuple[str, list[Callable[[], Any]]]] = []
    for batch in batches:
        network = network_of(name, batch)
        arrays = network.inputs(np.random.default_rng(0))
        made = sg.compile(symbol, params=params, threads=threads, shapes=network.shapes)
        for a, b in zip(_results(whole(**arrays)), _results(made(**arrays)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
        calls = [lambda f=f, arrays=arrays: f(**arrays) for f in (whole, made)]
        found.append((network.name, calls))
    return found


def _results(found: Any) -> tuple[Any, ...]:
    return found if isinstance(found, tuple) else (found,)


def main() -> None:
    parser = argparse.ArgumentParser(description="What an open batch costs against a fixed one.")
    parser.add_argument("--networks", default=NAMES)
    parser.add_argument("--batches", default="1,64")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    chosen = parser.parse_args()
    batches = [int(b) for b in chosen.batches.split(",")]
    print(f"{'network':<18}{'open ms':>10}{'fixed ms':>10}{'ratio':>8}", flush=True)
    for name in chosen.networks.split(","):
        for label, calls in prepare(name, batches, chosen.threads):
            once, fixed = best_of(calls, chosen.rounds)
            print(
                f"{label:<18}{once * 1e3:>10.3f}{fixed * 1e3:>10.3f}{once / fixed:>8.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
