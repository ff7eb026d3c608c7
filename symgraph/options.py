"""Compiler options, and the only place that reads environment variables.

| variable              | field          | meaning                                                 |
|-----------------------|----------------|---------------------------------------------------------|
| SYMGRAPH_DUMP         | dump           | folder for the numbered text of every stage             |
| SYMGRAPH_VERIFY       | verify         | 0 off, 1 structure, 2 types and bounds, 3 numbers too |
| SYMGRAPH_STOP_AFTER   | stop_after     | name of the pass after which to stop                    |
| SYMGRAPH_TARGET       | target         | default target                                          |
| SYMGRAPH_TIMING       | timing         | print the time of every stage                           |
| SYMGRAPH_KEEP_SOURCES | keep_sources   | keep emitted text with the executable                   |
| SYMGRAPH_CACHE        | cache          | folder of compiled programs; empty: no cache on disk    |
| SYMGRAPH_CACHE_BYTES  | cache_bytes    | most bytes in it; those longest unused go first         |
| SYMGRAPH_THREADS      | threads        | threads of an executable; 0: one for each core          |
| SYMGRAPH_DEVICE       | device         | OpenCL device: gpu, cpu, PLATFORM:DEVICE, or a name     |
| SYMGRAPH_ALGORITHMS   | algorithms     | direct, accurate or fast                                |
| SYMGRAPH_DENORMALS    | denormals      | keep or zero                                            |
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .errors import AttributeValueError

ALGORITHMS: dict[str, float] = {"direct": 1.0, "accurate": 2.0, "fast": 10.0}
"""How many times as large as an operator's own rounding error that of its form may be."""
DENORMALS = ("keep", "zero")
"""Whether numbers below the normal ones are computed with, as numpy does."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to compile; every field has a default that suits production.

    `cpu` and `platform` are the processor and the system that code is made for; `strict` gives the
    same bits on all of them, at a cost in speed (no fused multiply-add, one vector length).
    `profile` makes programs whose steps can be timed one by one (`Executable.profile`).
    `memory_budget` is the most bytes that intermediates may take, at open extents of 32: values
    are computed again rather than kept where that is needed (MemoryPlanError if it is impossible).
    `planning_effort` multiplies how long the memory planner may search for a lower peak where quick
    methods do not prove theirs least; the limit counts work, so a plan never depends on the clock.
    `algorithms` says which equivalent forms of operators may be chosen where they are faster:
    "direct" none, "accurate" those with at most twice the operator's own rounding error, "fast"
    those with at most ten times (docs/algorithms.md has the table).  `strict` implies "direct".
    `denormals` "zero" takes numbers below the normal ones for 0, in what is read and in results,
    on x86-64 and 64-bit ARM: most processors need a hundred times as long for them.  `strict`
    implies "keep".
    """

    level: int = 2
    verify: int = 1
    dump: str | None = None
    stop_after: str | None = None
    target: str = "llvm"
    timing: bool = False
    keep_sources: bool = False
    cache: str | None = None
    threads: int = 0
    cpu: str | None = None
    device: str | None = None
    platform: str | None = None
    strict: bool = False
    profile: bool = False
    disable: tuple[str, ...] = ()
    memory_budget: int | None = None
    planning_effort: float = 1.0
    algorithms: str = "accurate"
    denormals: str = "keep"
    cache_bytes: int = 4 << 30

    def __post_init__(self) -> None:
        if self.level not in (0, 1, 2, 3):
            raise AttributeValueError(f"options: level must be 0, 1, 2 or 3, got {self.level!r}")
        if self.verify not in (0, 1, 2, 3):
            raise AttributeValueError(f"options: verify must be 0, 1, 2 or 3, got {self.verify!r}")
        if self.memory_budget is not None and self.memory_budget < 0:
            raise AttributeValueError(
                f"options: memory_budget must be >= 0 bytes, got {self.memory_budget!r}"
            )
        if self.algorithms not in ALGORITHMS:
            raise AttributeValueError(
                f"options: algorithms must be {', '.join(ALGORITHMS)}, got {self.algorithms!r}"
            )
        if self.denormals not in DENORMALS:
            raise AttributeValueError(
                f"options: denormals must be {' or '.join(DENORMALS)}, got {self.denormals!r}"
            )
        if not 0 <= self.planning_effort < math.inf:
            raise AttributeValueError(
                f"options: planning_effort must be a factor >= 0, got {self.planning_effort!r}"
            )
        if self.cache_bytes < 0:
            raise AttributeValueError(
                f"options: cache_bytes must be >= 0 bytes, got {self.cache_bytes!r}"
            )
        if self.threads < 0:
            raise AttributeValueError(f"options: threads must be >= 0, got {self.threads!r}")

    @property
    def tolerance(self) -> float:
        """The greatest error of a form against the operator's own; 1 allows none."""
        return 1.0 if self.strict else ALGORITHMS[self.algorithms]

    def with_(self, **changes: Any) -> Options:
        """A copy with some fields changed."""
        unknown = sorted(set(changes) - set(self.__slots__))
        if unknown:
            known = ", ".join(self.__slots__)
            raise AttributeValueError(f"options: unknown option {unknown[0]!r}; known are {known}")
        return replace(self, **changes)


def default_cache_folder() -> str:
    """Folder of compiled programs: $XDG_CACHE_HOME/symgraph, else ~/.cache/symgraph."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return str(Path(base) / "symgraph")


def from_environment() -> Options:
    """The default options with what SYMGRAPH_* variables change."""
    get = os.environ.get
    return Options(
        verify=int(get("SYMGRAPH_VERIFY") or 1),
        dump=get("SYMGRAPH_DUMP") or None,
        stop_after=get("SYMGRAPH_STOP_AFTER") or None,
        target=get("SYMGRAPH_TARGET") or "llvm",
        timing=bool(get("SYMGRAPH_TIMING")),
        keep_sources=bool(get("SYMGRAPH_KEEP_SOURCES")),
        cache=get("SYMGRAPH_CACHE", default_cache_folder()) or None,
        threads=int(get("SYMGRAPH_THREADS") or 0),
        device=get("SYMGRAPH_DEVICE") or None,
        algorithms=get("SYMGRAPH_ALGORITHMS") or "accurate",
        denormals=get("SYMGRAPH_DENORMALS") or "keep",
        cache_bytes=int(get("SYMGRAPH_CACHE_BYTES") or 4 << 30),
    )
