"""Which loops of a contraction become lanes and register tiles, chosen by counting.

Two forms:

columns   lanes run along an independent loop, best one in which the result is contiguous; a tile is
          rows x vectors accumulators; one operand is loaded as vectors, the other is broadcast
depth     lanes run along the summed loop in which all operands are contiguous; a tile is
          rows x columns accumulators, each added up over its lanes at the end

For each form, axis and tile the instructions for one useful multiplication are estimated from the
number of accumulators, loads and wasted lanes, and the cheapest is taken.  A tile leaves room for
the operands: rows*vectors + vectors + 1 registers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ...kernel import dims
from ...kernel.dims import Dim, LoopVar
from ...kernel.ir import Buffer, For, Load
from ...kernel.packing import packing_of
from ...kernel.rewrite import expressions, walk
from .contraction import Contraction
from .machine import Machine
from .memory import MOST_STRIDE
from .strides import Access

LOAD_COST = 1.2
"""A load, against a multiplication of vectors: hardly as many of them as of those can start in a
cycle."""

HIDDEN_LOAD_COST = 0.03
"""What a load costs beside enough multiplications: it may cross a line or miss the cache."""

NEAR_BYTES = 32 * 1024
"""What of an operand stays in the nearest cache while a tile passes by."""

PANEL_BYTE_COST = 0.01
"""A byte of vectors that comes from the second cache, against a multiplication of vectors."""

SCATTERED_ROWS_COST = 1.03
"""What rows cost that lie further apart than a few lines: each is in a page of its own."""

SCATTERED_BYTES = 512

HORIZONTAL_COST = 9.0
"""Adding up the lanes of one accumulator."""

SCATTER_COST = 3.0
"""Storing one element of a vector to a place of its own."""

PACK_COST = 10.0
"""Copying one element into another order."""

MASK_COST = 1.1
"""What masks cost, against as many whole vectors."""

CACHE_BYTES = 768 * 1024
"""What of a core's own cache an operand may take and stay there between tiles."""

FAR_BYTE_COST = 0.03
"""A byte that does not come from a core's own cache, against a multiplication of vectors, where
there are enough of those to wait behind."""

STREAM_COST = 0.25
"""The same where there are not."""

BESIDE_COST = 0.1
"""What computing costs beside reading, or reading beside computing, whichever is longer."""

CACHE_SETS, CACHE_WAYS, LINE_BYTES = 64, 12, 64
"""The nearest cache."""

CROWDED_COST = 1.2
"""What rows cost that push each other out of the nearest cache: all of them, twice over."""

OPEN_EXTENT = 64
"""What an open extent counts as."""

MOST_VECTORS = 6
MOST_VECTORS_ALONE = 12
"""Where there is one row only, long runs through memory matter most."""

MOST_ROWS = 30


@dataclass(frozen=True, slots=True)
class Tile:
    """`form` is "columns" or "depth".

    columns: `rows` of `row_axis` times `columns` vectors of `lanes` along `column_axis`; with a
    `block_axis` that axis is one vector long, and the vectors of a tile lie along `block_axis`.
    Rows may be all of `row_axis` for each of `deep` steps of `deep_axis` (small images).
    depth: `rows` of `row_axis` times `columns` of `column_axis`, `lanes` along `depth_axis`.
    `packed` are the operands to copy first, contiguous along the columns; `packed_rows` those to
    copy so that the rows of a tile lie side by side.
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

    @property
    def height(self) -> int:
        """Rows of both axes."""
        return self.rows * self.deep


def choose_tile(
    found: Contraction, machine: Machine, lanes: int, constants: frozenset[Buffer] = frozenset()
) -> Tile | None:
    """The cheapest tile, or None when no operand is used twice and lanes along an independent loop
    do as well.  Packing `constants` costs nothing."""
    best: Tile | None = None
    own = 0.0
    """What the best tile costs by itself: that decides where traffic is all that counts."""
    along_sums = () if machine.ordered_sums else _depth(found, machine, lanes)
    work = _multiplications(found)
    for tile in (*_columns(found, machine, lanes, constants), *along_sums):
        if best is not None and tile.cost >= best.cost * 0.999:
            continue
        far = choose_order(found, tile)[1] / work
        both = tile.cost, STREAM_COST * far
        total = max(both) + BESIDE_COST * min(both) + FAR_BYTE_COST * far
        alike = best is not None and 0.999 <= total / best.cost < 1.001
        if best is None or total < best.cost * 0.999 or (alike and tile.cost < own * 0.999):
            best, own = replace(tile, cost=total), tile.cost
    return best


def _multiplications(found: Contraction) -> int:
    total = 1
    for loop in (*found.parallel, *found.serial):
        total *= _size(loop.extent)
    return total


def _depth_of(found: Contraction) -> int:
    """Multiplications for one element of the result."""
    total = 1
    for loop in found.serial:
        total *= _size(loop.extent)
    return total


def _size(extent: Dim) -> int:
    return max(1, extent) if isinstance(extent, int) else OPEN_EXTENT


def _moves(found: Contraction, access: Access, var: LoopVar) -> bool:
    return found.stride_of(access, var) != 0


def packed_order(found: Contraction, access: Access, column: LoopVar) -> list[For]:
    """The loops that an operand moves along, the columns last."""
    loops = (*found.parallel, *found.serial)
    moving = [loop for loop in loops if _moves(found, access, loop.var)]
    return sorted(moving, key=lambda loop: loop.var == column)


def _packs_ahead(found: Contraction, access: Access, column: LoopVar) -> bool:
    """A constant operand can be packed before the program runs."""
    if not _is_read_once(found, access):
        return False
    order = [(loop.var, loop.extent) for loop in packed_order(found, access, column)]
    return packing_of(access.index, access.buffer.shape, order, 1) is not None


def _columns(
    found: Contraction, machine: Machine, lanes: int, constants: frozenset[Buffer]
) -> Iterator[Tile]:
    for column in found.parallel:
        extent = column.extent
        if extent in (0, 1):
            continue
        vectors = [a for a in found.loads if _moves(found, a, column.var)]
        rest = [a for a in found.loads if a not in vectors]
        if not vectors:
            continue
        steps = {a: found.stride_of(a, column.var) for a in vectors}
        ahead = [a for a in vectors
                 if a.buffer in constants and not (steps[a] == 1 and extent in (4, 8, 16))
                 and _packs_ahead(found, a, column.var)]  # fmt: skip
        strided = [a for a, step in steps.items() if not _is_short(step) and a not in ahead]
        # A short stride is loaded as several vectors and shuffled.
        weight = sum(2 * step - 1 if isinstance(step, int) and _is_short(step) and a not in ahead
                     else 1 for a, step in steps.items())  # fmt: skip
        packed = (*strided, *ahead)
        pack = _pack_cost(found, tuple(strided))
        if pack is None:
            continue
        scattered = [a for a in found.stores if found.stride_of(a, column.var) != 1]
        pack += SCATTER_COST * len(scattered) / _depth_of(found)
        for row in (*(p for p in found.parallel if p is not column), None):
            if row is not None:
                reused = any(not _moves(found, a, row.var) for a in vectors)
                if row.extent in (0, 1) or not reused:
                    continue
            row_var = row.var if row else None
            yield from _column_tiles(found, machine, lanes, column.var, row_var,
                                     weight / len(vectors), rest, packed, pack)  # fmt: skip
            if packed or column.extent not in (4, 8, 16) or column.extent > lanes:
                continue
            for other in found.parallel:
                if other is not column and other is not row and _is_block(found, other, vectors):
                    yield from _column_tiles(found, machine, column.extent, column.var, row_var,
                                             weight / len(vectors), rest, packed, pack,
                                             other.var)  # fmt: skip


def _is_block(found: Contraction, loop: For, vectors: list[Access]) -> bool:
    """A loop along which the operand in vectors moves, the one that is broadcast does not."""
    if not isinstance(loop.extent, int) or loop.extent < 2:
        return False
    return all(_moves(found, a, loop.var) == (a in vectors) for a in found.loads)


def _column_tiles(
    found: Contraction,
    machine: Machine,
    lanes: int,
    column: LoopVar,
    row: LoopVar | None,
    weight: float,
    scalars: list[Access],
    packed: tuple[Access, ...],
    pack: float,
    blocks: LoopVar | None = None,
) -> Iterator[Tile]:
    size = _size(found.extent(column))
    height = 1 if row is None else _size(found.extent(row))
    vectors = [a for a in found.loads if _moves(found, a, column)]
    shared = [a for a in vectors if row is None or not _moves(found, a, row)]
    nbytes = max((a.buffer.dtype.nbytes for a in vectors), default=4)
    scattered = row is not None and any(_is_far(found, a, row) for a in found.loads)
    width = lanes
    while width >= 4:
        count = -(-size // width) if blocks is None else _size(found.extent(blocks))
        widest = MOST_VECTORS if height > 1 else MOST_VECTORS_ALONE
        for columns in range(1, min(widest, count) + 1):
            most = min((machine.registers - 1 - columns) // columns, MOST_ROWS)
            if most < 1:
                break
            if blocks is not None and even_rows(count, columns) != columns:
                continue
            tiles = -(-count // columns)
            for rows, real_rows, deep_axis, deep in _row_choices(found, row, vectors, most, column,
                                                                 blocks):  # fmt: skip
                multiplies = columns * real_rows
                row_loads = (len(vectors) - len(shared)) * columns * real_rows
                loads = weight * (len(shared) * columns + row_loads) + len(scalars) * real_rows
                latency = max(0.0, 8.0 - multiplies) * 0.5
                work = max(multiplies + latency, LOAD_COST * loads) + HIDDEN_LOAD_COST * loads
                known = blocks is None and isinstance(found.extent(column), int)
                wasted = tiles * columns * width / size if known else 1
                partial = _partial(count, columns, tiles) if blocks is None else 1.0
                useful = real_rows * columns * width / partial
                masked = not isinstance(found.extent(column), int) or size % width != 0
                panel = _depth_of(found) * columns * width * nbytes
                if panel > NEAR_BYTES:
                    # The vectors that the rows share; those of one row alone are loaded anyway.
                    work += PANEL_BYTE_COST * len(shared) * columns * width * nbytes
                cost = work * wasted / useful / partial
                if row is not None:
                    cost *= SCATTERED_ROWS_COST if scattered else 1.0
                cost *= MASK_COST if masked else 1.0
                tile = Tile("columns", row, rows, column, columns, width, None, packed, cost + pack,
                            blocks, deep_axis, deep)  # fmt: skip
                yield from _with_rows_near(found, tile, scalars)
        if blocks is not None:
            return
        width //= 2


def _with_rows_near(found: Contraction, tile: Tile, scalars: list[Access]) -> Iterator[Tile]:
    """The tile as it is, and where its rows push each other out of the nearest cache, with them
    copied side by side."""
    row = tile.row_axis
    crowded = [] if row is None else [
        a for a in scalars if _crowding(found, a, row, tile.rows) > 0
    ]  # fmt: skip
    if row is None or not crowded:
        yield tile
        return
    worst = max(_crowding(found, a, row, tile.rows) for a in crowded)
    yield replace(tile, cost=tile.cost * (1.0 + CROWDED_COST * worst))
    extra = _pack_cost(found, tuple(crowded))
    extent = found.extent(row)
    even = isinstance(extent, int) and extent % tile.rows == 0 and tile.deep_axis is None
    if extra is not None and even and all(_is_plain(found, a) for a in crowded):
        near = tile.cost / SCATTERED_ROWS_COST + extra
        yield replace(tile, cost=near, packed_rows=tuple(crowded))


def _is_plain(found: Contraction, access: Access) -> bool:
    """Each axis of an operand is a loop, and it is read in one way."""
    variables = {loop.var for loop in (*found.parallel, *found.serial)}
    once = sum(a.buffer is access.buffer for a in found.loads) == 1
    return once and all(d == 0 or d in variables for d in access.index)


def _row_choices(
    found: Contraction,
    row: LoopVar | None,
    vectors: list[Access],
    most: int,
    column: LoopVar,
    blocks: LoopVar | None,
) -> Iterator[tuple[int, float, LoopVar | None, int]]:
    """Rows of a tile, how many of them exist on average, and the second axis with its steps.

    A second axis joins where the whole first one leaves room, as in images of 7x7.
    """
    height = 1 if row is None else _size(found.extent(row))
    rows = even_rows(height, min(most, height))
    yield rows, height / -(-height // rows), None, 1
    if row is None or not isinstance(found.extent(row), int) or 2 * height > most:
        return
    for loop in found.parallel:
        extent = loop.extent
        if loop.var in (row, column, blocks) or not isinstance(extent, int) or extent < 2:
            continue
        if any(_moves(found, a, loop.var) for a in vectors):
            continue
        deep = even_rows(extent, min(most // height, extent))
        if deep > 1:
            yield height, height * extent / -(-extent // deep), loop.var, deep


def _is_short(step: Dim | None) -> bool:
    return isinstance(step, int) and 1 <= step <= MOST_STRIDE


def _is_far(found: Contraction, access: Access, row: LoopVar) -> bool:
    """Neighbouring rows of an operand lie further apart than a few lines."""
    step = found.stride_of(access, row)
    return not isinstance(step, int) or abs(step) * access.buffer.dtype.nbytes > SCATTERED_BYTES


def _crowding(found: Contraction, access: Access, row: LoopVar, rows: int) -> float:
    """How far the rows of a tile fall on so few sets of the nearest cache that they push each
    other out: lines too many for a set, in parts of what it holds."""
    step = found.stride_of(access, row)
    if not isinstance(step, int) or step == 0:
        return 0.0
    nbytes = step * access.buffer.dtype.nbytes
    sets = [number * nbytes // LINE_BYTES % CACHE_SETS for number in range(rows)]
    return max(0.0, max(sets.count(s) for s in sets) / CACHE_WAYS - 1.0)


def _partial(count: int, columns: int, tiles: int) -> float:
    """Part of the column vectors of all tiles that exist: the last tile may have fewer."""
    return count / (tiles * columns)


def _is_read_once(found: Contraction, access: Access) -> bool:
    """One copy in another order serves all that reads the operand."""
    reads = {
        e.index
        for top in expressions(found.inner)
        for e in walk(top)
        if isinstance(e, Load) and e.tensor is access.buffer
    }
    return len(reads) == 1


def _pack_cost(found: Contraction, packed: tuple[Access, ...]) -> float | None:
    """Cost of copying operands, for one multiplication of the contraction."""
    total = 0.0
    for access in packed:
        if not _is_read_once(found, access):
            return None
        uses = 1.0
        for loop in (*found.parallel, *found.serial):
            if not _moves(found, access, loop.var):
                uses *= _size(loop.extent)
        if uses < 4:
            return None
        total += PACK_COST / uses
    return total


def _depth(found: Contraction, machine: Machine, lanes: int) -> Iterator[Tile]:
    for depth in found.serial:
        if depth.extent == 0 or (isinstance(depth.extent, int) and depth.extent < 4):
            continue
        steps = [found.stride_of(a, depth.var) for a in found.loads]
        if any(s not in (0, 1) for s in steps) or 1 not in steps:
            continue
        for row, column in _pairs(found):
            yield _depth_tile(found, machine, lanes, depth.var, row, column)


def _pairs(found: Contraction) -> Iterator[tuple[LoopVar | None, LoopVar | None]]:
    """Row and column axes such that some load is shared along each."""
    axes = [p.var for p in found.parallel if p.extent not in (0, 1)]
    shared = [v for v in axes if any(not _moves(found, a, v) for a in found.loads)]
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
) -> Tile:
    height = 1 if row is None else _size(found.extent(row))
    width = 1 if column is None else _size(found.extent(column))
    length = _size(found.extent(depth))
    while lanes > 4 and lanes // 2 >= length:
        lanes //= 2
    best: Tile | None = None
    for rows in range(1, min(height, 8) + 1):
        columns = min((machine.registers - 2 - rows) // rows, width, 8)
        if columns < 1:
            break
        rows, columns = even_rows(height, rows), even_rows(width, columns)
        accumulators = rows * columns
        loads = again = 0
        for access in found.loads:
            by_row = row is not None and _moves(found, access, row)
            by_column = column is not None and _moves(found, access, column)
            count = (rows if by_row else 1) * (columns if by_column else 1)
            loads += count
            # What one tile reads for all that need it has to come from afar in any case.
            once = (by_row or rows >= height) and (by_column or columns >= width)
            again += 0 if once else count * access.buffer.dtype.nbytes
        latency = max(0.0, 8.0 - accumulators) * 0.5
        work = max(accumulators + latency, LOAD_COST * loads) + HIDDEN_LOAD_COST * loads
        if again * length > NEAR_BYTES:
            work += PANEL_BYTE_COST * again * lanes
        steps = -(-length // lanes)
        outer = 1
        for loop in found.serial:
            if loop.var != depth:
                outer *= _size(loop.extent)
        total = work * steps * outer + HORIZONTAL_COST * accumulators
        cost = total / (accumulators * length * outer)
        tile = Tile("depth", row, rows, column, columns, lanes, depth, (), cost)
        if best is None or tile.cost < best.cost:
            best = tile
    assert best is not None
    return best


def even_rows(extent: int, most: int) -> int:
    """The greatest tile no larger than `most` that splits an extent most evenly."""
    if extent <= most:
        return max(1, extent)
    return -(-extent // -(-extent // most))


Trips = Sequence[tuple[LoopVar, int]]


def choose_order(found: Contraction, tile: Tile) -> tuple[str, int]:
    """The order of the loops around a tile with the least traffic, and its bytes.

    The orders, from the outside in: "others columns rows", "columns others rows" and "rows others
    columns", where `others` are the loops that are not tiled.
    """
    inner = tile.column_axis if tile.block_axis is None else tile.block_axis
    step = tile.columns
    if tile.form == "columns" and tile.block_axis is None:
        step *= tile.lanes
    rows: Trips = () if tile.row_axis is None else ((tile.row_axis, tile.rows),)
    if tile.deep_axis is not None:
        rows = ((tile.deep_axis, tile.deep), *rows)
    columns: Trips = () if inner is None else ((inner, step),)
    parts = {
        "rows": [(v, -(-_size(found.extent(v)) // most)) for v, most in rows],
        "columns": [(v, -(-_size(found.extent(v)) // most)) for v, most in columns],
        "others": [
            (loop.var, _size(loop.extent))
            for loop in found.parallel
            if loop.var not in (tile.row_axis, tile.deep_axis, tile.column_axis, tile.block_axis)
        ],
    }
    sizes = {loop.var: _size(loop.extent) for loop in found.serial}
    sizes |= dict(rows) | dict(columns)
    if tile.block_axis is not None and tile.column_axis is not None:
        sizes[tile.column_axis] = tile.lanes
    best: tuple[str, int] | None = None
    for order in ("others columns rows", "columns others rows", "rows others columns"):
        loops = [loop for part in order.split() for loop in parts[part]]
        nbytes = _traffic(found, loops, sizes)
        if best is None or nbytes < best[1]:
            best = order, nbytes
    assert best is not None
    return best


def _footprint(access: Access, inside: dict[LoopVar, int]) -> int:
    """Bytes of a buffer that loops of these extents touch; overlapping windows count once."""
    nbytes = access.buffer.dtype.nbytes
    for dim, extent in zip(access.index, access.buffer.shape, strict=True):
        width = 1
        for var, count in inside.items():
            step = dims.coefficient(dim, var)
            if step is None:
                width *= count
            elif isinstance(step, int):
                width += abs(step) * (count - 1)
        nbytes *= min(width, extent) if isinstance(extent, int) else width
    return nbytes


def _traffic(found: Contraction, loops: Trips, sizes: dict[LoopVar, int]) -> int:
    """Bytes read from afar: an operand is read again for every round of a loop that does not move
    along it when what one round touches is more than the near cache keeps."""
    moving = [[_moves(found, a, var) for var, _ in loops] for a in found.loads]
    inside = dict(sizes)
    wholes = [a.buffer.nbytes for a in found.loads]
    rounds = [1] * len(found.loads)
    for position in reversed(range(len(loops))):
        var, trips = loops[position]
        touched = [_footprint(a, inside) for a in found.loads]
        held = sum(min(n, w) if isinstance(w, int) else n
                   for n, w in zip(touched, wholes, strict=True))  # fmt: skip
        inside[var] = inside.get(var, 1) * trips
        for number, moves in enumerate(moving):
            if not moves[position] and held > CACHE_BYTES:
                rounds[number] *= trips
    touched = [_footprint(a, inside) for a in found.loads]
    total = 0
    for nbytes, whole, times in zip(touched, wholes, rounds, strict=True):
        once = min(nbytes, whole) if isinstance(whole, int) else nbytes
        total += once * times
    return total
