"""Statements and kernels again, with variables and buffers of their own.

A buffer or a loop variable is known by identity: code that stands twice in one kernel needs others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from .dims import LoopVar
from .ir import Alloc, Buffer, For, Kernel, Stmt, Tensor
from .rewrite import Substitute, statements


def fresh_statement(stmt: Stmt, buffers: Mapping[Tensor, Tensor] | None = None) -> Stmt:
    """The statement with its own loop variables and private buffers; `buffers` renames others."""
    loops = {s.var: LoopVar(s.var.hint) for s in statements(stmt) if isinstance(s, For)}
    own: dict[Tensor, Tensor] = dict(buffers or {})
    own |= {s.buffer: _like(s.buffer) for s in statements(stmt) if isinstance(s, Alloc)}
    return _Rename(loops, own).stmt(stmt)


def fresh_kernel(kernel: Kernel) -> Kernel:
    """The kernel with parameters, loop variables and private buffers of its own."""
    own: dict[Tensor, Buffer] = {b: _like(b) for b in kernel.params}
    return replace(
        kernel,
        inputs=tuple(own[b] for b in kernel.inputs),
        outputs=tuple(own[b] for b in kernel.outputs),
        body=fresh_statement(kernel.body, {**own}),
    )


def _like(buffer: Buffer) -> Buffer:
    return Buffer(buffer.name, buffer.shape, buffer.dtype, buffer.scope)


class _Rename(Substitute):
    def __init__(self, loops: Mapping[LoopVar, LoopVar], buffers: Mapping[Tensor, Tensor]) -> None:
        super().__init__(loops, buffers)
        self.loops = loops

    def stmt(self, stmt: Stmt) -> Stmt:
        new = super().stmt(stmt)
        if isinstance(new, For) and new.var in self.loops:
            return For(self.loops[new.var], new.extent, new.kind, new.body, new.lanes)
        return new
