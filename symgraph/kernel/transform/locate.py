"""Finding and replacing loops by their variable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ...errors import InternalError
from .. import dims
from ..dims import Dim, LoopVar
from ..ir import DataIndex, Expr, For, IndexValue, Kernel, Load, Stmt
from ..rewrite import StmtRewriter, statements, walk


class ScheduleError(InternalError):
    """A building block was used where it would change what the kernel computes."""


def find_loop(kernel: Kernel, var: LoopVar) -> For:
    """The loop of a variable.  Raises: ScheduleError."""
    for stmt in statements(kernel.body):
        if isinstance(stmt, For) and stmt.var == var:
            return stmt
    raise ScheduleError(f"kernel {kernel.name} has no loop over {var}")


class _Replace(StmtRewriter):
    def __init__(self, var: LoopVar, change: Callable[[For], Stmt]) -> None:
        self.var = var
        self.change = change
        self.count = 0

    def stmt(self, stmt: Stmt) -> Stmt:
        if isinstance(stmt, For) and stmt.var == self.var:
            self.count += 1
            return self.change(stmt)
        return super().stmt(stmt)


def replace_loop(kernel: Kernel, var: LoopVar, change: Callable[[For], Stmt]) -> Kernel:
    """The kernel with `change(loop)` in place of the loop over `var`.  Raises: ScheduleError."""
    rewriter = _Replace(var, change)
    body = rewriter.stmt(kernel.body)
    if not rewriter.count:
        raise ScheduleError(f"kernel {kernel.name} has no loop over {var}")
    return replace(kernel, body=body)


def perfect_nest(loop: For, kinds: tuple[str, ...] = ("parallel",)) -> list[For]:
    """The loop and those directly inside it, as long as they are of these kinds."""
    nest = [loop]
    while isinstance(nest[-1].body, For) and nest[-1].body.kind in kinds:
        nest.append(nest[-1].body)
    return nest


def uses(dim: Dim, var: LoopVar) -> bool:
    """The variable occurs in the expression, or in data that it reads."""
    for atom in dims.atoms(dim):
        if atom == var:
            return True
        if isinstance(atom, DataIndex) and expr_uses(atom.value, var):
            return True
    return False


def expr_uses(expr: Expr, var: LoopVar) -> bool:
    """The variable occurs in an index of the expression."""
    for e in walk(expr):
        if isinstance(e, IndexValue) and uses(e.dim, var):
            return True
        if isinstance(e, Load) and any(uses(d, var) for d in e.index):
            return True
    return False
