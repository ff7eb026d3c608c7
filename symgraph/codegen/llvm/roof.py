"""What this machine can do: multiply-adds in registers, and bytes read, by generated code.

Figures of programs are held against these, taken in the same run: both drift with other load.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from .machine import machine
from .objects import compile_object, load
from .runtime import ENTRY

ACCUMULATORS = 16
READERS = 8
ROUNDS = 400_000

FED_ROWS, FED_VECTORS = 6, 4
"""Accumulators of multiply-adds whose operands are loaded: rows that are broadcast, vectors."""

FED_STEPS = 32
"""Steps whose operands lie one after the other in the nearest cache: 10 KiB."""


def _module(lanes: int) -> str:
    type = f"<{lanes} x float>"
    peak = "\n".join(
        [
            *_loop("peak", [f"  %x = load {type}, ptr %in, align 4"]),
            *(f"  %a{n} = phi {type} [zeroinitializer, %entry], [%b{n}, %loop]"
              for n in range(ACCUMULATORS)),
            *(f"  %b{n} = call {type} @llvm.fma.v{lanes}f32({type} %x, {type} %x, {type} %a{n})"
              for n in range(ACCUMULATORS)),
            *_end(type, ACCUMULATORS),
        ]
    )  # fmt: skip
    read = "\n".join(
        [
            *_loop("read", []),
            *(f"  %a{n} = phi {type} [zeroinitializer, %entry], [%b{n}, %loop]"
              for n in range(READERS)),
            *(f"  %p{n} = getelementptr [{READERS} x {type}], ptr %in, i64 %i, i64 {n}\n"
              f"  %v{n} = load {type}, ptr %p{n}, align 4\n"
              f"  %b{n} = fadd {type} %a{n}, %v{n}"
              for n in range(READERS)),
            *_end(type, READERS),
        ]
    )  # fmt: skip
    fma = f"declare {type} @llvm.fma.v{lanes}f32({type}, {type}, {type})"
    return f"{peak}\n{read}\n{_fed(type, lanes)}\n{fma}\n"


def _fed(type: str, lanes: int) -> str:
    """Multiply-adds as in a product: in each step every row's element times every vector."""
    cells = [(row, n) for row in range(FED_ROWS) for n in range(FED_VECTORS)]
    step = FED_VECTORS * lanes + lanes
    lines = _loop("fed", [])
    lines += [f"  %a{k} = phi {type} [zeroinitializer, %entry], [%b{k}, %loop]"
              for k in range(len(cells))]  # fmt: skip
    lines += [f"  %turn = and i64 %i, {FED_STEPS - 1}", f"  %at = mul i64 %turn, {step}",
              "  %step = getelementptr float, ptr %in, i64 %at"]  # fmt: skip
    for n in range(FED_VECTORS):
        lines += [f"  %q{n} = getelementptr float, ptr %step, i64 {n * lanes}",
                  f"  %w{n} = load {type}, ptr %q{n}, align 4"]  # fmt: skip
    for row in range(FED_ROWS):
        lines += [f"  %r{row} = getelementptr float, ptr %step, i64 {FED_VECTORS * lanes + row}",
                  f"  %x{row} = load float, ptr %r{row}, align 4",
                  f"  %y{row} = insertelement {type} poison, float %x{row}, i64 0",
                  f"  %z{row} = shufflevector {type} %y{row}, {type} poison, "
                  f"<{lanes} x i32> zeroinitializer"]  # fmt: skip
    lines += [f"  %b{k} = call {type} @llvm.fma.v{lanes}f32({type} %z{row}, {type} %w{n}, "
              f"{type} %a{k})" for k, (row, n) in enumerate(cells)]  # fmt: skip
    return "\n".join([*lines, *_end(type, len(cells))])


def _loop(name: str, before: list[str]) -> list[str]:
    return [
        f"define i32 @{name}(ptr %in, ptr %out, ptr %count, ptr %unused) {{",
        "entry:",
        "  %rounds = ptrtoint ptr %count to i64",
        *before,
        "  br label %loop",
        "loop:",
        "  %i = phi i64 [0, %entry], [%next, %loop]",
    ]


def _end(type: str, count: int) -> list[str]:
    lines = ["  %next = add i64 %i, 1", "  %more = icmp slt i64 %next, %rounds",
             "  br i1 %more, label %loop, label %done", "done:"]  # fmt: skip
    total = "%b0"
    for n in range(1, count):
        lines.append(f"  %s{n} = fadd {type} {total}, %b{n}")
        total = f"%s{n}"
    return [*lines, f"  store {type} {total}, ptr %out, align 4", "  ret i32 0", "}"]


class Roof:
    """The greatest rates seen so far, with a number of threads."""

    def __init__(self, threads: int, nbytes: int) -> None:
        """`nbytes` is what a program touches: it may lie in a cache, as the program's would."""
        chosen = machine(None)
        self.lanes = chosen.lanes(4)
        self.loaded = load(compile_object(_module(self.lanes), chosen), ("peak", "read", "fed"))
        self.peak, self.read, self.fed = (ENTRY(a) for a in self.loaded.addresses)
        self.threads = threads
        self.pool = ThreadPoolExecutor(threads)
        chunk = READERS * self.lanes * 4
        self.rounds = max(1, nbytes // threads // chunk)
        elements = self.rounds * chunk // 4
        self.data = [np.ones(elements, np.float32) for _ in range(threads)]
        self.out = [np.zeros(64, np.float32) for _ in range(threads)]
        self.flops_per_second = 0.0
        self.bytes_per_second = 0.0

    def measure(self) -> None:
        """Once more; greater rates are kept."""
        flops = 2 * self.lanes * ACCUMULATORS * ROUNDS * self.threads
        seconds = self._time(self.peak, ROUNDS, 1)
        self.flops_per_second = max(self.flops_per_second, flops / seconds)
        again = max(1, 20_000_000 // max(1, self.data[0].nbytes))
        nbytes = sum(a.nbytes for a in self.data)
        seconds = self._time(self.read, self.rounds, again) / again
        self.bytes_per_second = max(self.bytes_per_second, nbytes / seconds)

    def in_registers(self, seconds: float) -> float:
        """Multiply-adds in registers a second, counted twice, of one thread for about so long."""
        flops = 2 * self.lanes * ACCUMULATORS
        rounds = max(1000, int(seconds * max(self.flops_per_second, 1e9) / self.threads / flops))
        start = time.perf_counter()
        self.peak(self.data[0].ctypes.data, self.out[0].ctypes.data, rounds, None)
        return rounds * flops / max(time.perf_counter() - start, 1e-9)

    def sustained(self, seconds: float) -> float:
        """Multiply-adds a second, counted twice, of one thread for about so long, their operands
        loaded from the nearest cache: over many milliseconds a processor may slow down."""
        step = (FED_VECTORS + 1) * self.lanes
        data = np.full(FED_STEPS * step, 0.5, np.float32)
        flops = 2 * self.lanes * FED_ROWS * FED_VECTORS
        rounds = max(1000, int(seconds * max(self.flops_per_second, 1e9) / self.threads / flops))
        start = time.perf_counter()
        self.fed(data.ctypes.data, self.out[0].ctypes.data, rounds, None)
        return rounds * flops / max(time.perf_counter() - start, 1e-9)

    def seconds(self, flops: float, nbytes: float) -> float:
        """The least time in which so many operations and bytes are possible."""
        return max(flops / self.flops_per_second, nbytes / self.bytes_per_second)

    def _time(self, entry: Callable[..., int], rounds: int, again: int) -> float:
        def one(n: int) -> float:
            start = time.thread_time()
            places = self.data[n].ctypes.data, self.out[n].ctypes.data
            for _ in range(again):
                entry(*places, rounds, None)
            return time.thread_time() - start

        # Processor time: a moment in which other work ran is no limit of the machine.
        return max(max(self.pool.map(one, range(self.threads))), 1e-9)
