"""Contractions whose results are read in parts, as one register tile of all parts.

    parallel i < M:                          parallel u < N/L:
      parallel j < N:                          parallel t < M/R:
        alloc z[K]                               alloc z[K,R,V,L] in register
        parallel k < K:                          alloc acc[K,R,V,L] in register
          alloc acc                       ->       acc[..] = 0
          acc = 0                                  serial r < D: unroll K, R, V, vector L:
          serial r < D: acc += a[i,r]*b[k,j,r]       acc[..] += a[t*R+ii,r] * b[k,..,r]
          z[k] = acc                               z[..] = acc[..]
        y[i,j] = f(z[0], ..., z[K-1])            unroll R, V, vector L: y[..] = f(z[..], ...)

So the gates of a recurrent cell, K parts of one product, meet in registers.  Where the operand that
lies along the columns is not a constant, which can be packed ahead, the product is stored first and
read again (see `distributed`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ...kernel import dims
from ...kernel.dims import Dim, LoopVar
from ...kernel.ir import Alloc, Block, Buffer, Expr, For, Kernel, Load, Stmt, Store, block
from ...kernel.rewrite import LoadRewriter, StmtRewriter, Substitute
from ...kernel.transform.jam import jam
from ...kernel.transform.locate import perfect_nest
from ...kernel.transform.stage import read_packed
from .contraction import Contraction, recognise
from .look_ahead import look_ahead
from .machine import Machine
from .schedule_contraction import Piece, around, tile_contraction
from .schedule_loops import MOST_LANES, widest
from .strides import Access, stride
from .tile import Tile, even_rows

MOST_VECTORS_ALONE = 3
"""Vectors of each part where there is one row only: enough sums at once to hide their latency."""


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    """The pieces of a kernel: `sums` is what one part does, at `part` < `count`; it stores to
    `results`, which `finish` reads; `scalars` are what it keeps besides."""

    nest: tuple[For, ...]
    part: LoopVar
    count: int
    sums: Stmt
    results: Buffer
    scalars: tuple[Buffer, ...]
    finish: tuple[Stmt, ...]


def tile_parts(
    kernel: Kernel, machine: Machine, constants: frozenset[int] = frozenset()
) -> Kernel | None:
    """The kernel in tiles of all parts, or with its product stored first; None when it is no
    contraction that is read in parts."""
    parts = _recognise(kernel.body)
    if parts is None:
        return None
    tiled = _tiled(kernel, parts, machine, constants)
    return distributed(kernel, parts, machine, constants) if tiled is None else tiled


def _recognise(stmt: Stmt) -> _Parts | None:
    if not isinstance(stmt, For) or stmt.kind != "parallel":
        return None
    nest = perfect_nest(stmt)
    body, private = nest[-1].body, []
    while isinstance(body, Alloc):
        private.append(body.buffer)
        body = body.body
    arrays = [b for b in private if len(b.shape) == 1]
    if not isinstance(body, Block) or len(arrays) != 1 or len(body.stmts) < 2:
        return None
    first, *finish = body.stmts
    results = arrays[0]
    is_loop = isinstance(first, For) and first.extent == results.shape[0]
    if not is_loop or not isinstance(first, For) or not isinstance(first.extent, int):
        return None
    scalars = tuple(b for b in private if b is not results)
    if any(b.shape for b in scalars) or not all(isinstance(s, Store) for s in finish):
        return None
    return _Parts(tuple(nest), first.var, first.extent, first.body, results, scalars, tuple(finish))


def _point(parts: _Parts, target: Buffer, index: tuple[Dim, ...]) -> Stmt:
    """What one part does, storing to an element of another buffer."""
    return _Redirect(parts.results, target, index).stmt(parts.sums)


class _Redirect(StmtRewriter):
    """Stores to one buffer go to an element of another; loads from it, at n, to [n, *index]."""

    def __init__(self, old: Buffer, new: Buffer, index: tuple[Dim, ...]) -> None:
        self.old, self.new, self.place = old, new, index

    def _load(self, load: Load) -> Expr | None:
        return Load(self.new, (*load.index, *self.place)) if load.tensor is self.old else None

    def expr(self, expr: Expr) -> Expr:
        return LoadRewriter(self._load)(expr)

    def stmt(self, stmt: Stmt) -> Stmt:
        new = super().stmt(stmt)
        if isinstance(new, Store) and new.buffer is self.old:
            return Store(self.new, self.place, new.value)
        return new


def _contraction(parts: _Parts) -> Contraction | None:
    """What one part does at every point, as a contraction of its own."""
    variables = tuple(loop.var for loop in parts.nest)
    shape = tuple(loop.extent for loop in parts.nest)
    body = _point(parts, Buffer("z", shape, parts.results.dtype), variables)
    for loop in reversed(parts.nest):
        body = For(loop.var, loop.extent, "parallel", body)
    return recognise(body)


# -- tiles of all parts ----------------------------------------------------------------------------


def _tiled(
    kernel: Kernel, parts: _Parts, machine: Machine, constants: frozenset[int]
) -> Kernel | None:
    found = _contraction(parts)
    if found is None:
        return None
    lanes = min(MOST_LANES, machine.lanes(widest(found.inner)))
    column = parts.nest[-1].var
    along = [a for a in found.loads if stride(a, column) != 0]
    fixed = {kernel.inputs[number] for number in constants}
    if lanes < 4 or len(along) != 1 or along[0].buffer not in fixed:
        return None
    tile = _choose(found, parts, machine, lanes, along[0], column)
    others = [loop.var for loop in found.parallel
              if loop.var != column and stride(along[0], loop.var) != 0]  # fmt: skip
    if tile is None or others:
        return None
    order = [loop.var for loop in found.serial if stride(along[0], loop.var) != 0]
    packed = read_packed(kernel, along[0].buffer, [*order, parts.part, column],
                         tile.columns * tile.lanes)  # fmt: skip
    again = None if packed is None else _recognise(packed.body)
    if packed is None or again is None:
        return None
    new = _contraction(again)
    assert new is not None

    def body(rows: Piece, columns: Piece) -> Stmt:
        return _tile(again, new, tile, rows, columns)

    return replace(packed, body=around(new, tile, body, columns_in_lanes=True))


def _choose(
    found: Contraction, parts: _Parts, machine: Machine, lanes: int, along: Access, column: LoopVar
) -> Tile | None:
    """Rows and vectors that fit the registers with the fewest loads for each multiplication."""
    extent = found.extent(column)
    if not isinstance(extent, int) or extent < lanes:
        return None
    rows = [
        loop
        for loop in found.parallel
        if loop.var != column and stride(along, loop.var) == 0 and loop.extent != 1
    ]
    row = rows[-1] if rows else None
    best: tuple[float, int, int] | None = None
    for columns, most in _shapes(parts.count, machine.registers, row is None):
        if columns * lanes > extent and columns > 1:
            continue
        height = 1 if row is None else (
            even_rows(row.extent, most) if isinstance(row.extent, int) else most)  # fmt: skip
        sums = columns * parts.count * height
        cost = (columns * parts.count + height) / sums + max(0, 8 - sums) * 0.1
        if best is None or cost < best[0]:
            best = cost, columns, height
    if best is None:
        return None
    return Tile("columns", None if row is None else row.var, best[2], column, best[1], lanes, None,
                (along,), best[0])  # fmt: skip


def _shapes(parts: int, registers: int, alone: bool) -> Iterator[tuple[int, int]]:
    """(vectors of each part, rows at the most) whose sums and operands fit the registers."""
    for columns in range(1, MOST_VECTORS_ALONE + 1):
        operands = columns * parts
        rows = (registers - 1 - operands) // operands
        if rows >= 1:
            yield columns, 1 if alone else rows


def _tile(parts: _Parts, found: Contraction, tile: Tile, rows: Piece, columns: Piece) -> Stmt:
    row, vector, lane = LoopVar("ii"), LoopVar("jj"), LoopVar("v")
    assert tile.column_axis is not None
    offset = dims.add(dims.mul(vector, tile.lanes), lane)
    values: dict[LoopVar, Dim] = {tile.column_axis: dims.add(columns.start, offset)}
    nothing = Block(())
    loops: list[For] = []
    if tile.row_axis is not None:
        values[tile.row_axis] = dims.add(rows.start, row)
        loops.append(For(row, rows.steps, "unroll", nothing))
    loops.append(For(vector, columns.steps, "unroll", nothing))
    active: Dim = tile.lanes
    if columns.left is not None:
        room = dims.add(columns.left, dims.mul(vector, -tile.lanes))
        active = min(tile.lanes, room) if isinstance(room, int) else dims.Minimum(tile.lanes, room)
    loops.append(For(lane, active, "vector", nothing, tile.lanes))
    front = tuple(loop.lanes if loop.lanes else loop.extent for loop in loops)
    place = tuple(loop.var for loop in loops)
    kept = Buffer(parts.results.name, (parts.count, *front), parts.results.dtype, "register")
    part = For(parts.part, parts.count, "unroll", nothing)
    sums = Substitute(values).stmt(_point(parts, kept, (parts.part, *place)))
    finish: Stmt = block(*parts.finish)
    for buffer in parts.scalars:
        finish = Alloc(buffer, finish)
    rest = Substitute(values).stmt(_Redirect(parts.results, kept, place).stmt(finish))
    # One vector after the other, so that what each needs is in registers only meanwhile.
    for loop in reversed(loops):
        rest = For(loop.var, loop.extent, loop.kind, rest, loop.lanes)
    # The stores of the sums name the loops themselves, so only what they keep is widened.
    # Rows outside the parts: the operands of the parts stay in registers, rows come one by one.
    at = len(loops) - 2
    first = {v: dims.substitute(d, {row: 0, lane: 0}) for v, d in values.items()}
    tiled = jam([*loops[:at], part, *loops[at:]], sums)
    ahead = look_ahead(tiled, found, tile, first, vector, rows.number, (parts.part, parts.count))
    return Alloc(kept, block(ahead, rest))


# -- the product first -----------------------------------------------------------------------------


def distributed(
    kernel: Kernel, parts: _Parts, machine: Machine, constants: frozenset[int]
) -> Kernel:
    """The kernel that stores all parts at every point, then reads them again."""
    place = tuple(loop.var for loop in parts.nest)
    shape = tuple(loop.extent for loop in parts.nest)
    kept = Buffer(parts.results.name, (parts.count, *shape), parts.results.dtype, "local")
    first: Stmt = _point(parts, kept, (parts.part, *place))
    loops = [(parts.part, parts.count), *((loop.var, loop.extent) for loop in parts.nest)]
    for var, extent in reversed(loops):
        first = For(var, extent, "parallel", first)
    finish: Stmt = block(*parts.finish)
    for buffer in parts.scalars:
        finish = Alloc(buffer, finish)
    then: Stmt = _Redirect(parts.results, kept, place).stmt(finish)
    for loop in reversed(parts.nest):
        then = For(LoopVar(loop.var.hint), loop.extent, "parallel", then)
        then = replace(then, body=Substitute({loop.var: then.var}).stmt(then.body))
    alone = replace(kernel, outputs=(kept,), body=first)
    tiled = tile_contraction(alone, machine, constants)
    made = alone if tiled is None else tiled
    body, around_it = made.body, [kept]
    while isinstance(body, Alloc):
        around_it.append(body.buffer)
        body = body.body
    whole = block(body, then)
    for buffer in around_it:
        whole = Alloc(buffer, whole)
    return replace(made, outputs=kernel.outputs, body=whole)
