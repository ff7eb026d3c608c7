"""One loop in blocks: all of one size, but the last one may be shorter.

    parallel i < 23: f(i)   ->   parallel b < 5:
                                   if b < 4:  parallel i < 5: f(5*b+i)
                                   else:      parallel i < 3: f(5*b+i)

Both parts have loops of their own: where the extent is known, all of theirs are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .. import dims
from ..dims import Dim, LoopVar
from ..ir import Block, Expr, For, IndexValue, call


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """`number` counts the blocks of a loop, `size` iterations each."""

    loop: For
    size: int
    number: LoopVar

    @property
    def whole(self) -> Dim:
        """How many blocks are of the full size."""
        return dims.floordiv(self.loop.extent, self.size)

    @property
    def left(self) -> Dim:
        """The iterations of the block behind those, which may be none."""
        return dims.mod(self.loop.extent, self.size)

    @property
    def is_even(self) -> bool:
        """There is no shorter block."""
        return dims.exact_quotient(self.loop.extent, self.size) is not None

    @property
    def count(self) -> Dim:
        """How many blocks there are."""
        return dims.ceildiv(self.loop.extent, self.size)

    @property
    def around(self) -> For:
        """The loop over the blocks."""
        return For(self.number, self.count, "parallel", Block(()))

    def value(self) -> Dim:
        """What the loop's variable becomes."""
        within: Dim = self.loop.var if self.size > 1 else 0
        return dims.add(dims.mul(self.number, self.size), within)

    def extent(self, last: bool) -> Dim:
        """The iterations of a whole block, or of the one behind them."""
        return self.left if last and not self.is_even else self.size

    def numbers(self, last: bool) -> tuple[int | None, int | None]:
        """The interval of the blocks' numbers."""
        low, high = dims.bounds(self.whole)
        if last and not self.is_even:
            return low, high
        return 0, None if high is None else max(high - 1, 0)

    def is_whole(self) -> Expr:
        """Whether a block is of the full size."""
        return call("lt", IndexValue(self.number), IndexValue(self.whole))


def cuts_of(loops: tuple[For, ...], sizes: Mapping[LoopVar, int]) -> tuple[Cut, ...] | None:
    """The loops that have a size, cut; None where several of them would leave shorter blocks."""
    cuts = tuple(Cut(x, sizes[x.var], LoopVar("b")) for x in loops if x.var in sizes)
    return cuts if sum(not cut.is_even for cut in cuts) <= 1 else None
