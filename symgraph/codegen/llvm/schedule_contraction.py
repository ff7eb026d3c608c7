"""Contractions as register tiles.

    parallel i < M:                      parallel u < N/(V*L):
      parallel j < N:                      parallel t < M/R:
        alloc acc                            alloc acc[R,V,L] in register
        acc = 0                      ->      serial k < K:
        serial k < K:                          unroll R, unroll V, vector L:
          acc += a[i,k]*b[k,j]                   acc[..] += a[t*R+ii,k] * b[k,..]
        c[i,j] = acc                         unroll R, unroll V, vector L: c[..] = acc[..]

A constant number of rows is covered exactly by tiles of two heights, one row apart; what is left
of open extents is covered by smaller tiles; the last vectors are masked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ...kernel import dims
from ...kernel.dims import Dim, LoopVar
from ...kernel.ir import Alloc, Block, Buffer, Expr, For, If, IndexValue, Kernel, Stmt, block, call
from ...kernel.rewrite import Substitute
from ...kernel.transform.jam import jam
from ...kernel.transform.locate import uses
from ...kernel.transform.several_at_once import several_at_once
from ...kernel.transform.split import block_extent
from ...kernel.transform.stage import is_read_alike, read_packed, stage
from ...kernel.transform.vectorise_reduction import vectorise_reduction_loop
from .contraction import Contraction, recognise, replace_contraction
from .deep_sums import sums_in_parts
from .look_ahead import OpenRows, look_ahead
from .machine import Machine
from .row_blocks import row_block
from .schedule_loops import MOST_LANES, widest
from .strides import Access
from .tile import Tile, packed_order, rest_rows
from .tiling import choose_tile
from .traffic import choose_order


def tile_contraction(
    kernel: Kernel,
    machine: Machine,
    constants: frozenset[int] = frozenset(),
    rounds: Mapping[Buffer, int] | None = None,
    around: Sequence[For] = (),
) -> Kernel | None:
    """The kernel with its contraction in register tiles; None when it is none, or when lanes alone
    do as well.  The inputs at the positions in `constants` may be read packed; `rounds` says how
    many times loops around the kernel, which are `around`, read an input alike."""
    position, found = _find(kernel)
    if found is None:
        return None
    found = replace(found, rounds=dict(rounds or {}))
    if not machine.ordered_sums:
        deep = None if around or rounds else sums_in_parts(kernel, found)
        if deep is not None:
            return tile_contraction(deep, machine, constants)
        found = sums_along_memory(found)
    lanes = min(MOST_LANES, machine.lanes(widest(found.inner)))
    if lanes < 4:
        return None
    fixed = frozenset(kernel.inputs[number] for number in constants)
    tile = choose_tile(found, machine, lanes, fixed)
    if tile is None or (tile.form == "columns" and tile.rows * tile.columns == 1):
        return None
    # What other statements of the kernel read in another way cannot be replaced by its copy.
    if not all(is_read_alike(kernel, a.buffer) for a in (*tile.packed, *tile.packed_rows)):
        return None
    for access in tile.packed:
        ahead = None
        if access.buffer in fixed:
            ahead = _packed_ahead(kernel, found, access, tile, around)
        position += ahead is None
        if ahead is None:
            assert tile.column_axis is not None
            panel = tile.columns * tile.lanes
            ahead = _pack(kernel, found, access, tile.column_axis, panel)
        kernel = ahead
    for access in tile.packed_rows:
        assert tile.row_axis is not None
        position += 1
        if found.stride_of(access, tile.row_axis) == 1:
            kernel = _pack(kernel, found, access, found.serial[-1].var, None)
        else:
            kernel = _pack(kernel, found, access, tile.row_axis, tile.rows)
    if tile.packed or tile.packed_rows:
        again = recognise(_top(kernel)[position])
        assert again is not None
        found = again if machine.ordered_sums else sums_along_memory(again)
    new = _columns(found, tile) if tile.form == "columns" else _depth(found, tile)
    return replace(kernel, body=replace_contraction(kernel, position, new))


def sums_along_memory(found: Contraction) -> Contraction:
    """The summed loops ordered by how far a step moves in memory, the shortest steps innermost:
    operands are then read in the order in which they lie."""

    def distance(loop: For) -> int:
        steps = [found.stride_of(a, loop.var) for a in found.loads]
        return -sum(abs(s) * a.buffer.dtype.nbytes for s, a in zip(steps, found.loads, strict=True)
                    if isinstance(s, int))  # fmt: skip

    if any(found.stride_of(a, loop.var) is None for loop in found.serial for a in found.loads):
        return found
    return replace(found, serial=tuple(sorted(found.serial, key=distance)))


def _find(kernel: Kernel) -> tuple[int, Contraction | None]:
    """The first contraction among a kernel's statements, and where it stands."""
    for position, stmt in enumerate(_top(kernel)):
        found = recognise(stmt)
        if found is not None:
            return position, found
    return 0, None


def _top(kernel: Kernel) -> tuple[Stmt, ...]:
    body = kernel.body
    while isinstance(body, Alloc):
        body = body.body
    return body.stmts if isinstance(body, Block) else (body,)


def _pack(
    kernel: Kernel, found: Contraction, access: Access, axis: LoopVar, panel: int | None
) -> Kernel:
    """Copy an operand so that it is contiguous along an axis, in panels or as a whole."""
    order = [loop.var for loop in packed_order(found, access, axis)]
    return stage(kernel, access.buffer, order, panel)


def _packed_ahead(
    kernel: Kernel, found: Contraction, access: Access, tile: Tile, around: Sequence[For]
) -> Kernel | None:
    """The kernel that is given a constant operand packed, where it can be: the parts that loops
    around it read, one after the other."""
    assert tile.column_axis is not None
    order = [loop.var for loop in packed_order(found, access, tile.column_axis)]
    parts = {
        loop.var: loop.extent for loop in around if any(uses(d, loop.var) for d in access.index)
    }
    return read_packed(kernel, access.buffer, [*parts, *order], tile.columns * tile.lanes, parts)


# -- lanes along columns ---------------------------------------------------------------------------


def _columns(found: Contraction, tile: Tile) -> Stmt:
    assert tile.column_axis is not None

    def body(rows: Piece, columns: Piece) -> Stmt:
        return _column_tile(found, tile, rows, columns)

    return around(found, tile, body, columns_in_lanes=True)


class Piece:
    """Part of an axis: where it starts, how many tile steps it has, what is left of the axis, and
    the number of the tile.  `deeper` is the part of the second axis of rows; `opens` says, along an
    open axis, where the part comes among the others."""

    __slots__ = ("deeper", "left", "number", "opens", "start", "steps")

    def __init__(
        self, start: Dim, steps: int, left: Dim | None = None, number: Dim | None = None
    ) -> None:
        self.number = number
        self.deeper: Piece | None = None
        self.start = start
        self.steps = steps
        self.opens: OpenRows | None = None
        self.left = left


def _column_tile(found: Contraction, tile: Tile, rows: Piece, columns: Piece) -> Stmt:
    assert tile.column_axis is not None
    row, vector, lane, deep = LoopVar("ii"), LoopVar("jj"), LoopVar("v"), LoopVar("hh")
    offset = dims.add(dims.mul(vector, tile.lanes), lane)
    values: dict[LoopVar, Dim] = {tile.column_axis: dims.add(columns.start, offset)}
    if tile.block_axis is not None:
        values = {tile.column_axis: lane, tile.block_axis: dims.add(columns.start, vector)}
    loops: list[For] = []
    nothing = Block(())
    if tile.row_axis is not None:
        values[tile.row_axis] = dims.add(rows.start, row)
        loops.append(For(row, rows.steps, "unroll", nothing))
    if rows.deeper is not None and tile.deep_axis is not None:
        values[tile.deep_axis] = dims.add(rows.deeper.start, deep)
        loops.insert(0, For(deep, rows.deeper.steps, "unroll", nothing))
    loops.append(For(vector, columns.steps, "unroll", nothing))
    active: Dim = tile.lanes
    if columns.left is not None:
        room = dims.add(columns.left, dims.mul(vector, -tile.lanes))
        active = dims.Minimum(tile.lanes, room) if not isinstance(room, int) else min(
            tile.lanes, room)  # fmt: skip
    loops.append(For(lane, active, "vector", nothing, tile.lanes))
    tiled = jam(loops, Substitute(values).stmt(found.inner))
    first: dict[LoopVar, Dim] = {
        v: dims.substitute(d, {row: 0, lane: 0, deep: 0}) for v, d in values.items()
    }
    lines = None if rows.deeper is not None else (rows.start, rows.steps)
    ahead = look_ahead(tiled, found, tile, first, vector, rows.number, rows=lines, opens=rows.opens)
    return ahead if tile.steps == 1 else several_at_once(ahead, found.serial[-1].var, tile.steps)


# -- lanes along the summed loop -------------------------------------------------------------------


def _depth(found: Contraction, tile: Tile) -> Stmt:
    def body(rows: Piece, columns: Piece) -> Stmt:
        return _depth_tile(found, tile, rows, columns)

    return around(found, tile, body, columns_in_lanes=False)


def _depth_tile(found: Contraction, tile: Tile, rows: Piece, columns: Piece) -> Stmt:
    values: dict[LoopVar, Dim] = {}
    loops: list[For] = []
    nothing = Block(())
    for axis, piece in ((tile.row_axis, rows), (tile.column_axis, columns)):
        if axis is not None:
            var = LoopVar("ii" if axis is tile.row_axis else "jj")
            values[axis] = dims.add(piece.start, var)
            loops.append(For(var, piece.steps, "unroll", nothing))
    inner = next(loop for loop in found.serial if loop.var == tile.depth_axis)
    others = tuple(loop for loop in found.serial if loop.var != tile.depth_axis)
    reduction = vectorise_reduction_loop(
        For(inner.var, inner.extent, "serial", found.update), tile.lanes, tile.lanes,
        [(loop.var, loop.extent) for loop in others],
    )  # fmt: skip
    moved = Substitute(values).stmt(found.point(reduction))
    return jam(loops, moved) if loops else moved


# -- the loops around a tile -----------------------------------------------------------------------


def around(
    found: Contraction,
    tile: Tile,
    body: Callable[[Piece, Piece], Stmt],
    columns_in_lanes: bool,
) -> Stmt:
    """The loops over tiles.  Rows are innermost, so that the vectors of a column tile stay in the
    nearest cache while the rows pass by, or outermost (see choose_order)."""
    step = tile.columns * (tile.lanes if columns_in_lanes else 1)

    def over_columns(make: Callable[[Piece], Stmt]) -> Stmt:
        if tile.column_axis is None:
            return make(Piece(0, 1))
        if tile.block_axis is not None:
            return _rows(found.extent(tile.block_axis), tile.columns, make)
        extent = found.extent(tile.column_axis)
        return _lanes(extent, tile, step, make) if columns_in_lanes else _rows(
            extent, tile.columns, make)  # fmt: skip

    def over_rows(make: Callable[[Piece], Stmt]) -> Stmt:
        if tile.row_axis is None:
            return make(Piece(0, 1))
        if tile.deep_axis is None:
            return _rows(found.extent(tile.row_axis), tile.rows, make)

        def below(deeper: Piece) -> Stmt:
            whole = Piece(0, tile.rows, None, deeper.number)
            whole.deeper = deeper
            return make(whole)

        return _rows(found.extent(tile.deep_axis), tile.deep, below)

    def others(body: Stmt) -> Stmt:
        for loop in reversed(found.parallel):
            if loop.var not in (
                tile.row_axis, tile.deep_axis, tile.column_axis, tile.block_axis
            ):  # fmt: skip
                body = For(loop.var, loop.extent, "parallel", body)
        return body

    order = choose_order(found, tile)
    block = row_block(found, tile)
    if block is not None:
        return _in_row_blocks(found, tile, body, block, over_columns, others)
    if order == "rows others columns":
        return over_rows(lambda r: others(over_columns(lambda c: body(r, c))))
    if order == "columns others rows":
        return over_columns(lambda c: others(over_rows(lambda r: body(r, c))))
    return others(over_columns(lambda c: over_rows(lambda r: body(r, c))))


def _in_row_blocks(
    found: Contraction,
    tile: Tile,
    body: Callable[[Piece, Piece], Stmt],
    block: int,
    over_columns: Callable[[Callable[[Piece], Stmt]], Stmt],
    others: Callable[[Stmt], Stmt],
) -> Stmt:
    """Blocks of row tiles outside the columns, their tiles inside."""
    assert tile.row_axis is not None
    extent = found.extent(tile.row_axis)
    assert isinstance(extent, int)
    tiles = -(-extent // tile.rows)
    outer, inner = LoopVar("g"), LoopVar("t")
    number = dims.add(dims.mul(outer, block), inner)

    def over_rows(column: Piece) -> Stmt:
        tiled = _even(extent, tile.rows, number, inner, lambda row: body(row, column))
        return For(inner, block_extent(tiles, outer, block), "parallel", tiled)

    return others(For(outer, -(-tiles // block), "parallel", over_columns(over_rows)))


def _even(extent: int, most: int, number: Dim, var: LoopVar, make: Callable[[Piece], Stmt]) -> Stmt:
    """Tile `number` of an axis that tiles of two heights, one apart, cover exactly."""
    tiles = -(-extent // most)
    high = -(-extent // tiles)
    taller = tiles - (tiles * high - extent)
    tall = make(Piece(dims.mul(number, high), high, None, var))
    if taller == tiles:
        return tall
    rest = dims.add(dims.mul(dims.add(number, -taller), high - 1), taller * high)
    return If(_below(number, taller), tall, make(Piece(rest, high - 1, None, var)))


def _rows(extent: Dim, most: int, make: Callable[[Piece], Stmt]) -> Stmt:
    """Tiles over an axis without lanes."""
    var = LoopVar("t")
    if isinstance(extent, int):
        return _loop(var, -(-extent // most), _even(extent, most, var, var, make))
    if most == 1:
        return _loop(var, extent, make(Piece(var, 1)))
    full = dims.floordiv(extent, most)
    start = dims.mul(var, most)
    left = dims.add(extent, dims.mul(full, -most))
    whole = Piece(start, most)
    whole.opens = OpenRows(_below(var, 1), var, full)
    rest: list[Stmt] = []
    larger = most
    for rows in rest_rows(most):
        q = LoopVar("q")
        count = dims.floordiv(left, rows)
        piece = Piece(dims.add(start, dims.mul(q, rows)), rows)
        piece.opens = OpenRows(_below(extent, larger))
        rest.append(For(q, count, "serial", make(piece)))
        start = dims.add(start, dims.mul(count, rows))
        left = dims.add(left, dims.mul(count, -rows))
        larger = rows
    return For(var, dims.ceildiv(extent, most), "parallel",
               If(_below(var, full), make(whole), block(*rest)))  # fmt: skip


def _lanes(extent: Dim, tile: Tile, step: int, make: Callable[[Piece], Stmt]) -> Stmt:
    """Tiles over the axis in lanes; the last one masked."""
    var = LoopVar("u")
    full = dims.floordiv(extent, step)
    start = dims.mul(full, step)
    left = dims.add(extent, dims.mul(start, -1))
    whole = make(Piece(dims.mul(var, step), tile.columns))
    if left == 0:
        return _loop(var, full, whole)
    if isinstance(left, int):
        steps = -(-left // tile.lanes)
        if full == 0:
            return make(Piece(0, steps, left))
        # The last block starts at var*step as all do: that tells the verifier that it is one.
        rest = make(Piece(dims.mul(var, step), steps, left))
        assert isinstance(full, int)
        return _loop(var, full + 1, If(_below(var, full), whole, rest))
    one = LoopVar("q")
    single = Piece(dims.add(dims.mul(var, step), dims.mul(one, tile.lanes)), 1,
                   dims.add(left, dims.mul(one, -tile.lanes)))  # fmt: skip
    rest = For(one, dims.ceildiv(left, tile.lanes), "serial", make(single))
    return For(var, dims.ceildiv(extent, step), "parallel", If(_below(var, full), whole, rest))


def _below(var: Dim, limit: Dim) -> Expr:
    return call("lt", IndexValue(var), IndexValue(limit))


def _loop(var: LoopVar, count: Dim, body: Stmt) -> Stmt:
    return For(var, count, "parallel", body)
