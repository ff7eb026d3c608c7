"""Place every intermediate of a program in one arena.

An output of a kernel lies over an input that is read for the last time there, where the kernel
allows it (`KernelStep.in_place`); both are one interval from then on.  The solver in
`kernel.memory` places the intervals: with proof where all sizes are fixed, by a structure that
holds for every size where extents are open.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ..errors import MemoryPlanError
from ..ir.program import (
    KernelStep,
    MemoryPlan,
    Program,
    ProgramBuffer,
    arena_buffers,
    live_ranges,
    loop_ranges,
)
from ..kernel import dims
from ..kernel.dims import Dim, DimVar
from ..kernel.memory import Interval, SymbolicInterval, place, place_symbolic

SAMPLES = (1, 32)
"""Sizes of open extents by which a placement for all sizes is chosen."""

WORK_LIMIT = 10_000_000
"""Work of the exact search, about a tenth of a second."""

MANY_BUFFERS = 4000
"""From so many buffers on they are placed in one sweep over time."""

Range = tuple[int, int]


@dataclass(frozen=True)
class PlanMemory:
    """t1 = f(x); t2 = g(t1); y = h(t2)   ->   arena: t1 at 0, t2 over t1"""

    alignment: int = 64
    verify: int = 1
    name: ClassVar[str] = "plan_memory"

    def run(self, program: Program) -> Program:
        """Raises: MemoryPlanError at verification level 2 where live buffers overlap."""
        buffers = arena_buffers(program)
        ranges = live_ranges(program)
        shared = in_place_shares(program, ranges)
        clusters = _clusters(buffers, shared)
        intervals = [
            _Cluster(tuple(c), min(ranges[b][0] for b in c), max(ranges[b][1] for b in c))
            for c in clusters
        ]
        open_dims = sorted({v for b in buffers for v in dims.dim_vars(b.type.nbytes)},
                           key=lambda v: v.name)  # fmt: skip
        if len(intervals) > MANY_BUFFERS:
            plan = self._swept(intervals)
        elif open_dims:
            plan = self._symbolic(intervals, open_dims)
        else:
            plan = self._fixed(intervals)
        sample = {v.name: SAMPLES[-1] for v in open_dims}
        naive = sum(_at(dims.align(b.type.nbytes, self.alignment), sample) for b in buffers)
        plan = MemoryPlan(
            plan.offsets, plan.nbytes, plan.lower_bound, naive, plan.proved, plan.method,
            tuple(sample.items()), shared,
        )  # fmt: skip
        program = program.with_(plan=plan)
        if self.verify >= 2:
            for size in SAMPLES:
                check_plan(program, dict.fromkeys(sample, size), self.alignment)
        return program

    def _fixed(self, clusters: Sequence[_Cluster]) -> MemoryPlan:
        fixed = [
            Interval(c.name, c.start, c.end, _at(c.nbytes, {}), self.alignment) for c in clusters
        ]
        found = place(fixed, work_limit=WORK_LIMIT)
        return MemoryPlan(
            _offsets(clusters, found.offsets), found.total_nbytes, found.lower_bound,
            proved=found.proved, method=found.method,
        )  # fmt: skip

    def _symbolic(self, clusters: Sequence[_Cluster], names: Sequence[DimVar]) -> MemoryPlan:
        items: list[SymbolicInterval[Dim]] = [
            SymbolicInterval(c.name, c.start, c.end, c.nbytes, self.alignment) for c in clusters
        ]
        samples = [{v.name: size for v in names} for size in SAMPLES]
        found = place_symbolic(
            items, _at, samples, dims.maximum, dims.align, linear=_linear, split=_split,
            work_limit=WORK_LIMIT,
        )  # fmt: skip
        bound = found.lower_bounds[-1]
        return MemoryPlan(
            _offsets(clusters, found.offsets), found.total_nbytes, bound,
            proved=found.totals[-1] == bound, method=found.method,
        )  # fmt: skip

    def _swept(self, clusters: Sequence[_Cluster]) -> MemoryPlan:
        """Buffers in order of time, each in a slot of its own size that is free again."""
        free: dict[Dim, list[Dim]] = {}
        ending: dict[int, list[tuple[Dim, Dim]]] = {}
        total: Dim = 0
        offsets: list[Dim] = []
        time = 0
        for cluster in sorted(clusters, key=lambda c: c.start):
            while time <= cluster.start:
                for size, offset in ending.pop(time, ()):
                    free.setdefault(size, []).append(offset)
                time += 1
            size = dims.align(cluster.nbytes, self.alignment)
            slots = free.setdefault(size, [])
            offset = slots.pop() if slots else total
            total = dims.maximum(total, dims.add(offset, size))
            ending.setdefault(cluster.end, []).append((size, offset))
            offsets.append(offset)
        order = sorted(clusters, key=lambda c: c.start)
        return MemoryPlan(_offsets(order, offsets), total, method="slots of equal size")


@dataclass(frozen=True)
class _Cluster:
    """Buffers that lie over each other, live one after the other."""

    buffers: tuple[ProgramBuffer, ...]
    start: int
    end: int

    @property
    def name(self) -> str:
        return self.buffers[0].name

    @property
    def nbytes(self) -> Dim:
        return self.buffers[0].type.nbytes


def _offsets(
    clusters: Sequence[_Cluster], offsets: Sequence[Dim]
) -> tuple[tuple[ProgramBuffer, Dim], ...]:
    pairs = zip(clusters, offsets, strict=True)
    return tuple((buffer, offset) for cluster, offset in pairs for buffer in cluster.buffers)


def _at(size: Dim, sample: Mapping[str, int]) -> int:
    return int(dims.evaluate(size, {DimVar(name): n for name, n in sample.items()}))


def _linear(size: Dim) -> tuple[int, list[tuple[Dim, int, bool]]]:
    """A size as constant + coefficient * quantity ..., and which quantities are never negative."""
    terms, constant = dims.terms_of(size)
    found = []
    for monomial, coefficient in terms:
        quantity: Dim = 1
        for factor in monomial:
            quantity = dims.mul(quantity, factor)
        low, _ = dims.bounds(quantity)
        found.append((quantity, coefficient, low is not None and low >= 0))
    return constant, found


def _split(size: Dim) -> tuple[int, Dim]:
    """(k, rest) with size == k * rest, k the greatest common factor of the coefficients."""
    terms, constant = dims.terms_of(size)
    factor = math.gcd(constant, *(c for _, c in terms))
    rest = dims.exact_quotient(size, factor) if factor else None
    return (1, size) if rest is None else (factor, rest)


def in_place_shares(
    program: Program, ranges: Mapping[ProgramBuffer, Range]
) -> tuple[tuple[ProgramBuffer, ProgramBuffer], ...]:
    """(input, output) buffers of one step that can be one: the input's last use is the output's
    first, their sizes are equal, and the kernel allows it."""
    found: list[tuple[ProgramBuffer, ProgramBuffer]] = []
    loops = loop_ranges(program)
    for number, step in enumerate(program.timeline):
        if not isinstance(step, KernelStep):
            continue
        # What matters during a whole loop may not be written over in it.
        taken = {b for loop in loops if loop.start <= number < loop.end for b in loop.kept}
        for source_at, target_at in step.in_place:
            source, target = step.arguments[source_at].root, step.arguments[target_at].root
            if source in taken or target in taken:
                continue
            if source in ranges and target in ranges and _may_share(
                step, number, source, target, target_at, ranges
            ):  # fmt: skip
                found.append((source, target))
                taken.update((source, target))
    return tuple(found)


def _may_share(
    step: KernelStep,
    number: int,
    source: ProgramBuffer,
    target: ProgramBuffer,
    target_at: int,
    ranges: Mapping[ProgramBuffer, Range],
) -> bool:
    if ranges[source][1] != number + 1 or ranges[target][0] != number:
        return False
    if source.type.nbytes != target.type.nbytes:
        return False
    # Every way in which the step sees the source must allow it, views of it included.
    positions = [n for n, b in enumerate(step.arguments) if b.root is source]
    return all((n, target_at) in step.in_place for n in positions)


def _clusters(
    buffers: Sequence[ProgramBuffer], shared: Sequence[tuple[ProgramBuffer, ProgramBuffer]]
) -> list[list[ProgramBuffer]]:
    """Chains of shared buffers, in order of first use."""
    home: dict[ProgramBuffer, list[ProgramBuffer]] = {b: [b] for b in buffers}
    for source, target in shared:
        chain = home[source]
        chain.extend(home[target])
        for buffer in home[target]:
            home[buffer] = chain
    return list({id(home[b]): home[b] for b in buffers}.values())


def check_plan(program: Program, sizes: Mapping[str, int], alignment: int = 64) -> None:
    """Judge a plan at given sizes, buffer by buffer, without any of the planner's own code.

    Raises: MemoryPlanError naming the buffers, bytes and steps where two live buffers overlap
    that no kernel may write over each other, or where one is misaligned or outside the arena.
    """
    plan = program.plan
    if plan is None:
        raise MemoryPlanError(f"program {program.name} has no memory plan")
    total = _at(plan.nbytes, sizes)
    allowed = {frozenset(pair) for pair in plan.shared}
    ranges = live_ranges(program)
    placed = []
    for buffer, (start, end) in ranges.items():
        first = _at(plan.offset_of(buffer), sizes)
        last = first + _at(buffer.type.nbytes, sizes)
        if first % alignment or first < 0 or last > total:
            raise MemoryPlanError(
                f"buffer {buffer.name} holds bytes [{first}, {last}): it must begin at a multiple "
                f"of {alignment} inside the {total} bytes of the arena"
            )
        placed.append((first, last, start, end, buffer))
    placed.sort(key=lambda p: p[:4])
    live: list[tuple[int, int, int, int, ProgramBuffer]] = []
    for item in placed:
        live = [p for p in live if p[1] > item[0]]
        for other in live:
            _check_pair(other, item, allowed)
        if item[1] > item[0]:
            live.append(item)


def _check_pair(
    a: tuple[int, int, int, int, ProgramBuffer],
    b: tuple[int, int, int, int, ProgramBuffer],
    allowed: set[frozenset[ProgramBuffer]],
) -> None:
    first, second = max(a[2], b[2]), min(a[3], b[3])
    common = second - first
    if common <= 0 or b[0] == b[1] or (common == 1 and frozenset((a[4], b[4])) in allowed):
        return
    raise MemoryPlanError(
        f"buffers {a[4].name} and {b[4].name} overlap: bytes [{a[0]}, {a[1]}) in steps [{a[2]}, "
        f"{a[3]}) and bytes [{b[0]}, {b[1]}) in steps [{b[2]}, {b[3]})"
    )
