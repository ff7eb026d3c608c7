"""One work-group for each outer iteration: long rows on a GPU.

    parallel i:                        grid i:
      acc[] = 0.0                        alloc part: f32[256] in shared
      serial r < K:              ->      local t < 256:  part[t] = sum of every 256th element
        acc[] add= x[i,r]                barrier
      y[i] = acc[]                       local t < 128:  part[t] add= part[t+128];  barrier; ...
                                         y[i] = part[0]

Inner parallel loops are spread over the work-items of the group, reductions become trees of a
fixed order, intermediates of a row lie in shared memory.  Softmax and layer norm have this form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ...kernel import dims
from ...kernel.dims import Dim, LoopVar
from ...kernel.dtypes import DType
from ...kernel.functions import REDUCTIONS
from ...kernel.ir import (
    Alloc,
    Axis,
    Barrier,
    Block,
    Buffer,
    Const,
    Expr,
    For,
    If,
    Kernel,
    Load,
    Stmt,
    Store,
    Update,
    block,
    neutral,
)
from ...kernel.rewrite import LoadRewriter, StmtRewriter, Substitute, statements
from ...kernel.transform.contraction import perfect_nest
from ...kernel.transform.tiles import below, extent_of, index_range, loop_nest, unflatten
from .launches import is_private

if TYPE_CHECKING:
    from .devices import DeviceFacts

LANES = 256
LONG_ROW = 128
"""Rows of fewer elements are left to one work-item each."""
MANY_ROWS = 1 << 16
"""With so many rows, one work-item for each fills a device unless the rows are very long."""


class _Unfit(Exception):
    """The kernel has not the form that this schedule knows."""


def group_rows(kernel: Kernel, facts: DeviceFacts) -> Kernel:
    """The kernel with a group for each row, or as it is where that does not fit or pay."""
    axes, body = perfect_nest(kernel.body, "parallel")
    lanes = min(LANES, 1 << (facts.max_work_group.bit_length() - 1))
    if not _pays(axes, body):
        return kernel
    try:
        rows = _Rows(lanes, facts.local_memory)
        inner = rows.group(body)
        for buffer in (*rows.private, *rows.shared):
            inner = Alloc(buffer, inner)
    except _Unfit:
        return kernel
    outer = axes or [Axis(LoopVar("g"), 1)]
    return replace(kernel, body=loop_nest(outer, "grid", inner))


def _pays(axes: Sequence[Axis], body: Stmt) -> bool:
    """The longest inner loop is long, and there are not rows enough without it."""
    reduced = any(isinstance(s, Update) for s in statements(body))
    lengths = [
        extent_of(perfect_nest(s, s.kind)[0]) for s in statements(body) if isinstance(s, For)
    ]
    closed = [n for n in lengths if isinstance(n, int)]
    longest = max(closed, default=0)
    is_long = len(closed) < len(lengths) or longest >= LONG_ROW
    count = extent_of(axes)
    crowded = isinstance(count, int) and count >= MANY_ROWS and longest < 8 * LONG_ROW
    return reduced and is_long and not crowded


class _Rows:
    def __init__(self, lanes: int, memory: int) -> None:
        self.lanes = lanes
        self.memory = memory
        self.shared: list[Buffer] = []
        self.private: list[Buffer] = []
        self.moved: dict[object, tuple[Buffer, bool]] = {}

    def group(self, stmt: Stmt) -> Stmt:
        """A statement of a row as statements of a group."""
        match stmt:
            case Block(stmts=stmts):
                return self._sequence(stmts)
            case Alloc(buffer=buffer, body=body):
                if buffer.shape != ():
                    self._share(buffer, buffer.shape)
                return self.group(body)
            case For(kind="parallel"):
                return block(self._spread(stmt), Barrier())
            case Store(buffer=buffer):
                if buffer.scope != "global":
                    if buffer.shape != ():
                        raise _Unfit
                    # A number of the row: every work-item keeps it for itself.
                    if buffer not in self.private:
                        self.private.append(buffer)
                return self._moved(stmt)
            case _:
                raise _Unfit

    def _share(self, buffer: Buffer, shape: tuple[Dim, ...]) -> Buffer:
        """Room for a buffer in shared memory, half of which is left for other groups."""
        new = Buffer(buffer.name, shape, buffer.dtype, "shared")
        used = dims.add(0, 0)
        for other in (*self.shared, new):
            used = dims.add(used, other.nbytes)
        if not isinstance(used, int) or used > self.memory // 2:
            raise _Unfit
        self.shared.append(new)
        self.moved[buffer] = (new, False)
        return new

    def _sequence(self, stmts: Sequence[Stmt]) -> Stmt:
        result: list[Stmt] = []
        position = 0
        while position < len(stmts):
            stmt = stmts[position]
            after = stmts[position + 1] if position + 1 < len(stmts) else None
            if isinstance(stmt, Store) and isinstance(after, For) and after.kind == "serial":
                result.append(self._reduce(stmt, after))
                position += 2
            else:
                result.append(self.group(stmt))
                position += 1
        return block(*result)

    def _reduce(self, start: Store, loop: Stmt) -> Stmt:
        """Each work-item sums every `lanes`-th element, then a tree adds what they have."""
        axes, update = perfect_nest(loop, "serial")
        if not axes or not isinstance(update, Update) or update.buffer is not start.buffer:
            raise _Unfit
        if start.buffer.shape != () or not _is_neutral(start.value, update.function, start.buffer):
            raise _Unfit
        acc, function = start.buffer, update.function
        part = self._share(Buffer(f"{acc.name}_part", (), acc.dtype), (self.lanes,))
        lane, own = LoopVar("t"), Buffer(acc.name, (), acc.dtype, "register")
        value = self._moved(Store(own, (), update.value))
        assert isinstance(value, Store)
        step = self._strided(axes, lane, Update(own, (), function, value.value))
        own_sum = block(Store(own, (), start.value), step, Store(part, (lane,), Load(own, ())))
        parts: list[Stmt] = [For(lane, self.lanes, "local", Alloc(own, own_sum)), Barrier()]
        half = self.lanes // 2
        while half:
            lane = LoopVar("t")
            other = Load(part, (dims.add(lane, half),))
            parts.append(For(lane, half, "local", Update(part, (lane,), function, other)))
            parts.append(Barrier())
            half //= 2
        self.moved[acc] = (part, True)
        return block(*parts)

    def _spread(self, loop: Stmt) -> Stmt:
        axes, body = perfect_nest(loop, "parallel")
        if any(isinstance(s, Alloc) and not is_private(s.buffer) for s in statements(body)):
            raise _Unfit
        lane = LoopVar("t")
        step = self._strided(axes, lane, self._moved(body))
        return For(lane, self.lanes, "local", step)

    def _strided(self, axes: Sequence[Axis], lane: LoopVar, body: Stmt) -> Stmt:
        """`body` for every point of `axes` whose number is that of the lane, modulo the lanes."""
        turn = LoopVar("s")
        total = extent_of(axes)
        point = dims.add(dims.mul(turn, self.lanes), lane)
        turns = dims.ceildiv(total, self.lanes)
        ranges = {lane: (0, self.lanes - 1), turn: index_range(turns)}
        step = Substitute(unflatten(axes, point, ranges)).stmt(body)
        inside = below(ranges, (point, total))
        return For(turn, turns, "serial", step if inside is None else If(inside, step))

    def _moved(self, stmt: Stmt) -> Stmt:
        return _Move(self.moved).stmt(stmt)


def _is_neutral(value: Expr, function: str, buffer: Buffer) -> bool:
    kinds = {f: kind for kind, f in REDUCTIONS.items()}
    expected = _neutral_value(kinds[function], buffer.dtype)
    return isinstance(value, Const) and value.value == expected


def _neutral_value(kind: str, dtype: DType) -> float | int | bool:
    return neutral(kind, dtype).value


class _Move(StmtRewriter):
    """Accumulators become element 0 of their partial sums; scratch becomes shared memory."""

    def __init__(self, moved: dict[object, tuple[Buffer, bool]]) -> None:
        self._places = moved
        self._rewriter = LoadRewriter(self._load)

    def _load(self, load: Load) -> Expr | None:
        if load.tensor not in self._places:
            return None
        buffer, is_total = self._places[load.tensor]
        return Load(buffer, (0,) if is_total else load.index)

    def expr(self, expr: Expr) -> Expr:
        return self._rewriter(expr)

    def index(self, index: tuple[Dim, ...]) -> tuple[Dim, ...]:
        return self._rewriter.index(index)

    def buffer(self, buffer: Buffer) -> Buffer:
        return self._places[buffer][0] if buffer in self._places else buffer
