"""The machine in words; what it can do is measured by `symgraph.codegen.llvm.roof`."""

from __future__ import annotations

from pathlib import Path

from symgraph.codegen.llvm.machine import machine
from symgraph.codegen.llvm.roof import Roof

__all__ = ["Roof", "describe"]


def describe() -> str:
    """The processor in words: its model and how many of its cores this process may use."""
    import os

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
