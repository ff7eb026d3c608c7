"""How a kernel is arranged for a CPU: the order of the steps.

level 0   as it is
level 1   neighbouring axes merged, loops in vectors
level 2   contractions tiled into registers as well
"""

from __future__ import annotations

from ...kernel.ir import Alloc, Block, For, If, Kernel
from ...kernel.transform.collapse import collapse, flatten_axes
from ...kernel.transform.drop_unit_loops import drop_unit_loops
from ...kernel.transform.hoist_scalars import hoist_scalars
from ...kernel.transform.locate import uses
from ...kernel.transform.sink_condition import loops_of_branches, sink_condition
from ...kernel.transform.unroll_choices import unroll_choices
from .bands import row_bands
from .machine import Machine
from .phases import cost
from .schedule_blocks import schedule_blocks
from .schedule_contraction import tile_contraction
from .schedule_loops import vectorise_kernel
from .schedule_parts import tile_parts

SHARED_ITERATIONS = 96
"""A shared loop should have at least so many iterations: threads then wait for little of the last
one, whatever their number."""

HEAVY = 24
"""Instructions of a body beside which working out merged indices does not count."""

HEAVY_OPEN = 200
"""The same where that means dividing by open extents."""


def schedule_kernel(
    kernel: Kernel, machine: Machine, level: int, constants: frozenset[int] = frozenset()
) -> Kernel:
    """The kernel arranged for a machine; equal results within rounding.

    The inputs at the positions in `constants` may be read packed.
    """
    if level == 0:
        return kernel
    flat = unroll_choices(flatten_axes(drop_unit_loops(hoist_scalars(kernel))))
    if flat.over_blocks:
        return share(vectorise_kernel(schedule_blocks(flat, machine, level, constants), machine))
    if level >= 2:
        tiled = tile_contraction(flat, machine, constants)
        if tiled is None:
            tiled = tile_parts(flat, machine, constants)
        if tiled is not None:
            flat = tiled
    return share(row_bands(vectorise_kernel(flat, machine), constants))


def share(kernel: Kernel) -> Kernel:
    """Outermost loops merged until there is enough to share among threads."""
    while True:
        loop = _too_short(kernel)
        if loop is None:
            return kernel
        if isinstance(loop.body, If):
            kernel = sink_condition(kernel, loop.var)
        kernel = collapse(kernel, loop.var)


def _too_short(kernel: Kernel) -> For | None:
    """A shared loop of few iterations with another one inside."""
    body = kernel.body
    while isinstance(body, Alloc):
        body = body.body
    for stmt in body.stmts if isinstance(body, Block) else (body,):
        if not isinstance(stmt, For) or stmt.kind != "parallel":
            continue
        if isinstance(stmt.extent, int) and stmt.extent >= SHARED_ITERATIONS:
            continue
        branches = loops_of_branches(stmt)
        inner = stmt.body if branches is None else branches[1]
        if not isinstance(inner, For) or inner.kind != "parallel" or uses(inner.extent, stmt.var):
            continue
        work = cost(inner.body)
        least = HEAVY if isinstance(inner.extent, int) else HEAVY_OPEN
        if not isinstance(work, int) or work >= least:
            return stmt
    return None
