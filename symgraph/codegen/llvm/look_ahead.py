"""What a tile reads from afar is asked for before it is needed.

The operand in vectors (weights) is read once for all rows that pass by it.  Where those are few,
its way from memory takes longer than they do, so that it has to come while something else is
computed:

    several tiles of rows    each asks for its share of the next panel of columns
    one tile of rows         a step asks for what a later step of the same panel reads
    an open number of tiles  each asks for its share, once it is known; where there is none, the
                             first of the smaller tiles for what is left looks ahead as one alone

So do the rows of a large result, whose lines have to be there before they are written.

    serial r < 32:                     serial r < 32:
      serial s < 16:           ->        prefetch w[u+1,r,4*t+0]; ... prefetch w[u+1,r,4*t+3]
        acc[..] += ..w[u,r,s]            serial s < 16:
                                           acc[..] += ..w[u,r,s]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...kernel import dims
from ...kernel.dims import Dim, LoopVar
from ...kernel.ir import Expr, For, If, IndexValue, Prefetch, Stmt, block, call
from ...kernel.rewrite import StmtRewriter, Substitute
from .contraction import Contraction
from .operand_costs import is_far
from .row_blocks import OWN_BYTES, row_block
from .strides import Access
from .tile import Tile, depth_of
from .traffic import CACHE_BYTES, choose_order

LINE_BYTES = 64

FEW_ROWS = 1024
"""Rows that pass by a panel within which its way from memory can still be seen."""

FAR_BYTES = 512 * 1024
"""Operands of fewer bytes stay in the second cache from one call to the next."""

PANEL_BYTES = 1024 * 1024
"""A panel of at most so many bytes finds room beside the one that is being used."""

STEP = 16
"""Summed elements between two looks ahead."""

AHEAD = 1200
"""Multiplications of vectors that take as long as a line takes to come from memory."""


@dataclass(frozen=True, slots=True)
class OpenRows:
    """One of an open number of tiles: whether it `is_first`, and among those of its size, where
    these share the work, its `number` and their `count`."""

    is_first: Expr
    number: Dim = 0
    count: Dim | None = None


def look_ahead(
    body: Stmt,
    found: Contraction,
    tile: Tile,
    first: dict[LoopVar, Dim],
    vector: LoopVar,
    row_tile: Dim | None,
    parts: tuple[LoopVar, int] | None = None,
    rows: tuple[Dim, int] | None = None,
    opens: OpenRows | None = None,
) -> Stmt:
    """The tile `body` with prefetches before its innermost loops.

    `first` gives the tiled axes in the first row and lane; `vector` is the unrolled loop over the
    tile's vectors, `row_tile` the number of the tile among the rows; `parts` is a loop over so many
    operands in vectors, all of the same columns; `rows` are the first row and their number.
    `opens` says where among the others a tile comes that is one of an open number.
    """
    inner = found.serial[-1]
    if not isinstance(inner.extent, int) or inner.extent % STEP:
        return body
    outer = LoopVar("r")
    if opens is None or rows is None:
        asks = [_columns_ask(found, tile, first, vector, row_tile, parts, outer, tile.height, None)]
    else:
        asks = [_open_ask(found, tile, first, vector, outer, rows[1], opens)]
    if rows is not None:
        asks += [_result_ask(found, tile, a, first, vector, rows, outer) for a in found.stores]
    some = [ask for ask in asks if ask is not None]
    return _Insert(inner, outer, block(*some)).stmt(body) if some else body


def _open_ask(
    found: Contraction,
    tile: Tile,
    first: dict[LoopVar, Dim],
    vector: LoopVar,
    outer: LoopVar,
    height: int,
    opens: OpenRows,
) -> Stmt | None:
    """The same of a tile that is one of an open number: all of one size share in asking for the
    next panel, where it finds room; what is left of the rows asks if nothing has come before."""
    access = _streamed(found, tile)
    order = None if access is None else _passing(found, tile, access, True)
    if access is None or order is None:
        return None
    alone = _columns_ask(found, tile, first, vector, None, None, outer, height, opens)
    if opens.count is None or order[1] or 2 * _panel_nbytes(found, tile) > OWN_BYTES:
        return None if alone is None else If(opens.is_first, alone)
    step = LoopVar("k")
    # Computed wherever it is needed, also where there is no such tile.
    share = dims.ceildiv(STEP, dims.maximum(opens.count, 1))
    position = dims.add(dims.mul(outer, STEP), dims.add(dims.mul(opens.number, share), step))
    values = {**_next_panel(tile, first), found.serial[-1].var: position}
    index = tuple(dims.substitute(d, values) for d in access.index)
    ask = For(vector, tile.columns, "unroll", Prefetch(access.buffer, index))
    few = call("lt", IndexValue(opens.count), IndexValue(FEW_ROWS // height + 1))
    shares = If(few, For(step, share, "serial", ask))
    only = call("lt", IndexValue(opens.count), IndexValue(2))
    return shares if alone is None else If(only, alone, shares)


def _columns_ask(
    found: Contraction,
    tile: Tile,
    first: dict[LoopVar, Dim],
    vector: LoopVar,
    row_tile: Dim | None,
    parts: tuple[LoopVar, int] | None,
    outer: LoopVar,
    height: int,
    opens: OpenRows | None,
) -> Stmt | None:
    """What round `outer` of a tile asks for of the operand in vectors."""
    access = _streamed(found, tile)
    order = None if access is None else _passing(found, tile, access, opens is not None)
    if access is None or order is None:
        return None
    tiles, others = order
    rows = height * tiles
    for loop in others:
        assert isinstance(loop.extent, int)
        rows *= loop.extent
    if rows > FEW_ROWS:
        return None
    step = LoopVar("k")
    count = rows // height
    if count == 1:
        vectors = tile.columns * (1 if parts is None else parts[1])
        later = -(-AHEAD // (STEP * height * vectors))
        position: Dim = dims.mul(dims.add(outer, later), STEP)
        share, columns = STEP, first
    else:
        share = -(-STEP // count)
        number = _number(others, row_tile, tiles)
        position = dims.add(dims.mul(outer, STEP), dims.mul(number, share))
        columns = _next_panel(tile, first)
    values = {**columns, found.serial[-1].var: dims.add(position, step)}
    index = tuple(dims.substitute(d, values) for d in access.index)
    ask: Stmt = Prefetch(access.buffer, index)
    for var, extent in (
        (step, share),
        (vector, tile.columns),
        *(() if parts is None else (parts,)),
    ):
        ask = For(var, extent, "unroll", ask)
    return ask


def _result_ask(
    found: Contraction,
    tile: Tile,
    access: Access,
    first: dict[LoopVar, Dim],
    vector: LoopVar,
    rows: tuple[Dim, int],
    outer: LoopVar,
) -> Stmt | None:
    """What round `outer` of a tile asks for of the rows that will be stored when it is done: they
    come from afar where all of a result is more than a core's own cache keeps."""
    (inner, *more), row, nbytes = found.serial, tile.row_axis, access.buffer.nbytes
    large = isinstance(nbytes, int) and nbytes > CACHE_BYTES
    if row is None or more or not large or not is_far(found, access, row):
        return None
    assert isinstance(inner.extent, int)
    rounds = inner.extent // STEP
    if rounds < 2:
        return None
    start, count = rows
    share = -(-count // rounds)
    one = LoopVar("ii")
    place = dims.add(start, dims.add(dims.mul(outer, share), one))
    index = tuple(dims.substitute(d, {**first, row: place}) for d in access.index)
    ask: Stmt = For(vector, tile.columns, "unroll", Prefetch(access.buffer, index))
    early = call("lt", IndexValue(outer), IndexValue(-(-count // share)))
    return If(early, For(one, share, "unroll", ask))


def _streamed(found: Contraction, tile: Tile) -> Access | None:
    """The operand in vectors, when it is large and each step reads whole lines of it."""
    axes = {tile.column_axis, tile.block_axis} - {None}
    moving = [a for a in found.loads if any(found.stride_of(a, v) != 0 for v in axes if v)]
    if len(moving) != 1:
        return None
    (access,) = moving
    nbytes = access.buffer.nbytes
    whole = tile.lanes * access.buffer.dtype.nbytes == LINE_BYTES
    shared = tile.row_axis is None or found.stride_of(access, tile.row_axis) == 0
    large = isinstance(nbytes, int) and nbytes >= FAR_BYTES
    return access if whole and shared and large else None


def _passing(
    found: Contraction, tile: Tile, access: Access, is_open: bool
) -> tuple[int, Sequence[For]] | None:
    """The tiles of rows, and the other loops, that pass by one panel; None where that is not the
    order of the loops, or an extent is open."""
    order = choose_order(found, tile)
    tiled = (tile.row_axis, tile.deep_axis, tile.column_axis, tile.block_axis)
    others = [loop for loop in found.parallel if loop.var not in tiled and loop.extent != 1]
    own = [loop for loop in others if found.stride_of(access, loop.var) != 0]
    if order == "others columns rows" and len(own) == len(others):
        others = []  # each of their rounds has panels of its own, which lie after the last one's
    elif own:
        return None
    extents = [loop.extent for loop in others]
    axis, step = tile.row_axis, tile.rows
    if tile.deep_axis is not None:
        axis, step = tile.deep_axis, tile.deep
    rows = 1 if axis is None or is_open else found.extent(axis)
    if not isinstance(rows, int):
        return None
    block = row_block(found, tile)
    tiles = -(-rows // step) if block is None else block
    # Where other loops are outside and read the same panels, they find them near already.
    outside = {"others columns rows": bool(others), "columns others rows": False}
    if outside.get(order, tiles > 1 or bool(others)):
        return None
    if not all(isinstance(e, int) for e in extents):
        return None
    if not all(isinstance(loop.extent, int) for loop in found.serial):
        return None
    large = _panel_nbytes(found, tile) > PANEL_BYTES
    return None if large and (tiles > 1 or others) else (tiles, others)


def _panel_nbytes(found: Contraction, tile: Tile) -> int:
    """What a tile reads of the operand in vectors, where its summed extents are known."""
    return tile.columns * LINE_BYTES * depth_of(found, 1)


def _number(others: Sequence[For], row_tile: Dim | None, tiles: int) -> Dim:
    """The number of a tile among all that pass by a panel."""
    number: Dim = 0
    for loop in others:
        number = dims.add(dims.mul(number, loop.extent), loop.var)
    return dims.add(dims.mul(number, tiles), 0 if row_tile is None else row_tile)


def _next_panel(tile: Tile, first: dict[LoopVar, Dim]) -> dict[LoopVar, Dim]:
    moved = dict(first)
    axis, step = tile.block_axis, tile.columns
    if axis is None:
        axis, step = tile.column_axis, tile.columns * tile.lanes
    assert axis is not None
    moved[axis] = dims.add(moved[axis], step)
    return moved


class _Insert(StmtRewriter):
    """`ask` before every STEP rounds of a loop, which is cut for that where it is longer."""

    def __init__(self, inner: For, outer: LoopVar, ask: Stmt) -> None:
        self.inner, self.outer, self.ask = inner, outer, ask

    def stmt(self, stmt: Stmt) -> Stmt:
        if not isinstance(stmt, For) or stmt.var != self.inner.var:
            return super().stmt(stmt)
        assert isinstance(stmt.extent, int)
        rounds = stmt.extent // STEP
        if rounds == 1:
            return block(Substitute({self.outer: 0}).stmt(self.ask), stmt)
        place = dims.add(dims.mul(self.outer, STEP), stmt.var)
        body = Substitute({stmt.var: place}).stmt(stmt.body)
        again = For(stmt.var, STEP, "serial", body)
        return For(self.outer, rounds, "serial", block(self.ask, again))
