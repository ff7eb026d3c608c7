"""Which loops of a contraction become lanes and register tiles, chosen by counting.

Two forms:

columns   lanes run along an independent loop, best one in which the result is contiguous; a tile is
          rows x vectors accumulators; one operand is loaded as vectors, the other is broadcast
depth     lanes run along the summed loop in which all operands are contiguous; a tile is
          rows x columns accumulators, each added up over its lanes at the end

For each form, axis and tile the instructions for one useful multiplication are estimated from the
number of accumulators, loads and wasted lanes, and the cheapest is taken.  A tile leaves room for
the operands: rows*vectors + vectors + 1 registers.

An extent is open because it varies: a tile over one is judged at few elements and at many, with
what is left of them in smaller tiles (see `pieces`), and the least product of both costs wins.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod

from ...kernel import dims
from ...kernel.dims import Dim, DimVar, LoopVar
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

UNROLLED_BYTE_COST = 0.003
"""The same where two summed elements are taken at once."""

SPARE_REGISTERS = 3
"""Registers that have to be left where two summed elements are taken at once."""

MOST_PANEL_BYTES = 512 * 1024
"""A panel of vectors that a core's own cache keeps, whatever else passes by."""

SCATTERED_ROWS_COST = 1.03
"""What rows cost that lie further apart than a few lines: each is in a page of its own."""

SCATTERED_BYTES = 512

HORIZONTAL_COST = 9.0
"""Adding up the lanes of one accumulator."""

SCATTER_COST = 3.0
"""Storing one element of a vector to a place of its own."""

CROWDED_SCATTER_COST = 2.0
"""The same where the places push each other out of the nearest cache, in parts of what a set of it
holds."""

CROWD = 4
"""Vectors that are stored to scattered places one after the other."""

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
"""What an open extent counts as where one number has to do."""

OPEN_EXTENTS = (1, OPEN_EXTENT)
"""The extents at which a tile over an open one is judged."""

MOST_LOST = 1.25
"""What a tile may cost at the largest of them, against the cheapest tile there."""

REST_ROWS = 4
"""Rows of the smaller tile for what is left of an open extent."""

OPEN_HEIGHTS = (4, 6, 8)
"""Rows that are tried along an open extent, besides the most that registers hold."""

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
    copy so that the rows of a tile lie side by side.  `steps` summed elements are taken at once,
    one after the other, so that loads start earlier.  `costs` are those at each judged extent,
    `cost` their product.
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


def choose_tile(
    found: Contraction, machine: Machine, lanes: int, constants: frozenset[Buffer] = frozenset()
) -> Tile | None:
    """The cheapest tile, or None when no operand is used twice and lanes along an independent loop
    do as well.  Packing `constants` costs nothing."""
    extents = judged_extents(found)
    along_sums = () if machine.ordered_sums else _depth(found, machine, lanes, extents)
    tiles = (*_columns(found, machine, lanes, constants, extents), *along_sums)
    if len(extents) == 1:
        return _cheapest(found, tiles, extents[0])
    totals = [
        tuple(_total(found, t, n, own) for n, own in zip(extents, t.costs, strict=True))
        for t in tiles
    ]
    bound = MOST_LOST * min((t[-1] for t in totals), default=0.0)
    best: Tile | None = None
    for tile, total in zip(tiles, totals, strict=True):
        score = prod(total)
        if total[-1] <= bound and (best is None or score < best.cost * 0.999):
            best = replace(tile, cost=score)
    return best


def _cheapest(found: Contraction, tiles: Sequence[Tile], n: int) -> Tile | None:
    best: Tile | None = None
    own = 0.0
    """What the best tile costs by itself: that decides where traffic is all that counts."""
    for tile in tiles:
        if best is not None and tile.cost >= best.cost * 0.999:
            continue
        total = _total(found, tile, n, tile.cost)
        alike = best is not None and 0.999 <= total / best.cost < 1.001
        if best is None or total < best.cost * 0.999 or (alike and tile.cost < own * 0.999):
            best, own = replace(tile, cost=total), tile.cost
    return best


def _total(found: Contraction, tile: Tile, n: int, own: float) -> float:
    """What a tile costs at an extent, `own` without what it reads from afar."""
    far = _order_at(found, tile, n)[1] / _multiplications(found, n)
    both = own, STREAM_COST * far
    return max(both) + BESIDE_COST * min(both) + FAR_BYTE_COST * far


def judged_extents(found: Contraction) -> tuple[int, ...]:
    """The numbers that open extents stand for, one where none is open."""
    loops = (*found.parallel, *found.serial)
    closed = all(isinstance(loop.extent, int) for loop in loops)
    return (OPEN_EXTENT,) if closed else OPEN_EXTENTS


def _multiplications(found: Contraction, n: int) -> int:
    total = 1
    for loop in (*found.parallel, *found.serial):
        total *= _size(loop.extent, n)
    return total


def _depth_of(found: Contraction, n: int) -> int:
    """Multiplications for one element of the result."""
    total = 1
    for loop in found.serial:
        total *= _size(loop.extent, n)
    return total


def _size(extent: Dim, n: int) -> int:
    """An extent where open ones are `n`."""
    return max(1, extent) if isinstance(extent, int) else _size_at(extent, n)


@lru_cache(maxsize=4096)
def _size_at(extent: Dim, n: int) -> int:
    """Loops around it are in their first round."""
    env = {a: n if isinstance(a, DimVar) else 0 for a in dims.atoms(extent) if not a.children()}
    if any(not isinstance(a, (DimVar, LoopVar)) for a in env):
        return n
    return max(1, int(dims.evaluate(extent, env)))


def pieces(extent: Dim, most: int, n: int) -> tuple[tuple[int, float], ...]:
    """How many tiles of how many rows (see `_rows` in schedule_contraction.py) cover an extent;
    the average of the two heights where it is known."""
    size = _size(extent, n)
    if isinstance(extent, int):
        count = -(-size // most)
        return ((count, size / count),)
    full, left = divmod(size, most)
    few, single = divmod(left, REST_ROWS) if most > REST_ROWS else (0, left)
    return tuple((c, float(r)) for c, r in ((full, most), (few, REST_ROWS), (single, 1)) if c)


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
        vectors = [a for a in found.loads if _moves(found, a, column.var)]
        rest = [a for a in found.loads if a not in vectors]
        if not vectors:
            continue
        steps = {a: found.stride_of(a, column.var) for a in vectors}
        ahead = [a for a in vectors
                 if a.buffer in constants and not (steps[a] == 1 and extent in (4, 8, 16))
                 and _packs_ahead(found, a, column.var)]  # fmt: skip
        strided = tuple(a for a, step in steps.items() if not _is_short(step) and a not in ahead)
        # A short stride is loaded as several vectors and shuffled.
        weight = sum(2 * step - 1 if isinstance(step, int) and _is_short(step) and a not in ahead
                     else 1 for a, step in steps.items())  # fmt: skip
        packed = (*strided, *ahead)
        if not _pays(found, strided, extents[-1]):
            continue
        scattered = _scatter_cost(found, column.var, lanes)
        pack = tuple(
            _pack_cost(found, strided, n) + scattered / _depth_of(found, n) for n in extents
        )
        for row in (*(p for p in found.parallel if p is not column), None):
            if row is not None:
                reused = any(not _moves(found, a, row.var) for a in vectors)
                if row.extent in (0, 1) or not reused:
                    continue
            row_var = row.var if row else None
            axes = _Axes(found, extents, column.var, row_var, None, weight / len(vectors), rest,
                         packed, pack)  # fmt: skip
            yield from _column_tiles(axes, machine, lanes)
            if packed or column.extent not in (4, 8, 16) or column.extent > lanes:
                continue
            for other in found.parallel:
                if other is not column and other is not row and _is_block(found, other, vectors):
                    blocked = replace(axes, blocks=other.var)
                    yield from _column_tiles(blocked, machine, column.extent)


def _scatter_cost(found: Contraction, column: LoopVar, lanes: int) -> float:
    """Cost of storing one element of the result, along a column, to places of its own."""
    total = 0.0
    for access in found.stores:
        if found.stride_of(access, column) != 1:
            crowded = _crowding(found, access, column, CROWD * lanes)
            total += SCATTER_COST * (1.0 + CROWDED_SCATTER_COST * crowded)
    return total


def _is_block(found: Contraction, loop: For, vectors: list[Access]) -> bool:
    """A loop along which the operand in vectors moves, the one that is broadcast does not."""
    if not isinstance(loop.extent, int) or loop.extent < 2:
        return False
    return all(_moves(found, a, loop.var) == (a in vectors) for a in found.loads)


@dataclass(frozen=True)
class _Axes:
    """What all tiles of lanes along `column` with rows along `row` share.

    `weight` loads fill a vector, `scalars` are the operands that are broadcast, `packed` those that
    are copied first, `pack` what that costs at each of `extents`.
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

    @property
    def vectors(self) -> list[Access]:
        return [a for a in self.found.loads if a not in self.scalars]

    @property
    def shared(self) -> int:
        """Operands in vectors that the rows share."""
        row = self.row
        return sum(row is None or not _moves(self.found, a, row) for a in self.vectors)

    @property
    def height(self) -> Dim:
        return 1 if self.row is None else self.found.extent(self.row)


def _column_tiles(axes: _Axes, machine: Machine, lanes: int) -> Iterator[Tile]:
    found, largest = axes.found, axes.extents[-1]
    size, height = _size(found.extent(axes.column), largest), _size(axes.height, largest)
    width = lanes
    while width >= 4:
        count = -(-size // width) if axes.blocks is None else _size(
            found.extent(axes.blocks), largest)  # fmt: skip
        widest = MOST_VECTORS if height > 1 else MOST_VECTORS_ALONE
        for columns in range(1, min(widest, count) + 1):
            most = min((machine.registers - 1 - columns) // columns, MOST_ROWS)
            if most < 1:
                break
            if axes.blocks is not None and even_rows(count, columns) != columns:
                continue
            for rows, deep_axis, deep in _row_choices(axes, most):
                steps = _steps(axes, machine, rows * deep, columns, width)
                costs = tuple(
                    _column_cost(axes, rows, deep_axis, deep, columns, width, steps, n) + pack
                    for n, pack in zip(axes.extents, axes.pack, strict=True)
                )
                tile = Tile("columns", axes.row, rows, axes.column, columns, width, None,
                            axes.packed, prod(costs), axes.blocks, deep_axis, deep,
                            steps=steps, costs=costs)  # fmt: skip
                yield from _with_rows_near(found, tile, axes.scalars)
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
    size = _size(extent, n)
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
    panel = _depth_of(found, axes.extents[-1]) * columns * width * _widest_nbytes(axes.vectors)
    far = any(_is_streamed(found, a, axes.row) for a in axes.scalars)
    even = isinstance(inner, int) and inner % 2 == 0 and len(found.serial) == 1
    fits = machine.fma and (rows + 1) * columns + 1 + SPARE_REGISTERS <= machine.registers
    return 2 if far and even and fits and NEAR_BYTES < panel <= MOST_PANEL_BYTES else 1


def _is_streamed(found: Contraction, access: Access, row: LoopVar | None) -> bool:
    """Neighbouring rows lie apart, and a core's own cache does not keep all of them."""
    nbytes = access.buffer.nbytes
    large = isinstance(nbytes, int) and nbytes > CACHE_BYTES
    return row is not None and large and is_far(found, access, row)


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
    if _depth_of(axes.found, n) * columns * width * nbytes > NEAR_BYTES:
        # The vectors that the rows share; those of one row alone are loaded anyway.
        price = PANEL_BYTE_COST if steps == 1 else UNROLLED_BYTE_COST
        work += price * shared * columns * width * nbytes
    return work


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
    yield _costing(tile, [c * (1.0 + CROWDED_COST * worst) for c in tile.costs])
    extent = found.extent(row)
    even = isinstance(extent, int) and extent % tile.rows == 0 and tile.deep_axis is None
    extents = judged_extents(found)
    pays = even and _pays(found, tuple(crowded), extents[-1])
    if pays and all(_is_plain(found, a) for a in crowded):
        near = [c / SCATTERED_ROWS_COST + _pack_cost(found, tuple(crowded), n)
                for c, n in zip(tile.costs, extents, strict=True)]  # fmt: skip
        yield replace(_costing(tile, near), packed_rows=tuple(crowded))


def _costing(tile: Tile, costs: Sequence[float]) -> Tile:
    return replace(tile, costs=tuple(costs), cost=prod(costs))


def _is_plain(found: Contraction, access: Access) -> bool:
    """Each axis of an operand is a loop, and it is read in one way."""
    variables = {loop.var for loop in (*found.parallel, *found.serial)}
    once = sum(a.buffer is access.buffer for a in found.loads) == 1
    return once and all(d == 0 or d in variables for d in access.index)


def _row_choices(axes: _Axes, most: int) -> Iterator[tuple[int, LoopVar | None, int]]:
    """Rows of a tile, and the second axis with its steps.

    A second axis joins where the whole first one leaves room, as in images of 7x7.
    """
    found, extent = axes.found, axes.height
    if not isinstance(extent, int):
        size = _size(extent, axes.extents[-1])
        tried = (even_rows(size, min(most, size)), *(r for r in OPEN_HEIGHTS if r <= most))
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
        if any(_moves(found, a, loop.var) for a in axes.vectors):
            continue
        deep = even_rows(extent, min(most // height, extent))
        if deep > 1:
            yield height, loop.var, deep


def _is_short(step: Dim | None) -> bool:
    return isinstance(step, int) and 1 <= step <= MOST_STRIDE


def is_far(found: Contraction, access: Access, row: LoopVar) -> bool:
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


def _uses(found: Contraction, access: Access, n: int) -> float:
    """How often an element of an operand is read."""
    uses = 1.0
    for loop in (*found.parallel, *found.serial):
        if not _moves(found, access, loop.var):
            uses *= _size(loop.extent, n)
    return uses


def _is_read_once(found: Contraction, access: Access) -> bool:
    """One copy in another order serves all that reads the operand."""
    reads = {
        e.index
        for top in expressions(found.inner)
        for e in walk(top)
        if isinstance(e, Load) and e.tensor is access.buffer
    }
    return len(reads) == 1


def _pays(found: Contraction, packed: tuple[Access, ...], n: int) -> bool:
    """Operands can be copied first, and are used often enough for that."""
    return all(_is_read_once(found, a) and _uses(found, a, n) >= 4 for a in packed)


def _pack_cost(found: Contraction, packed: tuple[Access, ...], n: int) -> float:
    """Cost of copying operands, for one multiplication of the contraction."""
    return sum(PACK_COST / _uses(found, access, n) for access in packed)


def _depth(
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
    extents: tuple[int, ...],
) -> Tile:
    height = 1 if row is None else _size(found.extent(row), extents[-1])
    width = 1 if column is None else _size(found.extent(column), extents[-1])
    length = _size(found.extent(depth), extents[-1])
    while lanes > 4 and lanes // 2 >= length:
        lanes //= 2
    best: Tile | None = None
    for rows in range(1, min(height, 8) + 1):
        columns = min((machine.registers - 2 - rows) // rows, width, 8)
        if columns < 1:
            break
        rows, columns = even_rows(height, rows), even_rows(width, columns)
        tile = Tile("depth", row, rows, column, columns, lanes, depth, (), 0.0)
        tile = _costing(tile, [_depth_cost(found, tile, n) for n in extents])
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
    length = _size(found.extent(tile.depth_axis), n)
    # Of known extents as if tiles were all alike.
    lines = ((1, tile.rows),) if isinstance(high, int) else pieces(high, tile.rows, n)
    runs = ((1, tile.columns),) if isinstance(wide, int) else pieces(wide, tile.columns, n)
    outer = _depth_of(found, n) // length
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
    height = 1 if row is None else _size(found.extent(row), n)
    width = 1 if column is None else _size(found.extent(column), n)
    assert tile.depth_axis is not None
    length = _size(found.extent(tile.depth_axis), n)
    loads = again = 0
    for access in found.loads:
        by_row = row is not None and _moves(found, access, row)
        by_column = column is not None and _moves(found, access, column)
        count = (rows if by_row else 1) * (columns if by_column else 1)
        loads += count
        # What one tile reads for all that need it has to come from afar in any case.
        once = (by_row or rows >= height) and (by_column or columns >= width)
        again += 0 if once else count * access.buffer.dtype.nbytes
    accumulators = rows * columns
    latency = max(0.0, 8.0 - accumulators) * 0.5
    work = max(accumulators + latency, LOAD_COST * loads) + HIDDEN_LOAD_COST * loads
    return work + (PANEL_BYTE_COST * again * tile.lanes if again * length > NEAR_BYTES else 0.0)


def even_rows(extent: int, most: int) -> int:
    """The greatest tile no larger than `most` that splits an extent most evenly."""
    if extent <= most:
        return max(1, extent)
    return -(-extent // -(-extent // most))


Trips = Sequence[tuple[LoopVar, int]]


ORDERS = ("others columns rows", "columns others rows", "rows others columns")
"""The orders of the loops around a tile, from the outside in; `others` are those not tiled."""


def choose_order(found: Contraction, tile: Tile) -> str:
    """The order of the loops around a tile with the least traffic, at all judged extents."""
    extents = judged_extents(found)
    if len(extents) == 1:
        return _order_at(found, tile, extents[0])[0]
    traffic = [_traffic_by_order(found, tile, n) for n in extents]
    scores = [prod(by_order) for by_order in zip(*traffic, strict=True)]
    return ORDERS[scores.index(min(scores))]


def _order_at(found: Contraction, tile: Tile, n: int) -> tuple[str, int]:
    """The order with the least traffic where open extents are `n`, and its bytes."""
    traffic = _traffic_by_order(found, tile, n)
    return ORDERS[traffic.index(min(traffic))], min(traffic)


def _traffic_by_order(found: Contraction, tile: Tile, n: int) -> list[int]:
    inner = tile.column_axis if tile.block_axis is None else tile.block_axis
    step = tile.columns
    if tile.form == "columns" and tile.block_axis is None:
        step *= tile.lanes
    rows: Trips = () if tile.row_axis is None else ((tile.row_axis, tile.rows),)
    if tile.deep_axis is not None:
        rows = ((tile.deep_axis, tile.deep), *rows)
    columns: Trips = () if inner is None else ((inner, step),)
    parts = {
        "rows": [(v, -(-_size(found.extent(v), n) // most)) for v, most in rows],
        "columns": [(v, -(-_size(found.extent(v), n) // most)) for v, most in columns],
        "others": [
            (loop.var, _size(loop.extent, n))
            for loop in found.parallel
            if loop.var not in (tile.row_axis, tile.deep_axis, tile.column_axis, tile.block_axis)
        ],
    }
    sizes = {loop.var: _size(loop.extent, n) for loop in found.serial}
    for var, step in (*rows, *columns):
        extent = found.extent(var)
        sizes[var] = step if isinstance(extent, int) else min(step, _size(extent, n))
    if tile.block_axis is not None and tile.column_axis is not None:
        sizes[tile.column_axis] = tile.lanes
    return [
        _traffic(found, [loop for part in order.split() for loop in parts[part]], sizes)
        for order in ORDERS
    ]


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
