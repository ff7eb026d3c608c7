"""Tiles whose lanes run along the summed loop: accumulators that are added up at the end."""

from __future__ import annotations

from collections.abc import Iterator

from ...kernel.dims import Dim, LoopVar
from .contraction import Contraction
from .machine import Machine
from .operand_costs import HIDDEN_LOAD_COST, LOAD_COST, NEAR_BYTES, PANEL_BYTE_COST
from .tile import Tile, costing, depth_of, even_rows, moves, pieces, size_of

HORIZONTAL_COST = 9.0
"""Adding up the lanes of one accumulator."""


def depth_tiles(
    found: Contraction, machine: Machine, lanes: int, extents: tuple[int, ...]
) -> Iterator[Tile]:
    for depth in found.serial:
        if depth.extent == 0 or (isinstance(depth.extent, int) and depth.extent < 4):
            continue
        steps = [found.stride_of(a, depth.var) for a in found.loads]
        if any(s not in (0, 1) for s in steps) or 1 not in steps:
            continue
        for row, column in _pairs(found):
            yield _depth_tile(found, machine, lanes, depth.var, row, column, extents)


def _pairs(found: Contraction) -> Iterator[tuple[LoopVar | None, LoopVar | None]]:
    """Row and column axes such that some load is shared along each."""
    axes = [p.var for p in found.parallel if p.extent not in (0, 1)]
    shared = [v for v in axes if any(not moves(found, a, v) for a in found.loads)]
    yield None, None
    for column in shared:
        yield None, column
        for row in shared:
            if row != column:
                yield row, column


def _depth_tile(
    found: Contraction,
    machine: Machine,
    lanes: int,
    depth: LoopVar,
    row: LoopVar | None,
    column: LoopVar | None,
    extents: tuple[int, ...],
) -> Tile:
    height = 1 if row is None else size_of(found.extent(row), extents[-1])
    width = 1 if column is None else size_of(found.extent(column), extents[-1])
    length = size_of(found.extent(depth), extents[-1])
    while lanes > 4 and lanes // 2 >= length:
        lanes //= 2
    best: Tile | None = None
    for rows in range(1, min(height, 8) + 1):
        columns = min((machine.registers - 2 - rows) // rows, width, 8)
        if columns < 1:
            break
        rows, columns = even_rows(height, rows), even_rows(width, columns)
        tile = Tile("depth", row, rows, column, columns, lanes, depth, (), 0.0)
        tile = costing(tile, [_depth_cost(found, tile, n) for n in extents])
        if best is None or tile.cost < best.cost:
            best = tile
    assert best is not None
    return best


def _depth_cost(found: Contraction, tile: Tile, n: int) -> float:
    """Instructions for one useful multiplication, where open extents are `n`."""
    row, column = tile.row_axis, tile.column_axis
    high: Dim = 1 if row is None else found.extent(row)
    wide: Dim = 1 if column is None else found.extent(column)
    assert tile.depth_axis is not None
    length = size_of(found.extent(tile.depth_axis), n)
    # Of known extents as if tiles were all alike.
    lines = ((1, tile.rows),) if isinstance(high, int) else pieces(high, tile.rows, n)
    runs = ((1, tile.columns),) if isinstance(wide, int) else pieces(wide, tile.columns, n)
    outer = depth_of(found, n) // length
    total = done = 0.0
    for times, rows in lines:
        for again, columns in runs:
            work = _depth_work(found, tile, int(rows), int(columns), n)
            each = work * -(-length // tile.lanes) * outer + HORIZONTAL_COST * rows * columns
            total += times * again * each
            done += times * again * rows * columns
    return total / (done * length * outer)


def _depth_work(found: Contraction, tile: Tile, rows: int, columns: int, n: int) -> float:
    """Instructions of a step of one tile."""
    row, column = tile.row_axis, tile.column_axis
    height = 1 if row is None else size_of(found.extent(row), n)
    width = 1 if column is None else size_of(found.extent(column), n)
    assert tile.depth_axis is not None
    length = size_of(found.extent(tile.depth_axis), n)
    loads = again = 0
    for access in found.loads:
        by_row = row is not None and moves(found, access, row)
        by_column = column is not None and moves(found, access, column)
        count = (rows if by_row else 1) * (columns if by_column else 1)
        loads += count
        # What one tile reads for all that need it has to come from afar in any case.
        once = (by_row or rows >= height) and (by_column or columns >= width)
        again += 0 if once else count * access.buffer.dtype.nbytes
    accumulators = rows * columns
    latency = max(0.0, 8.0 - accumulators) * 0.5
    work = max(accumulators + latency, LOAD_COST * loads) + HIDDEN_LOAD_COST * loads
    return work + (PANEL_BYTE_COST * again * tile.lanes if again * length > NEAR_BYTES else 0.0)
