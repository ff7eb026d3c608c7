"""One loop for two.

`flatten_axes` merges axes that every buffer has side by side, so that indices stay simple:

    parallel i < 3:                parallel i < 15:
      parallel j < 5:       ->       y[i] = x[i]                x: f32[15], y: f32[15]
        y[i,j] = x[i,j]

    flatten_axes(kernel)

`collapse` merges any two directly nested loops; the variables are worked out again:

    parallel i < 3:                parallel k < 15:
      parallel j < 5:       ->       y[k//5,k%5] = x[k%5]
        y[i,j] = x[j]

    collapse(kernel, i)
"""

from __future__ import annotations

from dataclasses import replace

from .. import dims
from ..dims import Dim, LoopVar
from ..ir import Buffer, DataIndex, Expr, For, IndexValue, Kernel, Load, Stmt, Store, Update
from ..rewrite import LoadRewriter, StmtRewriter, Substitute, expressions, statements, walk
from .locate import ScheduleError, replace_loop, uses


def collapse(kernel: Kernel, var: LoopVar, fused: LoopVar | None = None) -> Kernel:
    """The loop over `var` and the one directly inside it as one.  Raises: ScheduleError."""

    def change(loop: For) -> Stmt:
        inner = loop.body
        if not isinstance(inner, For) or inner.kind != loop.kind or uses(inner.extent, loop.var):
            raise ScheduleError(f"loop {loop.var} has no loop of its kind directly inside")
        both = LoopVar(loop.var.hint) if fused is None else fused
        if inner.extent == 0:
            nothing = Substitute({loop.var: both, inner.var: both}).stmt(inner.body)
            return For(both, 0, loop.kind, nothing)
        values = {loop.var: dims.floordiv(both, inner.extent),
                  inner.var: dims.mod(both, inner.extent)}  # fmt: skip
        body = Substitute(values).stmt(inner.body)
        return For(both, dims.mul(loop.extent, inner.extent), loop.kind, body)

    return replace_loop(kernel, var, change)


def flatten_axes(kernel: Kernel) -> Kernel:
    """Merge all directly nested loops of one kind whose axes are side by side in every buffer."""
    while True:
        pair = _mergeable(kernel)
        if pair is None:
            return kernel
        kernel = _merge(kernel, *pair)


def _mergeable(kernel: Kernel) -> tuple[For, For] | None:
    for stmt in statements(kernel.body):
        if not isinstance(stmt, For) or not isinstance(stmt.body, For):
            continue
        outer, inner = stmt, stmt.body
        same = outer.kind == inner.kind and outer.kind in ("parallel", "serial")
        if same and not uses(inner.extent, outer.var) and _side_by_side(kernel, outer, inner):
            return outer, inner
    return None


def _accesses(kernel: Kernel) -> list[tuple[Buffer, tuple[Dim, ...]]]:
    found: list[tuple[Buffer, tuple[Dim, ...]]] = []
    for stmt in statements(kernel.body):
        if isinstance(stmt, (Store, Update)):
            found.append((stmt.buffer, stmt.index))
    for top in expressions(kernel.body):
        for e in walk(top):
            if isinstance(e, Load):
                assert isinstance(e.tensor, Buffer)
                found.append((e.tensor, e.index))
    return found


def _side_by_side(kernel: Kernel, outer: For, inner: For) -> bool:
    """Each access uses both variables as neighbouring whole axes, or neither; and a buffer that is
    used with them is used in no other way."""
    places: dict[Buffer, int] = {}
    accesses = _accesses(kernel)
    for buffer, index in accesses:
        mentioned = [n for n, d in enumerate(index) if uses(d, outer.var) or uses(d, inner.var)]
        if not mentioned:
            continue
        if len(mentioned) != 2 or mentioned[1] != mentioned[0] + 1:
            return False
        at = mentioned[0]
        whole = index[at : at + 2] == (outer.var, inner.var)
        if not whole or buffer.shape[at : at + 2] != (outer.extent, inner.extent):
            return False
        if places.setdefault(buffer, at) != at:
            return False
    for buffer, index in accesses:
        if buffer in places:
            at = places[buffer]
            if index[at : at + 2] != (outer.var, inner.var):
                return False
    return not any(_as_value(e, outer.var, inner.var) for e in _all(kernel))


def _all(kernel: Kernel) -> list[Expr]:
    return [e for top in expressions(kernel.body) for e in walk(top)]


def _as_value(expr: Expr, *variables: LoopVar) -> bool:
    """The expression uses a variable otherwise than as an axis of a load."""
    if isinstance(expr, IndexValue):
        return any(uses(expr.dim, v) for v in variables)
    if isinstance(expr, Load):
        return any(
            isinstance(a, DataIndex) and any(uses(a, v) for v in variables)
            for d in expr.index
            for a in dims.atoms(d)
        )
    return False


def _merge(kernel: Kernel, outer: For, inner: For) -> Kernel:
    """Replace the two loops by one, and the two axes of every buffer by one."""
    both = LoopVar(outer.var.hint)
    pair = (outer.var, inner.var)
    merger = _Merger(pair, both)
    body = merger.stmt(kernel.body)

    def moved(buffers: tuple[Buffer, ...]) -> tuple[Buffer, ...]:
        return tuple(merger.new.get(b, b) for b in buffers)

    return replace(kernel, inputs=moved(kernel.inputs), outputs=moved(kernel.outputs),
                   body=merger.second_pass(body))  # fmt: skip


class _Merger(StmtRewriter):
    def __init__(self, pair: tuple[LoopVar, LoopVar], both: LoopVar) -> None:
        self.pair = pair
        self.both = both
        self.new: dict[Buffer, Buffer] = {}
        self.loads = LoadRewriter(self._load)

    def _at(self, index: tuple[Dim, ...]) -> int | None:
        for n in range(len(index) - 1):
            if index[n : n + 2] == self.pair:
                return n
        return None

    def _moved(self, buffer: Buffer, at: int) -> Buffer:
        if buffer not in self.new:
            shape = buffer.shape
            merged = dims.mul(shape[at], shape[at + 1])
            self.new[buffer] = Buffer(buffer.name, (*shape[:at], merged, *shape[at + 2 :]),
                                      buffer.dtype, buffer.scope)  # fmt: skip
        return self.new[buffer]

    def _load(self, load: Load) -> Expr | None:
        at = self._at(load.index)
        if at is None:
            return None
        assert isinstance(load.tensor, Buffer)
        index = (*load.index[:at], self.both, *load.index[at + 2 :])
        return Load(self._moved(load.tensor, at), index)

    def expr(self, expr: Expr) -> Expr:
        return self.loads(expr)

    def stmt(self, stmt: Stmt) -> Stmt:
        if isinstance(stmt, For) and stmt.var == self.pair[0]:
            inner = stmt.body
            assert isinstance(inner, For)
            extent = dims.mul(stmt.extent, inner.extent)
            return For(self.both, extent, stmt.kind, self.stmt(inner.body))
        if isinstance(stmt, (Store, Update)):
            at = self._at(stmt.index)
            value = self.expr(stmt.value)
            index, buffer = stmt.index, stmt.buffer
            if at is not None:
                index = (*index[:at], self.both, *index[at + 2 :])
                buffer = self._moved(buffer, at)
            if isinstance(stmt, Store):
                return Store(buffer, index, value)
            return Update(buffer, index, stmt.function, value)
        return super().stmt(stmt)

    def second_pass(self, body: Stmt) -> Stmt:
        """Allocations of the buffers that changed."""
        return _Reallocate(self.new).stmt(body)


class _Reallocate(StmtRewriter):
    def __init__(self, new: dict[Buffer, Buffer]) -> None:
        self.new = new

    def buffer(self, buffer: Buffer) -> Buffer:
        return self.new.get(buffer, buffer)
