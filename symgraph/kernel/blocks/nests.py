"""What a kernel does as nests of independent loops: what each reads, writes and chooses among."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from .. import dims
from ..dims import Dim, LoopVar
from ..inlining import compared_index
from ..ir import Block, Buffer, Expr, For, Kernel, Load, Select, Stmt, Store, Update
from ..rewrite import expressions, statements, walk


@dataclass(frozen=True, eq=False)
class Nest:
    """Independent loops directly inside each other, and what is done in the innermost."""

    loops: tuple[For, ...]
    body: Stmt
    inner: tuple[For, ...] = ()
    """All loops, those inside the body too, outer ones first."""
    operands: Mapping[Buffer, frozenset[LoopVar]] = field(default_factory=dict)
    """What is read, and along which loops."""
    stores: Mapping[Buffer, tuple[Store | Update, ...]] = field(default_factory=dict)
    """What is written."""
    choices: tuple[Dim, ...] = ()
    """Indices along which something is chosen: what the choices share is computed once for all."""

    # Every choice of blocks asks for these again.

    @cached_property
    def extents(self) -> Mapping[LoopVar, Dim]:
        """Of the loops around the body."""
        return {loop.var: loop.extent for loop in self.loops}

    @cached_property
    def inner_extents(self) -> Mapping[LoopVar, Dim]:
        """Of all loops."""
        return {loop.var: loop.extent for loop in self.inner}

    @cached_property
    def shifts(self) -> Mapping[Buffer, tuple[tuple[LoopVar | None, int], ...]]:
        """For what is written once, the loop along each axis, and what is added to it."""
        return {
            buffer: tuple(shifted(dim) for dim in stores[0].index)
            for buffer, stores in self.stores.items()
            if len(stores) == 1
        }

    def stmt(self) -> Stmt:
        """The loops around the body."""
        stmt = self.body
        for loop in reversed(self.loops):
            stmt = For(loop.var, loop.extent, loop.kind, stmt)
        return stmt

    def makes(self, buffer: Buffer) -> bool:
        """It writes the buffer once, and never reads it."""
        stores = self.stores.get(buffer, ())
        plain = len(stores) == 1 and isinstance(stores[0], Store)
        return plain and buffer not in self.operands

    def places(self, buffer: Buffer) -> tuple[tuple[Dim, ...], ...]:
        """Along each axis of a buffer, every index at which it is read."""
        found = [load.index for load in _reads(self.body, buffer)]
        return tuple(tuple(dict.fromkeys(i[axis] for i in found)) for axis in range(buffer.ndim))


Nests = tuple[Nest, ...] | None
"""What a kernel does as nests of loops; None where it is something else."""


def kernel_nests(kernel: Kernel) -> Nests:
    """What a kernel does as nests; None where it is something else."""
    found: list[Nest] = []
    stack: list[tuple[Stmt, tuple[For, ...]]] = [(kernel.body, ())]
    while stack:
        current, around = stack.pop()
        if isinstance(current, Block) and all(_is_loop(s) for s in current.stmts):
            stack.extend((s, around) for s in reversed(current.stmts))
        elif isinstance(current, For) and current.kind == "parallel":
            stack.append((current.body, (*around, current)))
        elif around:
            inside = tuple(s for s in statements(current) if isinstance(s, For))
            tops = [e for top in expressions(current) for e in walk(top)]
            loops, stores = (*around, *inside), _stores(current)
            found.append(Nest(around, current, loops, _operands(tops), stores, _choices(tops)))
        else:
            return None
    return tuple(found)


def shifted(dim: Dim) -> tuple[LoopVar | None, int]:
    """A loop variable and what is added to it; none where it is something else."""
    terms, constant = dims.terms_of(dim)
    if len(terms) != 1 or terms[0][1] != 1 or len(terms[0][0]) != 1:
        return None, 0
    (variable,) = terms[0][0]
    return (variable, constant) if isinstance(variable, LoopVar) else (None, 0)


def _operands(exprs: Sequence[Expr]) -> dict[Buffer, frozenset[LoopVar]]:
    found: dict[Buffer, set[LoopVar]] = {}
    for e in exprs:
        if isinstance(e, Load) and isinstance(e.tensor, Buffer):
            atoms = {a for d in e.index for a in dims.atoms(d)}
            used = found.setdefault(e.tensor, set())
            used.update(a for a in atoms if isinstance(a, LoopVar))
    return {b: frozenset(used) for b, used in found.items()}


def _choices(exprs: Sequence[Expr]) -> tuple[Dim, ...]:
    found: dict[Dim, None] = {}
    for e in exprs:
        if isinstance(e, Select) and (index := compared_index(e.condition)) is not None:
            found[index] = None
    return tuple(found)


def _is_loop(stmt: Stmt) -> bool:
    return isinstance(stmt, For) and stmt.kind == "parallel"


def _reads(stmt: Stmt, buffer: Buffer) -> Iterator[Load]:
    for top in expressions(stmt):
        for e in walk(top):
            if isinstance(e, Load) and e.tensor is buffer:
                yield e


def _stores(stmt: Stmt) -> dict[Buffer, tuple[Store | Update, ...]]:
    found: dict[Buffer, tuple[Store | Update, ...]] = {}
    for s in statements(stmt):
        if isinstance(s, (Store, Update)):
            found[s.buffer] = (*found.get(s.buffer, ()), s)
    return found
