"""How a kernel is arranged for an OpenCL device: Kernel -> Kernel, the same result."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ...kernel import dims
from ...kernel.ir import Block, Kernel, block
from ...kernel.transform.contraction import Contraction, match_contraction
from ...kernel.transform.tiles import extent_of
from .contraction import tile_on_cpu, tile_on_gpu
from .rows import group_rows

if TYPE_CHECKING:
    from .devices import DeviceFacts

SMALL_CONTRACTION = 1 << 12
"""Products below which a tile costs more than it saves."""


def schedule(kernel: Kernel, facts: DeviceFacts, level: int) -> Kernel:
    """The kernel rearranged for a device; at level 0 it stays as it is."""
    if level == 0:
        return kernel
    if isinstance(kernel.body, Block):
        # Each statement at the top is a launch of its own: a result, and the border around it.
        parts = [schedule(replace(kernel, body=s), facts, level) for s in kernel.body.stmts]
        return replace(kernel, body=block(*(part.body for part in parts)))
    contraction = match_contraction(kernel)
    if contraction is not None:
        if _is_small(contraction):
            return kernel
        tile = tile_on_cpu if facts.is_cpu else tile_on_gpu
        return tile(kernel, contraction, facts)
    return kernel if facts.is_cpu else group_rows(kernel, facts)


def _is_small(c: Contraction) -> bool:
    total = dims.product([extent_of(axes) for axes in (c.batch, c.rows, c.columns, c.summed)])
    return isinstance(total, int) and total < SMALL_CONTRACTION
