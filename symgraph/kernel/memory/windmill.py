"""Five rectangles around a centre: the one way to tile that straight cuts do not produce.

Every dissection of a rectangle into rectangles is built from straight cuts and windmills. In a
windmill each arm reaches from one side along the next arm to the centre:

    high  d d c c c        d = [start, left)    above a      c = [left, end)     above e and b
          d d c c c        e = [left, right)    between      b = [right, end)    below c
          d d e b b        a = [start, right)   below d and e
    low   a a a b b

so its lifetimes meet in four steps, and two sums of sizes agree: d = e + c and b = a + e. Buffers
for which all that holds by accident are rare.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

S = TypeVar("S")
Sums = Mapping[int, Sequence[S]]
"""What lives equally long, by size."""


def windmills(lives: Mapping[tuple[int, int], Sums[S]]) -> Iterator[tuple[S, S, S, S, S]]:
    """All (a, b, c, d, e) as above; `lives` maps (first, last) to what lives so long."""
    ends: dict[int, list[int]] = defaultdict(list)
    starts: dict[int, list[int]] = defaultdict(list)
    for first, last in lives:
        ends[last].append(first)
        starts[first].append(last)
    for (left, right), centres in lives.items():
        for start in ends[left]:
            for end in starts[right]:
                if (start, right) in lives and (left, end) in lives:
                    arms = (lives[start, right], lives[right, end], lives[left, end],
                            lives[start, left])  # fmt: skip
                    yield from _around(centres, *arms)


def _around(
    centres: Sums[S], lows: Sums[S], rights: Sums[S], highs: Sums[S], lefts: Sums[S]
) -> Iterator[tuple[S, S, S, S, S]]:
    for size, es in centres.items():
        below = [(a, b) for low, group in lows.items() if low + size in rights
                 for a in group for b in rights[low + size]]  # fmt: skip
        if not below:
            continue
        above = [(c, d) for high, group in highs.items() if high + size in lefts
                 for c in group for d in lefts[high + size]]  # fmt: skip
        yield from ((a, b, c, d, e) for a, b in below for c, d in above for e in es)
