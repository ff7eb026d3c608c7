"""Reorder directly nested independent loops.

parallel i < 3:                parallel j < 5:
  parallel j < 5:       ->       parallel i < 3:
    y[i,j] = x[i,j]                y[i,j] = x[i,j]

reorder(kernel, (j, i))
"""

from __future__ import annotations

from collections.abc import Sequence

from ..dims import LoopVar
from ..ir import INDEPENDENT, For, Kernel, Stmt
from .locate import ScheduleError, perfect_nest, replace_loop, uses


def reorder(kernel: Kernel, order: Sequence[LoopVar]) -> Kernel:
    """The directly nested loops over these variables, in this order from the outside.

    Raises: ScheduleError when they are not directly nested, not independent, or when the extent of
    one depends on another.
    """
    found: list[For] = []

    def outermost() -> LoopVar:
        from ..rewrite import statements

        for stmt in statements(kernel.body):
            if isinstance(stmt, For) and stmt.var in order:
                return stmt.var
        raise ScheduleError(f"kernel {kernel.name} has none of these loops")

    def change(loop: For) -> Stmt:
        found[:] = perfect_nest(loop, INDEPENDENT)[: len(order)]
        return nest_in_order(found, order)

    return replace_loop(kernel, outermost(), change)


def nest_in_order(loops: Sequence[For], order: Sequence[LoopVar]) -> Stmt:
    """The loops around the innermost one's body, in another order.  Raises: ScheduleError."""
    by_var = {loop.var: loop for loop in loops}
    if set(by_var) != set(order) or any(loop.kind not in INDEPENDENT for loop in loops):
        raise ScheduleError(f"loops {', '.join(map(str, order))} are not directly nested and "
                            f"independent")  # fmt: skip
    for loop in loops:
        if any(uses(loop.extent, var) for var in order):
            raise ScheduleError(f"the extent of {loop.var} depends on another of the loops")
    body = loops[-1].body
    for var in reversed(order):
        loop = by_var[var]
        body = For(loop.var, loop.extent, loop.kind, body, loop.lanes)
    return body
