"""Random graphs by the thousand in poisoned memory between forbidden pages.

    python -m tests.property.guarded_graphs --graphs 3000 [--seed 0] [--processes 1]

Each graph is compiled for LLVM as it is and with the gradients of all its variables, with fixed
and with open extents, for one thread and for two, its plan is checked (`check_plan`), and it runs
at several extents; results are compared with the interpreter's at level 0.  A process that dies is
told with the graph it died of, and the rest goes on.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings

import symgraph as sg
from symgraph.codegen.llvm.check_scratch import check_scratch
from symgraph.codegen.llvm.emit import layout
from symgraph.codegen.llvm.machine import machine
from symgraph.codegen.llvm.phases import split_phases
from symgraph.ir.symbol import Symbol
from symgraph.ir.verify_program import check_plan
from tests.support.guarded import extents, run_guarded

from .graphs import Case, graphs

CHUNK = 50
SIZES = (1, 3, 17)
"""Values of an open batch besides the case's own."""


def differences(case: Case, number: int) -> None:
    """Raises what is wrong with one graph."""
    _compare(case.outputs, case, number)
    loss = sum((sg.sum(sg.square(o)) for o in case.outputs), start=sg.constant(0.0))
    variables = sg.group(case.outputs).variables
    _compare([loss, *sg.gradients(loss, variables)], case, number)


def _compare(outputs: list[Symbol], case: Case, number: int) -> None:
    threads = 1 + number % 2
    plain = sg.compile(outputs, target="interp", level=0)
    is_open = bool(plain.program.dims)
    for batch in (case.batch, *(SIZES if is_open else ())):
        arrays = {
            name: a[np.arange(batch) % case.batch] if name == "x" and is_open else a
            for name, a in case.arrays(number).items()
        }
        expected = [np.asarray(a) for a in _list(plain(**arrays))]
        shapes = {n: a.shape for n, a in arrays.items()}
        ways = [{}] if is_open else []
        ways += [{"shapes": shapes}] if batch == case.batch else []
        for way in ways:
            f = sg.compile(outputs, target="llvm", threads=threads, **way)
            found = extents(f, arrays)
            check_plan(f.program, found)
            kernels = [split_phases(k) for k in dict.fromkeys(f.program.kernels)]
            workspace = layout(f.program, machine(None)).workspace
            check_scratch(f.program, kernels, workspace, found, threads)
            for at_end in (True, False):
                for got, wanted in zip(
                    run_guarded(f, arrays, expected, at_end=at_end), expected, strict=True
                ):
                    scale = float(np.abs(wanted).max(initial=0.0))
                    np.testing.assert_allclose(got, wanted, rtol=2e-4, atol=2e-5 * (1 + scale))


def _list(results: object) -> list[np.ndarray]:
    return list(results) if isinstance(results, (tuple, list)) else [results]


def _work(first_seed: int, count: int, skipped: set[int], log: Path) -> None:
    """One chunk; the log holds the number of the graph that is under way."""
    number = 0

    @seed(first_seed)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=graphs(size=12))
    def run(case: Case) -> None:
        nonlocal number
        number += 1
        if number in skipped:
            return
        log.write_text(f"{number}\n{sg.group(case.outputs)}\n{case.shapes}\n")
        try:
            differences(case, number)
        except Exception:
            print(
                f"FAULT seed {first_seed} graph {number}\n{sg.group(case.outputs)}\n{case.shapes}"
            )
            traceback.print_exc(file=sys.stdout)
            sys.stdout.flush()

    run()
    print(f"RAN {number}", flush=True)


def _chunk(first_seed: int, count: int) -> tuple[int, list[str]]:
    """Run a chunk in processes of its own until it comes to its end: graphs run, faults."""
    skipped: set[int] = set()
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "graph.txt")
        while True:
            command = [sys.executable, "-m", "tests.property.guarded_graphs", "--seed",
                       str(first_seed), "--graphs", str(count), "--log", str(log),
                       "--skip", ",".join(map(str, sorted(skipped)))]  # fmt: skip
            done = subprocess.run(command, capture_output=True, text=True)
            faults += [f for f in done.stdout.split("FAULT ")[1:] if f not in faults]
            if done.returncode == 0:
                return int(done.stdout.rsplit("RAN ", 1)[1]), faults
            died = log.read_text() if log.exists() else "0\nbefore the first graph"
            faults.append(f"seed {first_seed}: ended with {done.returncode} at graph {died}"
                          f"{done.stderr[-2000:]}")  # fmt: skip
            if int(died.split("\n", 1)[0]) in skipped | {0}:
                return 0, faults
            skipped.add(int(died.split("\n", 1)[0]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--graphs", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--skip", default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.log is not None:
        skipped = {int(n) for n in given.skip.split(",") if n}
        _work(given.seed, given.graphs, skipped, given.log)
        return 0
    ran = number = 0
    faults: list[str] = []
    while ran < given.graphs:
        count, found = _chunk(given.seed + number, min(CHUNK, given.graphs - ran))
        ran, number, faults = ran + max(count, 1), number + 1, faults + found
        for fault in found:
            print(f"--- {fault}", flush=True)
        print(f"{ran} graphs, {len(faults)} faults", flush=True)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
