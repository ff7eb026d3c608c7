"""Write a loop out.

    serial r < 3:                  unroll r < 3:
      acc[] add= x[r]       ->       acc[] add= x[r]

    unroll(kernel, r)

The body is repeated when the kernel is emitted, so that the loop IR stays small.
"""

from __future__ import annotations

from ..dims import LoopVar
from ..ir import For, Kernel
from .locate import ScheduleError, replace_loop

MOST = 64
"""Iterations that may be written out."""


def unroll(kernel: Kernel, var: LoopVar) -> Kernel:
    """The loop written out.  Raises: ScheduleError unless its extent is constant and small."""

    def change(loop: For) -> For:
        if not isinstance(loop.extent, int) or loop.extent > MOST:
            raise ScheduleError(f"loop {loop.var} of extent {loop.extent} cannot be written out")
        return For(loop.var, loop.extent, "unroll", loop.body)

    return replace_loop(kernel, var, change)
