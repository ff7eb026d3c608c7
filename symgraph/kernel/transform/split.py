"""Split one loop into two.

parallel i < 10:               parallel i < 3:
  y[i] = x[i]           ->       parallel i2 < min(4, 10-4*i):
                                   y[4*i+i2] = x[4*i+i2]

split(kernel, i, 4)
"""

from __future__ import annotations

from .. import dims
from ..dims import Dim, LoopVar
from ..ir import For, Kernel, Stmt
from ..rewrite import Substitute
from .locate import replace_loop


def split(
    kernel: Kernel, var: LoopVar, factor: int, outer: LoopVar | None = None,
    inner: LoopVar | None = None,
) -> Kernel:  # fmt: skip
    """The loop over `var` as blocks of `factor` iterations, the last one shorter if need be."""
    return replace_loop(kernel, var, lambda loop: split_loop(loop, factor, outer, inner))


def split_loop(
    loop: For, factor: int, outer: LoopVar | None = None, inner: LoopVar | None = None
) -> For:
    """As `split`, on the loop itself."""
    first = LoopVar(loop.var.hint) if outer is None else outer
    second = LoopVar(loop.var.hint) if inner is None else inner
    position = dims.add(dims.mul(first, factor), second)
    body: Stmt = Substitute({loop.var: position}).stmt(loop.body)
    count = dims.ceildiv(loop.extent, factor)
    return For(first, count, loop.kind,
               For(second, block_extent(loop.extent, first, factor), loop.kind, body))  # fmt: skip


def block_extent(extent: Dim, outer: LoopVar, factor: int) -> Dim:
    """How many of `factor` iterations block `outer` has."""
    if dims.exact_quotient(extent, factor) is not None:
        return factor
    return dims.Minimum(factor, dims.add(extent, dims.mul(outer, -factor)))
