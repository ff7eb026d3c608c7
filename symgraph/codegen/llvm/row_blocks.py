"""Rows of tiles in blocks that stay in a core's own cache while all columns pass by.

    parallel u < 16:                 parallel g < 8:
      parallel t < 168:                parallel u < 16:
        tile(t, u)             ->        parallel t < 21:
                                           tile(21*g + t, u)

Where the operand that moves along the rows is larger than the cache, every panel of columns would
read all of it anew from memory that all cores share.  In blocks it is read once, and the columns
once for each block.  The order in which the elements of one sum are added does not change.
"""

from __future__ import annotations

from math import prod

from ...kernel.dims import LoopVar
from .contraction import Contraction
from .strides import Access
from .tile import Tile
from .traffic import CACHE_BYTES, choose_order

BLOCK_BYTES = 544 * 1024
"""What of a core's own cache the rows of a block may take."""

OWN_BYTES = 1280 * 1024
"""What it keeps of a block and of two panels of columns: the one in use, the next one on its way.
Second caches of 2 MiB were measured to keep no more."""

LEAST_TILES = 8
"""Tiles of a block, at the least: so many take turns in asking for the next panel."""

LEAST_GAIN = 0.9
"""Bytes from afar, against those without blocks, from which on blocks pay."""

EVEN = 0.75
"""How much smaller a block may be so that all blocks are equal."""


def row_block(found: Contraction, tile: Tile) -> int | None:
    """The tiles of rows of a block; None where blocks do not pay, or other loops stand between."""
    if tile.form != "columns" or tile.deep_axis is not None or tile.row_axis is None:
        return None
    extent = found.extent(tile.row_axis)
    if not isinstance(extent, int) or not _rows_are_innermost(found, tile):
        return None
    tiles = -(-extent // tile.rows)
    rows = _bytes(found, tile, along_rows=True)
    panel = _bytes(found, tile, along_rows=False)
    panels = _panels(found, tile)
    if rows is None or panel is None or panels is None:
        return None
    if tiles * rows + panel <= CACHE_BYTES:
        return None
    most = min(BLOCK_BYTES, OWN_BYTES - 2 * panel) // max(1, rows)
    if most < LEAST_TILES or most >= tiles:
        return None
    block = _even_block(tiles, most)
    without = panels * tiles * rows + panels * panel
    within = tiles * rows + -(-tiles // block) * panels * panel
    return block if within < LEAST_GAIN * without else None


def _rows_are_innermost(found: Contraction, tile: Tile) -> bool:
    """Tiles of rows pass by one panel of columns, with no other loop in between."""
    order = choose_order(found, tile)
    tiled = (tile.row_axis, tile.column_axis, tile.block_axis)
    alone = all(loop.var in tiled or loop.extent == 1 for loop in found.parallel)
    return order == "others columns rows" or (alone and order == "columns others rows")


def _bytes(found: Contraction, tile: Tile, along_rows: bool) -> int | None:
    """What one tile reads of the operands that move along its rows alone, or along its columns
    alone; None where an extent is open, or an operand moves along both."""
    inside = {}
    for loop in found.serial:
        if not isinstance(loop.extent, int):
            return None
        inside[loop.var] = loop.extent
    assert tile.row_axis is not None
    inside[tile.row_axis] = tile.rows
    for axis, step in _columns(tile):
        inside[axis] = step
    total = 0
    for access in found.loads:
        by_row = found.stride_of(access, tile.row_axis) != 0
        by_column = any(found.stride_of(access, axis) != 0 for axis, _ in _columns(tile))
        if by_row and by_column:
            return None
        if (by_row, by_column) == (along_rows, not along_rows):
            total += _touched(found, access, inside)
    return total


def _touched(found: Contraction, access: Access, inside: dict[LoopVar, int]) -> int:
    """Bytes of an operand that loops of these extents touch."""
    moving = [count for var, count in inside.items() if found.stride_of(access, var) != 0]
    nbytes, whole = prod(moving) * access.buffer.dtype.nbytes, access.buffer.nbytes
    return min(nbytes, whole) if isinstance(whole, int) else nbytes


def _columns(tile: Tile) -> list[tuple[LoopVar, int]]:
    """The axes of a tile's columns, and its elements along each."""
    assert tile.column_axis is not None
    if tile.block_axis is None:
        return [(tile.column_axis, tile.columns * tile.lanes)]
    return [(tile.block_axis, tile.columns), (tile.column_axis, tile.lanes)]


def _panels(found: Contraction, tile: Tile) -> int | None:
    axis, step = _columns(tile)[0]
    extent = found.extent(axis)
    return -(-extent // step) if isinstance(extent, int) else None


def _even_block(tiles: int, most: int) -> int:
    """The largest block of at most so many tiles, or one little smaller of which all are equal."""
    for block in range(most, int(most * EVEN), -1):
        if tiles % block == 0:
            return block
    return -(-tiles // -(-tiles // most))
