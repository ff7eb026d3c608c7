"""Which computations of a kernel are written into their readers.

A computation without a reduction is written into its readers when it is cheap or read once; a
reduction is written into a reader that only post-processes its elements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from . import dims
from .compute import Compute
from .dims import Dim, LoopVar
from .functions import FUNCTIONS
from .ir import Axis, Call, Const, Expr, IndexValue, Load, Reduce, Select
from .parts import producers_first
from .picked_sums import picked_terms
from .rewrite import ExprRewriter, LoadRewriter, loads, operands, walk

CHEAP_FLOPS = 4
"""A computation of at most so many operations is repeated in each reader rather than kept."""

MANY_FLOPS = 1 << 20
"""Where counting stops: a value shared along many paths would be counted once for each."""


def flops(expr: Expr) -> int:
    """Operations for one element, reductions counted once."""
    return sum(FUNCTIONS[e.function].flops for e in walk(expr) if isinstance(e, Call))


def has_reduce(expr: Expr) -> bool:
    return any(isinstance(e, Reduce) for e in walk(expr))


def producers(expr: Expr) -> list[Load]:
    return [load for load in loads(expr) if isinstance(load.tensor, Compute)]


@dataclass(frozen=True, slots=True)
class _Use:
    """One load of a computation: by which reader, and inside which reductions."""

    reader: Compute
    load: Load
    reduced: tuple[Axis, ...]


class Inliner:
    """Writes computations into their readers, producers first.

    Decisions come first, from the computations as they are; then the bodies that stay are rebuilt.
    An inlined body is written once for each index at which it is read, so that a value used twice
    is computed once, and the work is linear in the group.
    """

    def __init__(self, outputs: Sequence[Compute]) -> None:
        self.outputs = dict.fromkeys(outputs)
        self.order = producers_first(self.outputs)
        self.uses = self._find_uses()
        self.reduces: set[Compute] = set()
        self.cost: dict[Compute, int] = {}
        self.inlined: set[Compute] = set()
        self.new: dict[Compute, Compute] = {}
        self.written: dict[tuple[Compute, tuple[Dim, ...]], Expr] = {}

    def _find_uses(self) -> dict[Compute, list[_Use]]:
        uses: dict[Compute, list[_Use]] = {c: [] for c in self.order}
        for reader in self.order:
            for load, reduced in _loads_with_context(reader.body):
                if isinstance(load.tensor, Compute):
                    uses[load.tensor].append(_Use(reader, load, reduced))
        return uses

    def run(self) -> list[Compute]:
        """The computations that stay, in order."""
        for compute in self.order:
            self._measure(compute)
            if compute not in self.outputs and self._may_inline(compute):
                self.inlined.add(compute)
        return [self._rebuilt(c) for c in self.order if c not in self.inlined]

    def _rebuilt(self, compute: Compute) -> Compute:
        self._write_below(compute)
        body = LoadRewriter(self._replace)(compute.body)
        same = body is compute.body
        self.new[compute] = compute if same else Compute(compute.name, compute.axes, body)
        return self.new[compute]

    def _measure(self, compute: Compute) -> None:
        """The operations of one element and whether it reduces, what is inlined included."""
        distinct = {(x.tensor, x.index) for x in producers(compute.body)}
        below = [c for c, _ in distinct if isinstance(c, Compute) and c in self.inlined]
        self.cost[compute] = min(flops(compute.body) + sum(self.cost[c] for c in below), MANY_FLOPS)
        if has_reduce(compute.body) or any(c in self.reduces for c in below):
            self.reduces.add(compute)

    def result(self, compute: Compute) -> Compute:
        return self.new[compute]

    def _replace(self, load: Load) -> Expr | None:
        producer = load.tensor
        if not isinstance(producer, Compute):
            return None
        if producer not in self.inlined:
            return Load(self.new[producer], load.index)
        key = (producer, load.index)
        if key not in self.written:
            self._write(*key)
        return self.written[key]

    def _write(self, producer: Compute, index: tuple[Dim, ...]) -> None:
        values = {a.var: d for a, d in zip(producer.axes, index, strict=True)}
        self.written[producer, index] = LoadRewriter(self._replace, values)(producer.body)

    def _write_below(self, compute: Compute) -> None:
        """Write what a computation reads, deepest first, so that `_replace` finds it written and
        does not recurse.  A reduction renews its variables, so what it reads is left to that."""
        stack = [(key, False) for key in self._reads(compute, {})]
        while stack:
            (producer, index), ready = stack.pop()
            if (producer, index) in self.written:
                continue
            values = {a.var: d for a, d in zip(producer.axes, index, strict=True)}
            below = [] if ready else self._reads(producer, values)
            if below:
                stack.append(((producer, index), True))
                stack.extend((key, False) for key in below)
            else:
                self._write(producer, index)

    def _reads(
        self, compute: Compute, values: dict[LoopVar, Dim]
    ) -> list[tuple[Compute, tuple[Dim, ...]]]:
        """The inlined computations read outside reductions, and where."""
        rewriter = ExprRewriter(values)
        return [
            (load.tensor, rewriter.index(load.index))
            for load, reduced in _loads_with_context(compute.body)
            if not reduced and isinstance(load.tensor, Compute) and load.tensor in self.inlined
        ]

    def _may_inline(self, compute: Compute) -> bool:
        if picked_terms(compute) is not None:
            return False  # it has a loop of its own over its terms
        uses = self.uses[compute]
        first = uses[0]
        same = all(u.reader is first.reader and u.load.index == first.load.index for u in uses)
        if compute in self.reduces:
            return same and all(_is_epilogue(use) for use in uses)
        if self.cost[compute] <= CHEAP_FLOPS:
            return True
        if chooses(compute.body) and not _is_own_element(first):
            return False  # a run of its elements shares most of the work, one alone none
        # More than cheap: only where no element is computed twice.
        return same and len({u.reduced for u in uses}) == 1 and _reads_once(first)


def chooses(expr: Expr) -> bool:
    """Some value is chosen by comparing an index with a number."""
    return any(isinstance(e, Select) and compared_index(e.condition) is not None
               for e in walk(expr))  # fmt: skip


def compared_index(condition: Expr) -> Dim | None:
    """The index that a condition compares with a number, None where it does something else."""
    if not isinstance(condition, Call) or condition.function != "eq":
        return None
    left, right = condition.args
    return left.dim if isinstance(left, IndexValue) and isinstance(right, Const) else None


def _is_own_element(use: _Use) -> bool:
    """The reader takes the element at its own place, and is no reduction."""
    variables = [a.var for a in use.reader.axes if a.extent != 1]
    return not use.reduced and [d for d in use.load.index if d != 0] == variables


def _loads_with_context(expr: Expr) -> list[tuple[Load, tuple[Axis, ...]]]:
    """Every load and the axes of the reductions around it."""
    found: list[tuple[Load, tuple[Axis, ...]]] = []
    seen: set[tuple[int, tuple[Axis, ...]]] = set()
    stack: list[tuple[Expr, tuple[Axis, ...]]] = [(expr, ())]
    while stack:
        current, reduced = stack.pop()
        if (id(current), reduced) in seen:
            continue
        seen.add((id(current), reduced))
        if isinstance(current, Load):
            found.append((current, reduced))
        inside = (*reduced, *current.axes) if isinstance(current, Reduce) else reduced
        stack.extend((child, inside) for child in reversed(operands(current)))
    return found


def _is_epilogue(use: _Use) -> bool:
    """The reader uses each element of the reduction exactly once, outside any reduction.

    Its loops have the extents of the reduction's axes: a join reads its first part at its own
    index too, but beyond the part's end it reads nothing, and there would be nothing to sum.
    """
    extents = {a.var: a.extent for a in use.reader.axes}
    places = list(zip(use.load.index, use.load.tensor.shape, strict=True))
    taken = [d for d, _ in places if isinstance(d, LoopVar)]
    moving = {variable for variable, extent in extents.items() if extent != 1}
    once = len(set(taken)) == len(taken) and moving <= set(taken)
    fits = all(extents.get(d) == e if isinstance(d, LoopVar) else d == 0 for d, e in places)
    return not use.reduced and once and fits


def _reads_once(use: _Use) -> bool:
    """The reader's loops pass over the producer's elements without coming back to any.

    Every loop moves the index, and there are no more iterations than elements.
    """
    axes = [a for a in (*use.reader.axes, *use.reduced) if a.extent != 1]
    moving = {atom for d in use.load.index for atom in dims.atoms(d)}
    if not {a.var for a in axes} <= moving:
        return False
    iterations = dims.product([a.extent for a in axes])
    elements = dims.product(list(use.load.tensor.shape))
    _, excess = dims.bounds(dims.add(iterations, dims.mul(elements, -1)))
    return excess is not None and excess <= 0
