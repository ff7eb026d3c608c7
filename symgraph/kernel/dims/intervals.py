"""Intervals that hold every value of an expression."""

from __future__ import annotations

from .expressions import Atom, Binary, Bound, Dim, DimVar, Interval, Ranges, Sum, Unknown


def bounds(dim: Dim, ranges: Ranges | None = None) -> Interval:
    """Inclusive interval that holds every value; None means unbounded on that side.

    `ranges` gives intervals of variables; named extents are at least 0 when not listed.
    """
    return known_bounds(dim, ranges, {}) if ranges else known_bounds(dim, {}, None)


def known_bounds(dim: Dim, ranges: Ranges, known: dict[Dim, Interval] | None) -> Interval:
    """`known` keeps what was found of nested parts; None where that is kept with the parts."""
    if isinstance(dim, int):
        return dim, dim
    if isinstance(dim, Atom):
        return _atom_bounds(dim, ranges, known)
    assert isinstance(dim, Sum)
    low: Bound = dim.constant
    high: Bound = dim.constant
    for monomial, coefficient in dim.terms:
        interval: Interval = (coefficient, coefficient)
        for atom in monomial:
            interval = _times(interval, _atom_bounds(atom, ranges, known))
        low = None if low is None or interval[0] is None else low + interval[0]
        high = None if high is None or interval[1] is None else high + interval[1]
    return low, high


def _atom_bounds(atom: Atom, ranges: Ranges, known: dict[Dim, Interval] | None) -> Interval:
    if atom in ranges:
        return ranges[atom]
    if isinstance(atom, (DimVar, Unknown)):
        return 0, None
    if not isinstance(atom, Binary):
        return None, None
    found = atom._bounds if known is None else known.get(atom)
    if found is None:
        a, b = known_bounds(atom.a, ranges, known), known_bounds(atom.b, ranges, known)
        found = atom.interval(a, b)
        if known is None:
            object.__setattr__(atom, "_bounds", found)
        else:
            known[atom] = found
    return found


def _times(a: tuple[Bound, Bound], b: tuple[Bound, Bound]) -> tuple[Bound, Bound]:
    if None not in a and None not in b:
        products = [x * y for x in a for y in b]  # type: ignore[operator]
        return min(products), max(products)
    if a[0] is not None and a[0] >= 0 and b[0] is not None and b[0] >= 0:
        return a[0] * b[0], None
    if a[1] is not None and a[1] <= 0 and b[0] is not None and b[0] >= 0:
        return None, a[1] * b[0]
    if (a[0], a[1]) == (0, 0) or (b[0], b[1]) == (0, 0):
        return 0, 0
    return None, None
