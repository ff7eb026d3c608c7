"""Recognises contractions: one accumulator over serial loops, for every point of parallel loops.

parallel p...:                       matmul, linear, convolution, their gradients, einsum:
  alloc acc, t...                    the value is any expression of loads; which loop each load
  acc[] = neutral                    moves along, and by how much, is all that is looked at
  serial r...: acc[] f= value(p, r)
  t[] = epilogue(acc[], p)...
  out[p] = epilogue(acc[], t[], p)...
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ...kernel import dims
from ...kernel.dims import Dim, LoopVar
from ...kernel.ir import (
    Alloc,
    Block,
    Buffer,
    Const,
    DataIndex,
    For,
    Kernel,
    Load,
    Stmt,
    Store,
    Update,
    block,
)
from ...kernel.rewrite import expressions, walk
from ...kernel.transform.locate import perfect_nest, uses
from .strides import Access, stride


@dataclass(frozen=True, slots=True, eq=False)
class Contraction:
    """The parts of a recognised loop nest."""

    parallel: tuple[For, ...]
    accumulator: Buffer
    scalars: tuple[Buffer, ...]
    start: Store
    serial: tuple[For, ...]
    update: Update
    finish: tuple[Stmt, ...]
    loads: tuple[Access, ...]
    stores: tuple[Access, ...]
    rounds: Mapping[Buffer, int] = field(default_factory=dict)
    """How many rounds of loops around read an operand alike: one copy of it serves all of them."""

    @property
    def inner(self) -> Stmt:
        """What is done at one point."""
        return self.point(self.reduction())

    def point(self, reduction: Stmt) -> Stmt:
        """What is done at one point, with the reduction written in another way."""
        body = block(self.start, reduction, *self.finish)
        for buffer in (*self.scalars, self.accumulator):
            body = Alloc(buffer, body)
        return body

    def reduction(self) -> Stmt:
        """The serial loops."""
        body: Stmt = self.update
        for loop in reversed(self.serial):
            body = For(loop.var, loop.extent, "serial", body)
        return body

    def extent(self, var: LoopVar) -> Dim:
        for loop in (*self.parallel, *self.serial):
            if loop.var == var:
                return loop.extent
        raise KeyError(var)

    def stride_of(self, access: Access, var: LoopVar) -> Dim | None:
        return stride(access, var)


def recognise(stmt: Stmt) -> Contraction | None:
    """The contraction that a statement is, or None."""
    if not isinstance(stmt, For) or stmt.kind != "parallel":
        return None
    nest = perfect_nest(stmt)
    body, private = nest[-1].body, []
    while isinstance(body, Alloc) and not body.buffer.shape:
        private.append(body.buffer)
        body = body.body
    if not isinstance(body, Block) or len(body.stmts) < 3:
        return None
    first, loop, *finish = body.stmts
    if not isinstance(first, Store) or first.buffer not in private:
        return None
    accumulator = first.buffer
    scalars = tuple(b for b in private if b is not accumulator)
    if not isinstance(first.value, Const) or not isinstance(loop, For) or loop.kind != "serial":
        return None
    serial = perfect_nest(loop, ("serial",))
    update = serial[-1].body
    if not isinstance(update, Update) or update.buffer is not accumulator:
        return None
    if not finish or any(not isinstance(s, Store) for s in finish):
        return None
    if not _rectangular((*nest, *serial)) or _reads(update, accumulator):
        return None
    loads = _load_accesses(update)
    # Operands are packed and tiled by their strides, which an index read from data does not have.
    if any(isinstance(a, DataIndex) for x in loads for d in x.index for a in dims.atoms(d)):
        return None
    return Contraction(tuple(nest), accumulator, scalars, first, tuple(serial), update,
                       tuple(finish), loads, _stores(finish, scalars))  # fmt: skip


def _rectangular(loops: tuple[For, ...]) -> bool:
    return not any(uses(a.extent, b.var) for a in loops for b in loops)


def _reads(update: Update, buffer: Buffer) -> bool:
    return any(isinstance(e, Load) and e.tensor is buffer
               for top in expressions(update) for e in walk(top))  # fmt: skip


def _load_accesses(update: Update) -> tuple[Access, ...]:
    found = []
    for top in expressions(update):
        for e in walk(top):
            if isinstance(e, Load):
                assert isinstance(e.tensor, Buffer)
                found.append(Access(e.tensor, e.index, 1, False))
    return tuple(found)


def _stores(stmts: list[Stmt], scalars: tuple[Buffer, ...]) -> tuple[Access, ...]:
    return tuple(
        Access(s.buffer, s.index, 1, True)
        for s in stmts
        if isinstance(s, Store) and s.buffer not in scalars
    )


def replace_contraction(kernel: Kernel, position: int, new: Stmt) -> Stmt:
    """The kernel's top-level statements with the one at `position` replaced."""
    body, around = kernel.body, []
    while isinstance(body, Alloc):
        around.append(body.buffer)
        body = body.body
    stmts = list(body.stmts) if isinstance(body, Block) else [body]
    stmts[position] = new
    result: Stmt = Block(tuple(stmts)) if len(stmts) > 1 else stmts[0]
    for buffer in reversed(around):
        result = Alloc(buffer, result)
    return result
