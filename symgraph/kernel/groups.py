"""Loops that an index divides are split, so that indices are affine: groups of channels.

    parallel o < 6:                                  parallel g < 2:
      serial c < 4:                          ->        parallel o < 3:
        acc[] add= x[o//3*4+c] * w[o,c]                  serial c < 4:
                                                           acc[] add= x[4*g+c] * w[3*g+o,c]

Only loops around sums, and only where the quotient alone is read: what reads the remainder too is
another order of the same elements, which runs as well as one loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from . import dims
from .dims import Dim, LoopVar
from .ir import Expr, For, IndexValue, Load, Stmt, Store, Update
from .rewrite import ExprRewriter, StmtRewriter, Substitute, expressions, statements, walk

Ranges = dict[object, tuple["int | None", "int | None"]]


def split_groups(stmt: Stmt) -> Stmt:
    """The statement with every such loop split."""
    return _Split().stmt(stmt)


class _Split(StmtRewriter):
    def stmt(self, stmt: Stmt) -> Stmt:
        size = _group_size(stmt) if isinstance(stmt, For) else None
        if size is None or not isinstance(stmt, For):
            return super().stmt(stmt)
        count = dims.exact_quotient(stmt.extent, size)
        assert count is not None
        group, inner = LoopVar("g"), LoopVar(stmt.var.hint)
        body = Substitute({stmt.var: dims.add(dims.mul(group, size), inner)}).stmt(stmt.body)
        body = _Decide({group: _range(count), inner: _range(size)}).stmt(body)
        return self.stmt(For(group, count, stmt.kind, For(inner, size, stmt.kind, body)))


class _Decide(StmtRewriter):
    """Divisions that the intervals of the two new loops decide."""

    def __init__(self, ranges: Ranges) -> None:
        self.ranges = ranges

    def dim(self, dim: Dim) -> Dim:
        return dim if isinstance(dim, int) else dims.simplify(dim, self.ranges)

    def expr(self, expr: Expr) -> Expr:
        return _DecideExpr(self.dim)(expr)

    def index(self, index: tuple[Dim, ...]) -> tuple[Dim, ...]:
        return _DecideExpr(self.dim).index(index)


class _DecideExpr(ExprRewriter):
    def __init__(self, decide: Callable[[Dim], Dim]) -> None:
        super().__init__()
        self.decide = decide

    def dim(self, dim: Dim) -> Dim:
        return self.decide(super().dim(dim))


def _range(extent: Dim) -> tuple[int, int | None]:
    _, high = dims.bounds(extent)
    return 0, None if high is None else max(high - 1, 0)


def _group_size(loop: For) -> Dim | None:
    """What the loop's variable is divided by around a sum, when that is one number and nothing asks
    for the remainder."""
    if loop.kind != "parallel" or not _holds_sum(loop.body):
        return None
    sizes: set[Dim] = set()
    for dim in _indices(loop.body):
        for atom in dims.atoms(dim):
            if isinstance(atom, dims.Mod) and loop.var in dims.atoms(atom.a):
                return None
            if isinstance(atom, dims.FloorDiv) and loop.var in dims.atoms(atom.a):
                if atom.a != loop.var:
                    return None
                sizes.add(atom.b)
    if len(sizes) != 1:
        return None
    (size,) = sizes
    count = dims.exact_quotient(loop.extent, size)
    return None if count in (None, 1) else size


def _holds_sum(body: Stmt) -> bool:
    return any(
        isinstance(s, For) and s.kind == "serial" and any(
            isinstance(inner, Update) for inner in statements(s)
        )
        for s in statements(body)
    )  # fmt: skip


def _indices(body: Stmt) -> Iterator[Dim]:
    """Every integer expression of a statement."""
    for stmt in statements(body):
        if isinstance(stmt, For):
            yield stmt.extent
        elif isinstance(stmt, (Store, Update)):
            yield from stmt.index
    for top in expressions(body):
        for e in walk(top):
            if isinstance(e, Load):
                yield from e.index
            elif isinstance(e, IndexValue):
                yield e.dim
