"""`symgraph time`: how long a call of a network takes."""

from __future__ import annotations

import argparse
import json
import time as clock
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ..codegen.executable import Executable
from ..codegen.profile import StepTime
from ..errors import InputError
from ..files import write_atomic
from .arrays import compiled, given_arrays, made_up
from .command import Command, add_model, add_target, compile_options, given_shapes
from .model_argument import load_model


def configure(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("--params", metavar="FILE", help="trained parameters")
    parser.add_argument(
        "--input", action="append", default=[], metavar="NAME=FILE.npy", help="an input's array"
    )
    parser.add_argument("--repeat", type=int, default=50, metavar="N", help="calls (default: 50)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of made-up numbers")
    parser.add_argument("--kernels", action="store_true", help="the time of each kernel as well")
    parser.add_argument("--json", metavar="FILE", help="save the kernels' figures")
    parser.add_argument(
        "--trace", metavar="FILE", help="save the kernels as a trace for Chrome or Perfetto"
    )
    add_target(parser)


def run(arguments: argparse.Namespace) -> int:
    if arguments.repeat < 1:
        raise InputError(f"--repeat must be at least 1, got {arguments.repeat}")
    started = clock.perf_counter()
    executable = _compiled(arguments)
    print(f"compiled for {executable.target} in {clock.perf_counter() - started:.3f} s")
    arrays = made_up(executable, given_arrays(arguments.input), arguments.seed)
    shown = ", ".join(f"{n} {list(a.shape)}" for n, a in arrays.items()) or "no inputs"
    executable(**arrays)  # the first call touches every page
    times = []
    for _ in range(arguments.repeat):
        started = clock.perf_counter()
        executable(**arrays)
        times.append(clock.perf_counter() - started)
    figures = np.array(times) * 1e6
    print(
        f"{arguments.repeat} calls with {shown}: min {figures.min():.1f} us, "
        f"median {np.median(figures):.1f} us, mean {figures.mean():.1f} us, "
        f"max {figures.max():.1f} us"
    )
    if arguments.kernels or arguments.json or arguments.trace:
        steps = _compiled(arguments, profile=True).profile(repeat=arguments.repeat, **arrays)
        if arguments.kernels:
            print("\n" + kernel_table(steps))
        if arguments.json:
            save(arguments.json, [asdict(s) | {"gflops": s.gflops} for s in steps])
        if arguments.trace:
            save(arguments.trace, trace(steps))
    return 0


def _compiled(arguments: argparse.Namespace, **options: Any) -> Executable:
    return compiled(
        load_model(arguments.model),
        arguments.params,
        given_shapes(arguments.shape),
        arguments.seed,
        compile_options(arguments) | options,
    )


def kernel_table(steps: Sequence[StepTime]) -> str:
    """The steps, slowest first, with their share of the call and their rates."""
    total = sum(s.time_ns for s in steps)
    lines = [f"{'ms':>10} {'share':>6} {'GFLOP/s':>8} {'GB/s':>7}  nodes"]
    for step in sorted(steps, key=lambda s: -s.time_ns):
        kinds = "+".join(step.operators)
        lines.append(
            f"{step.time_ns / 1e6:>10.4f} {step.time_ns / max(total, 1):>6.1%} "
            f"{step.gflops:>8.1f} {step.gbytes:>7.1f}  {'+'.join(step.nodes) or step.name}"
            + (f" ({kinds})" if kinds else "")
            + (f" by {step.algorithm}" if step.algorithm else "")
        )
    lines.append(f"{total / 1e6:>10.4f}         sum of {len(steps)} kernels, each at its least")
    return "\n".join(lines)


def trace(steps: Sequence[StepTime]) -> dict[str, Any]:
    """One call in the trace event format: complete events, microseconds."""
    events, start = [], 0
    for step in steps:
        rates = {"GFLOP/s": step.gflops, "GB/s": step.gbytes, "nodes": list(step.nodes)}
        event = {"name": step.name, "ph": "X", "pid": 0, "tid": 0, "ts": start / 1e3}
        events.append(event | {"dur": step.time_ns / 1e3, "args": rates})
        start += step.time_ns
    return {"traceEvents": events}


def save(path: str, content: Any) -> None:
    """Write JSON."""
    write_atomic(path, json.dumps(content, indent=1).encode())


COMMAND = Command(
    "time",
    "how long a call of a network takes",
    """\
Compiles a network and times whole calls from Python, checks of the arguments included.

  symgraph time lenet5 --shape x=1,1,28,28
  symgraph time lenet5 --shape x=64,1,28,28 --threads 1
  symgraph time resnet50 --shape x=1,3,224,224 --kernels --trace resnet50.json
""",
    configure,
    run,
)
