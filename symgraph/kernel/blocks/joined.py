"""The one kernel in place of several."""

from __future__ import annotations

from collections.abc import Sequence

from .. import dims
from ..copies import fresh_statement
from ..dims import Dim, DimVar, Ranges
from ..ir import Alloc, Block, Buffer, Expr, For, If, Kernel, Load, Stmt, Store, block
from ..rewrite import LoadRewriter, StmtRewriter, SubstituteWithin
from .chain import Chain
from .nests import Nest
from .work import Blocks

LINE = 16
"""Elements of a row that lie in one line of memory."""

LONG_ROW = 64
"""Elements from which on a row is worth some room behind it."""


def joined(blocks: Blocks, name: str, origin: str) -> Kernel:
    """The kernels of the chain as one over these blocks."""
    kept = _kept(blocks)
    body = _block(blocks, kept)
    uneven = next((cut for cut in blocks.cuts if not cut.is_even), None)
    if uneven is not None:
        assert blocks.last is not None
        body = If(uneven.is_whole(), body, _block(blocks.last, kept))
    for buffer in reversed(dict.fromkeys(kept)):
        body = Alloc(buffer, body)
    for cut in reversed(blocks.cuts):
        loop = cut.around
        body = For(loop.var, loop.extent, "parallel", body)
    body = block(body, *(nest.stmt() for nest in blocks.chain.after))
    return _signed(blocks.chain, name, body, origin)


def _kept(blocks: Blocks) -> list[Buffer]:
    """Where a block keeps each intermediate; the shorter one has the same places."""
    kept: list[Buffer] = []
    own = blocks.own()
    for number, (made, read) in enumerate(blocks.chain.links):
        shape = blocks.regions[number].shape
        if blocks.last is not None:
            pairs = zip(shape, blocks.last.regions[number].shape, strict=True)
            shape = tuple(_larger(whole, left) for whole, left in pairs)
        shape = (*shape[:-1], *(_whole_lines(row) for row in shape[-1:]))
        kept.append(Buffer(read.name, shape, made.dtype, "local") if own[number] else kept[-1])
    return kept


def _whole_lines(row: Dim) -> Dim:
    """Elements of a long row, with room behind it so that each row starts where a line does."""
    if isinstance(row, int) and row < LONG_ROW:
        return row
    return dims.align(row, LINE)


def _larger(whole: Dim, left: Dim) -> Dim:
    """Room for both; what is left of an open extent is less than a whole block has."""
    return max(whole, left) if isinstance(whole, int) and isinstance(left, int) else whole


def _block(blocks: Blocks, kept: Sequence[Buffer]) -> Stmt:
    """Every nest over its part of a block."""
    return block(
        *(
            _moved(blocks, number, which, nest, kept)
            for number, nests in enumerate(blocks.chain.stages)
            for which, nest in enumerate(nests)
        )
    )


def _moved(blocks: Blocks, number: int, which: int, nest: Nest, kept: Sequence[Buffer]) -> Stmt:
    """A nest over its part of a block, which reads and writes what is kept."""
    ranges = blocks.stage_ranges(number, which)
    extents = blocks.extents[number][which]
    loops = tuple(
        For(loop.var, extents.get(loop.var, loop.extent), loop.kind, Block(()))
        for loop in nest.loops
    )
    stmt = SubstituteWithin(blocks.values[number][which], ranges).stmt(nest.body)
    if number:
        region = blocks.regions[number - 1]
        start = tuple(
            dims.add(at, -before)
            for at, (before, _) in zip(region.start, region.beside, strict=True)
        )
        old = blocks.chain.links[number - 1][1]
        stmt = _Reads(old, kept[number - 1], start, ranges).stmt(stmt)
    if number < len(kept):
        place, conditions = blocks.places[number][which]
        stmt = _Writes(blocks.chain.links[number][0], kept[number], place).stmt(stmt)
        for condition in conditions:
            stmt = If(condition, stmt)
    return fresh_statement(Nest(loops, stmt).stmt())


def _signed(chain: Chain, name: str, body: Stmt, origin: str) -> Kernel:
    inner = {b for pair in chain.links for b in pair}
    inputs = [b for k in chain.kernels for b in k.inputs if b not in inner]
    outputs = chain.kernels[-1].outputs
    sizes: dict[DimVar, None] = {}
    for kernel in chain.kernels:
        sizes.update(dict.fromkeys(kernel.dims))
    ordered = tuple(sorted(sizes, key=lambda v: v.name))
    return Kernel(name, tuple(inputs), outputs, ordered, body, origin, over_blocks=True)


class _Reads(StmtRewriter):
    """What was read at `start` and behind it in one buffer is at 0 and behind it in another."""

    def __init__(self, old: Buffer, new: Buffer, start: tuple[Dim, ...], ranges: Ranges) -> None:
        self.old, self.new, self.start, self.ranges = old, new, start, ranges

    def expr(self, expr: Expr) -> Expr:
        return LoadRewriter(self._load)(expr)

    def _load(self, load: Load) -> Expr | None:
        if load.tensor is not self.old:
            return None
        pairs = zip(load.index, self.start, strict=True)
        moved = (dims.add(d, dims.mul(s, -1)) for d, s in pairs)
        index = (d if isinstance(d, int) else dims.simplify(d, self.ranges) for d in moved)
        return Load(self.new, tuple(index))


class _Writes(StmtRewriter):
    """What was stored to one buffer is stored at a place of another."""

    def __init__(self, old: Buffer, new: Buffer, place: tuple[Dim, ...]) -> None:
        self.old, self.new, self.place = old, new, place

    def stmt(self, stmt: Stmt) -> Stmt:
        if isinstance(stmt, Store) and stmt.buffer is self.old:
            return Store(self.new, self.place, stmt.value)
        return super().stmt(stmt)
