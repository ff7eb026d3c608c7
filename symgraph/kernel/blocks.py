"""Several kernels as one that runs over blocks, intermediates kept for one block only.

    parallel i < 56:                         parallel b < 8:
      parallel j < 9:  t[i,j] = f(x,i,j)       alloc t: f32[14,9] in local
    parallel i < 28:                     ->    parallel i < 14:
      parallel j < 9:                            parallel j < 9:  t[i,j] = f(x,14*b+i,j)
        y[i,j] = max(t[2*i,j], t[2*i+1,j])     parallel i < 7:
                                                 parallel j < 9:
                                                   y[7*b+i,j] = max(t[2*i,j], t[2*i+1,j])

A block is a part of the loops of the last kernel.  What it needs of the kernel before is an
interval of each axis, and so on to the first; where the intervals of two blocks overlap, what they
share is computed in both.  Every element is computed as before, so no bit changes.

What the kernels do must be nests of independent loops, those that make an intermediate along the
axes that are cut with one loop to an axis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from . import dims
from .copies import fresh_statement
from .dims import Dim, DimVar, LoopVar, Ranges
from .inlining import compared_index
from .ir import (
    Alloc,
    Block,
    Buffer,
    Expr,
    For,
    If,
    IndexValue,
    Kernel,
    Load,
    Select,
    Stmt,
    Store,
    Update,
    block,
    call,
)
from .rewrite import (
    ExprRewriter,
    LoadRewriter,
    StmtRewriter,
    SubstituteWithin,
    expressions,
    statements,
    walk,
)

SHORT = 8
"""Elements of a border at most: as many are looked at in every block."""

Link = tuple[Buffer, Buffer]
"""What one kernel writes, and what the next one calls it."""


@dataclass(frozen=True, slots=True)
class Region:
    """The part of an intermediate that a block needs: `extents` of each axis from `start` on."""

    start: tuple[Dim, ...]
    extents: tuple[Dim, ...]
    beside: tuple[tuple[int, int], ...] = ()
    """Room before and after it along each axis."""

    @property
    def shape(self) -> tuple[Dim, ...]:
        """What is kept."""
        pairs = zip(self.extents, self.beside, strict=True)
        return tuple(dims.add(extent, before + after) for extent, (before, after) in pairs)


@dataclass(frozen=True, slots=True, eq=False)
class _Nest:
    """Independent loops directly inside each other, and what is done in the innermost."""

    loops: tuple[For, ...]
    body: Stmt
    inner: tuple[For, ...] = ()
    """All loops, those inside the body too, outer ones first."""
    operands: Mapping[Buffer, frozenset[LoopVar]] = field(default_factory=dict)
    """What is read, and along which loops."""
    stores: Mapping[Buffer, tuple[Store | Update, ...]] = field(default_factory=dict)
    """What is written."""
    choices: tuple[Dim, ...] = ()
    """Indices along which something is chosen: what the choices share is computed once for all."""

    def stmt(self) -> Stmt:
        stmt = self.body
        for loop in reversed(self.loops):
            stmt = For(loop.var, loop.extent, loop.kind, stmt)
        return stmt


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """Kernels of which each reads what the one before writes, and nothing else does.

    `stages` are their nests; `after` is what the last kernel does beside reading.  `rest` is the
    chain without its first kernel: what blocks of that need is worked out once for both.
    """

    kernels: tuple[Kernel, ...]
    links: tuple[Link, ...]
    stages: tuple[tuple[_Nest, ...], ...]
    after: tuple[_Nest, ...]
    reads: tuple[tuple[tuple[tuple[Dim, ...], ...], ...], ...] = ()
    """For each link and nest behind it, and each axis, where that is read."""
    over: tuple[bool, ...] = ()
    """For each link, whether what it is made of, the link before, may lie in the same place."""
    rest: Chain | None = None
    _known: dict[tuple[tuple[LoopVar, int], ...], Blocks | None] = field(
        init=False, repr=False, default_factory=dict
    )

    @property
    def loops(self) -> tuple[For, ...]:
        """The loops of the last kernel that can be cut, the outermost first."""
        return self.stages[-1][0].loops

    def blocks(self, sizes: Mapping[LoopVar, int]) -> Blocks | None:
        """Blocks of these sizes of the last kernel's loops, others whole; None where what a block
        needs of an intermediate is no interval, or cannot be made by itself."""
        key = tuple(sizes.items())
        if key not in self._known:
            known = None if self.rest is None else self.rest.blocks(sizes)
            if self.rest is not None and known is None:
                self._known[key] = None
            else:
                found = Blocks(self, sizes, known)
                self._known[key] = found if found.found else None
        return self._known[key]


Nests = tuple[_Nest, ...] | None
"""What a kernel does as nests of loops; None where it is something else."""


def chain_of(
    kernels: Sequence[Kernel],
    links: Sequence[Link],
    over: Sequence[bool] | None = None,
    rest: Chain | None = None,
    nests_of: Callable[[Kernel], Nests] | None = None,
) -> Chain | None:
    """The chain of these kernels; None where one of them is no nest of loops.

    `rest` is that of all but the first, where it is known already; `nests_of` is `kernel_nests`,
    remembered.
    """
    stages: list[tuple[_Nest, ...]] = []
    after: tuple[_Nest, ...] = ()
    for number, kernel in enumerate(kernels):
        nests = (kernel_nests if nests_of is None else nests_of)(kernel)
        if nests is None:
            return None
        if number:
            source = links[number - 1][1]
            reading = tuple(n for n in nests if source in n.operands)
            if len(reading) != 1:
                return None
            if number == len(kernels) - 1:
                after = tuple(n for n in nests if n is not reading[0])
                nests = reading
        if number < len(links) and not all(_makes(n, links[number][0]) for n in nests):
            return None
        stages.append(nests)
    reads = tuple(
        tuple(_places(nest, source) for nest in nests)
        for (_, source), nests in zip(links, stages[1:], strict=True)
    )
    overs = (False,) * len(links) if over is None else tuple(over)
    return Chain(tuple(kernels), tuple(links), tuple(stages), after, reads, overs, rest)


def _places(nest: _Nest, buffer: Buffer) -> tuple[tuple[Dim, ...], ...]:
    """Along each axis of a buffer, every index at which a nest reads it."""
    found = [load.index for load in _reads(nest.body, buffer)]
    return tuple(tuple(dict.fromkeys(i[axis] for i in found)) for axis in range(buffer.ndim))


def kernel_nests(kernel: Kernel) -> Nests:
    """What a kernel does as nests; None where it is something else."""
    found: list[_Nest] = []
    stack: list[tuple[Stmt, tuple[For, ...]]] = [(kernel.body, ())]
    while stack:
        current, around = stack.pop()
        if isinstance(current, Block) and all(_is_loop(s) for s in current.stmts):
            stack.extend((s, around) for s in reversed(current.stmts))
        elif isinstance(current, For) and current.kind == "parallel":
            stack.append((current.body, (*around, current)))
        elif around:
            inside = tuple(s for s in statements(current) if isinstance(s, For))
            tops = [e for top in expressions(current) for e in walk(top)]
            loops, stores = (*around, *inside), _stores(current)
            found.append(_Nest(around, current, loops, _operands(tops), stores, _choices(tops)))
        else:
            return None
    return tuple(found)


def _operands(exprs: Sequence[Expr]) -> dict[Buffer, frozenset[LoopVar]]:
    found: dict[Buffer, set[LoopVar]] = {}
    for e in exprs:
        if isinstance(e, Load) and isinstance(e.tensor, Buffer):
            atoms = {a for d in e.index for a in dims.atoms(d)}
            used = found.setdefault(e.tensor, set())
            used.update(a for a in atoms if isinstance(a, LoopVar))
    return {b: frozenset(used) for b, used in found.items()}


def _choices(exprs: Sequence[Expr]) -> tuple[Dim, ...]:
    found: dict[Dim, None] = {}
    for e in exprs:
        if isinstance(e, Select) and (index := compared_index(e.condition)) is not None:
            found[index] = None
    return tuple(found)


def _is_loop(stmt: Stmt) -> bool:
    return isinstance(stmt, For) and stmt.kind == "parallel"


def _reads(stmt: Stmt, buffer: Buffer) -> Iterator[Load]:
    for top in expressions(stmt):
        for e in walk(top):
            if isinstance(e, Load) and e.tensor is buffer:
                yield e


def _stores(stmt: Stmt) -> dict[Buffer, tuple[Store | Update, ...]]:
    found: dict[Buffer, tuple[Store | Update, ...]] = {}
    for s in statements(stmt):
        if isinstance(s, (Store, Update)):
            found[s.buffer] = (*found.get(s.buffer, ()), s)
    return found


def _makes(nest: _Nest, buffer: Buffer) -> bool:
    """It writes the buffer once, and never reads it."""
    stores = nest.stores.get(buffer, ())
    plain = len(stores) == 1 and isinstance(stores[0], Store)
    return plain and buffer not in nest.operands


class Blocks:
    """One choice of sizes, worked out from the last stage to the first.

    `regions` are what a block needs of each intermediate.  `rest` are the same blocks of the chain
    without its first kernel.
    """

    def __init__(
        self, chain: Chain, sizes: Mapping[LoopVar, int], rest: Blocks | None = None
    ) -> None:
        self.chain = chain
        self.around: list[For] = []
        self.ranges: dict[object, tuple[int | None, int | None]] = {}
        self.values: list[list[dict[LoopVar, Dim]]] = [[] for _ in chain.stages]
        self.extents: list[list[dict[LoopVar, Dim]]] = [[] for _ in chain.stages]
        self.places: list[list[tuple[tuple[Dim, ...], tuple[Expr, ...]]]] = [
            [] for _ in chain.stages
        ]
        self.regions: tuple[Region, ...] = ()
        if rest is None:
            self.found = self._cut(sizes) and self._work_back(range(len(chain.links)))
        else:
            self.around, self.ranges, self.regions = rest.around, rest.ranges, rest.regions
            self.values[1:], self.extents[1:] = rest.values, rest.extents
            self.places[1:] = rest.places
            self.found = self._work_back(range(1))

    def _cut(self, sizes: Mapping[LoopVar, int]) -> bool:
        """Cut the loops of the last stage."""
        values: dict[LoopVar, Dim] = {}
        extents: dict[LoopVar, Dim] = {}
        for loop in self.chain.loops:
            size = sizes.get(loop.var)
            if size is None:
                continue
            count = dims.exact_quotient(loop.extent, size)
            if count is None:
                return False
            number = LoopVar("b")
            self.around.append(For(number, count, "parallel", Block(())))
            _, high = dims.bounds(count)
            self.ranges[number] = (0, None if high is None else max(high - 1, 0))
            within: Dim = loop.var if size > 1 else 0
            values[loop.var] = dims.add(dims.mul(number, size), within)
            extents[loop.var] = size
        self.values[-1].append(values)
        self.extents[-1].append(extents)
        return self._keeps_choices(len(self.chain.stages) - 1)

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
            (store,) = nest.stores[buffer]
            loops = {loop.var: loop.extent for loop in nest.loops}
            for axis, (dim, count) in enumerate(zip(store.index, region.extents, strict=True)):
                var, shift = _shifted(dim)
                extent, whole = None if var is None else loops.get(var), buffer.shape[axis]
                if not isinstance(extent, int) or not isinstance(whole, int) or count == whole:
                    continue
                if isinstance(count, int) and not _is_short(nest, extent, count):
                    before, after = beside[axis]
                    beside[axis] = max(before, whole - extent - shift), max(after, shift)
        return tuple(beside)

    def _stage_ranges(self, number: int, which: int) -> Ranges:
        """The intervals of all loop variables of a nest."""
        nest, ranges = self.chain.stages[number][which], dict(self.ranges)
        extents = self.extents[number][which]
        for loop in nest.inner:
            _, high = dims.bounds(extents.get(loop.var, loop.extent), ranges)
            ranges[loop.var] = (0, None if high is None else max(high - 1, 0))
        return ranges

    def _region(self, number: int, buffer: Buffer) -> Region | None:
        """What a stage reads of a buffer, over all its nests."""
        starts: list[list[Dim]] = [[] for _ in buffer.shape]
        ends: list[list[int]] = [[] for _ in buffer.shape]
        for which in range(len(self.chain.stages[number])):
            ranges = self._stage_ranges(number, which)
            rewriter = ExprRewriter(self.values[number][which])
            for axis, places in enumerate(self.chain.reads[number - 1][which]):
                for dim in places:
                    parts = self._parts(dims.simplify(rewriter.dim(dim), ranges), ranges)
                    if parts is None:
                        return None
                    starts[axis].append(parts[0])
                    ends[axis].append(parts[1])
        axes = [self._interval(*a) for a in zip(starts, ends, buffer.shape, strict=True)]
        if any(a is None for a in axes):
            return None
        return Region(tuple(a[0] for a in axes if a), tuple(a[1] for a in axes if a))

    def _parts(self, dim: Dim, ranges: Ranges) -> tuple[Dim, int] | None:
        """An index as (where it starts in a block, how far it goes from there)."""
        numbers = {loop.var for loop in self.around}
        terms, constant = dims.terms_of(dim)
        moving: dict[tuple[dims.Atom, ...], int] = {}
        still: dict[tuple[dims.Atom, ...], int] = {}
        for monomial, factor in terms:
            used = {a for atom in monomial for a in dims.atoms(atom)}
            if not used & numbers:
                still[monomial] = factor
            elif used <= numbers or all(a in numbers for a in used if isinstance(a, LoopVar)):
                moving[monomial] = factor
            else:
                return None
        if not moving:
            return constant, -1  # the same in every block: the whole axis
        start, rest = dims.from_terms(moving, constant), dims.from_terms(still, 0)
        low, high = dims.bounds(rest, ranges)
        if low is None or high is None:
            return None
        return dims.add(start, low), high - low

    def _interval(
        self, starts: Sequence[Dim], spans: Sequence[int], extent: Dim
    ) -> tuple[Dim, Dim] | None:
        """One interval that holds several; the whole axis where no block cuts it."""
        if all(span < 0 for span in spans):
            return 0, extent
        if any(span < 0 for span in spans):
            return None
        if not isinstance(extent, int):
            is_one = all(s == starts[0] for s in starts) and not any(spans)
            return (starts[0], 1) if is_one else None
        gaps = [dims.add(s, dims.mul(starts[0], -1)) for s in starts]
        known = [gap for gap in gaps if isinstance(gap, int)]
        if len(known) < len(gaps):
            return None
        least = min(known)
        end = max(gap + span for gap, span in zip(known, spans, strict=True))
        start, count = dims.add(starts[0], least), end - least + 1
        if count >= extent:
            return 0, extent
        low, high = dims.bounds(start, self.ranges)
        if low is None or high is None:
            return None
        # What a condition keeps from being read may lie outside.
        if high + count > extent:
            start = dims.minimum(start, extent - count)
        return (dims.maximum(start, 0) if low < 0 else start), count

    def _restrict(self, number: int, nest: _Nest, buffer: Buffer, region: Region) -> bool:
        """Let a nest make only a region of what it writes.

        Of its own interval of an axis it takes as much as the region has, moved into that interval:
        beside the region there is room for what comes to lie there.  An interval that is shorter,
        as that of a border, is made where it lies in the region.
        """
        (store,) = nest.stores[buffer]
        values: dict[LoopVar, Dim] = {}
        extents: dict[LoopVar, Dim] = {}
        place: list[Dim] = list(store.index)
        conditions: list[Expr] = []
        loops = {loop.var: loop.extent for loop in nest.loops}
        for axis, (start, count) in enumerate(zip(region.start, region.extents, strict=True)):
            if start == 0 and count == buffer.shape[axis]:
                continue
            var, shift = _shifted(store.index[axis])
            extent = None if var is None else loops.get(var)
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
        ranges, values = self._stage_ranges(number, which), self.values[number][which]
        numbers = {loop.var for loop in self.around}
        for choice in self.chain.stages[number][which].choices:
            moved = dims.simplify(dims.substitute(choice, values), ranges)
            atom = moved.a if isinstance(moved, dims.Mod) else moved
            if not isinstance(atom, (int, LoopVar)) or numbers & set(dims.atoms(moved)):
                return False
        return True

    def own(self) -> tuple[bool, ...]:
        """For each intermediate, whether it has a place of its own; else it lies over the one
        before, of which it is made element by element or row by row."""
        return tuple(
            number == 0
            or not over
            or self.regions[number - 1] != self.regions[number]
            or self.chain.links[number - 1][0].shape != self.chain.links[number][0].shape
            for number, over in enumerate(self.chain.over)
        )

    def rounds(self) -> tuple[dict[Buffer, Dim], ...]:
        """For each stage, how many times blocks read the same part of what it reads: the rounds of
        those loops over blocks along which that does not move."""
        found: list[dict[Buffer, Dim]] = []
        for number, nests in enumerate(self.chain.stages):
            moving: dict[Buffer, set[object]] = {}
            for which, nest in enumerate(nests):
                values = self.values[number][which]
                for buffer, used in nest.operands.items():
                    along = {a for v in used for a in dims.atoms(values.get(v, v))}
                    moving.setdefault(buffer, set()).update(along)
            found.append({
                b: dims.product([loop.extent for loop in self.around if loop.var not in along])
                for b, along in moving.items()
            })  # fmt: skip
        return tuple(found)

    # -- the kernel --------------------------------------------------------------------------------

    def kernel(self, name: str, origin: str) -> Kernel:
        """The one kernel."""
        kept: list[Buffer] = []
        for (made, read), region, own in zip(
            self.chain.links, self.regions, self.own(), strict=True
        ):
            new = Buffer(read.name, region.shape, made.dtype, "local")
            kept.append(new if own else kept[-1])
        parts: list[Stmt] = []
        for number, nests in enumerate(self.chain.stages):
            for which, nest in enumerate(nests):
                parts.append(self._moved(number, which, nest, kept))
        body = block(*parts)
        for buffer in reversed(dict.fromkeys(kept)):
            body = Alloc(buffer, body)
        for loop in reversed(self.around):
            body = For(loop.var, loop.extent, "parallel", body)
        body = block(body, *(n.stmt() for n in self.chain.after))
        return self._signed(name, body, origin)

    def _moved(self, number: int, which: int, nest: _Nest, kept: Sequence[Buffer]) -> Stmt:
        """A nest over its part of a block, which reads and writes what is kept."""
        ranges = self._stage_ranges(number, which)
        extents = self.extents[number][which]
        loops = tuple(
            For(loop.var, extents.get(loop.var, loop.extent), loop.kind, Block(()))
            for loop in nest.loops
        )
        stmt = SubstituteWithin(self.values[number][which], ranges).stmt(nest.body)
        if number:
            region = self.regions[number - 1]
            start = tuple(
                dims.add(at, -before)
                for at, (before, _) in zip(region.start, region.beside, strict=True)
            )
            old = self.chain.links[number - 1][1]
            stmt = _Reads(old, kept[number - 1], start, ranges).stmt(stmt)
        if number < len(kept):
            place, conditions = self.places[number][which]
            stmt = _Writes(self.chain.links[number][0], kept[number], place).stmt(stmt)
            for condition in conditions:
                stmt = If(condition, stmt)
        return fresh_statement(_Nest(loops, stmt).stmt())

    def _signed(self, name: str, body: Stmt, origin: str) -> Kernel:
        links = self.chain.links
        inner = {b for pair in links for b in pair}
        inputs = [b for k in self.chain.kernels for b in k.inputs if b not in inner]
        outputs = self.chain.kernels[-1].outputs
        sizes: dict[DimVar, None] = {}
        for kernel in self.chain.kernels:
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


def _is_short(nest: _Nest, extent: int, count: int) -> bool:
    """An interval of so many elements is shorter than a region, or that of a border."""
    return extent < count or (not nest.operands and extent < SHORT)


def _shifted(dim: Dim) -> tuple[LoopVar | None, int]:
    """A loop variable and what is added to it; none where it is something else."""
    terms, constant = dims.terms_of(dim)
    if len(terms) != 1 or terms[0][1] != 1 or len(terms[0][0]) != 1:
        return None, 0
    (variable,) = terms[0][0]
    return (variable, constant) if isinstance(variable, LoopVar) else (None, 0)
