"""How long an empty `parallel_for` takes, called from native code back to back and after pauses.

Usage: python benchmarks/pool_latency.py [threads]
"""

from __future__ import annotations

import ctypes
import sys
import time

import llvmlite.binding as llvm

from symgraph.codegen.llvm.pool import ThreadPool

TEXT = """
define void @task(ptr %data, i64 %index, i64 %thread) {
  ret void
}
define void @repeat(ptr %parallel_for, ptr %pool, i64 %count, i64 %times) {
entry:
  br label %body
body:
  %i = phi i64 [0, %entry], [%next, %body]
  call void %parallel_for(ptr %pool, ptr @task, ptr null, i64 %count)
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %times
  br i1 %more, label %body, label %done
done:
  ret void
}
"""
CALLS, BATCHES = 200, 300


def main() -> None:
    """Prints nanoseconds per call."""
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    pool = ThreadPool(threads)
    machine = llvm.Target.from_default_triple().create_target_machine(opt=2)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(TEXT), machine)
    engine.finalize_object()
    prototype = ctypes.CFUNCTYPE(
        None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64
    )
    repeat = prototype(engine.get_function_address("repeat"))

    def time_ns(count: int, calls: int) -> float:
        start = time.perf_counter_ns()
        repeat(pool.parallel_for_pointer, pool.pool_pointer, count, calls)
        return (time.perf_counter_ns() - start) / calls

    for count in (1, threads):
        times = sorted(time_ns(count, CALLS) for _ in range(BATCHES))
        print(
            f"{count} indices, {threads} threads, back to back: "
            f"least {times[0]:.0f} ns, median {times[BATCHES // 2]:.0f} ns a call"
        )
    for pause_ms in (0.02, 1.0, 10.0):
        samples = []
        for _ in range(100):
            time.sleep(pause_ms / 1e3)
            samples.append(time_ns(threads, 1))
        samples.sort()
        print(f"after {pause_ms} ms of rest: median {samples[50]:.0f} ns, ctypes included")


if __name__ == "__main__":
    main()
