"""Make it safe that an output is written over the input it updates.

A parameter's next value lies in the parameter's own array, so the step that writes it must come
after every other step that reads the old value, and must itself read each element no later than it
writes it.  Steps are reordered where that is possible; else the value is computed in the arena and
copied at the end.

    w1 = w - lr*g;  h = x @ w        ->   h = x @ w;  w1 = w - lr*g   (written over w)
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from ..ir.program import KernelStep, Port, Program, ProgramBuffer, Step, substitute_buffers
from ..kernel import loops
from ..kernel.compute import compute
from ..kernel.dtypes import as_dtype
from ..kernel.in_place import in_place_pairs
from ..kernel.ir import Buffer
from .dependences import dependences

Edges = frozenset[tuple[int, int]]
"""Pairs of steps, the first of which comes before the second."""


@dataclass(frozen=True)
class SettleUpdates:
    """Order the steps of a program of naive kernels around its updates."""

    name: ClassVar[str] = "settle_updates"

    def run(self, program: Program) -> Program:
        updates = [p for p in program.outputs if p.updates]
        if not updates:
            return program
        return _Settling(program, updates).run()


class _Settling:
    def __init__(self, program: Program, updates: list[Port]) -> None:
        self.program = program
        self.updates = updates
        self.steps = list(program.steps)
        self.inputs = {p.name: p.buffer for p in program.inputs}
        self.copied: dict[Port, Port] = {}
        self.writers = _users_of(step.writes for step in self.steps)
        self.readers = _users_of(step.reads for step in self.steps)

    def run(self) -> Program:
        extra: dict[Port, Edges] = {}
        for port in self.updates:
            edges = self._reader_edges(port)
            if edges is not None:
                extra[port] = edges
        kept, order = _acyclic(len(self.steps), self._data_edges(), extra)
        for port in self.updates:
            if port not in kept:
                self._copy(port)
        steps = [self.steps[n] for n in order]
        copies = [self._copy_step(old, new) for old, new in self.copied.items()]
        outputs = tuple(self.copied.get(p, p) for p in self.program.outputs)
        program = self.program.with_(steps=(*steps, *copies), outputs=outputs)
        moved = {old.buffer.root: replace(old.buffer.root, place="arena") for old in self.copied}
        return substitute_buffers(program, moved)

    def _data_edges(self) -> Edges:
        before = dependences(self.program, settled=False)
        return frozenset((a, b) for b, earlier in enumerate(before) for a in earlier)

    def _reader_edges(self, port: Port) -> Edges | None:
        """Every reader of the old value before every writer; None when a writer clashes."""
        old, new = self.inputs[port.updates], port.buffer.root
        writers, readers = self.writers.get(new, []), self.readers.get(old, [])
        if not writers:
            return None
        both = set(writers) & set(readers)
        if any(not _writes_in_place(self.steps[n], old, new) for n in both):
            return None
        return frozenset((r, w) for w in writers for r in readers if r != w)

    def _copy(self, port: Port) -> None:
        target = ProgramBuffer(f"{port.name}_next", port.type, "output", source=port.name)
        self.copied[port] = replace(port, buffer=target)

    def _copy_step(self, old: Port, new: Port) -> KernelStep:
        shape, dtype = new.type.shape, as_dtype(new.type.dtype)
        assert shape is not None
        source, target = Buffer("x", shape, dtype), Buffer("y", shape, dtype)
        copied = compute(shape, lambda *i: source[i], name="y")
        kernel = loops.lower("copy", (source,), ((target, copied),), old.name)
        return KernelStep(kernel, (old.buffer, new.buffer), f"copy {old.name}")


def _writes_in_place(step: Step, old: ProgramBuffer, new: ProgramBuffer) -> bool:
    """The kernel may write the new value over the old one."""
    if not isinstance(step, KernelStep):
        return False
    params = dict(zip(step.kernel.params, step.arguments, strict=True))
    if any(b.root is old and b is not old for b in step.reads):
        return False
    sources = [p for p, b in params.items() if b is old]
    targets = [p for p, b in params.items() if b is new]
    allowed = in_place_pairs(step.kernel)
    return bool(targets) and all((s, t) in allowed for s in sources for t in targets)


def _users_of(
    used: Iterable[tuple[ProgramBuffer, ...]],
) -> dict[ProgramBuffer, list[int]]:
    """The numbers of the steps that use a part of each buffer, rising."""
    found: dict[ProgramBuffer, list[int]] = {}
    for number, buffers in enumerate(used):
        for root in dict.fromkeys(b.root for b in buffers):
            found.setdefault(root, []).append(number)
    return found


def _acyclic(count: int, edges: Edges, extra: Mapping[Port, Edges]) -> tuple[list[Port], list[int]]:
    """The ports whose edges are taken in, one after the other, each unless it would close a cycle
    with those before; and the order of all steps by the edges.

    Where many ports together close none, none of them alone would: only a range that closes one is
    looked at in halves.
    """
    order = _topological(count, edges)
    assert order is not None
    kept: list[Port] = []
    waiting = [list(extra)] if extra else []
    while waiting:
        ports = waiting.pop()
        more = edges.union(*(extra[p] for p in ports))
        attempt = _topological(count, more)
        if attempt is not None:
            edges, order = more, attempt
            kept += ports
        elif len(ports) > 1:
            half = len(ports) // 2
            waiting += [ports[half:], ports[:half]]
    return kept, order


def _topological(count: int, edges: Edges) -> list[int] | None:
    """The order closest to the given one that respects the edges; None for a cycle."""
    waiting = [0] * count
    followers: list[list[int]] = [[] for _ in range(count)]
    for before, after in edges:
        waiting[after] += 1
        followers[before].append(after)
    ready = [n for n in range(count) if not waiting[n]]
    heapq.heapify(ready)
    order: list[int] = []
    while ready:
        number = heapq.heappop(ready)
        order.append(number)
        for after in followers[number]:
            waiting[after] -= 1
            if not waiting[after]:
                heapq.heappush(ready, after)
    return order if len(order) == count else None
