"""The machine in words; what it can do is measured by `symgraph.codegen.llvm.roof`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from symgraph.codegen.llvm.machine import machine
from symgraph.codegen.llvm.roof import Roof

__all__ = ["Roof", "describe", "on_one_thread"]


def describe() -> str:
    """The processor in words: its model and how many of its cores this process may use."""
    model = "unknown processor"
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    chosen = machine(None)
    cores = len(os.sched_getaffinity(0))
    return f"{model} ({chosen.cpu}, {chosen.vector_bytes * 8}-bit vectors), {cores} cores"


def on_one_thread(module: str) -> None:
    """Start `python -m module` anew, its arguments kept, unless its libraries use one thread: they
    read that when they are loaded."""
    wanted = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        command = [sys.executable, "-m", module, *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, **wanted})
