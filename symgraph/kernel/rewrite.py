"""Walks and rebuilds over the loop IR; what did not change is shared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from . import dims
from .dims import Atom, Dim, LoopVar
from .ir import (
    Alloc,
    Axis,
    Barrier,
    Block,
    Buffer,
    Call,
    Cast,
    Const,
    DataIndex,
    Expr,
    For,
    If,
    IndexValue,
    Load,
    Prefetch,
    Reduce,
    Select,
    Stmt,
    Store,
    Tensor,
    Update,
    block,
)


def data_indices(index: tuple[Dim, ...]) -> Iterator[DataIndex]:
    """The data-dependent atoms of an index."""
    for dim in index:
        if isinstance(dim, int) or not dim.holds & dims.OTHER:  # nearly all
            continue
        for atom in dims.atoms(dim):
            if isinstance(atom, DataIndex):
                yield atom


def operands(expr: Expr) -> tuple[Expr, ...]:
    """The expressions directly below, those inside indices included."""
    kind = expr.__class__
    if kind is Call:
        return expr.args  # type: ignore[attr-defined,no-any-return]
    if kind is Const:
        return ()
    if kind is Load:
        index = expr.index  # type: ignore[attr-defined]
        for dim in index:
            if not isinstance(dim, int) and dim.holds & dims.OTHER:
                return tuple(atom.value for atom in data_indices(index))
        return ()
    match expr:
        case IndexValue(dim=dim):
            return tuple(atom.value for atom in data_indices((dim,)))
        case Cast(value=value):
            return (value,)
        case Select(condition=condition, then=then, otherwise=otherwise):
            return (condition, then, otherwise)
        case Reduce(body=body):
            return (body,)
        case _:
            raise AssertionError(expr)


def walk(expr: Expr) -> Iterator[Expr]:
    """Every expression once, an operand before its user."""
    seen: set[int] = set()
    stack: list[tuple[Expr, bool]] = [(expr, False)]
    while stack:
        current, done = stack.pop()
        if done:
            yield current
        elif id(current) not in seen:
            seen.add(id(current))
            below = operands(current)
            if below:
                stack.append((current, True))
                stack.extend([(child, False) for child in reversed(below)])
            else:
                yield current


def loads(expr: Expr) -> list[Load]:
    """Every load in it, in a fixed order."""
    return [e for e in walk(expr) if isinstance(e, Load)]


class ExprRewriter:
    """Rebuilds expressions.

    Override `leaf` (called on every expression before its operands; return None to descend) or
    pass dims to replace.  Shared sub-expressions are rebuilt once.
    """

    def __init__(self, values: Mapping[Any, Dim] | None = None) -> None:
        self.values = dict(values or {})
        self._done: dict[int, tuple[Expr, Expr]] = {}
        self._atoms: dict[int, tuple[Atom, Dim]] = {}

    def leaf(self, expr: Expr) -> Expr | None:
        """The replacement of an expression, or None to rebuild it from its operands."""
        return None

    def index(self, index: tuple[Dim, ...]) -> tuple[Dim, ...]:
        return tuple(self.dim(d) for d in index)

    def dim(self, dim: Dim) -> Dim:
        if isinstance(dim, int):
            return dim
        return dims.transform(dim, self._atom)

    def _atom(self, atom: Atom) -> Dim | None:
        known: Dim | None = self.values.get(atom)
        if known is not None:
            return known
        if isinstance(atom, DataIndex):
            if id(atom) not in self._atoms:
                value, extent = self(atom.value), self.dim(atom.extent)
                same = value is atom.value and extent == atom.extent
                self._atoms[id(atom)] = (atom, atom if same else DataIndex(value, extent))
            return self._atoms[id(atom)][1]
        return None

    def __call__(self, expr: Expr) -> Expr:
        # Operands first on a stack of its own: a fused chain is deeper than Python may recurse.
        stack: list[tuple[Expr, bool]] = [(expr, False)]
        while stack:
            current, ready = stack.pop()
            if id(current) in self._done:
                continue
            new = None if ready else self.leaf(current)
            if new is None and not ready:
                waiting = self._waiting(current)
                if waiting:
                    stack.append((current, True))
                    stack.extend((child, False) for child in reversed(waiting))
                    continue
            # The key is an id, so the original is kept alive beside its replacement.
            self._done[id(current)] = (current, self._rebuild(current) if new is None else new)
        return self._done[id(expr)][1]

    def _waiting(self, expr: Expr) -> list[Expr]:
        """The operands to rebuild first; a reduction's body is rebuilt with its own variables."""
        if isinstance(expr, Reduce):
            return []
        return [child for child in operands(expr) if id(child) not in self._done]

    def _rebuild(self, expr: Expr) -> Expr:
        match expr:
            case Const():
                return expr
            case IndexValue(dim=dim, dtype=dtype):
                new = self.dim(dim)
                return expr if new is dim else IndexValue(new, dtype)
            case Load(tensor=tensor, index=index):
                new_index = self.index(index)
                same = all(a is b for a, b in zip(index, new_index, strict=True))
                return expr if same else Load(tensor, new_index)
            case Call(function=function, args=args, dtype=dtype):
                new_args = tuple(self(a) for a in args)
                same = all(a is b for a, b in zip(args, new_args, strict=True))
                return expr if same else Call(function, new_args, dtype)
            case Cast(value=value, dtype=dtype):
                new_value = self(value)
                return expr if new_value is value else Cast(new_value, dtype)
            case Select(condition=c, then=t, otherwise=o):
                nc, nt, no = self(c), self(t), self(o)
                return expr if (nc is c and nt is t and no is o) else Select(nc, nt, no)
            case Reduce(kind=kind, axes=axes, body=body):
                return self._reduce(kind, axes, body)
            case _:
                raise AssertionError(expr)

    def _reduce(self, kind: str, axes: tuple[Axis, ...], body: Expr) -> Expr:
        fresh = tuple(Axis(dims.LoopVar(a.var.hint), self.dim(a.extent)) for a in axes)
        inner = {a.var: f.var for a, f in zip(axes, fresh, strict=True)}
        saved, done, indices = self.values, self._done, self._atoms
        self.values, self._done, self._atoms = {**saved, **inner}, {}, {}
        new_body = self(body)
        self.values, self._done, self._atoms = saved, done, indices
        return Reduce(kind, fresh, new_body)


class LoadRewriter(ExprRewriter):
    """Replaces every load by what `replace(load with rewritten index)` returns (None keeps it)."""

    def __init__(
        self, replace: Callable[[Load], Expr | None], values: Mapping[Any, Dim] | None = None
    ) -> None:
        super().__init__(values)
        self.replace = replace

    def leaf(self, expr: Expr) -> Expr | None:
        if not isinstance(expr, Load):
            return None
        moved = self._rebuild(expr)
        assert isinstance(moved, Load)
        new = self.replace(moved)
        return moved if new is None else new


def substitute(expr: Expr, values: Mapping[Any, Dim]) -> Expr:
    """Replace index variables."""
    return ExprRewriter(values)(expr)


class StmtRewriter:
    """Rebuilds statements; override `stmt` for single kinds and call `super().stmt` to descend."""

    def expr(self, expr: Expr) -> Expr:
        return expr

    def dim(self, dim: Dim) -> Dim:
        return dim

    def buffer(self, buffer: Buffer) -> Buffer:
        return buffer

    def index(self, index: tuple[Dim, ...]) -> tuple[Dim, ...]:
        return tuple(self.dim(d) for d in index)

    def stmt(self, stmt: Stmt) -> Stmt:
        match stmt:
            case Block(stmts=stmts):
                return block(*(self.stmt(s) for s in stmts))
            case For(var=var, extent=extent, kind=kind, body=body, lanes=lanes):
                return For(var, self.dim(extent), kind, self.stmt(body), lanes)
            case Alloc(buffer=buffer, body=body):
                return Alloc(self.buffer(buffer), self.stmt(body))
            case Store(buffer=buffer, index=index, value=value):
                return Store(self.buffer(buffer), self.index(index), self.expr(value))
            case Update(buffer=buffer, index=index, function=function, value=value):
                new_index = self.index(index)
                return Update(self.buffer(buffer), new_index, function, self.expr(value))
            case If(condition=condition, then=then, otherwise=otherwise):
                other = None if otherwise is None else self.stmt(otherwise)
                return If(self.expr(condition), self.stmt(then), other)
            case Prefetch(buffer=buffer, index=index):
                return Prefetch(self.buffer(buffer), self.index(index))
            case Barrier():
                return stmt
            case _:
                raise AssertionError(stmt)


class Substitute(StmtRewriter):
    """Replaces index variables and buffers in a statement."""

    def __init__(
        self,
        values: Mapping[Any, Dim] | None = None,
        buffers: Mapping[Tensor, Tensor] | None = None,
    ) -> None:
        self.values = dict(values or {})
        self.buffers = dict(buffers or {})

    def dim(self, dim: Dim) -> Dim:
        return ExprRewriter(self.values).dim(dim) if self.values or self.buffers else dim

    def buffer(self, buffer: Buffer) -> Buffer:
        new = self.buffers.get(buffer, buffer)
        assert isinstance(new, Buffer)
        return new

    def index(self, index: tuple[Dim, ...]) -> tuple[Dim, ...]:
        rewriter = LoadRewriter(self._load, self.values)
        return rewriter.index(index)

    def _load(self, load: Load) -> Expr | None:
        if load.tensor in self.buffers:
            return Load(self.buffers[load.tensor], load.index)
        return None

    def expr(self, expr: Expr) -> Expr:
        return LoadRewriter(self._load, self.values)(expr)


def statements(stmt: Stmt) -> Iterator[Stmt]:
    """Every statement, outermost first."""
    yield stmt
    match stmt:
        case Block(stmts=stmts):
            for inner in stmts:
                yield from statements(inner)
        case For(body=body) | Alloc(body=body):
            yield from statements(body)
        case If(then=then, otherwise=otherwise):
            yield from statements(then)
            if otherwise is not None:
                yield from statements(otherwise)
        case _:
            return


def expressions(stmt: Stmt) -> Iterator[Expr]:
    """Every expression at the top of a statement or inside an index, outermost first."""
    for inner in statements(stmt):
        match inner:
            case Store(value=value, index=index) | Update(value=value, index=index):
                yield value
                yield from (atom.value for atom in data_indices(index))
            case If(condition=condition):
                yield condition
            case For(extent=extent):
                yield from (atom.value for atom in data_indices((extent,)))
            case _:
                continue


class SubstituteWithin(StmtRewriter):
    """Replaces index variables, and drops the divisions that the intervals of the new decide."""

    def __init__(self, values: Mapping[LoopVar, Dim], ranges: dims.Ranges) -> None:
        self.rewriter = _WithinRanges(values, ranges)

    def expr(self, expr: Expr) -> Expr:
        return self.rewriter(expr)

    def dim(self, dim: Dim) -> Dim:
        return self.rewriter.dim(dim)

    def index(self, index: tuple[Dim, ...]) -> tuple[Dim, ...]:
        return self.rewriter.index(index)


class _WithinRanges(ExprRewriter):
    def __init__(self, values: Mapping[LoopVar, Dim], ranges: dims.Ranges) -> None:
        super().__init__(values)
        self.ranges = ranges

    def dim(self, dim: Dim) -> Dim:
        return dim if isinstance(dim, int) else dims.simplify(super().dim(dim), self.ranges)
