"""A register tile of a contraction, and how many of them cover it.

Open extents have no number: what covers them is counted at few elements and at many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod

from ...kernel import dims
from ...kernel.dims import Dim, DimVar, LoopVar
from ...kernel.ir import For
from .contraction import Contraction
from .strides import Access

OPEN_EXTENT = 64
"""What an open extent counts as where one number has to do."""

OPEN_EXTENTS = (1, OPEN_EXTENT)
"""The extents at which a tile over an open one is judged."""

REST_ROWS = (8, 5, 4, 3, 2, 1)
"""Rows of the smaller tiles for what is left of an open extent."""


@dataclass(frozen=True, slots=True)
class Tile:
    """`form` is "columns" or "depth".

    columns: `rows` of `row_axis` times `columns` vectors of `lanes` along `column_axis`; with a
    `block_axis` that axis is one vector long, and the vectors of a tile lie along `block_axis`.
    Rows may be all of `row_axis` for each of `deep` steps of `deep_axis` (small images).
    depth: `rows` of `row_axis` times `columns` of `column_axis`, `lanes` along `depth_axis`.
    `packed` are the operands to copy first, contiguous along the columns; `packed_rows` those to
    copy so that the rows of a tile lie side by side, or, where they did, the summed elements of
    each row.  `steps` summed elements are taken at once, one after the other, so that loads start
    earlier.  `costs` are those at each judged extent, `cost` their product.
    """

    form: str
    row_axis: LoopVar | None
    rows: int
    column_axis: LoopVar | None
    columns: int
    lanes: int
    depth_axis: LoopVar | None
    packed: tuple[Access, ...]
    cost: float
    block_axis: LoopVar | None = None
    deep_axis: LoopVar | None = None
    deep: int = 1
    packed_rows: tuple[Access, ...] = ()
    steps: int = 1
    costs: tuple[float, ...] = ()

    @property
    def height(self) -> int:
        """Rows of both axes."""
        return self.rows * self.deep


def judged_extents(found: Contraction) -> tuple[int, ...]:
    """The numbers that open extents stand for, one where none is open."""
    loops = (*found.parallel, *found.serial)
    closed = all(isinstance(loop.extent, int) for loop in loops)
    return (OPEN_EXTENT,) if closed else OPEN_EXTENTS


def multiplications(found: Contraction, n: int) -> int:
    total = 1
    for loop in (*found.parallel, *found.serial):
        total *= size_of(loop.extent, n)
    return total


def depth_of(found: Contraction, n: int) -> int:
    """Multiplications for one element of the result."""
    total = 1
    for loop in found.serial:
        total *= size_of(loop.extent, n)
    return total


def size_of(extent: Dim, n: int) -> int:
    """An extent where open ones are `n`."""
    return max(1, extent) if isinstance(extent, int) else _size_at(extent, n)


@lru_cache(maxsize=4096)
def _size_at(extent: Dim, n: int) -> int:
    """Loops around it are in their first round."""
    env = {a: n if isinstance(a, DimVar) else 0 for a in dims.atoms(extent) if not a.children()}
    if any(not isinstance(a, (DimVar, LoopVar)) for a in env):
        return n
    return max(1, int(dims.evaluate(extent, env)))


def rest_rows(most: int) -> tuple[int, ...]:
    """The smaller tiles, the larger ones first, for what tiles of `most` rows leave."""
    return tuple(rows for rows in REST_ROWS if rows < most)


def pieces(extent: Dim, most: int, n: int) -> tuple[tuple[int, float], ...]:
    """How many tiles of how many rows (see `_rows` in schedule_contraction.py) cover an extent;
    the average of the two heights where it is known."""
    size = size_of(extent, n)
    if isinstance(extent, int):
        count = -(-size // most)
        return ((count, size / count),)
    found = []
    for rows in (most, *rest_rows(most)):
        times, size = divmod(size, rows)
        if times:
            found.append((times, float(rows)))
    return tuple(found)


def moves(found: Contraction, access: Access, var: LoopVar) -> bool:
    return found.stride_of(access, var) != 0


def packed_order(found: Contraction, access: Access, column: LoopVar) -> list[For]:
    """The loops that an operand moves along, the columns last."""
    loops = (*found.parallel, *found.serial)
    moving = [loop for loop in loops if moves(found, access, loop.var)]
    return sorted(moving, key=lambda loop: loop.var == column)


def costing(tile: Tile, costs: Sequence[float]) -> Tile:
    return replace(tile, costs=tuple(costs), cost=prod(costs))


def even_rows(extent: int, most: int) -> int:
    """The greatest tile no larger than `most` that splits an extent most evenly."""
    if extent <= most:
        return max(1, extent)
    return -(-extent // -(-extent // most))
