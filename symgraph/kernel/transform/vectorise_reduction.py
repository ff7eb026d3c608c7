"""Accumulate in many partial results, lane by lane, and add them up in a fixed tree.

    serial k < 100:                alloc part: f32[64] in register
      acc[] add= x[k]       ->       unroll c < 4: vector v < 16: part[16*c+v] = 0.0
                                     serial k < 1:
                                       unroll c < 4: vector v < 16: part[16*c+v] add= x[64*k+16*c+v]
                                     unroll c < 4: vector v < min(16, 36-16*c) lanes 16: ...
                                     part[0..31] add= part[32..63];  ...;  acc[] add= a + b

    vectorise_reduction(kernel, k, 16)

Element k always goes to part k mod 64 and the tree is the same, so that the result does not depend
on the number of lanes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from .. import dims
from ..dims import Dim, LoopVar
from ..functions import REDUCTIONS
from ..ir import (
    Alloc,
    Buffer,
    Expr,
    For,
    Kernel,
    Load,
    Stmt,
    Store,
    Update,
    block,
    call,
    neutral,
)
from ..rewrite import Substitute
from .locate import ScheduleError, replace_loop, uses

PARTIAL_BYTES = 256
"""Bytes of partial results: four of the widest registers, which hides the latency of an add."""

_KINDS = {function: kind for kind, function in REDUCTIONS.items()}


def vectorise_reduction(kernel: Kernel, var: LoopVar, lanes: int) -> Kernel:
    """The accumulating loop over `var` in vectors of `lanes`.  Raises: ScheduleError."""
    return replace_loop(kernel, var, lambda loop: vectorise_reduction_loop(loop, lanes))


def vectorise_reduction_loop(
    loop: For,
    lanes: int,
    count: int | None = None,
    around: Sequence[tuple[LoopVar, Dim]] = (),
) -> Stmt:
    """As `vectorise_reduction`, on the loop itself.

    `count` is the number of partial results; `around` are serial loops, from the outside, through
    all of which the same partial results go on.
    """
    update = loop.body
    if loop.kind != "serial" or not isinstance(update, Update) or update.function not in _KINDS:
        raise ScheduleError(f"loop {loop.var} does not only accumulate")
    if any(uses(d, loop.var) for d in update.index):
        raise ScheduleError(f"loop {loop.var} accumulates into more than one element")
    parts = partials(loop.extent, update.buffer.dtype.nbytes) if count is None else count
    return _Builder(loop, update, lanes, parts, around).run()


def partials(extent: Dim, nbytes: int) -> int:
    """How many partial results a reduction keeps: a power of two, no more than it can use."""
    most = PARTIAL_BYTES // nbytes
    if not isinstance(extent, int):
        return most
    count = 2
    while count < min(extent, most):
        count *= 2
    return count


class _Builder:
    def __init__(
        self,
        loop: For,
        update: Update,
        lanes: int,
        count: int,
        around: Sequence[tuple[LoopVar, Dim]],
    ) -> None:
        self.loop = loop
        self.update = update
        self.dtype = update.buffer.dtype
        self.count = count
        self.around = around
        self.lanes = min(lanes, count)
        self.part = Buffer("part", (self.count,), self.dtype, "register")

    def run(self) -> Stmt:
        zero = neutral(_KINDS[self.update.function], self.dtype)
        start = self._over(self.count, lambda p: Store(self.part, (p,), zero))
        blocks = dims.floordiv(self.loop.extent, self.count)
        outer = LoopVar(self.loop.var.hint)
        main = For(outer, blocks, "serial", self._accumulate(dims.mul(outer, self.count)))
        steps = [main] if blocks != 0 else []
        body = block(*steps, *self._rest(dims.mul(blocks, self.count)))
        for var, extent in reversed(self.around):
            body = For(var, extent, "serial", body)
        return Alloc(self.part, block(start, body, self._tree()))

    def _over(self, count: int, make: Callable[[Dim], Stmt]) -> Stmt:
        """make(position) for each of the first `count` partial results."""
        vectors, lane = count // self.lanes, LoopVar("v")
        if vectors == 1:
            return For(lane, self.lanes, "vector", make(lane), self.lanes)
        chunk = LoopVar("c")
        position = dims.add(dims.mul(chunk, self.lanes), lane)
        inner = For(lane, self.lanes, "vector", make(position), self.lanes)
        return For(chunk, vectors, "unroll", inner)

    def _step(self, position: Dim, element: Dim) -> Stmt:
        value = Substitute({self.loop.var: element}).expr(self.update.value)
        return Update(self.part, (position,), self.update.function, value)

    def _accumulate(self, start: Dim) -> Stmt:
        return self._over(self.count, lambda p: self._step(p, dims.add(start, p)))

    def _rest(self, start: Dim) -> list[Stmt]:
        """What the whole blocks leave over, each element in the part that it belongs to."""
        left = dims.add(self.loop.extent, dims.mul(start, -1))
        found: list[Stmt] = []
        if left == 0:
            return found
        for chunk in range(self.count // self.lanes):
            first = chunk * self.lanes
            room = dims.add(left, -first)
            active = dims.maximum(0, dims.minimum(self.lanes, room))
            if active == 0:
                break
            lane = LoopVar("v")
            position = dims.add(lane, first)
            body = self._step(position, dims.add(start, position))
            found.append(For(lane, active, "vector", body, self.lanes))
        return found

    def _tree(self) -> Stmt:
        """Halves added to halves until two are left."""
        stmts: list[Stmt] = []
        width = self.count // 2
        while width >= self.lanes and width > 1:
            stmts.append(self._over(width, partial(self._halve, half=width)))
            width //= 2
        return block(*stmts, self._narrow(self.part, width))

    def _halve(self, position: Dim, half: int) -> Stmt:
        other = Load(self.part, (dims.add(position, half),))
        return Update(self.part, (position,), self.update.function, other)

    def _narrow(self, source: Buffer, width: int) -> Stmt:
        """Below one register, each half is a smaller vector of its own."""
        if width == 1:
            return self._finish(source)
        target = Buffer("half", (width,), self.dtype, "register")
        lane = LoopVar("v")
        value = self._both(source, lane, dims.add(lane, width))
        store = For(lane, width, "vector", Store(target, (lane,), value), width)
        return Alloc(target, block(store, self._narrow(target, width // 2)))

    def _both(self, source: Buffer, a: Dim, b: Dim) -> Expr:
        return call(self.update.function, Load(source, (a,)), Load(source, (b,)))

    def _finish(self, source: Buffer) -> Stmt:
        total = self._both(source, 0, 1)
        return Update(self.update.buffer, self.update.index, self.update.function, total)
