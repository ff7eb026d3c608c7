"""Several iterations of a loop in one, one after the other.

    serial r < 64:                 serial r < 32:
      acc[] add= x[r]       ->       acc[] add= x[2*r]
                                     acc[] add= x[2*r+1]

    several_at_once(body, r, 2)

The order of all that is done stays as it is.
"""

from __future__ import annotations

from .. import dims
from ..dims import LoopVar
from ..ir import For, Stmt, block
from ..rewrite import StmtRewriter, Substitute


def several_at_once(body: Stmt, var: LoopVar, count: int) -> Stmt:
    """`body` with `count` iterations in each of the serial loop over `var`; as it is where they
    do not divide its extent."""
    return _Several(var, count).stmt(body)


class _Several(StmtRewriter):
    def __init__(self, var: LoopVar, count: int) -> None:
        self.var, self.count = var, count

    def stmt(self, stmt: Stmt) -> Stmt:
        if not isinstance(stmt, For) or stmt.var != self.var:
            return super().stmt(stmt)
        rounds, left = divmod(stmt.extent, self.count) if isinstance(stmt.extent, int) else (0, 1)
        if left or stmt.kind != "serial":
            return stmt
        first = dims.mul(stmt.var, self.count)
        steps = [
            Substitute({stmt.var: dims.add(first, number)}).stmt(stmt.body)
            for number in range(self.count)
        ]
        return For(stmt.var, rounds, "serial", block(*steps))
