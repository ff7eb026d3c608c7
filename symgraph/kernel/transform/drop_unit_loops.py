"""Leave out loops that run once.

parallel i < 7:                parallel i < 7:
  serial r < 1:         ->       acc[] add= x[i]
    acc[] add= x[i+r]

drop_unit_loops(kernel)
"""

from __future__ import annotations

from dataclasses import replace

from ..ir import For, Kernel, Stmt
from ..rewrite import StmtRewriter, Substitute


class _Drop(StmtRewriter):
    def stmt(self, stmt: Stmt) -> Stmt:
        if isinstance(stmt, For) and stmt.extent == 1:
            return self.stmt(Substitute({stmt.var: 0}).stmt(stmt.body))
        return super().stmt(stmt)


def drop_unit_loops(kernel: Kernel) -> Kernel:
    """The kernel with 0 in place of every loop variable that takes no other value."""
    return replace(kernel, body=_Drop().stmt(kernel.body))
