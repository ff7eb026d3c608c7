"""Placement of buffers whose sizes are known at run time only.

Owns `place_symbolic`. It fixes a *structure*, not offsets: for every two buffers that are live at
one time, which lies below. Any structure is valid for every value of the symbols, because an offset
is defined as the maximum over the buffers below of their ends. Values of the symbols serve only to
choose among structures: every fixed plan at a sample gives one (sort by offset), every greedy order
another, and the best over all samples wins.

Where no one structure is as good at all samples as the plans made for each, there are several
(`REGIONS`), and the one whose total is least at the value given counts: a choice between closed
forms (`choose`), made anew at every value.

Sizes are opaque: the caller says how to evaluate, to take a maximum, to align them and to write
them as linear forms (`linear`); nothing else is known of them but `+` and `*`. If the caller can
also say that all sizes are integer multiples of one quantity (`split`), a fixed plan of the
multiples, scaled by that quantity rounded up to the alignment, competes too. It has no maxima, and
where the rounding changes nothing it is exact.

Invariant: sizes are not negative, so 0 never wins a maximum.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Generic, Protocol, TypeVar

from .forms import Form, stacked, value_of
from .interval import Interval, granule, lower_bound
from .place import Means, place

MOVES = 200
"""Changes of the order that are tried where no proposal suits all samples."""

REGIONS = 6
"""Structures between which a plan may choose."""

MOST_ADDED = 3
"""Probes that become samples in one round."""

ROUNDS = 3


class Size(Protocol):
    """What a symbolic size can do; `Any`, because int and dimension types overload differently."""

    def __add__(self, other: Any, /) -> Any: ...

    def __mul__(self, other: Any, /) -> Any: ...


S = TypeVar("S", bound=Size)


@dataclass(frozen=True, slots=True)
class SymbolicInterval(Generic[S]):
    """A buffer of symbolic `nbytes` that is live in the steps `start <= step < end`."""

    name: str
    start: int
    end: int
    nbytes: S
    alignment: int = 64


@dataclass(frozen=True, slots=True)
class SymbolicPlacement(Generic[S]):
    """Offsets and total in closed form; `totals` and `fixed` are their values at the samples.

    `fixed` are the totals of plans made for each sample alone; `excess` is `total / fixed - 1`.
    """

    offsets: tuple[S | int, ...]
    total_nbytes: S | int
    totals: tuple[int, ...]
    fixed: tuple[int, ...]
    lower_bounds: tuple[int, ...]
    method: str

    @property
    def excess(self) -> tuple[float, ...]:
        """The price of one structure for all sizes, relative to a plan made for each sample."""
        pairs = zip(self.totals, self.fixed, strict=True)
        return tuple(total / fixed - 1.0 if fixed else 0.0 for total, fixed in pairs)


@dataclass(frozen=True, slots=True)
class _Structure:
    """`below[i]`: the buffers that `i` rests on, none implied by others; `tops`: the last."""

    order: tuple[int, ...]
    below: tuple[tuple[int, ...], ...]
    tops: tuple[int, ...]


def place_symbolic(
    intervals: Sequence[SymbolicInterval[S]],
    evaluate: Callable[[S, Mapping[str, int]], int],
    samples: Sequence[Mapping[str, int]],
    maximum: Callable[[S | int, S | int], S],
    align: Callable[[S | int, int], S],
    *,
    linear: Callable[[S | int], tuple[int, Sequence[tuple[S, int, bool]]]] | None = None,
    choose: Callable[[S | int, S | int, S | int, S | int], S | int] | None = None,
    split: Callable[[S], tuple[int, S]] | None = None,
    probes: Sequence[Mapping[str, int]] = (),
    work_limit: int = 20_000_000,
    seed: int = 0,
    means: Means | None = None,
) -> SymbolicPlacement[S]:
    """A plan that is valid for all values of the symbols and good at the samples.

    A value of the `probes` at which a plan of its own is smaller becomes a sample, before the
    others, and the plan is made anew.
    `linear(size)` gives `(constant, [(quantity, coefficient, never negative)])`; by default a size
    is a quantity of its own.
    `choose(a, b, x, y)` is x where a <= b, else y; without it one structure is for all values.
    `split(size)` gives `(k, rest)` with `size == k * rest`, as coarse as the caller can prove.

    Raises: ValueError without a sample.
    """
    if not samples:
        raise ValueError("place_symbolic needs at least one sample of the symbols to choose by")

    def placed(known: Sequence[Mapping[str, int]]) -> SymbolicPlacement[S]:
        return _placed_for(intervals, evaluate, known, maximum, align, linear=linear,
                           choose=choose, split=split, work_limit=work_limit, seed=seed,
                           means=means)  # fmt: skip

    def beaten(found: SymbolicPlacement[S]) -> list[Mapping[str, int]]:
        worse: list[Mapping[str, int]] = []
        for probe in probes:
            total = _number(found.total_nbytes, evaluate, probe)
            fixed = _evaluated(intervals, evaluate, probe)
            if total > lower_bound(fixed):
                own = place(fixed, work_limit=work_limit, seed=seed, means=means)
                if own.total_nbytes < total:
                    worse.append(probe)
            if len(worse) == MOST_ADDED:
                break
        return worse

    best = placed(samples)
    for _ in range(ROUNDS):
        worse = beaten(best)
        if not worse:
            break
        samples = [*worse, *samples]
        again = placed(samples)
        if max(again.excess) > max(best.excess):
            break
        best = again
    return best


def _placed_for(
    intervals: Sequence[SymbolicInterval[S]],
    evaluate: Callable[[S, Mapping[str, int]], int],
    samples: Sequence[Mapping[str, int]],
    maximum: Callable[[S | int, S | int], S],
    align: Callable[[S | int, int], S],
    *,
    linear: Callable[[S | int], tuple[int, Sequence[tuple[S, int, bool]]]] | None,
    choose: Callable[[S | int, S | int, S | int, S | int], S | int] | None,
    split: Callable[[S], tuple[int, S]] | None,
    work_limit: int,
    seed: int,
    means: Means | None,
) -> SymbolicPlacement[S]:
    """The plan that is best at these samples."""
    fixed_at = [_evaluated(intervals, evaluate, sample) for sample in samples]
    plans = [place(fixed, work_limit=work_limit, seed=seed, means=means) for fixed in fixed_at]
    structures = _structures(
        fixed_at,
        [plan.offsets for plan in plans],
        _evaluated(intervals, evaluate, dict.fromkeys(samples[0], 0)),
        1 if choose is None else REGIONS,
    )
    # A size may be a plain int as well, which the signature's one type variable cannot say.
    sized: Any = intervals
    value_of: Any = evaluate
    divide: Any = split
    regions = [
        _closed_forms(sized, structure, value_of, samples, maximum, align, linear or _opaque)
        for structure in structures
    ]
    offsets, total, totals = regions[0]
    method = "structure of maxima" + (f", {len(regions)} regions" if len(regions) > 1 else "")
    if choose is not None:
        for other, most, values in regions[1:]:
            pairs = zip(offsets, other, strict=True)
            offsets = tuple([choose(total, most, mine, theirs) for mine, theirs in pairs])
            total = choose(total, most, total, most)
            totals = tuple(map(min, totals, values))
    scaled = None if split is None else _scaled(sized, divide, align, work_limit, seed, means)
    if scaled is not None:
        at_samples = tuple(_number(scaled[1], evaluate, sample) for sample in samples)
        if _cost(at_samples, totals) <= _cost(totals, totals):
            (offsets, total), totals, method = scaled, at_samples, "scaled fixed plan"
    return SymbolicPlacement(
        offsets,
        total,
        totals,
        tuple(plan.total_nbytes for plan in plans),
        tuple(plan.lower_bound for plan in plans),
        method,
    )


def _number(
    size: S | int, evaluate: Callable[[S, Mapping[str, int]], int], sample: Mapping[str, int]
) -> int:
    return size if isinstance(size, int) else evaluate(size, sample)


def _evaluated(
    intervals: Sequence[SymbolicInterval[S]],
    evaluate: Callable[[S, Mapping[str, int]], int],
    sample: Mapping[str, int],
) -> tuple[Interval, ...]:
    sizes: dict[S, int] = {}
    for i in intervals:
        if i.nbytes not in sizes:
            sizes[i.nbytes] = max(0, _number(i.nbytes, evaluate, sample))
    return tuple(Interval(i.name, i.start, i.end, sizes[i.nbytes], i.alignment) for i in intervals)


def _cost(totals: Sequence[int], fixed: Sequence[int]) -> tuple[float, float]:
    """Worst ratio, then mean ratio."""
    ratios = [t / f if f else 1.0 for t, f in zip(totals, fixed, strict=True)]
    return max(ratios), math.fsum(ratios) / len(ratios)


def _structures(
    fixed_at: Sequence[tuple[Interval, ...]],
    planned: Sequence[tuple[int, ...]],
    empty: tuple[Interval, ...],
    most: int,
) -> list[_Structure]:
    """As few as are as good together at each sample as its own plan, or the `most` best.

    Every fixed plan proposes its order; all are judged at all samples, the best is mended.  Equals
    are judged where all extents are 0, for which alone there is no region.
    """
    ideal = [
        max((o + i.nbytes for o, i in zip(offsets, fixed, strict=True)), default=0)
        for offsets, fixed in zip(planned, fixed_at, strict=True)
    ]
    proposed = [_structure(fixed_at[0], order) for order in _proposals(fixed_at, planned)]
    rated = [(_totals(fixed_at, s), max(_ends(empty, s), default=0), s) for s in proposed]
    found: list[_Structure] = []
    reached: tuple[int, ...] | None = None
    before = (math.inf, math.inf)
    while before > (1.0, 1.0) and len(found) < most:
        known = reached
        cost, _, _, best = min(
            ((_cost(_least(t, known), ideal), at_empty, n, s)
             for n, (t, at_empty, s) in enumerate(rated)),
            key=lambda item: item[:3],
        )  # fmt: skip
        cost, best = _mended(fixed_at, ideal, cost, best, known)
        if cost >= before:
            break
        found.append(best)
        before, reached = cost, _least(_totals(fixed_at, best), known)
    return found


def _least(totals: tuple[int, ...], known: tuple[int, ...] | None) -> tuple[int, ...]:
    """The totals with a further structure beside those that reach the `known` ones."""
    return totals if known is None else tuple(map(min, totals, known))


def _mended(
    fixed_at: Sequence[tuple[Interval, ...]],
    ideal: Sequence[int],
    cost: tuple[float, float],
    best: _Structure,
    known: tuple[int, ...] | None,
) -> tuple[tuple[float, float], _Structure]:
    """Local search: who stands in the tallest pile, at the sample that is worst off, moves to
    another place in the order; equal results are accepted, as they lead off plateaus."""
    rng = random.Random(0)
    current, current_cost = best, cost
    for _ in range(MOVES):
        if cost[0] <= 1.0:
            break
        totals = _least(_totals(fixed_at, current), known)
        worst = max(range(len(ideal)), key=lambda n: totals[n] / max(ideal[n], 1))
        moved = rng.choice(_tallest_pile(fixed_at[worst], current))
        order = [j for j in current.order if j != moved]
        order.insert(rng.randrange(len(order) + 1), moved)
        changed = _structure(fixed_at[0], tuple(order))
        changed_cost = _cost(_least(_totals(fixed_at, changed), known), ideal)
        if changed_cost <= current_cost:
            current, current_cost = changed, changed_cost
        if changed_cost < cost:
            best, cost = changed, changed_cost
    return cost, best


def _tallest_pile(intervals: Sequence[Interval], structure: _Structure) -> list[int]:
    """From the buffer that ends highest down to the ground."""
    ends = _ends(intervals, structure)
    pile = [max(range(len(ends)), key=ends.__getitem__)]
    while structure.below[pile[-1]]:
        pile.append(max(structure.below[pile[-1]], key=ends.__getitem__))
    return pile


def _proposals(
    fixed_at: Sequence[tuple[Interval, ...]], planned: Sequence[tuple[int, ...]]
) -> list[tuple[int, ...]]:
    """Orders without repetition: by planned offset, by size, by area and by duration."""
    indices = range(len(fixed_at[0]))
    orders: dict[tuple[int, ...], None] = {}
    for fixed, offsets in zip(fixed_at, planned, strict=True):
        orders[tuple(sorted(indices, key=lambda i: (offsets[i], -fixed[i].nbytes, i)))] = None
    for fixed in fixed_at:
        orders[tuple(sorted(indices, key=lambda i: (-fixed[i].nbytes, i)))] = None
        areas = [b.nbytes * (b.end - b.start) for b in fixed]
        orders[tuple(sorted(indices, key=lambda i: (-areas[i], i)))] = None
    spans = [b.start - b.end for b in fixed_at[0]]
    orders[tuple(sorted(indices, key=lambda i: (spans[i], i)))] = None
    return list(orders)


def _structure(intervals: Sequence[Interval], order: tuple[int, ...]) -> _Structure:
    """Stack the buffers in this order, and keep of those below only the ones nothing implies.

    `owner[t]` is the last buffer stacked in step `t`: what is below it is implied by it. Ancestors
    are bit sets.
    """
    steps = sorted({i.start for i in intervals} | {i.end for i in intervals})
    number = {step: k for k, step in enumerate(steps)}
    owner: list[int | None] = [None] * len(steps)
    ancestors = [0] * len(intervals)
    below: list[tuple[int, ...]] = [()] * len(intervals)
    for j in order:
        begin, end = number[intervals[j].start], number[intervals[j].end]
        touched = {k for k in set(owner[begin:end]) if k is not None}
        implied = reduce(lambda bits, k: bits | ancestors[k], touched, 0)
        below[j] = tuple(sorted(k for k in touched if not implied >> k & 1))
        ancestors[j] = reduce(lambda bits, k: bits | 1 << k, touched, implied)
        owner[begin:end] = [j] * (end - begin)
    covered = {k for ks in below for k in ks}
    tops = tuple(j for j in range(len(intervals)) if j not in covered)
    return _Structure(order, tuple(below), tops)


def _totals(fixed_at: Sequence[tuple[Interval, ...]], structure: _Structure) -> tuple[int, ...]:
    return tuple(max(_ends(fixed, structure), default=0) for fixed in fixed_at)


def _ends(intervals: Sequence[Interval], structure: _Structure) -> list[int]:
    """Where each buffer ends if it rests on those below it."""
    unit = granule(intervals)
    ends = [0] * len(intervals)
    for j in structure.order:
        offset = max((ends[k] for k in structure.below[j]), default=0)
        alignment = intervals[j].alignment
        offset = -(-offset // alignment) * alignment
        ends[j] = offset + -(-intervals[j].nbytes // unit) * unit
    return ends


def _closed_forms(
    intervals: Sequence[SymbolicInterval[S]],
    structure: _Structure,
    evaluate: Callable[[S, Mapping[str, int]], int],
    samples: Sequence[Mapping[str, int]],
    maximum: Callable[[S | int, S | int], S],
    align: Callable[[S | int, int], S],
    linear: Callable[[S | int], tuple[int, Sequence[tuple[S, int, bool]]]],
) -> tuple[tuple[S | int, ...], S | int, tuple[int, ...]]:
    """Offset = maximum of the ends below; with the totals at the samples.

    All sizes are rounded up to the coarsest alignment, so that every end is aligned for everybody.
    """
    unit = math.lcm(*(i.alignment for i in intervals))
    parts = [linear(align(i.nbytes, unit) if unit != 1 else i.nbytes) for i in intervals]
    quantities: dict[S, bool] = {}
    for _, terms in parts:
        quantities.update((quantity, never_negative) for quantity, _, never_negative in terms)
    columns = {quantity: n for n, quantity in enumerate(quantities, 1)}
    sizes: list[Form] = []
    for constant, terms in parts:
        row = [constant] + [0] * len(columns)
        for quantity, coefficient, _ in terms:
            row[columns[quantity]] += coefficient
        sizes.append(tuple(row))
    values = [[1, *(evaluate(q, sample) for q in quantities)] for sample in samples]
    comparable = [True, *quantities.values()]
    found, total = stacked(
        sizes, structure.order, structure.below, structure.tops, comparable, values
    )

    def written(form: Form) -> S | int:
        result: S | int = form[0]
        for quantity, coefficient in zip(quantities, form[1:], strict=True):
            if coefficient:
                result = result + quantity * coefficient
        return result

    def expression(forms: Sequence[Form]) -> S | int:
        return _maximum_of([written(f) for f in forms], maximum)

    totals = tuple(value_of(total, row) for row in values)
    return tuple(expression(f) for f in found), expression(total), totals


def _opaque(size: S | int) -> tuple[int, Sequence[tuple[S, int, bool]]]:
    return (size, ()) if isinstance(size, int) else (0, ((size, 1, True),))


def _maximum_of(sizes: Sequence[S | int], maximum: Callable[[S | int, S | int], S]) -> S | int:
    distinct: list[S | int] = []
    for size in sizes:
        if size not in distinct:
            distinct.append(size)
    return reduce(maximum, distinct) if distinct else 0


def _scaled(
    intervals: Sequence[SymbolicInterval[S]],
    split: Callable[[S], tuple[int, S]],
    align: Callable[[S | int, int], S],
    work_limit: int,
    seed: int,
    means: Means | None,
) -> tuple[tuple[S | int, ...], S | int] | None:
    """All sizes are `k * rest` with one `rest`: plan the `k`, scale by `rest` rounded up."""
    pairs = [split(i.nbytes) for i in intervals]
    if not pairs or any(rest != pairs[0][1] for _, rest in pairs):
        return None
    common = math.gcd(*(k for k, _ in pairs)) or 1
    alignment = math.lcm(*(i.alignment for i in intervals))
    unit = align(pairs[0][1] * common, alignment)
    counted = [
        Interval(i.name, i.start, i.end, k // common, 1)
        for i, (k, _) in zip(intervals, pairs, strict=True)
    ]
    plan = place(counted, work_limit=work_limit, seed=seed, means=means)
    return tuple(unit * o if o else 0 for o in plan.offsets), unit * plan.total_nbytes
