"""Allocate the private scalars of a loop's body around the whole of it.

    alloc t                                alloc t
    alloc acc:                             alloc acc
      acc[] = 0; for r: acc[] += x[r]      acc[] = 0; for r: acc[] += x[r]
      t[] = acc[] + b[i]            ->     t[] = acc[] + b[i]
      c[i] = t[]                           c[i] = t[]
    alloc u:                               alloc u
      u[] = max(t[], 0)                    u[] = max(t[], 0)
      d[i] = u[]                           d[i] = u[]

The statements that follow an accumulator then stand in one list, whatever stage they came from.
"""

from __future__ import annotations

from dataclasses import replace

from ..ir import Alloc, Block, Buffer, For, If, Kernel, Stmt, block


def hoist_scalars(kernel: Kernel) -> Kernel:
    """The kernel with scalars allocated first in the body of their loop."""
    return replace(kernel, body=_body(kernel.body))


def _body(stmt: Stmt) -> Stmt:
    """One loop body: its scalars, then its statements."""
    scalars: list[Buffer] = []
    rest = _collect(stmt, scalars)
    for buffer in reversed(scalars):
        rest = Alloc(buffer, rest)
    return rest


def _collect(stmt: Stmt, scalars: list[Buffer]) -> Stmt:
    match stmt:
        case Block(stmts=stmts):
            return block(*(_collect(s, scalars) for s in stmts))
        case Alloc(buffer=buffer, body=body):
            if buffer.scope == "register" and not buffer.shape:
                scalars.append(buffer)
                return _collect(body, scalars)
            return Alloc(buffer, _collect(body, scalars))
        case For(body=body):
            return replace(stmt, body=_body(body))
        case If(then=then, otherwise=otherwise):
            other = None if otherwise is None else _body(otherwise)
            return replace(stmt, then=_body(then), otherwise=other)
        case _:
            return stmt
