"""A condition between two loops, moved inside both.

    parallel i < 6:                parallel i < 6:
      if i < 4:                      parallel j < 5:
        parallel j < 5:                if i < 4:
          y[i,j] = x[i,j]      ->        y[i,j] = x[i,j]
      else:                            else:
        parallel k < 5:                  y[i,j] = 0
          y[i,k] = 0

    sink_condition(kernel, i)

The two loops are then directly nested, and may be merged.
"""

from __future__ import annotations

from ..dims import LoopVar
from ..ir import For, If, Kernel, Stmt
from ..rewrite import Substitute
from .locate import ScheduleError, replace_loop


def sink_condition(kernel: Kernel, var: LoopVar) -> Kernel:
    """The condition directly inside the loop over `var` moved into the loops of its branches,
    which must be of one kind and extent.  Raises: ScheduleError."""

    def change(loop: For) -> Stmt:
        found = loops_of_branches(loop)
        if found is None:
            raise ScheduleError(f"loop {loop.var} has no condition with equal loops in it")
        condition, then, other = found
        otherwise = Substitute({other.var: then.var}).stmt(other.body)
        body = If(condition.condition, then.body, otherwise)
        return For(loop.var, loop.extent, loop.kind, For(then.var, then.extent, then.kind, body))

    return replace_loop(kernel, var, change)


def loops_of_branches(loop: For) -> tuple[If, For, For] | None:
    """The condition directly inside a loop and the loops that are its branches, where these are
    independent and run over the same extent."""
    condition = loop.body
    if not isinstance(condition, If):
        return None
    then, other = condition.then, condition.otherwise
    if not isinstance(then, For) or not isinstance(other, For):
        return None
    same = then.extent == other.extent and then.kind == other.kind == "parallel"
    return (condition, then, other) if same else None
