"""The part of an intermediate that a block needs: an interval of each axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

from .. import dims
from ..dims import Dim, LoopVar, Ranges
from .cut import Cut
from .nests import shifted


@dataclass(frozen=True, slots=True)
class Region:
    """`extents` of each axis from `start` on."""

    start: tuple[Dim, ...]
    extents: tuple[Dim, ...]
    beside: tuple[tuple[int, int], ...] = ()
    """Room before and after it along each axis."""

    @property
    def shape(self) -> tuple[Dim, ...]:
        """What is kept."""
        pairs = zip(self.extents, self.beside, strict=True)
        return tuple(dims.add(extent, before + after) for extent, (before, after) in pairs)


Reach = tuple[Dim, Dim | None]
"""Where the elements start that one index reaches in a block, and how many they are; None: it is
the same in every block, and all of the axis is needed."""


def reach(
    dim: Dim,
    numbers: Set[LoopVar],
    ranges: Ranges,
    extent_of: Callable[[LoopVar], Dim | None],
) -> Reach | None:
    """What an index reaches in a block; None where that is no interval that moves with it.

    `numbers` are the variables that count blocks.
    """
    terms, constant = dims.terms_of(dim)
    moving: dict[tuple[dims.Atom, ...], int] = {}
    still: dict[tuple[dims.Atom, ...], int] = {}
    for monomial, factor in terms:
        used = [a for atom in monomial for a in dims.atoms(atom)]
        if numbers.isdisjoint(used):
            still[monomial] = factor
        elif all(a in numbers for a in used if isinstance(a, LoopVar)):
            moving[monomial] = factor
        else:
            return None
    if not moving:
        return constant, None
    start, rest = dims.from_terms(moving, constant), dims.from_terms(still, 0)
    variable, _ = shifted(rest)
    extent = None if variable is None else extent_of(variable)
    if extent is not None and not isinstance(extent, int):
        return start, extent
    low, high = dims.bounds(rest, ranges)
    if low is None or high is None:
        return None
    return dims.add(start, low), high - low + 1


def interval(
    found: Sequence[Reach], axis: Dim, cuts: Sequence[Cut], ranges: Ranges, last: bool
) -> tuple[Dim, Dim] | None:
    """One interval of an axis that holds several; the whole axis where no block cuts it."""
    if all(count is None for _, count in found):
        return 0, axis
    counts = [count for _, count in found if isinstance(count, int)]
    if any(count is None for _, count in found):
        return None
    if not isinstance(axis, int) or len(counts) < len(found):
        return _open_interval(found, axis, cuts, last)
    first = found[0][0]
    gaps = [dims.add(start, dims.mul(first, -1)) for start, _ in found]
    known = [gap for gap in gaps if isinstance(gap, int)]
    if len(known) < len(gaps):
        return None
    least = min(known)
    end = max(gap + count for gap, count in zip(known, counts, strict=True))
    start, count = dims.add(first, least), end - least
    if count >= axis:
        return 0, axis
    low, high = dims.bounds(start, ranges)
    if low is None or high is None:
        return None
    # What a condition keeps from being read may lie outside.
    if high + count > axis:
        start = dims.minimum(start, axis - count)
    return (dims.maximum(start, 0) if low < 0 else start), count


def _open_interval(
    found: Sequence[Reach], axis: Dim, cuts: Sequence[Cut], last: bool
) -> tuple[Dim, Dim] | None:
    """The same along an open axis: one interval that all reach and that lies inside for certain."""
    start, count = found[0]
    assert count is not None
    if any(other != (start, count) for other in found):
        return None
    is_one = count == 1 and not isinstance(axis, int)
    if is_one or any(_lies_inside(start, count, axis, cut, last) for cut in cuts):
        return start, count
    return None


def _lies_inside(start: Dim, count: Dim, axis: Dim, cut: Cut, last: bool) -> bool:
    """size*b + c <= start and start + count <= axis wherever b is the number of a block."""
    offset = dims.add(start, dims.mul(cut.number, -cut.size))
    room = dims.add(axis, dims.mul(cut.loop.extent, -1))
    more = dims.add(count, dims.mul(cut.extent(last), -1))
    if not (isinstance(offset, int) and isinstance(room, int) and isinstance(more, int)):
        return False
    return offset >= 0 and offset + more <= room
