"""What the loops around a register tile read from afar, and the order of them that reads least."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod

from ...kernel import dims
from ...kernel.dims import Dim, LoopVar
from .contraction import Contraction
from .strides import Access
from .tile import Tile, judged_extents, moves, size_of

CACHE_BYTES = 768 * 1024
"""What of a core's own cache an operand may take and stay there between tiles."""

Trips = Sequence[tuple[LoopVar, int]]

ORDERS = ("others columns rows", "columns others rows", "rows others columns")
"""The orders of the loops around a tile, from the outside in; `others` are those not tiled."""


def choose_order(found: Contraction, tile: Tile) -> str:
    """The order of the loops around a tile with the least traffic, at all judged extents."""
    extents = judged_extents(found)
    if len(extents) == 1:
        return order_at(found, tile, extents[0])[0]
    traffic = [_traffic_by_order(found, tile, n) for n in extents]
    scores = [prod(by_order) for by_order in zip(*traffic, strict=True)]
    return ORDERS[scores.index(min(scores))]


def order_at(found: Contraction, tile: Tile, n: int) -> tuple[str, int]:
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
        "rows": [(v, -(-size_of(found.extent(v), n) // most)) for v, most in rows],
        "columns": [(v, -(-size_of(found.extent(v), n) // most)) for v, most in columns],
        "others": [
            (loop.var, size_of(loop.extent, n))
            for loop in found.parallel
            if loop.var not in (tile.row_axis, tile.deep_axis, tile.column_axis, tile.block_axis)
        ],
    }
    sizes = {loop.var: size_of(loop.extent, n) for loop in found.serial}
    for var, step in (*rows, *columns):
        extent = found.extent(var)
        sizes[var] = step if isinstance(extent, int) else min(step, size_of(extent, n))
    if tile.block_axis is not None and tile.column_axis is not None:
        sizes[tile.column_axis] = tile.lanes
    return [
        _traffic(found, [loop for part in order.split() for loop in parts[part]], sizes, n)
        for order in ORDERS
    ]


def _footprint(access: Access, inside: dict[LoopVar, int], n: int) -> int:
    """Bytes of a buffer that loops of these extents touch, where open ones are `n`; overlapping
    windows count once."""
    nbytes = access.buffer.dtype.nbytes
    for moving, extent in zip(_movements(access.index), access.buffer.shape, strict=True):
        width = 1
        if isinstance(moving, tuple):
            for var, step in moving:
                if var in inside:
                    width += step * (inside[var] - 1)
        else:
            for var, count in inside.items():
                step_ = moving.get(var, 0)
                width = width * count if step_ is None else width + step_ * (count - 1)
        nbytes *= min(width, size_of(extent, n))
    return nbytes


Movement = tuple[tuple[LoopVar, int], ...] | dict[LoopVar, int | None]
"""How far loops move along an axis: a number of elements for each, or, where some move by steps
that are not the same everywhere (None), a table in which the order of the loops counts."""


@lru_cache(maxsize=1 << 12)
def _movements(index: tuple[Dim, ...]) -> tuple[Movement, ...]:
    found: list[Movement] = []
    for dim in index:
        steps = {v: _step(dim, v) for v in dims.atoms(dim) if isinstance(v, LoopVar)}
        even = tuple((var, step) for var, step in steps.items() if step is not None)
        found.append(even if len(even) == len(steps) else steps)
    return tuple(found)


def _step(dim: Dim, var: LoopVar) -> int | None:
    step = dims.coefficient(dim, var)
    if step is None:
        return None
    return abs(step) if isinstance(step, int) else 0


def _traffic(found: Contraction, loops: Trips, sizes: dict[LoopVar, int], n: int) -> int:
    """Bytes read from afar: an operand is read again for every round of a loop that does not move
    along it when what one round touches is more than the near cache keeps."""
    moving = [[moves(found, a, var) for var, _ in loops] for a in found.loads]
    inside = dict(sizes)
    wholes = [size_of(a.buffer.nbytes, n) for a in found.loads]
    rounds = [1] * len(found.loads)
    for position in reversed(range(len(loops))):
        var, trips = loops[position]
        touched = [_footprint(a, inside, n) for a in found.loads]
        held = sum(min(part, w) for part, w in zip(touched, wholes, strict=True))
        inside[var] = inside.get(var, 1) * trips
        for number, along in enumerate(moving):
            if not along[position] and held > CACHE_BYTES:
                rounds[number] *= trips
    touched = [_footprint(a, inside, n) for a in found.loads]
    total = 0
    for nbytes, whole, times in zip(touched, wholes, rounds, strict=True):
        total += min(nbytes, whole) * times
    return total
