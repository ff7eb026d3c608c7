"""Tiled contractions: shared memory and registers on a GPU, registers alone on a CPU.

grid mi, ni:                            one group for each tile of the result
  alloc left_tile, right_tile in shared
  local t < 256:
    acc[4,4] = 0
    serial k0:
      left_tile, right_tile = blocks of the factors, zero past the edges
      barrier
      unroll k < 16:  acc[u,v] add= left_tile[k,u] * right_tile[k,v]
      barrier
    epilogue where the element exists
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...kernel import dims
from ...kernel.dims import Dim, LoopVar
from ...kernel.ir import (
    Alloc,
    Axis,
    Barrier,
    Buffer,
    Expr,
    For,
    If,
    Kernel,
    Load,
    Select,
    Stmt,
    Store,
    Update,
    block,
    const,
)
from ...kernel.rewrite import ExprRewriter, StmtRewriter
from ...kernel.transform.contraction import Contraction
from ...kernel.transform.tiles import (
    ReplaceLoads,
    below,
    contiguous_axis,
    extent_of,
    index_range,
    loop_nest,
    unflatten,
)

if TYPE_CHECKING:
    from .devices import DeviceFacts

DEPTH = 16
"""Summed points whose factors lie in shared memory together."""
CPU_ROWS = 4


@dataclass(frozen=True, slots=True)
class TileShape:
    """`side` x `side` work-items, each with `rows` x `columns` elements of the result."""

    side: int
    rows: int
    columns: int

    @property
    def work_items(self) -> int:
        return self.side * self.side


def tile_shape(c: Contraction, facts: DeviceFacts) -> TileShape | None:
    """The tile for a GPU; None where the device cannot hold even the smallest."""
    side = 16 if facts.max_work_group >= 256 else 8
    m, n = extent_of(c.rows), extent_of(c.columns)
    shape = TileShape(side, _share(m, side), _share(n, side))
    nbytes = c.left.dtype.nbytes
    while DEPTH * (side * (shape.rows + shape.columns) + 2) * nbytes > facts.local_memory:
        if shape.rows == shape.columns == 1:
            return None
        shape = TileShape(side, max(1, shape.rows // 2), max(1, shape.columns // 2))
    return None if facts.max_work_group < side * side else shape


def _share(extent: Dim, side: int) -> int:
    """Elements for each work-item along one side: small results spread over more of them."""
    if not isinstance(extent, int) or extent >= 4 * side:
        return 4
    return 2 if extent >= 2 * side else 1


def tile_on_gpu(kernel: Kernel, c: Contraction, facts: DeviceFacts) -> Kernel:
    """Groups of work-items that share blocks of both factors."""
    shape = tile_shape(c, facts)
    return kernel if shape is None else _GpuTile(kernel, c, shape).kernel()


class _GpuTile:
    def __init__(self, kernel: Kernel, c: Contraction, shape: TileShape) -> None:
        self.source = kernel
        self.c = c
        self.shape = shape
        self.height, self.width = shape.side * shape.rows, shape.side * shape.columns
        self.mi, self.ni, self.k0 = LoopVar("mi"), LoopVar("ni"), LoopVar("k0")
        self.lane = LoopVar("t")
        self.ranges: dict[object, tuple[int | None, int | None]] = {}
        self.ranges[self.lane] = (0, shape.work_items - 1)
        self.tiles = [
            Axis(self.mi, dims.ceildiv(extent_of(c.rows), self.height)),
            Axis(self.ni, dims.ceildiv(extent_of(c.columns), self.width)),
        ]
        self.steps = dims.ceildiv(extent_of(c.summed), DEPTH)
        self.ranges |= {axis.var: index_range(axis.extent) for axis in self.tiles}
        self.ranges[self.k0] = index_range(self.steps)
        # One element of padding spreads the columns of a block over the banks of the memory.
        self.left = Buffer("left_tile", (DEPTH, self.height + 1), c.left.dtype, "shared")
        self.right = Buffer("right_tile", (DEPTH, self.width + 1), c.right.dtype, "shared")
        acc = c.accumulator
        self.acc = Buffer("acc", (shape.rows, shape.columns), acc.dtype, "register")

    def kernel(self) -> Kernel:
        c = self.c
        body = block(
            self._each(self._zero),
            For(
                self.k0,
                self.steps,
                "serial",
                block(
                    self._stage(c.left, self.left, self.mi, self.height, c.rows),
                    self._stage(c.right, self.right, self.ni, self.width, c.columns),
                    Barrier(),
                    self._multiply(),
                    Barrier(),
                ),
            ),
            self._each(self._finish),
        )
        group = For(self.lane, self.shape.work_items, "local", Alloc(self.acc, body))
        whole = loop_nest(
            [*c.batch, *self.tiles], "grid", Alloc(self.left, Alloc(self.right, group))
        )
        return replace(self.source, body=whole)

    def _each(self, body: Callable[[Dim, Dim], Stmt]) -> Stmt:
        """`body` for every element of this work-item."""
        u, v = LoopVar("u"), LoopVar("v")
        self.ranges |= {u: (0, self.shape.rows - 1), v: (0, self.shape.columns - 1)}
        axes = [Axis(u, self.shape.rows), Axis(v, self.shape.columns)]
        return loop_nest(axes, "unroll", body(u, v))

    def _zero(self, u: Dim, v: Dim) -> Stmt:
        return Store(self.acc, (u, v), const(0, self.acc.dtype))

    def _stage(
        self, factor: Expr, tile: Buffer, number: LoopVar, size: int, axes: Sequence[Axis]
    ) -> Stmt:
        """Each work-item brings its share of a block, neighbours side by side in memory."""
        turn = LoopVar("l")
        turns = dims.ceildiv(DEPTH * size, self.shape.work_items)
        self.ranges[turn] = (0, int(str(turns)) - 1)
        place = self.lane + dims.mul(turn, self.shape.work_items)
        if contiguous_axis(factor, (self.c.summed, axes)) == 0:
            k, m = dims.mod(place, DEPTH), dims.floordiv(place, DEPTH)
        else:
            k, m = dims.floordiv(place, size), dims.mod(place, size)
        point = dims.add(dims.mul(number, size), m)
        depth = dims.add(dims.mul(self.k0, DEPTH), k)
        values = unflatten(axes, point, self.ranges)
        values |= unflatten(self.c.summed, depth, self.ranges)
        value = ExprRewriter(values)(factor)
        inside = below(self.ranges, (point, extent_of(axes)), (depth, extent_of(self.c.summed)))
        if inside is not None:
            value = Select(inside, value, const(0, factor.dtype))
        return For(turn, turns, "unroll", Store(tile, (k, m), value))

    def _row(self, u: Dim) -> Dim:
        return dims.add(dims.floordiv(self.lane, self.shape.side), dims.mul(u, self.shape.side))

    def _column(self, v: Dim) -> Dim:
        return dims.add(dims.mod(self.lane, self.shape.side), dims.mul(v, self.shape.side))

    def _multiply(self) -> Stmt:
        """Both sides of a step are read into registers once."""
        shape, k = self.shape, LoopVar("k")
        a = Buffer("a", (shape.rows,), self.left.dtype, "register")
        b = Buffer("b", (shape.columns,), self.right.dtype, "register")
        u, v = LoopVar("u"), LoopVar("v")
        read_a = Store(a, (u,), Load(self.left, (k, self._row(u))))
        read_b = Store(b, (v,), Load(self.right, (k, self._column(v))))

        def add(u: Dim, v: Dim) -> Stmt:
            product = self.c.product(Load(a, (u,)), Load(b, (v,)))
            return Update(self.acc, (u, v), "add", product)

        body = block(
            For(u, shape.rows, "unroll", read_a),
            For(v, shape.columns, "unroll", read_b),
            self._each(add),
        )
        return For(k, DEPTH, "unroll", Alloc(a, Alloc(b, body)))

    def _finish(self, u: Dim, v: Dim) -> Stmt:
        row = dims.add(dims.mul(self.mi, self.height), self._row(u))
        column = dims.add(dims.mul(self.ni, self.width), self._column(v))
        return finish(self.c, Load(self.acc, (u, v)), row, column, self.ranges)


def finish(c: Contraction, total: Expr, row: Dim, column: Dim, ranges: dims.Ranges) -> Stmt:
    """The epilogue of one element, where that element exists."""
    values = unflatten(c.rows, row, ranges) | unflatten(c.columns, column, ranges)
    body = _Epilogue(c.accumulator, total, values).stmt(c.epilogue)
    inside = below(ranges, (row, extent_of(c.rows)), (column, extent_of(c.columns)))
    return body if inside is None else If(inside, body)


class _Epilogue(StmtRewriter):
    def __init__(self, accumulator: Buffer, total: Expr, values: dict[object, Dim]) -> None:
        self._rewriter = ReplaceLoads(accumulator, total, values)

    def expr(self, expr: Expr) -> Expr:
        return self._rewriter(expr)

    def dim(self, dim: Dim) -> Dim:
        return self._rewriter.dim(dim)


def tile_on_cpu(kernel: Kernel, c: Contraction, facts: DeviceFacts) -> Kernel:
    """One work-item for each tile of registers: no barrier, no shared memory, sums in order.

    grid mi, ni:
      acc[4,16] = 0
      serial r:  b[v] = right[r, v];  a = left[u, r];  acc[u,v] add= a * b[v]
      epilogue where the element exists
    """
    m, n = extent_of(c.rows), extent_of(c.columns)
    height = CPU_ROWS if not isinstance(m, int) else min(CPU_ROWS, m)
    width = 2 * facts.lanes if not isinstance(n, int) else min(2 * facts.lanes, n)
    mi, ni = LoopVar("mi"), LoopVar("ni")
    acc = Buffer("acc", (height, width), c.accumulator.dtype, "register")
    b = Buffer("b", (width,), c.right.dtype, "register")
    a = Buffer("a", (), c.left.dtype, "register")
    tiles = [Axis(mi, dims.ceildiv(m, height)), Axis(ni, dims.ceildiv(n, width))]
    ranges = {axis.var: index_range(axis.extent) for axis in tiles}

    def each(rows: str, columns: str, body: Callable[[Dim, Dim], Stmt]) -> Stmt:
        u, v = LoopVar("u"), LoopVar("v")
        ranges.update({u: (0, height - 1), v: (0, width - 1)})
        return For(u, height, rows, For(v, width, columns, body(u, v), lanes(columns)))

    def lanes(kind: str) -> int:
        return facts.lanes if kind == "vector" else 0

    def point(number: LoopVar, size: int, inner: Dim) -> Dim:
        return dims.add(dims.mul(number, size), inner)

    def guarded(factor: Expr, axes: Sequence[Axis], number: Dim) -> Expr:
        value = ExprRewriter(unflatten(axes, number, ranges))(factor)
        inside = below(ranges, (number, extent_of(axes)))
        return value if inside is None else Select(inside, value, const(0, factor.dtype))

    u, v, w = LoopVar("u"), LoopVar("v"), LoopVar("v")
    ranges.update({u: (0, height - 1), v: (0, width - 1), w: (0, width - 1)})
    add = Update(acc, (u, v), "add", c.product(Load(a, ()), Load(b, (v,))))
    read_a = Store(a, (), guarded(c.left, c.rows, point(mi, height, u)))
    row = Alloc(a, block(read_a, For(v, width, "vector", add, facts.lanes)))
    read_b = Store(b, (w,), guarded(c.right, c.columns, point(ni, width, w)))
    step = Alloc(
        b, block(For(w, width, "vector", read_b, facts.lanes), For(u, height, "unroll", row))
    )
    body = block(
        each("unroll", "vector", lambda u, v: Store(acc, (u, v), const(0, acc.dtype))),
        loop_nest(c.summed, "serial", step),
        each(
            "unroll",
            "unroll",
            lambda u, v: finish(
                c, Load(acc, (u, v)), point(mi, height, u), point(ni, width, v), ranges
            ),
        ),
    )
    return replace(kernel, body=loop_nest([*c.batch, *tiles], "grid", Alloc(acc, body)))
