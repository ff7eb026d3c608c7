"""What operands of a tile cost: loads, copies in another order, stores to scattered places.

Costs are in multiplications of vectors.
"""

from __future__ import annotations

from math import gcd

from ...kernel.dims import Dim, LoopVar
from ...kernel.ir import Load
from ...kernel.packing import packing_of
from ...kernel.rewrite import expressions, walk
from .contraction import Contraction
from .memory import MOST_STRIDE
from .schedule_loops import MOST_LANES
from .strides import Access
from .tile import depth_of, moves, packed_order, size_of

LOAD_COST = 1.2
"""A load, against a multiplication of vectors: hardly as many of them as of those can start in a
cycle."""

HIDDEN_LOAD_COST = 0.03
"""What a load costs beside enough multiplications: it may cross a line or miss the cache."""

NEAR_BYTES = 32 * 1024
"""What of an operand stays in the nearest cache while a tile passes by."""

PANEL_BYTE_COST = 0.01
"""A byte of vectors that comes from the second cache, against a multiplication of vectors."""

SCATTERED_BYTES = 512

SCATTER_COST = 3.0
"""Storing one element of a vector to a place of its own."""

CROWDED_SCATTER_COST = 2.0
"""The same where the places push each other out of the nearest cache, in parts of what a set of it
holds."""

CROWD = 4
"""Vectors that are stored to scattered places one after the other."""

PACK_COST = 10.0
"""Copying one element into another order."""

TURN_COST = 1.0
"""The same where tiles can be turned round in registers."""

STRAIGHT_COST = 1.0
"""The same where runs of neighbours stay together."""

FAR_COPY = 2.5
"""How much more a copy costs that the second cache does not keep."""

FAR_COPY_BYTES = 1024 * 1024
"""Operands of so many bytes are copied from afar to afar."""

CACHE_SETS, CACHE_WAYS, LINE_BYTES = 64, 12, 64
"""The nearest cache."""

SECOND_SETS, SECOND_WAYS = 2048, 8
"""The second cache."""

PAGE_BYTES, PAGES = 4096, 64
"""A page, and how many of them are found at once."""

PAGE_COST = 9.0
"""Finding a page that has not been used for long, against a multiplication of vectors."""

FAR_LINE_COST = 15.0
"""A line that other lines of the same operand have pushed out of the second cache."""

NEAR_LINE_COST = 1.5
"""The same of the nearest cache."""


def packs_ahead(found: Contraction, access: Access, column: LoopVar) -> bool:
    """A constant operand can be packed before the program runs."""
    if not _is_read_once(found, access):
        return False
    order = [(loop.var, loop.extent) for loop in packed_order(found, access, column)]
    return packing_of(access.index, access.buffer.shape, order, 1) is not None


def scatter_cost(found: Contraction, column: LoopVar, lanes: int) -> float:
    """Cost of storing one element of the result, along a column, to places of its own."""
    total = 0.0
    for access in found.stores:
        if found.stride_of(access, column) != 1:
            crowded = crowding(found, access, column, CROWD * lanes)
            total += SCATTER_COST * (1.0 + CROWDED_SCATTER_COST * crowded)
    return total


def is_plain(found: Contraction, access: Access) -> bool:
    """Each axis of an operand is a loop, and it is read in one way."""
    variables = {loop.var for loop in (*found.parallel, *found.serial)}
    once = sum(a.buffer is access.buffer for a in found.loads) == 1
    return once and all(d == 0 or d in variables for d in access.index)


def is_copied_once(found: Contraction, access: Access) -> bool:
    """A copy in another order has each element once: no windows overlap."""
    return is_plain(found, access) or packs_ahead(found, access, found.serial[-1].var)


def is_short(step: Dim | None) -> bool:
    return isinstance(step, int) and 1 <= step <= MOST_STRIDE


def is_far(found: Contraction, access: Access, row: LoopVar) -> bool:
    """Neighbouring rows of an operand lie further apart than a few lines."""
    step = found.stride_of(access, row)
    return not isinstance(step, int) or abs(step) * access.buffer.dtype.nbytes > SCATTERED_BYTES


def crowding(found: Contraction, access: Access, row: LoopVar, rows: int) -> float:
    """How far the rows of a tile fall on so few sets of the nearest cache that they push each
    other out: lines too many for a set, in parts of what it holds."""
    step = found.stride_of(access, row)
    if not isinstance(step, int) or step == 0:
        return 0.0
    nbytes = step * access.buffer.dtype.nbytes
    sets = [number * nbytes // LINE_BYTES % CACHE_SETS for number in range(rows)]
    return max(0.0, max(sets.count(s) for s in sets) / CACHE_WAYS - 1.0)


def scattered_steps(found: Contraction, access: Access, width: int, n: int) -> float:
    """What reading so many neighbours of an operand for each summed element costs beside the
    loads, where those of the next one lie far away: each is in a page of its own, or they push
    each other out of the caches before the next tile reads them again."""
    step = found.stride_of(access, found.serial[-1].var)
    size = access.buffer.dtype.nbytes
    if not isinstance(step, int) or abs(step) * size < max(LINE_BYTES, 2 * width * size):
        return 0.0
    far, depth = abs(step) * size, depth_of(found, n)
    lines = -(-width * size // LINE_BYTES)
    pages = depth * min(far, PAGE_BYTES) // PAGE_BYTES
    cost = PAGE_COST if pages > PAGES else 0.0
    if depth * lines > _held(far, lines, SECOND_SETS, SECOND_WAYS):
        return cost + FAR_LINE_COST * lines
    near = depth * lines * LINE_BYTES <= NEAR_BYTES
    crowded = near and depth * lines > _held(far, lines, CACHE_SETS, CACHE_WAYS)
    return cost + NEAR_LINE_COST * lines * crowded


def _held(far: int, lines: int, sets: int, ways: int) -> int:
    """Lines that a cache keeps of runs of `lines`, one every `far` bytes."""
    starts = sets * LINE_BYTES // gcd(far, sets * LINE_BYTES)
    return min(sets, starts * lines) * ways


def _uses(found: Contraction, access: Access, n: int) -> float:
    """How often an element of an operand is read."""
    uses = float(found.rounds.get(access.buffer, 1))
    for loop in (*found.parallel, *found.serial):
        if not moves(found, access, loop.var):
            uses *= size_of(loop.extent, n)
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


def is_worth_packing(found: Contraction, packed: tuple[Access, ...], n: int) -> bool:
    """Operands can be copied first, and are used often enough for that."""
    return all(_is_read_once(found, a) and _uses(found, a, n) >= 4 for a in packed)


def pack_cost(
    found: Contraction, packed: tuple[Access, ...], n: int, straight: bool = False
) -> float:
    """Cost of copying operands, for one multiplication of the contraction; `straight` where
    neighbours stay neighbours."""
    total = 0.0
    for access in packed:
        each = STRAIGHT_COST if straight else _copy_cost(found, access)
        nbytes = access.buffer.nbytes
        far = each < PACK_COST and isinstance(nbytes, int) and nbytes > FAR_COPY_BYTES
        total += each * (FAR_COPY if far else 1.0) / _uses(found, access, n)
    return total


def _copy_cost(found: Contraction, access: Access) -> float:
    """Cost of copying one element; rows that are long enough are turned round in registers.  What
    windows read several times would be copied as often, but inside loops over blocks."""
    loops = (*found.parallel, *found.serial)
    rows = [loop.extent for loop in loops if found.stride_of(access, loop.var) == 1]
    long = any(isinstance(extent, int) and extent >= MOST_LANES for extent in rows)
    turned = long and (is_copied_once(found, access) or access.buffer in found.rounds)
    return TURN_COST if turned else PACK_COST
