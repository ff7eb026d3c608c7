"""Run a loop's iterations as lanes of vectors.

parallel i < 37:               parallel i < 3:
  y[i] = exp(x[i])      ->       vector v < min(16, 37-16*i) lanes 16:
                                   y[16*i+v] = exp(x[16*i+v])

vectorise(kernel, i, 16)
"""

from __future__ import annotations

from ..dims import LoopVar
from ..ir import For, Kernel, Stmt
from ..rewrite import statements
from .locate import ScheduleError, replace_loop, uses
from .split import split_loop


def vectorise(kernel: Kernel, var: LoopVar, lanes: int) -> Kernel:
    """The independent loop over `var` as vectors.  Raises: ScheduleError."""
    return replace_loop(kernel, var, lambda loop: vectorise_loop(loop, lanes))


def vectorise_loop(loop: For, lanes: int) -> Stmt:
    """As `vectorise`, on the loop itself."""
    if loop.kind != "parallel":
        raise ScheduleError(f"loop {loop.var} is {loop.kind}, its iterations may depend on others")
    for stmt in statements(loop.body):
        if isinstance(stmt, For) and (uses(stmt.extent, loop.var) or stmt.kind == "vector"):
            raise ScheduleError(f"loop {stmt.var} inside {loop.var} cannot run in lanes")
    if isinstance(loop.extent, int) and loop.extent <= lanes:
        return For(loop.var, loop.extent, "vector", loop.body, lanes)
    outer = split_loop(loop, lanes, None, LoopVar("v"))
    inner = outer.body
    assert isinstance(inner, For)
    lane = For(inner.var, inner.extent, "vector", inner.body, lanes)
    return For(outer.var, outer.extent, outer.kind, lane)
