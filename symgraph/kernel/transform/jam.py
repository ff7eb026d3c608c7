"""Move independent loops inwards, past what is around the innermost statements.

    unroll i < 2:                          alloc acc: f32[2] in register
      alloc acc: f32[] in register         unroll i < 2:
      acc[] = 0.0                            acc[i] = 0.0
      serial r < 9:                 ->     serial r < 9:
        acc[] add= x[i,r]                    unroll i < 2:
      y[i] = acc[]                             acc[i] add= x[i,r]
                                           unroll i < 2:
                                             y[i] = acc[i]

    jam((i,), body)

What one iteration keeps for itself becomes an axis of the buffer, so that a loop that was run once
for each i now serves all of them, and what they share is loaded once.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..dims import Dim
from ..ir import Alloc, Block, Buffer, For, If, Load, Stmt, Store, Update, block
from ..rewrite import LoadRewriter, StmtRewriter
from .locate import ScheduleError, expr_uses, uses


def jam(loops: Sequence[For], body: Stmt) -> Stmt:
    """`body` inside these loops (their own bodies are not looked at), moved inwards as far as
    possible.  Raises: ScheduleError when a loop or condition inside depends on one of them."""
    match body:
        case Block(stmts=stmts):
            return block(*(jam(loops, s) for s in stmts))
        case Alloc(buffer=buffer, body=inner):
            wide = widened(loops, buffer)
            return Alloc(wide, jam(loops, _Widen(loops, buffer, wide).stmt(inner)))
        case For(var=var, extent=extent, kind=kind, body=inner, lanes=lanes):
            if any(uses(extent, loop.var) for loop in loops):
                raise ScheduleError(f"the extent of {var} depends on a loop that is moved inwards")
            return For(var, extent, kind, jam(loops, inner), lanes)
        case If(condition=condition, then=then, otherwise=otherwise):
            if any(expr_uses(condition, loop.var) for loop in loops):
                return _around(loops, body)
            other = None if otherwise is None else jam(loops, otherwise)
            return If(condition, jam(loops, then), other)
        case _:
            return _around(loops, body)


def _around(loops: Sequence[For], body: Stmt) -> Stmt:
    for loop in reversed(loops):
        body = For(loop.var, loop.extent, loop.kind, body, loop.lanes)
    return body


def widened(loops: Sequence[For], buffer: Buffer) -> Buffer:
    """The buffer with one axis for each loop in front of its own; lanes count in full."""
    front: tuple[Dim, ...] = tuple(loop.lanes if loop.lanes else loop.extent for loop in loops)
    return Buffer(buffer.name, front + buffer.shape, buffer.dtype, buffer.scope)


class _Widen(StmtRewriter):
    """Reads and writes the widened buffer instead."""

    def __init__(self, loops: Sequence[For], old: Buffer, new: Buffer) -> None:
        self.front: tuple[Dim, ...] = tuple(loop.var for loop in loops)
        self.old, self.new = old, new
        self.loads = LoadRewriter(self._load)

    def _load(self, load: Load) -> Load | None:
        if load.tensor is not self.old:
            return None
        return Load(self.new, self.front + load.index)

    def index(self, index: tuple[Dim, ...]) -> tuple[Dim, ...]:
        return self.loads.index(index)

    def expr(self, expr):  # type: ignore[no-untyped-def]
        return self.loads(expr)

    def stmt(self, stmt: Stmt) -> Stmt:
        new = super().stmt(stmt)
        match new:
            case Store(buffer=buffer, index=index, value=value) if buffer is self.old:
                return Store(self.new, self.front + index, value)
            case Update(buffer=buffer, index=index, function=f, value=value) if buffer is self.old:
                return Update(self.new, self.front + index, f, value)
            case _:
                return new
