"""`symgraph time`: how long a call of a network takes."""

from __future__ import annotations

import argparse
import json
import time as clock
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from ..codegen.executable import Executable
from ..codegen.profile import StepTime
from ..errors import InputError
from ..files import write_atomic
from .arrays import compiled, given_arrays, made_up
from .command import Command, add_model, add_target, compile_options, given_shapes
from .model_argument import load_model

if TYPE_CHECKING:
    from ..codegen.llvm.roof import Roof

ROUNDS = 4
"""Kernels and machine take turns so often: both drift."""


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
    parser.add_argument(
        "--strict",
        action="store_true",
        help="also with the same bits on every processor, in turns: what that costs",
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
    if arguments.strict:
        print(strict_cost(executable, _compiled(arguments, strict=True), arrays, arguments.repeat))
    if arguments.kernels or arguments.json or arguments.trace:
        _kernels(arguments, arrays)
    return 0


def strict_cost(
    plain: Executable, strict: Executable, arrays: Mapping[str, Any], repeat: int
) -> str:
    """The least time of both, measured in turns."""
    best = [float("inf"), float("inf")]
    # Several calls of each in a row: the other one's weights drive its own out of the caches.
    for _ in range(ROUNDS):
        for number, function in enumerate((plain, strict)):
            for _ in range(1 + -(-repeat // ROUNDS)):
                started = clock.perf_counter()
                function(**arrays)
                best[number] = min(best[number], clock.perf_counter() - started)
    return (
        f"strict: min {best[1] * 1e6:.1f} us, {best[1] / best[0]:.2f} times as long as "
        f"{best[0] * 1e6:.1f} us without"
    )


def _kernels(arguments: argparse.Namespace, arrays: Mapping[str, Any]) -> None:
    """Time every kernel, and the machine in the same run."""
    profiled = _compiled(arguments, profile=True)
    peak = machine_peak(profiled, arguments.threads)
    steps: Sequence[StepTime] = ()
    for _ in range(ROUNDS):
        found = profiled.profile(repeat=-(-arguments.repeat // ROUNDS), **arrays)
        steps = [
            min(pair, key=lambda s: s.time_ns) for pair in zip(steps or found, found, strict=True)
        ]
        if peak is not None:
            peak.measure()
    if arguments.kernels:
        print("\n" + kernel_table(steps, peak) + spill_text(profiled.spills))
    if arguments.json:
        save(arguments.json, report(steps, peak))
    if arguments.trace:
        save(arguments.trace, trace(steps, peak))


def spill_text(spills: Mapping[str, int]) -> str:
    """A line on vector registers that did not suffice, or nothing."""
    if not spills:
        return ""
    most = sorted(spills.items(), key=lambda item: (-item[1], item[0]))
    listed = ", ".join(f"{name} {count}" for name, count in most[:8])
    more = f" and {len(most) - 8} more" if len(most) > 8 else ""
    return f"\nvector registers kept on the stack (instructions of a kernel): {listed}{more}"


def machine_peak(executable: Executable, threads: int) -> Roof | None:
    """What the machine can do with as many threads as the program has, over as many bytes; None for
    targets that do not run on the processor."""
    if executable.target != "llvm":
        return None
    from ..codegen.llvm.pool import available_processors
    from ..codegen.llvm.roof import Roof

    report = executable.memory_report()
    constants = sum(data.array.nbytes for data in executable.program.constants)
    return Roof(threads or available_processors(), max(1, constants + report.planned))


def _compiled(arguments: argparse.Namespace, **options: Any) -> Executable:
    return compiled(
        load_model(arguments.model),
        arguments.params,
        given_shapes(arguments.shape),
        arguments.seed,
        compile_options(arguments) | options,
    )


def kernel_table(steps: Sequence[StepTime], peak: Roof | None = None) -> str:
    """The steps, slowest first: their share of the call, their rates, and what part they reach of
    what the machine can do."""
    total = sum(s.time_ns for s in steps)
    lines = [f"{'ms':>10} {'share':>6} {'GFLOP/s':>8} {'GB/s':>7} {'roof':>6}  nodes"]
    for step in sorted(steps, key=lambda s: -s.time_ns):
        kinds = "+".join(step.operators)
        lines.append(
            f"{step.time_ns / 1e6:>10.4f} {step.time_ns / max(total, 1):>6.1%} "
            f"{step.gflops:>8.1f} {step.gbytes:>7.1f} {_roof_text(step, peak):>6}  "
            f"{'+'.join(step.nodes) or step.name}"
            + (f" ({kinds})" if kinds else "")
            + (f" by {step.algorithm}" if step.algorithm else "")
        )
    lines.append(f"{total / 1e6:>10.4f}         sum of {len(steps)} kernels, each at its least")
    if peak is not None:
        lines.append(
            f"roof: {peak.flops_per_second / 1e9:.1f} GFLOP/s of multiply-adds in registers or "
            f"{peak.bytes_per_second / 1e9:.1f} GB/s read, on {peak.threads} threads, measured in "
            f"the same run; above 100% the bytes came from a nearer cache"
        )
    return "\n".join(lines)


def _roof_text(step: StepTime, peak: Roof | None) -> str:
    part = _part(step, peak)
    return "" if part is None else f"{part:.0%}"


def _part(step: StepTime, peak: Roof | None) -> float | None:
    if peak is None:
        return None
    return step.part_of(peak.flops_per_second, peak.bytes_per_second)


def report(steps: Sequence[StepTime], peak: Roof | None = None) -> dict[str, Any]:
    """Every figure of the table, in the order in which the steps run."""
    total = sum(s.time_ns for s in steps)
    rows = [
        asdict(s)
        | {"gflops": s.gflops, "gbytes": s.gbytes, "roof": _part(s, peak)}
        | {"share": s.time_ns / max(total, 1)}
        for s in steps
    ]
    machine = None
    if peak is not None:
        machine = {
            "threads": peak.threads,
            "gflops": peak.flops_per_second / 1e9,
            "gbytes": peak.bytes_per_second / 1e9,
        }
    return {"machine": machine, "total_ns": total, "kernels": rows}


def trace(steps: Sequence[StepTime], peak: Roof | None = None) -> dict[str, Any]:
    """One call in the trace event format: complete events, microseconds."""
    events, start = [], 0
    for step in steps:
        rates = {"GFLOP/s": step.gflops, "GB/s": step.gbytes, "nodes": list(step.nodes)}
        part = _part(step, peak)
        if part is not None:
            rates["part of the roof"] = part
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
