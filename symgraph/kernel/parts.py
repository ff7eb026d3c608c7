"""Give an axis of its own to the parts in which a tensor is read.

    z[n,m] = sum_r x[n,r] * w[m,r]                z[n,k,j] = sum_r x[n,r] * w[k*5+j,r]
    y[n,j] = z[n,j] * sigmoid(z[n,j+5])     ->    y[n,j] = z[n,0,j] * sigmoid(z[n,1,j])

Where a result of sums is read only in equal parts of one axis, all parts at the same place, reader
and sums can share the loops over that place: the parts are then a short inner loop, and its result
need not be stored.  Gates of recurrent cells and gated linear units are read like this.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from . import dims
from .compute import Compute
from .dims import Dim, LoopVar
from .ir import Axis, Expr, Load, Reduce
from .rewrite import LoadRewriter, loads, walk

MOST_PARTS = 8
"""Parts of one axis, at most: their results are kept at once."""


def split_parts(outputs: Sequence[Compute]) -> tuple[Compute, ...]:
    """The computations with parts as axes; themselves where nothing is read in parts."""
    order = producers_first(outputs)
    readers: dict[Compute, list[tuple[Compute, Load]]] = {c: [] for c in order}
    sums: set[Compute] = set()
    for reader in order:
        own = [e for e in walk(reader.body) if isinstance(e, (Load, Reduce))]
        read = [e for e in own if isinstance(e, Load)]
        if len(read) < len(own) or _continues_sums(reader, read, sums):
            sums.add(reader)
        for load in read:
            if isinstance(load.tensor, Compute):
                readers[load.tensor].append((reader, load))
    split: dict[Compute, tuple[int, int, int]] = {}
    for compute in order:
        if compute not in outputs and compute in sums:
            found = _parts(compute, readers[compute])
            if found is not None:
                split[compute] = found
    return _rewritten(order, outputs, _spread(split, order, readers)) if split else tuple(outputs)


def producers_first(outputs: Iterable[Compute]) -> list[Compute]:
    """The computations and all that they read, each behind those it reads."""
    order: list[Compute] = []
    seen: set[Compute] = set()
    stack: list[tuple[Compute, bool]] = [(c, False) for c in reversed(tuple(outputs))]
    while stack:
        current, done = stack.pop()
        if done:
            order.append(current)
        elif current not in seen:
            seen.add(current)
            stack.append((current, True))
            below = [x.tensor for x in loads(current.body)]
            stack.extend((c, False) for c in reversed(below) if isinstance(c, Compute))
    return order


def _continues_sums(compute: Compute, read: Sequence[Load], sums: set[Compute]) -> bool:
    """The computation is made element by element from a sum, or from what is made so."""
    own = tuple(a.var for a in compute.axes)
    return any(load.tensor in sums and load.index == own for load in read)


def _parts(
    compute: Compute, readers: Sequence[tuple[Compute, Load]]
) -> tuple[int, int, int] | None:
    """(axis, number of parts, their extent), or None where it is read in another way."""
    for axis, own in enumerate(compute.axes):
        places = [_place(reader, load, axis) for reader, load in readers]
        if not places or any(p is None for p in places):
            continue
        extents = {p[0] for p in places if p is not None}
        starts = {p[1] for p in places if p is not None}
        (extent, *others) = extents
        if others or not isinstance(own.extent, int) or extent == 0 or len(starts) < 2:
            continue
        count, rest = divmod(own.extent, extent)
        aligned = all(start % extent == 0 for start in starts)
        if rest == 0 and aligned and 2 <= count <= MOST_PARTS and len(starts) == count:
            return axis, count, extent
    return None


def _place(reader: Compute, load: Load, axis: int) -> tuple[int, int] | None:
    """(extent, start) of the reader's axis along one axis of what it reads, all others plain."""
    extents = {a.var: a.extent for a in reader.axes}
    for number, dim in enumerate(load.index):
        if number != axis and not (isinstance(dim, LoopVar) and dim in extents) and dim != 0:
            return None
    terms, start = dims.terms_of(load.index[axis])
    if len(terms) != 1 or terms[0][1] != 1 or len(terms[0][0]) != 1:
        return None
    variable = terms[0][0][0]
    extent = extents.get(variable) if isinstance(variable, LoopVar) else None
    return (extent, start) if isinstance(extent, int) else None


def _spread(
    split: dict[Compute, tuple[int, int, int]],
    order: Sequence[Compute],
    readers: dict[Compute, list[tuple[Compute, Load]]],
) -> dict[Compute, tuple[int, int, int]]:
    """What a split computation alone reads, at its own index, is split as it is."""
    for compute in reversed(order):
        if compute not in split:
            users = {reader for reader, _ in readers[compute]}
            if len(users) == 1 and (user := next(iter(users))) in split:
                own = tuple(a.var for a in user.axes)
                if all(load.index == own for _, load in readers[compute]):
                    split[compute] = split[user]
    return split


def _rewritten(
    order: Sequence[Compute],
    outputs: Sequence[Compute],
    split: dict[Compute, tuple[int, int, int]],
) -> tuple[Compute, ...]:
    new: dict[Compute, Compute] = {}
    for compute in order:
        values: dict[LoopVar, Dim] = {}
        axes = list(compute.axes)
        if compute in split:
            axis, count, extent = split[compute]
            part, place = LoopVar("k"), LoopVar(axes[axis].var.hint)
            values[axes[axis].var] = dims.add(dims.mul(part, extent), place)
            axes[axis : axis + 1] = [Axis(part, count), Axis(place, extent)]

        def moved(load: Load) -> Expr | None:
            if not isinstance(load.tensor, Compute) or load.tensor not in new:
                return None
            if load.tensor not in split:
                return Load(new[load.tensor], load.index)
            axis, _, extent = split[load.tensor]
            return Load(new[load.tensor], _at_part(load.index, axis, extent))

        body = LoadRewriter(moved, values)(compute.body)
        new[compute] = Compute(compute.name, tuple(axes), body)
    return tuple(new[c] for c in outputs)


def _at_part(index: tuple[Dim, ...], axis: int, extent: int) -> tuple[Dim, ...]:
    """[n, k*extent + j] as [n, k, j]."""
    part: Dim = 0
    place: Dim = 0
    terms, constant = dims.terms_of(index[axis])
    for monomial, factor in terms:
        (variable,) = monomial
        if factor == extent and extent != 1:
            part = dims.add(part, variable)
        else:
            place = dims.add(place, variable)
    return (*index[:axis], dims.add(part, constant // extent), place, *index[axis + 1 :])
