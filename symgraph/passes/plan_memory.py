"""Place every intermediate of a program in one arena.

An output of a kernel lies over an input that is read for the last time there, where the kernel
allows it (`KernelStep.in_place`); both are one cluster from then on.  Parts of a joined buffer
matter only from their own first write to their own last use, so that others may use the bytes of
those that do not matter yet.  The solvers in `kernel.memory` place the clusters: with proof where
all sizes are fixed, by a structure that holds for every size where extents are open.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from ..ir.live_ranges import arena_buffers
from ..ir.program import Check, MemoryPlan, Program, ProgramBuffer
from ..ir.verify_program import check_plan
from ..kernel import dims
from ..kernel.dims import Dim, DimVar
from ..kernel.memory import (
    Interval,
    Means,
    Placement,
    SymbolicInterval,
    place,
    place_shapes,
    place_symbolic,
)
from .clusters import Cluster, find_clusters

SAMPLES = (1, 3, 8, 100, 32)
"""Sizes of open extents by which a placement for all sizes is chosen; reports are for the last."""

PROBED = (1, 2, 5, 17, 64, 200)
"""Further sizes, at which a placement is compared with one for that size alone."""

MOST_ALONE = 8
"""Samples in which one extent differs from the others."""

WORK_LIMIT = 120_000_000
"""Work where no heuristic reaches the bound, about half a second."""

SAMPLE_WORK = 10_000_000
"""The same for each sample of open extents."""

MANY_BUFFERS = 4000
"""From so many buffers on they are placed in one sweep over time."""


@dataclass(frozen=True)
class PlanMemory:
    """t1 = f(x); t2 = g(t1); y = h(t2)   ->   arena: t1 at 0, t2 over t1"""

    alignment: int = 64
    verify: int = 1
    effort: float = 1.0
    means: Means | None = None
    name: ClassVar[str] = "plan_memory"

    def run(self, program: Program) -> Program:
        """Raises: MemoryPlanError at verification level 2 where the plan breaks a rule."""
        buffers = arena_buffers(program)
        open_dims = sorted({v for b in buffers for v in dims.dim_vars(b.type.nbytes)},
                           key=lambda v: v.name)  # fmt: skip
        clusters, shared = find_clusters(program, self.alignment)
        if len(clusters) > MANY_BUFFERS:
            plan = self._swept(clusters)
        elif open_dims:
            plan = self._symbolic(clusters, open_dims)
        else:
            plan = self._fixed(clusters)
        sample = {v.name: SAMPLES[-1] for v in open_dims}
        naive = sum(_at(dims.align(b.type.nbytes, self.alignment), sample) for b in buffers)
        plan = replace(plan, naive=naive, sample=tuple(sample.items()), shared=shared)
        program = program.with_(plan=plan)
        if self.verify >= 2:
            names = {v.name for v in (*program.dims, *open_dims)}
            for size in SAMPLES:
                sizes = dict.fromkeys(sorted(names), size)
                if all(_holds(c, sizes) for c in program.checks):
                    check_plan(program, sizes, self.alignment)
        return program

    def _fixed(self, clusters: Sequence[Cluster]) -> MemoryPlan:
        """By parts where some cluster has parts, else, and where that is no proof, whole."""
        shapes = [c.shape() for c in clusters]
        by_parts = None
        if any(not c.is_whole for c in clusters):
            by_parts = place_shapes(shapes, self.alignment)
            if by_parts.proved:
                return _plan(clusters, by_parts)
        whole = place(
            [Interval(s.name, s.start, s.end, s.nbytes, self.alignment) for s in shapes],
            work_limit=round(WORK_LIMIT * self.effort),
            means=self.means,
        )
        if by_parts is None:
            return _plan(clusters, whole)
        if by_parts.total_nbytes <= whole.total_nbytes:
            return _plan(clusters, by_parts)
        bound = by_parts.lower_bound
        return _plan(clusters, replace(whole, lower_bound=bound,
                                       proved=whole.total_nbytes == bound))  # fmt: skip

    def _symbolic(self, clusters: Sequence[Cluster], names: Sequence[DimVar]) -> MemoryPlan:
        items: list[SymbolicInterval[Dim]] = [
            SymbolicInterval(c.name, c.start, c.end, c.nbytes, self.alignment) for c in clusters
        ]
        samples = _samples([v.name for v in names])
        found = place_symbolic(
            items, _at, samples, dims.maximum, dims.align, linear=_linear, split=_split,
            choose=_choose, probes=_probes([v.name for v in names]),
            work_limit=round(SAMPLE_WORK * self.effort), means=self.means,
        )  # fmt: skip
        bound = found.lower_bounds[-1]
        return MemoryPlan(
            _offsets(clusters, found.offsets), found.total_nbytes, bound,
            proved=found.totals[-1] == bound, method=found.method,
            excess=max(found.excess),
        )  # fmt: skip

    def _swept(self, clusters: Sequence[Cluster]) -> MemoryPlan:
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


def _samples(names: Sequence[str]) -> list[dict[str, int]]:
    """Each size for all extents, and where there are several, each of them alone small or large."""
    found = [dict.fromkeys(names, size) for size in SAMPLES]
    if len(names) > 1:
        alone = [{**dict.fromkeys(names, others), name: size}
                 for others, sizes in ((8, (1, 100)), (1, (1000,)), (1000, (1,)))
                 for name in names for size in sizes]  # fmt: skip
        found = [*alone[:MOST_ALONE], *found]
    return found


def _probes(names: Sequence[str]) -> list[dict[str, int]]:
    """Where a plan is tried beside its samples: all pairs of two extents, else as many choices."""
    if len(names) <= 2:
        return [dict(zip(names, sizes, strict=True))
                for sizes in itertools.product(PROBED, repeat=len(names))]  # fmt: skip
    rng = random.Random(0)
    return [{name: rng.choice(PROBED) for name in names} for _ in range(len(PROBED) ** 2)]


def _plan(clusters: Sequence[Cluster], found: Placement) -> MemoryPlan:
    return MemoryPlan(
        _offsets(clusters, found.offsets), found.total_nbytes, found.lower_bound,
        proved=found.proved, method=found.method,
    )  # fmt: skip


def _offsets(
    clusters: Sequence[Cluster], offsets: Sequence[Dim]
) -> tuple[tuple[ProgramBuffer, Dim], ...]:
    pairs = zip(clusters, offsets, strict=True)
    return tuple(
        (buffer, dims.add(offset, base))
        for cluster, offset in pairs
        for buffer, base in cluster.buffers
    )


def _at(size: Dim, sample: Mapping[str, int]) -> int:
    return int(dims.evaluate(size, {DimVar(name): n for name, n in sample.items()}))


def _holds(check: Check, sizes: Mapping[str, int]) -> bool:
    left, right = _at(check.left, sizes), _at(check.right, sizes)
    return left == right if check.relation == "==" else left >= right


def _choose(a: Dim, b: Dim, x: Dim, y: Dim) -> Dim:
    """x where a <= b, else y."""
    if (x, y) == (a, b):
        return dims.minimum(a, b)
    first = dims.minimum(dims.maximum(dims.add(dims.add(b, dims.mul(a, -1)), 1), 0), 1)
    return dims.add(y, dims.mul(first, dims.add(x, dims.mul(y, -1))))


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
