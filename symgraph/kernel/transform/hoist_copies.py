"""Make a copy once for all loops that it does not depend on.

    parallel b < 12:                        parallel b < 12:
      parallel c < 7:                         alloc k': f32[64,197] in local
        alloc s: f32[29,197] in local         k' = copy of k[b]
        alloc k': f32[64,197] in local   ->   parallel c < 7:
        k' = copy of k[b]                       alloc s: f32[29,197] in local
        s = f(q[b,c], k')                       s = f(q[b,c], k')

Where too few iterations are left outside to share among threads, all copies are made first, in
memory that threads share; copies that are equal are made once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .. import dims
from ..copies import fresh_statement
from ..dims import Dim, LoopVar
from ..ir import (
    Alloc,
    Block,
    Buffer,
    Call,
    Expr,
    For,
    If,
    IndexValue,
    Kernel,
    Load,
    Prefetch,
    Stmt,
    Store,
    Tensor,
    Update,
    block,
    call,
)
from ..printer import text_without_names
from ..rewrite import (
    ExprRewriter,
    LoadRewriter,
    StmtRewriter,
    Substitute,
    expressions,
    statements,
    walk,
)
from .locate import perfect_nest


@dataclass(frozen=True, slots=True, eq=False)
class _Copy:
    """A buffer, what fills it, how many of the loops around must stay outside, and under which
    condition any iteration reads it, if not always."""

    buffer: Buffer
    fill: Stmt
    depth: int
    needed: Expr | None

    def filled(self) -> Stmt:
        """What fills the buffer where it is needed."""
        return self.fill if self.needed is None else If(self.needed, self.fill)


def hoist_copies(
    kernel: Kernel, stmt: For, least: int
) -> tuple[Stmt, tuple[tuple[Buffer, Stmt], ...]]:
    """A nest of loops over blocks with copies outside the loops that they do not depend on; and the
    copies that are to be made before it, with their buffers.

    At least so many iterations are left outside a copy, or none.
    """
    return _Hoist(kernel, stmt, least).run()


class _Hoist:
    def __init__(self, kernel: Kernel, stmt: For, least: int) -> None:
        self.kernel = kernel
        self.loops = perfect_nest(stmt)
        self.least = least
        self.found: dict[object, _Copy] = {}
        self.same: dict[Tensor, Tensor] = {}

    def run(self) -> tuple[Stmt, tuple[tuple[Buffer, Stmt], ...]]:
        """See `hoist_copies`."""
        body = self._without(self.loops[-1].body)
        body = Substitute(buffers=self.same).stmt(body) if self.same else body
        before: list[tuple[Buffer, Stmt]] = []
        inside: dict[int, list[_Copy]] = {}
        for copy in self.found.values():
            if copy.depth and self._iterations(copy.depth) >= self.least:
                inside.setdefault(copy.depth, []).append(copy)
            else:
                whole, fill, body = self._whole(copy, body)
                before.append((whole, fill))
        for number in range(len(self.loops), 0, -1):
            for copy in reversed(inside.get(number, [])):
                body = Alloc(copy.buffer, block(copy.filled(), body))
            body = replace(self.loops[number - 1], body=body)
        return body, tuple(before)

    def _iterations(self, depth: int) -> int:
        """Those of the loops outside, at the least."""
        known = [loop.extent for loop in self.loops[:depth]]
        count = dims.product([e for e in known if isinstance(e, int)])
        assert isinstance(count, int)
        return count

    def _without(self, stmt: Stmt, needed: Expr | None = None) -> Stmt:
        """What stands inside the loops, copies taken out; `needed` tells whether any iteration of
        them comes here."""
        match stmt:
            case If(condition=condition, then=then, otherwise=otherwise):
                other = None if otherwise is None else self._without(otherwise, needed)
                return If(condition, self._without(then, _ever(condition)), other)
            case Block(stmts=stmts):
                return block(*(self._without(s, needed) for s in stmts))
            case Alloc(buffer=buffer, body=body):
                copy = self._copy(stmt, needed)
                if copy is None:
                    return Alloc(buffer, self._without(body, needed))
                assert isinstance(body, Block)
                return self._without(block(*body.stmts[1:]), needed)
            case _:
                return stmt

    def _copy(self, stmt: Alloc, needed: Expr | None) -> _Copy | None:
        """The copy of an input at the start of a statement, remembered; None where there is none,
        or it depends on all loops."""
        buffer, body = stmt.buffer, stmt.body
        if buffer.scope != "local" or not isinstance(body, Block):
            return None
        fill, rest = body.stmts[0], Block(body.stmts[1:])
        if any(s.buffer is buffer for s in statements(rest) if isinstance(s, (Store, Update))):
            return None
        own: set[Tensor] = {s.buffer for s in statements(fill) if isinstance(s, Alloc)}
        writes = {s.buffer for s in statements(fill) if isinstance(s, (Store, Update))} - own
        reads = {e.tensor for e in _all(fill) if isinstance(e, Load)} - own
        plain = {b for b in self.kernel.inputs if b not in self.kernel.outputs}
        if writes != {buffer} or not reads <= plain:
            return None
        variables = {loop.var: n + 1 for n, loop in enumerate(self.loops)}
        used = [v for v in _variables(fill) if v in variables]
        depth = max((variables[v] for v in used), default=0)
        if depth == len(self.loops):
            return None
        alone = Kernel("copy", self.kernel.inputs, (buffer,), self.kernel.dims, fill)
        key = (text_without_names(alone), tuple(used))
        known = self.found.setdefault(key, _Copy(buffer, fill, depth, needed))
        if known.buffer is not buffer:
            self.same[buffer] = known.buffer
            if known.needed is not needed:
                self.found[key] = replace(known, needed=None)
        return known

    def _whole(self, copy: _Copy, body: Stmt) -> tuple[Buffer, Stmt, Stmt]:
        """One buffer for the copies of all iterations outside, what fills it, and the rest reading
        it."""
        outer = self.loops[: copy.depth]
        extents = tuple(loop.extent for loop in outer)
        whole = replace(copy.buffer, shape=(*extents, *copy.buffer.shape))
        place = _Placed(copy.buffer, whole, tuple(loop.var for loop in outer))
        fill = place.stmt(copy.filled())
        for loop in reversed(outer):
            fill = For(loop.var, loop.extent, "parallel", fill)
        return whole, fresh_statement(fill), place.stmt(body)


def _ever(condition: Expr) -> Expr | None:
    """Whether `index < limit` holds for the first iteration of open loops; None for certain, and
    for other conditions."""
    if not isinstance(condition, Call) or condition.function != "lt":
        return None
    index, limit = condition.args
    if not isinstance(index, IndexValue) or not isinstance(limit, IndexValue):
        return None
    is_open = isinstance(index.dim, LoopVar) and not isinstance(limit.dim, int)
    return call("lt", IndexValue(0), limit) if is_open else None


def _all(stmt: Stmt) -> list[Expr]:
    return [e for top in expressions(stmt) for e in walk(top)]


def _variables(stmt: Stmt) -> list[LoopVar]:
    """The loop variables that a statement uses, in the order of their first use."""
    found: dict[LoopVar, None] = {}

    class See(ExprRewriter):
        def dim(self, dim: Dim) -> Dim:
            found.update(dict.fromkeys(a for a in dims.atoms(dim) if isinstance(a, LoopVar)))
            return super().dim(dim)

    class Visit(StmtRewriter):
        def expr(self, expr: Expr) -> Expr:
            return See()(expr)

        def dim(self, dim: Dim) -> Dim:
            return See().dim(dim)

    Visit().stmt(stmt)
    return list(found)


class _Placed(StmtRewriter):
    """What was one copy is one of several, at the place of these variables."""

    def __init__(self, old: Buffer, new: Buffer, place: Sequence[LoopVar]) -> None:
        self.old, self.new, self.place = old, new, tuple(place)

    def expr(self, expr: Expr) -> Expr:
        return LoadRewriter(self._load)(expr)

    def _load(self, load: Load) -> Expr | None:
        return Load(self.new, (*self.place, *load.index)) if load.tensor is self.old else None

    def stmt(self, stmt: Stmt) -> Stmt:
        if isinstance(stmt, Store) and stmt.buffer is self.old:
            return Store(self.new, (*self.place, *stmt.index), self.expr(stmt.value))
        if isinstance(stmt, Prefetch) and stmt.buffer is self.old:
            return Prefetch(self.new, (*self.place, *stmt.index))
        return super().stmt(stmt)
