"""Tiles whose lanes run along an independent loop: rows times vectors of accumulators."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

from ...kernel.dims import Dim, LoopVar
from ...kernel.ir import Buffer, For
from .contraction import Contraction
from .machine import Machine
from .operand_costs import (
    HIDDEN_LOAD_COST,
    LOAD_COST,
    NEAR_BYTES,
    PANEL_BYTE_COST,
    crowding,
    is_copied_once,
    is_far,
    is_plain,
    is_short,
    is_worth_packing,
    pack_cost,
    packs_ahead,
    scatter_cost,
    scattered_steps,
)
from .strides import Access
from .tile import Tile, costing, depth_of, even_rows, judged_extents, moves, pieces, size_of
from .traffic import CACHE_BYTES

UNROLLED_BYTE_COST = 0.003
"""The same where two summed elements are taken at once."""

SPARE_REGISTERS = 3
"""Registers that have to be left where two summed elements are taken at once."""

MOST_PANEL_BYTES = 512 * 1024
"""A panel of vectors that a core's own cache keeps, whatever else passes by."""

SCATTERED_ROWS_COST = 1.03
"""What rows cost that lie further apart than a few lines: each is in a page of its own."""

MASK_COST = 1.1
"""What masks cost, against as many whole vectors."""

CROWDED_COST = 1.2
"""What rows cost that push each other out of the nearest cache: all of them, twice over."""

OPEN_HEIGHTS = (4, 6, 8, 12)
"""Rows that are tried along an open extent, besides the most that registers hold."""

MOST_VECTORS = 6

MOST_VECTORS_ALONE = 12
"""Where there is one row only, long runs through memory matter most."""

MOST_ROWS = 30


def column_tiles(
    found: Contraction,
    machine: Machine,
    lanes: int,
    constants: frozenset[Buffer],
    extents: tuple[int, ...],
) -> Iterator[Tile]:
    for column in found.parallel:
        extent = column.extent
        if extent in (0, 1):
            continue
        vectors = [a for a in found.loads if moves(found, a, column.var)]
        rest = [a for a in found.loads if a not in vectors]
        if not vectors:
            continue
        steps = {a: found.stride_of(a, column.var) for a in vectors}
        ahead = [a for a in vectors
                 if a.buffer in constants and not (steps[a] == 1 and extent in (4, 8, 16))
                 and packs_ahead(found, a, column.var)]  # fmt: skip
        strided = tuple(a for a, step in steps.items() if not is_short(step) and a not in ahead)
        # A short stride is loaded as several vectors and shuffled.
        weight = sum(2 * step - 1 if isinstance(step, int) and is_short(step) and a not in ahead
                     else 1 for a, step in steps.items())  # fmt: skip
        packed = (*strided, *ahead)
        if not is_worth_packing(found, strided, extents[-1]):
            continue
        scattered = scatter_cost(found, column.var, lanes)
        pack = tuple(pack_cost(found, strided, n) + scattered / depth_of(found, n) for n in extents)
        far = tuple(
            a
            for a in vectors
            if a not in packed
            and steps[a] == 1
            and is_copied_once(found, a)
            and scattered_steps(found, a, lanes, extents[-1]) > 0
            and is_worth_packing(found, (a,), extents[-1])
        )
        for row in (*(p for p in found.parallel if p is not column), None):
            if row is not None:
                reused = any(not moves(found, a, row.var) for a in vectors)
                if row.extent in (0, 1) or not reused:
                    continue
            row_var = row.var if row else None
            axes = _Axes(found, extents, column.var, row_var, None, weight / len(vectors), rest,
                         packed, pack)  # fmt: skip
            yield from _tiles_along(axes, machine, lanes)
            if far:
                near = tuple(p + pack_cost(found, far, n, straight=True)
                             for p, n in zip(pack, extents, strict=True))  # fmt: skip
                yield from _tiles_along(replace(axes, packed=(*packed, *far), pack=near), machine,
                                        lanes)  # fmt: skip
            if packed or column.extent not in (4, 8, 16) or column.extent > lanes:
                continue
            for other in found.parallel:
                if other is not column and other is not row and _is_block(found, other, vectors):
                    blocked = replace(axes, blocks=other.var)
                    yield from _tiles_along(blocked, machine, column.extent)


def _is_block(found: Contraction, loop: For, vectors: list[Access]) -> bool:
    """A loop along which the operand in vectors moves, the one that is broadcast does not."""
    if not isinstance(loop.extent, int) or loop.extent < 2:
        return False
    return all(moves(found, a, loop.var) == (a in vectors) for a in found.loads)


@dataclass(frozen=True)
class _Axes:
    """What all tiles of lanes along `column` with rows along `row` share.

    `weight` loads fill a vector, `scalars` are the operands that are broadcast, `packed` those that
    are copied first, `pack` what that costs at each of `extents`.  Those of `turned`, which lie
    along the rows, are copied so that their summed elements are neighbours.
    """

    found: Contraction
    extents: tuple[int, ...]
    column: LoopVar
    row: LoopVar | None
    blocks: LoopVar | None
    weight: float
    scalars: list[Access]
    packed: tuple[Access, ...]
    pack: tuple[float, ...]
    turned: tuple[Access, ...] = ()

    @property
    def vectors(self) -> list[Access]:
        return [a for a in self.found.loads if a not in self.scalars]

    @property
    def along_rows(self) -> tuple[Access, ...]:
        """Operands that are broadcast and whose rows are neighbours."""
        row = self.row
        return tuple(a for a in self.scalars if row and self.found.stride_of(a, row) == 1)

    @property
    def shared(self) -> int:
        """Operands in vectors that the rows share."""
        row = self.row
        return sum(row is None or not moves(self.found, a, row) for a in self.vectors)

    @property
    def height(self) -> Dim:
        return 1 if self.row is None else self.found.extent(self.row)


def _tiles_along(axes: _Axes, machine: Machine, lanes: int) -> Iterator[Tile]:
    found, largest = axes.found, axes.extents[-1]
    size, height = size_of(found.extent(axes.column), largest), size_of(axes.height, largest)
    width = lanes
    while width >= 4:
        count = -(-size // width) if axes.blocks is None else size_of(
            found.extent(axes.blocks), largest)  # fmt: skip
        widest = MOST_VECTORS if height > 1 else MOST_VECTORS_ALONE
        for columns in range(1, min(widest, count) + 1):
            most = min((machine.registers - 1 - columns) // columns, MOST_ROWS)
            if most < 1:
                break
            if axes.blocks is not None and even_rows(count, columns) != columns:
                continue
            for rows, deep_axis, deep in _row_choices(axes, most):
                for form in (axes, *_with_rows_turned(axes)):
                    steps = _steps(form, machine, rows * deep, columns, width)
                    costs = tuple(
                        _column_cost(form, rows, deep_axis, deep, columns, width, steps, n) + pack
                        for n, pack in zip(axes.extents, form.pack, strict=True)
                    )
                    tile = Tile("columns", axes.row, rows, axes.column, columns, width, None,
                                axes.packed, prod(costs), axes.blocks, deep_axis, deep,
                                packed_rows=form.turned, steps=steps, costs=costs)  # fmt: skip
                    yield from _with_rows_near(form, tile)
        if axes.blocks is not None:
            return
        width //= 2


def _column_cost(
    axes: _Axes,
    rows: int,
    deep_axis: LoopVar | None,
    deep: int,
    columns: int,
    width: int,
    steps: int,
    n: int,
) -> float:
    """Instructions for one useful multiplication, where open extents are `n`."""
    found = axes.found
    extent = found.extent(axes.column)
    size = size_of(extent, n)
    lines = pieces(axes.height, rows, n)
    if deep_axis is not None:
        length = found.extent(deep_axis)
        assert isinstance(length, int)
        lines = ((1, rows * length / -(-length // deep)),)
    runs: tuple[tuple[int, int], ...]
    if axes.blocks is not None:
        runs, useful = ((1, columns),), columns * width
    elif isinstance(extent, int):
        runs, useful = ((-(-size // (columns * width)), columns),), size
    else:
        full, left = divmod(size, columns * width)
        runs, useful = ((full, columns), (-(-left // width), 1)), size
    work = sum(times * again * _column_work(axes, many, wide, width, steps, n)
               for times, many in lines for again, wide in runs)  # fmt: skip
    cost = work / (useful * sum(times * many for times, many in lines))
    if axes.row is not None and any(is_far(found, a, axes.row) for a in found.loads):
        cost *= SCATTERED_ROWS_COST
    return cost * (MASK_COST if not isinstance(extent, int) or size % width != 0 else 1.0)


def _steps(axes: _Axes, machine: Machine, rows: int, columns: int, width: int) -> int:
    """Summed elements to take at once: two where rows that lie apart and are too many for a core's
    own cache pass by a panel that comes from there, and registers are left for operands of both."""
    found = axes.found
    inner = found.serial[-1].extent
    panel = depth_of(found, axes.extents[-1]) * columns * width * _widest_nbytes(axes.vectors)
    far = any(_is_streamed(found, a, axes.row, a in axes.turned) for a in axes.scalars)
    even = isinstance(inner, int) and inner % 2 == 0 and len(found.serial) == 1
    fits = machine.fma and (rows + 1) * columns + 1 + SPARE_REGISTERS <= machine.registers
    return 2 if far and even and fits and NEAR_BYTES < panel <= MOST_PANEL_BYTES else 1


def _is_streamed(found: Contraction, access: Access, row: LoopVar | None, is_turned: bool) -> bool:
    """Neighbouring rows lie apart, and a core's own cache does not keep all of them."""
    nbytes = size_of(access.buffer.nbytes, judged_extents(found)[-1])
    return row is not None and nbytes > CACHE_BYTES and (is_turned or is_far(found, access, row))


def _widest_nbytes(accesses: Sequence[Access]) -> int:
    return max((a.buffer.dtype.nbytes for a in accesses), default=4)


def _column_work(axes: _Axes, rows: float, columns: int, width: int, steps: int, n: int) -> float:
    """Instructions of a step of one tile."""
    vectors, shared = axes.vectors, axes.shared
    multiplies = columns * rows
    row_loads = (len(vectors) - shared) * columns * rows
    loads = axes.weight * (shared * columns + row_loads) + len(axes.scalars) * rows
    latency = max(0.0, 8.0 - multiplies) * 0.5
    work = max(multiplies + latency, LOAD_COST * loads) + HIDDEN_LOAD_COST * loads
    nbytes = _widest_nbytes(vectors)
    if depth_of(axes.found, n) * columns * width * nbytes > NEAR_BYTES:
        # The vectors that the rows share; those of one row alone are loaded anyway.
        price = PANEL_BYTE_COST if steps == 1 else UNROLLED_BYTE_COST
        work += price * shared * columns * width * nbytes
    work += sum(scattered_steps(axes.found, a, columns * width, n)
                for a in vectors if a not in axes.packed)  # fmt: skip
    return work + sum(scattered_steps(axes.found, a, int(rows), n)
                      for a in axes.along_rows if a not in axes.turned)  # fmt: skip


def _with_rows_turned(axes: _Axes) -> Iterator[_Axes]:
    """The axes with operands that lie along the rows copied so that their summed elements are
    neighbours, where these lie far apart."""
    found, most = axes.found, axes.extents[-1]
    far = tuple(a for a in axes.along_rows if is_copied_once(found, a)
                and scattered_steps(found, a, 1, most) > 0)  # fmt: skip
    if far and is_worth_packing(found, far, most):
        costs = [p + pack_cost(found, far, n) for p, n in zip(axes.pack, axes.extents, strict=True)]
        yield replace(axes, turned=far, pack=tuple(costs))


def _with_rows_near(axes: _Axes, tile: Tile) -> Iterator[Tile]:
    """The tile as it is, and where its rows push each other out of the nearest cache, with them
    copied side by side."""
    found, row = axes.found, tile.row_axis
    scalars = [a for a in axes.scalars if a not in axes.turned]
    crowded = [] if row is None else [
        a for a in scalars if crowding(found, a, row, tile.rows) > 0
    ]  # fmt: skip
    if row is None or not crowded:
        yield tile
        return
    worst = max(crowding(found, a, row, tile.rows) for a in crowded)
    yield costing(tile, [c * (1.0 + CROWDED_COST * worst) for c in tile.costs])
    extent = found.extent(row)
    even = isinstance(extent, int) and extent % tile.rows == 0 and tile.deep_axis is None
    extents = judged_extents(found)
    pays = even and is_worth_packing(found, tuple(crowded), extents[-1])
    if pays and all(is_plain(found, a) for a in crowded):
        near = [c / SCATTERED_ROWS_COST + pack_cost(found, tuple(crowded), n)
                for c, n in zip(tile.costs, extents, strict=True)]  # fmt: skip
        yield replace(costing(tile, near), packed_rows=(*tile.packed_rows, *crowded))


def _row_choices(axes: _Axes, most: int) -> Iterator[tuple[int, LoopVar | None, int]]:
    """Rows of a tile, and the second axis with its steps.

    A second axis joins where the whole first one leaves room, as in images of 7x7.
    """
    found, extent = axes.found, axes.height
    if not isinstance(extent, int):
        size = size_of(extent, axes.extents[-1])
        near = even_rows(size, min(most, size)), min(most, size)
        tried = (*near, *(r for r in OPEN_HEIGHTS if r <= most))
        for rows in dict.fromkeys(tried):
            yield rows, None, 1
        return
    height = max(1, extent)
    yield even_rows(height, min(most, height)), None, 1
    if axes.row is None or 2 * height > most:
        return
    for loop in found.parallel:
        extent = loop.extent
        if loop.var in (axes.row, axes.column, axes.blocks):
            continue
        if not isinstance(extent, int) or extent < 2:
            continue
        if any(moves(found, a, loop.var) for a in axes.vectors):
            continue
        deep = even_rows(extent, min(most // height, extent))
        if deep > 1:
            yield height, loop.var, deep
