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

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from ...kernel.ir import Buffer
from .contraction import Contraction
from .machine import Machine
from .tile import Tile, judged_extents, multiplications
from .tiles_along_sums import depth_tiles
from .tiles_of_columns import column_tiles
from .traffic import order_at

FAR_BYTE_COST = 0.03
"""A byte that does not come from a core's own cache, against a multiplication of vectors, where
there are enough of those to wait behind."""

STREAM_COST = 0.25
"""The same where there are not."""

BESIDE_COST = 0.1
"""What computing costs beside reading, or reading beside computing, whichever is longer."""

MOST_LOST = 1.25
"""What a tile may cost at the largest of them, against the cheapest tile there."""


def choose_tile(
    found: Contraction, machine: Machine, lanes: int, constants: frozenset[Buffer] = frozenset()
) -> Tile | None:
    """The cheapest tile, or None when no operand is used twice and lanes along an independent loop
    do as well.  Packing `constants` costs nothing."""
    extents = judged_extents(found)
    along_sums = () if machine.ordered_sums else depth_tiles(found, machine, lanes, extents)
    tiles = (*column_tiles(found, machine, lanes, constants, extents), *along_sums)
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
    far = order_at(found, tile, n)[1] / multiplications(found, n)
    both = own, STREAM_COST * far
    return max(both) + BESIDE_COST * min(both) + FAR_BYTE_COST * far
