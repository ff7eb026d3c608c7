"""Kernels of the LLVM target beside numpy and beside what the machine can do.

    OPENBLAS_NUM_THREADS=1 python benchmarks/llvm_kernels.py [--runs 9]

Prints, for each kernel on one thread: billions of operations a second, the part of the peak that
is, and numpy's rate.  The peak is measured
in the same run, by a loop of nothing but multiply-adds in registers; the runs of all contestants
are interleaved, and medians of processor time are given, so that other load disturbs them less.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import symgraph as sg
from symgraph.codegen.executable import Executable
from symgraph.codegen.llvm.machine import machine
from symgraph.codegen.llvm.objects import compile_object, load
from symgraph.codegen.llvm.runtime import _ENTRY
from symgraph.compiler import compile
from symgraph.options import Options

ACCUMULATORS = 16
ROUNDS = 400_000


@dataclass
class Case:
    """One kernel: what to run, its operations, and numpy's way where there is one."""

    name: str
    run: Callable[[], object]
    operations: float
    numpy: Callable[[], object] | None


def peak_loop() -> tuple[Callable[[], object], float]:
    """A loop of independent multiply-adds, and its operations."""
    chosen = machine(None)
    lanes = chosen.lanes(4)
    type = f"<{lanes} x float>"
    phis = [f"  %a{n} = phi {type} [zeroinitializer, %entry], [%b{n}, %loop]"
            for n in range(ACCUMULATORS)]  # fmt: skip
    steps = [f"  %b{n} = call {type} @llvm.fma.v{lanes}f32({type} %x, {type} %x, {type} %a{n})"
             for n in range(ACCUMULATORS)]  # fmt: skip
    sums, total = [], "%b0"
    for n in range(1, ACCUMULATORS):
        sums.append(f"  %s{n} = fadd {type} {total}, %b{n}")
        total = f"%s{n}"
    text = "\n".join([
        "define i32 @peak(ptr %out, ptr %in, ptr %w, ptr %c) {", "entry:",
        f"  %x = load {type}, ptr %in, align 4", "  br label %loop", "loop:",
        "  %i = phi i64 [0, %entry], [%next, %loop]", *phis, *steps,
        "  %next = add i64 %i, 1", f"  %more = icmp slt i64 %next, {ROUNDS}",
        "  br i1 %more, label %loop, label %done", "done:", *sums,
        f"  store {type} {total}, ptr %out, align 4", "  ret i32 0", "}",
        f"declare {type} @llvm.fma.v{lanes}f32({type}, {type}, {type})", "",
    ])  # fmt: skip
    loaded = load(compile_object(text, chosen), ("peak",))
    entry = _ENTRY(loaded.addresses[0])
    data = np.full(64, 1e-3, np.float32)
    out = np.zeros(64, np.float32)
    places = out.ctypes.data, data.ctypes.data

    def run() -> object:
        entry(*places, None, None)
        return loaded, data, out

    return run, 2.0 * lanes * ACCUMULATORS * ROUNDS


def build(symbol: sg.Symbol) -> Executable:
    return compile(symbol, target="llvm", options=Options(cache=None, threads=1))


def matmul(m: int, k: int, n: int, form: str) -> Case:
    random = np.random.default_rng(0)
    a = random.normal(size=(k, m) if form[0] == "t" else (m, k)).astype(np.float32)
    b = random.normal(size=(n, k) if form[1] == "t" else (k, n)).astype(np.float32)
    x, y = sg.var("x", a.shape), sg.var("y", b.shape)
    symbol = sg.matmul(x, y, transpose_x=form[0] == "t", transpose_y=form[1] == "t")
    executable, out = build(symbol), np.empty((m, n), np.float32)
    left, right = (a.T if form[0] == "t" else a), (b.T if form[1] == "t" else b)
    np.testing.assert_allclose(executable(a, b), left @ right, rtol=1e-3, atol=1e-3)
    return Case(f"matmul {form} {m}x{k}x{n}", lambda: executable(a, b, out=out), 2.0 * m * k * n,
                lambda: np.matmul(left, right, out=out))  # fmt: skip


def convolution(channels: int, filters: int, size: int, kernel: int, stride: int) -> Case:
    random = np.random.default_rng(0)
    x = sg.var("x", (1, channels, size, size))
    symbol = sg.conv2d(x, filters, kernel_size=kernel, stride=stride, padding=kernel // 2,
                       use_bias=False, name="c")  # fmt: skip
    executable = build(symbol)
    data = random.normal(size=(1, channels, size, size)).astype(np.float32)
    weight = random.normal(size=(filters, channels, kernel, kernel)).astype(np.float32)
    out = executable(data, weight)
    work = 2.0 * out.size * channels * kernel * kernel
    return Case(f"conv {channels}->{filters} {size}^2 {kernel}x{kernel}/{stride}",
                lambda: executable(data, weight, out=out), work, None)  # fmt: skip


def cases() -> list[Case]:
    found = [matmul(512, 512, 512, form) for form in ("nn", "nt", "tn", "tt")]
    found += [matmul(64, 800, 500, "nt"), matmul(197, 768, 768, "nn"), matmul(1, 1024, 1024, "nt")]
    for shape in ((1, 20, 28, 5, 1), (20, 50, 12, 5, 1), (64, 64, 56, 3, 1), (128, 128, 28, 3, 1),
                  (256, 256, 14, 3, 1), (512, 512, 7, 3, 1), (64, 256, 56, 1, 1),
                  (1024, 256, 14, 1, 1), (3, 64, 224, 7, 2)):  # fmt: skip
        found.append(convolution(*shape))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    peak, peak_work = peak_loop()
    contestants = cases()
    times: dict[tuple[str, str], list[float]] = {}

    def measure(name: str, kind: str, run: Callable[[], object]) -> None:
        start = time.thread_time()
        run()
        times.setdefault((name, kind), []).append(time.thread_time() - start)

    for number in range(runs + 1):
        if number == 1:
            times.clear()  # the first round warms caches
        measure("peak", "peak", peak)
        for case in contestants:
            measure(case.name, "symgraph", case.run)
            if case.numpy is not None:
                measure(case.name, "numpy", case.numpy)
    top = peak_work / statistics.median(times["peak", "peak"]) / 1e9
    print(f"peak {top:.0f} GF/s\n{'kernel':30s} {'GF/s':>7s} {'of peak':>8s} {'numpy':>7s}")
    for case in contestants:
        rate = case.operations / statistics.median(times[case.name, "symgraph"]) / 1e9
        line = f"{case.name:30s} {rate:7.1f} {rate / top:7.0%} "
        if case.numpy is not None:
            line += f"{case.operations / statistics.median(times[case.name, 'numpy']) / 1e9:8.1f}"
        print(line)


if __name__ == "__main__":
    main()
