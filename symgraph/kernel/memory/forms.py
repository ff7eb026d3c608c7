"""Offsets of stacked buffers as maxima of linear forms, for sizes known at run time only.

Owns the max-plus arithmetic: the end of a buffer is `size + max(ends below)`. Written out as it is,
the expression doubles with every layer; as a *set of linear forms* (coefficients of the quantities
that sizes are made of) it stays flat: add the size to each form, drop every form that another one
exceeds for all values. A set that is still larger than `MOST_FORMS` is thinned by replacing two
forms with their coefficientwise maximum, which is no smaller than either: offsets stay valid, and
what this costs shows in the totals at the samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

MOST_FORMS = 64

Form = tuple[int, ...]
"""Coefficients of the quantities, the constant first."""


def stacked(
    sizes: Sequence[Form],
    order: Sequence[int],
    below: Sequence[Sequence[int]],
    tops: Sequence[int],
    comparable: Sequence[bool],
    samples: Sequence[Sequence[int]],
) -> tuple[list[list[Form]], list[Form]]:
    """The offsets of buffers that rest on those `below`, and the total over the `tops`.

    `comparable` says which quantities are never negative; `samples` gives the values of the
    quantities by which forms are thinned.
    """
    offsets: list[list[Form]] = [[] for _ in sizes]
    ends: list[list[Form]] = [[] for _ in sizes]
    for j in order:
        offsets[j] = _thinned({f for k in below[j] for f in ends[k]}, comparable, samples)
        resting = offsets[j] if offsets[j] else [(0,) * len(comparable)]
        ends[j] = [tuple(a + b for a, b in zip(f, sizes[j], strict=True)) for f in resting]
    return offsets, _thinned({f for k in tops for f in ends[k]}, comparable, samples)


def value_of(forms: Iterable[Form], sample: Sequence[int]) -> int:
    """The maximum of the forms at a sample; 0 for none."""
    values = (sum(c * x for c, x in zip(f, sample, strict=True)) for f in forms)
    return max(values, default=0)


def _thinned(
    forms: set[Form], comparable: Sequence[bool], samples: Sequence[Sequence[int]]
) -> list[Form]:
    kept = _undominated(sorted(forms, reverse=True), comparable)
    while len(kept) > MOST_FORMS:
        pairs = [
            (_price(a, b, samples), a, b)
            for a, b in combinations(kept, 2)
            if all(c or x == y for c, x, y in zip(comparable, a, b, strict=True))
        ]
        if not pairs:
            break
        _, a, b = min(pairs)
        kept = _undominated([_joined(a, b), *(f for f in kept if f not in (a, b))], comparable)
    return kept


def _undominated(forms: Sequence[Form], comparable: Sequence[bool]) -> list[Form]:
    kept: list[Form] = []
    for form in forms:
        if not any(_at_least(other, form, comparable) for other in kept):
            kept = [k for k in kept if not _at_least(form, k, comparable)]
            kept.append(form)
    return kept


def _at_least(a: Form, b: Form, comparable: Sequence[bool]) -> bool:
    """a >= b for all values: quantities of unknown sign must agree."""
    return all(x >= y if free else x == y for x, y, free in zip(a, b, comparable, strict=True))


def _joined(a: Form, b: Form) -> Form:
    return tuple(max(x, y) for x, y in zip(a, b, strict=True))


def _price(a: Form, b: Form, samples: Sequence[Sequence[int]]) -> float:
    """What joining adds, relative to the greater of the two, summed over the samples."""
    price = 0.0
    for sample in samples:
        greater = value_of((a, b), sample)
        price += (value_of([_joined(a, b)], sample) - greater) / max(greater, 1)
    return price
