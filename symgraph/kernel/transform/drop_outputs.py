"""Leave out some of what a kernel writes, and what served only that.

alloc m: f32[3] in local                      parallel i < 3:
parallel i < 3:                                 y[i] = x[i] * 2
  m[i] = x[i] + old[i]             ->
  y[i] = x[i] * 2
parallel i < 3:
  next[i] = m[i]

drop_outputs(kernel, {next})

What stays is computed by the same statements in the same order, so no bit of it changes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ..ir import Alloc, Block, Buffer, For, If, Kernel, Prefetch, Stmt, Store, Tensor, Update, block
from ..rewrite import StmtRewriter, expressions, loads, statements

NOTHING = Block(())


def drop_outputs(kernel: Kernel, dropped: Collection[Buffer]) -> Kernel:
    """The kernel without these outputs, as far as nothing that stays reads them, and without inputs
    that nothing reads any more."""
    own = [s.buffer for s in statements(kernel.body) if isinstance(s, Alloc)]
    needed: set[Tensor] = {b for b in kernel.outputs if b not in dropped}
    while True:
        dead = {b for b in (*kernel.outputs, *own) if b not in needed}
        body = _Drop(dead).stmt(kernel.body)
        read = _read(body)
        if read & dead == set():
            break
        needed |= read
    numbers = [n for n, b in enumerate(kernel.inputs) if b in read or b in needed]
    return replace(
        kernel,
        inputs=tuple(kernel.inputs[n] for n in numbers),
        outputs=tuple(b for b in kernel.outputs if b in needed),
        body=body,
        packings=tuple((numbers.index(n), p) for n, p in kernel.packings if n in numbers),
    )


def _read(body: Stmt) -> set[Tensor]:
    return {load.tensor for e in expressions(body) for load in loads(e)}


class _Drop(StmtRewriter):
    def __init__(self, dead: Collection[Buffer]) -> None:
        self.dead = dead

    def stmt(self, stmt: Stmt) -> Stmt:
        match stmt:
            case Store(buffer=buffer) | Update(buffer=buffer) | Prefetch(buffer=buffer):
                return NOTHING if buffer in self.dead else stmt
            case Block(stmts=stmts):
                return block(*(s for s in map(self.stmt, stmts) if not _is_nothing(s)))
            case For(body=body):
                new = self.stmt(body)
                return NOTHING if _is_nothing(new) else replace(stmt, body=new)
            case Alloc(buffer=buffer, body=body):
                new = self.stmt(body)
                return new if buffer in self.dead or _is_nothing(new) else Alloc(buffer, new)
            case If(condition=condition, then=then, otherwise=otherwise):
                then = self.stmt(then)
                other = None if otherwise is None else self.stmt(otherwise)
                other = None if other is None or _is_nothing(other) else other
                nothing = _is_nothing(then) and other is None
                return NOTHING if nothing else If(condition, then, other)
            case _:
                return stmt


def _is_nothing(stmt: Stmt) -> bool:
    return isinstance(stmt, Block) and not stmt.stmts
