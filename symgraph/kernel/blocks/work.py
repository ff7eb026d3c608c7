"""From the last kernel of a chain to the first: which part of each a block computes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from .. import dims
from ..dims import Dim, LoopVar, Ranges
from ..ir import Buffer, Expr, IndexValue, call
from ..rewrite import ExprRewriter
from .chain import Chain
from .cut import Cut, cuts_of
from .nests import Nest
from .region import Reach, Region, interval, reach

SHORT = 8
"""Elements of a border at most: as many are looked at in every block."""


class Cutting:
    """The ways to cut a chain into blocks, each worked out once.

    `rest` is that of the chain without its first kernel: what blocks of that need is worked out
    once for both.
    """

    def __init__(self, chain: Chain, rest: Cutting | None = None) -> None:
        self.chain = chain
        self.rest = rest
        self._known: dict[tuple[tuple[LoopVar, int], ...], Blocks | None] = {}

    def blocks(self, sizes: Mapping[LoopVar, int]) -> Blocks | None:
        """Blocks of these sizes of the last kernel's loops, others whole; None where what a block
        needs of an intermediate is no interval, or cannot be made by itself."""
        key = tuple(sizes.items())
        if key not in self._known:
            self._known[key] = self._worked(sizes)
        return self._known[key]

    def _worked(self, sizes: Mapping[LoopVar, int]) -> Blocks | None:
        if self.rest is None:
            cuts = cuts_of(self.chain.loops, sizes)
            return None if cuts is None else _both(self.chain, cuts, None)
        rest = self.rest.blocks(sizes)
        return None if rest is None else _both(self.chain, rest.cuts, rest)


def _both(chain: Chain, cuts: tuple[Cut, ...], rest: Blocks | None) -> Blocks | None:
    """The whole blocks, and the shorter one behind them."""
    blocks = Blocks(chain, cuts, False, rest)
    if not blocks.found or all(cut.is_even for cut in cuts):
        return blocks if blocks.found else None
    last = Blocks(chain, cuts, True, None if rest is None else rest.last)
    blocks.last = last
    return blocks if last.found else None


class Blocks:
    """One choice of cuts, worked out from the last stage to the first.

    `regions` are what a block needs of each intermediate; `last` is the same for the shorter block
    behind the whole ones, if there is one.  `rest` are these blocks of the chain without its first
    kernel.
    """

    def __init__(
        self, chain: Chain, cuts: tuple[Cut, ...], is_last: bool, rest: Blocks | None = None
    ) -> None:
        self.chain = chain
        self.cuts = cuts
        self.is_last = is_last
        self.last: Blocks | None = None
        self.numbers = {cut.number for cut in cuts}
        self.ranges: Ranges = {cut.number: cut.numbers(is_last) for cut in cuts}
        self.values: list[list[dict[LoopVar, Dim]]] = [[] for _ in chain.stages]
        self.extents: list[list[dict[LoopVar, Dim]]] = [[] for _ in chain.stages]
        self.places: list[list[tuple[tuple[Dim, ...], tuple[Expr, ...]]]] = [
            [] for _ in chain.stages
        ]
        self._ranges: list[dict[int, Ranges]] = [{} for _ in chain.stages]
        self._moving: tuple[dict[Buffer, tuple[Cut, ...]], ...] | None = None
        self.regions: tuple[Region, ...] = ()
        if rest is None:
            self.values[-1].append({cut.loop.var: cut.value() for cut in cuts})
            self.extents[-1].append({cut.loop.var: cut.extent(is_last) for cut in cuts})
            links = range(len(chain.links))
            self.found = self._keeps_choices(len(chain.stages) - 1) and self._work_back(links)
        else:
            self.regions = rest.regions
            self.values[1:], self.extents[1:] = rest.values, rest.extents
            self.places[1:] = rest.places
            self._ranges[1:] = rest._ranges
            self.found = self._work_back(range(1))

    def _work_back(self, links: range) -> bool:
        """The region of each intermediate, and the loops that make it."""
        for number in reversed(links):
            made, read = self.chain.links[number]
            region = self._region(number + 1, read)
            if region is None:
                return False
            region = replace(region, beside=self._beside(number, made, region))
            for nest in self.chain.stages[number]:
                if not self._restrict(number, nest, made, region):
                    return False
            self.regions = (region, *self.regions)
        return True

    def _beside(self, number: int, buffer: Buffer, region: Region) -> tuple[tuple[int, int], ...]:
        """What nests whose intervals do not reach an axis's ends write outside the region."""
        beside = [(0, 0)] * buffer.ndim
        for nest in self.chain.stages[number]:
            pairs = zip(nest.shifts[buffer], region.extents, strict=True)
            for axis, ((var, shift), count) in enumerate(pairs):
                extent, whole = None if var is None else nest.extents.get(var), buffer.shape[axis]
                if not isinstance(extent, int) or not isinstance(whole, int) or count == whole:
                    continue
                if isinstance(count, int) and not _is_short(nest, extent, count):
                    before, after = beside[axis]
                    beside[axis] = max(before, whole - extent - shift), max(after, shift)
        return tuple(beside)

    def stage_ranges(self, number: int, which: int) -> Ranges:
        """The intervals of all loop variables of a nest."""
        known = self._ranges[number].get(which)
        if known is not None:
            return known
        nest, ranges = self.chain.stages[number][which], dict(self.ranges)
        extents = self.extents[number][which]
        for loop in nest.inner:
            extent = extents.get(loop.var, loop.extent)
            high = extent if isinstance(extent, int) else dims.bounds(extent, ranges)[1]
            ranges[loop.var] = (0, None if high is None else max(high - 1, 0))
        self._ranges[number][which] = ranges
        return ranges

    def _region(self, number: int, buffer: Buffer) -> Region | None:
        """What a stage reads of a buffer, over all its nests."""
        found: list[list[Reach]] = [[] for _ in buffer.shape]
        for which, nest in enumerate(self.chain.stages[number]):
            ranges = self.stage_ranges(number, which)
            rewriter = ExprRewriter(self.values[number][which])
            extents = {**nest.inner_extents, **self.extents[number][which]}
            for axis, places in enumerate(self.chain.reads[number - 1][which]):
                for dim in places:
                    moved = dims.simplify(rewriter.dim(dim), ranges)
                    part = reach(moved, self.numbers, ranges, extents.get)
                    if part is None:
                        return None
                    found[axis].append(part)
        axes = [
            interval(reaches, extent, self.cuts, self.ranges, self.is_last)
            for reaches, extent in zip(found, buffer.shape, strict=True)
        ]
        if any(a is None for a in axes):
            return None
        return Region(tuple(a[0] for a in axes if a), tuple(a[1] for a in axes if a))

    def _restrict(self, number: int, nest: Nest, buffer: Buffer, region: Region) -> bool:
        """Let a nest make only a region of what it writes.

        Of its own interval of an axis it takes as much as the region has, moved into that interval:
        beside the region there is room for what comes to lie there.  An interval that is shorter,
        as that of a border, is made where it lies in the region.
        """
        (store,) = nest.stores[buffer]
        shifts = nest.shifts[buffer]
        values: dict[LoopVar, Dim] = {}
        extents: dict[LoopVar, Dim] = {}
        place: list[Dim] = list(store.index)
        conditions: list[Expr] = []
        for axis, (start, count) in enumerate(zip(region.start, region.extents, strict=True)):
            if start == 0 and count == buffer.shape[axis]:
                continue
            var, shift = shifts[axis]
            extent = None if var is None else nest.extents.get(var)
            if var is None or extent is None or var in values:
                return False
            within: Dim = var if count != 1 else 0
            if shift == 0 and extent == buffer.shape[axis]:
                values[var], extents[var] = dims.add(start, within), count
                place[axis] = dims.add(within, region.beside[axis][0])
                continue
            if not isinstance(extent, int) or not isinstance(count, int):
                return False
            before, after = region.beside[axis]
            row = dims.add(dims.add(store.index[axis], dims.mul(start, -1)), before)
            if _is_short(nest, extent, count):
                place[axis] = row
                limit = IndexValue(before + count)
                conditions += [call("le", IndexValue(before), IndexValue(row)),
                               call("lt", IndexValue(row), limit)]  # fmt: skip
                continue
            first = dims.maximum(0, dims.minimum(extent - count, dims.add(start, -shift)))
            moved = dims.add(dims.add(first, shift + before), dims.mul(start, -1))
            # Inside already; the bounds let intervals prove it.
            base = dims.maximum(0, dims.minimum(before + after, moved))
            values[var], extents[var] = dims.add(first, within), count
            place[axis] = dims.add(base, within)
        self.values[number].append(values)
        self.extents[number].append(extents)
        self.places[number].append((tuple(place), tuple(conditions)))
        return self._keeps_choices(number)

    def _keeps_choices(self, number: int) -> bool:
        """What the nest chooses among lies in one block."""
        which = len(self.values[number]) - 1
        choices = self.chain.stages[number][which].choices
        if not choices:
            return True
        ranges, values = self.stage_ranges(number, which), self.values[number][which]
        for choice in choices:
            moved = dims.simplify(dims.substitute(choice, values), ranges)
            atom = moved.a if isinstance(moved, dims.Mod) else moved
            if not isinstance(atom, (int, LoopVar)) or self.numbers & set(dims.atoms(moved)):
                return False
        return True

    def own(self) -> tuple[bool, ...]:
        """For each intermediate, whether it has a place of its own; else it lies over the one
        before, of which it is made element by element or row by row."""
        links, parts = self.chain.links, [self] if self.last is None else [self, self.last]
        return tuple(
            number == 0
            or not over
            or any(p.regions[number - 1] != p.regions[number] for p in parts)
            or links[number - 1][0].shape != links[number][0].shape
            for number, over in enumerate(self.chain.over)
        )

    def moving(self) -> tuple[dict[Buffer, tuple[Cut, ...]], ...]:
        """For each stage and each buffer that it reads, the cuts along which that moves: the blocks
        of other cuts read the same part of it."""
        if self._moving is None:
            stages = range(len(self.chain.stages))
            self._moving = tuple(self._moving_of(number) for number in stages)
        return self._moving

    def _moving_of(self, number: int) -> dict[Buffer, tuple[Cut, ...]]:
        along: dict[Buffer, set[LoopVar]] = {}
        for values, nest in zip(self.values[number], self.chain.stages[number], strict=True):
            # Only what a loop's variable became holds the number of a block.
            moved = {v: self.numbers.intersection(dims.atoms(new)) for v, new in values.items()}
            for buffer, used in nest.operands.items():
                numbers = along.setdefault(buffer, set())
                for var in used & moved.keys():
                    numbers |= moved[var]
        return {b: tuple(c for c in self.cuts if c.number in moved) for b, moved in along.items()}


def _is_short(nest: Nest, extent: int, count: int) -> bool:
    """An interval of so many elements is shorter than a region, or that of a border."""
    return extent < count or (not nest.operands and extent < SHORT)
