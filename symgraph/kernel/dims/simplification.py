"""Expressions without the divisions, remainders and extrema that intervals decide."""

from __future__ import annotations

import math

from .arithmetic import add, exact_quotient, floordiv, from_sorted, mod, mul, terms_of
from .expressions import (
    COMPOUND,
    Atom,
    Dim,
    FloorDiv,
    Interval,
    Maximum,
    Minimum,
    Mod,
    Ranges,
    kinds_in,
)
from .intervals import bounds, known_bounds
from .walk import transform


def simplify(dim: Dim, ranges: Ranges) -> Dim:
    """Drop divisions, remainders and extrema that the intervals of the variables decide."""
    if not kinds_in(dim) & COMPOUND:
        return dim
    return transform(dim, _Simplifier(ranges).atom)


class _Simplifier:
    """Simplifies the atoms of one expression, each once.

    An object: functions that call each other would be a cycle for each expression.
    """

    __slots__ = ("_done", "_known", "_ranges")

    def __init__(self, ranges: Ranges) -> None:
        self._ranges = ranges
        self._known: dict[Dim, Interval] = {}
        self._done: dict[Atom, Dim] = {}

    def atom(self, atom: Atom) -> Dim | None:
        """What an atom with operands becomes; None for others."""
        children = atom.children()
        if not children:
            return None
        found = self._done.get(atom)
        if found is None:
            new = tuple([transform(c, self.atom) for c in children])
            found = self._done[atom] = self._decided(atom, children, new)
        return found

    def _decided(self, atom: Atom, children: tuple[Dim, ...], new: tuple[Dim, ...]) -> Dim:
        if isinstance(atom, (FloorDiv, Mod)):
            return _simplify_division(atom, new[0], new[1], self._ranges)
        if isinstance(atom, (Minimum, Maximum)):
            low, high = known_bounds(add(new[0], mul(new[1], -1)), self._ranges, self._known)
            pick = isinstance(atom, Minimum)
            if high is not None and high <= 0:
                return new[0] if pick else new[1]
            if low is not None and low >= 0:
                return new[1] if pick else new[0]
        same = all(a is b for a, b in zip(new, children, strict=True))
        return atom if same else atom.rebuild(new)


def _simplify_division(atom: Atom, a: Dim, b: Dim, ranges: Ranges) -> Dim:
    """Split a into q*b + r with 0 <= r < b where the intervals prove it."""
    is_div = isinstance(atom, FloorDiv)
    if isinstance(b, int) and b > 0:
        terms, constant = terms_of(a)
        rest = from_sorted([(m, c) for m, c in terms if c % b], constant % b)
        low, high = bounds(rest, ranges)
        if low is not None and high is not None and low // b == high // b:
            whole = exact_quotient(add(a, mul(rest, -1)), b)
            if whole is not None:
                quotient = add(whole, low // b)
                return quotient if is_div else add(a, mul(quotient, -b))
        coarse = _coarser(a, b, ranges)
        if coarse is not None:
            high_part, step, low_part = coarse
            if is_div:
                return floordiv(high_part, b // step)
            return add(mul(mod(high_part, b // step), step), low_part)
    else:
        low, _ = bounds(a, ranges)
        gap_low, _ = bounds(add(b, mul(add(a, 1), -1)), ranges)
        if low is not None and low >= 0 and gap_low is not None and gap_low >= 0:
            return 0 if is_div else a
    return floordiv(a, b) if is_div else mod(a, b)


def _coarser(a: Dim, b: int, ranges: Ranges) -> tuple[Dim, int, Dim] | None:
    """(q, s, r) with a = s*q + r, 0 <= r < s and s a divisor of b other than 1 and b: then
    a // b = q // (b/s)."""
    terms, constant = terms_of(a)
    for step in sorted({math.gcd(b, c) for _, c in terms} - {1, b}, reverse=True):
        rest = from_sorted([(m, c) for m, c in terms if c % step], constant % step)
        low, high = bounds(rest, ranges)
        if low is not None and high is not None and low >= 0 and high < step:
            whole = exact_quotient(add(a, mul(rest, -1)), step)
            return None if whole is None else (whole, step, rest)
    return None
