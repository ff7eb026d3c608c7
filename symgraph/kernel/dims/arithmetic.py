"""Canonical forms: sums, products, quotients and extrema of integer expressions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from .expressions import (
    Atom,
    Dim,
    FloorDiv,
    Maximum,
    Minimum,
    Mod,
    Monomial,
    Sum,
    Symbolic,
    monomial_key,
    sort_key,
)
from .intervals import bounds


def terms_of(dim: Dim) -> tuple[tuple[tuple[Monomial, int], ...], int]:
    """The (terms, constant) of any dim."""
    if dim.__class__ is Sum:  # by far the most
        return dim.terms, dim.constant
    if isinstance(dim, int):
        return (), dim
    assert isinstance(dim, Atom), dim
    return (((dim,), 1),), 0


def from_terms(terms: Mapping[Monomial, int], constant: int) -> Dim:
    """The canonical sum of these products of atoms, each in the order of its atoms' keys."""
    kept = [item for item in terms.items() if item[1]]
    if len(kept) > 1:
        kept.sort(key=_order)
        return Sum(tuple(kept), constant)
    return _of_few(kept, constant)


def from_sorted(terms: Iterable[tuple[Monomial, int]], constant: int) -> Dim:
    """The same of products that are in the order of their keys: some of the terms of a sum, with
    other coefficients."""
    kept = [item for item in terms if item[1]]
    return Sum(tuple(kept), constant) if len(kept) > 1 else _of_few(kept, constant)


def _order(item: tuple[Monomial, int]) -> tuple[Any, ...]:
    return monomial_key(item[0])


def _of_few(kept: list[tuple[Monomial, int]], constant: int) -> Dim:
    """The canonical sum of one product or none."""
    if not kept:
        return constant
    monomial, coefficient = kept[0]
    if coefficient == 1 and not constant and len(monomial) == 1:
        return monomial[0]
    return Sum((kept[0],), constant)


def add(a: Dim, b: Dim) -> Dim:
    """a + b in canonical form."""
    if isinstance(b, int):
        return a + b if isinstance(a, int) else _plus(a, b)
    if isinstance(a, int):
        return _plus(b, a)
    terms_a, constant_a = terms_of(a)
    terms_b, constant_b = terms_of(b)
    total = dict(terms_a)
    for monomial, coefficient in terms_b:
        total[monomial] = total.get(monomial, 0) + coefficient
    if len(total) == len(terms_a):
        return from_sorted(total.items(), constant_a + constant_b)
    return from_terms(total, constant_a + constant_b)


def _plus(dim: Symbolic, number: int) -> Dim:
    """dim + number: the terms stay as they are."""
    if not number:
        return dim
    terms, constant = terms_of(dim)
    constant += number
    if not constant and len(terms) == 1 and terms[0][1] == 1 and len(terms[0][0]) == 1:
        return terms[0][0][0]
    return Sum(terms, constant, dim.holds)


def mul(a: Dim, b: Dim) -> Dim:
    """a * b in canonical form."""
    if isinstance(a, int):
        if isinstance(b, int):
            return a * b
        a, b = b, a
    if isinstance(b, int):
        if b == 1:
            return a
        if b == 0:
            return 0
        return _times_number(a, b)
    terms_a, constant_a = terms_of(a)
    terms_b, constant_b = terms_of(b)
    total: dict[Monomial, int] = {}
    for ma, ca in (*terms_a, ((), constant_a)):
        for mb, cb in (*terms_b, ((), constant_b)):
            product = tuple(sorted(ma + mb, key=lambda atom: atom.key))
            total[product] = total.get(product, 0) + ca * cb
    constant = total.pop((), 0)
    return from_terms(total, constant)


def _times_number(dim: Symbolic, number: int) -> Dim:
    """dim * number, which is not 0: the terms keep their order."""
    terms, constant = terms_of(dim)
    if len(terms) == 1 and not constant:
        monomial, factor = terms[0]
        if factor * number == 1 and len(monomial) == 1:
            return monomial[0]
    return Sum(tuple([(m, c * number) for m, c in terms]), constant * number, dim.holds)


def product(dims: tuple[Dim, ...] | list[Dim]) -> Dim:
    """The product; 1 for none."""
    number, rest = 1, []
    for dim in dims:
        if isinstance(dim, int):  # nearly always
            number *= dim
        else:
            rest.append(dim)
    result: Dim = number
    for dim in rest:
        result = mul(result, dim)
    return result


def exact_quotient(a: Dim, b: Dim) -> Dim | None:
    """q with q * b == a identically, or None when no such canonical q is found."""
    if isinstance(b, int):
        if b == 0:
            return None
        terms, constant = terms_of(a)
        if constant % b or any(c % b for _, c in terms):
            return None
        return from_sorted([(m, c // b) for m, c in terms], constant // b)
    if a == b:
        return 1
    if isinstance(a, int):
        return 0 if a == 0 else None
    terms_b, constant_b = terms_of(b)
    if len(terms_b) != 1 or constant_b:
        return _divide_by_sum(a, b)
    (divisor, scale), total = terms_b[0], {}
    terms_a, constant_a = terms_of(a)
    if constant_a:
        return None
    for monomial, coefficient in terms_a:
        rest = without(monomial, divisor)
        if rest is None or coefficient % scale:
            return None
        total[rest] = coefficient // scale
    constant = total.pop((), 0)
    return from_terms(total, constant)


def _divide_by_sum(a: Dim, b: Dim) -> Dim | None:
    """Quotient by a sum, when `a` is `b` times an int or times one monomial."""
    terms_a, _ = terms_of(a)
    terms_b, _ = terms_of(b)
    lead_b, scale = terms_b[-1]
    for monomial, coefficient in terms_a:
        rest = without(monomial, lead_b)
        if rest is not None and coefficient % scale == 0:
            candidate = (
                from_terms({rest: coefficient // scale}, 0) if rest else coefficient // scale
            )
            if mul(candidate, b) == a:
                return candidate
    return None


def without(monomial: Monomial, divisor: Monomial) -> Monomial | None:
    rest = list(monomial)
    for atom in divisor:
        if atom not in rest:
            return None
        rest.remove(atom)
    return tuple(rest)


def floordiv(a: Dim, b: Dim) -> Dim:
    """a // b, with what divides exactly taken out.  Raises: ZeroDivisionError."""
    if isinstance(a, int) and isinstance(b, int):
        return a // b
    if b == 1:
        return a
    exact = exact_quotient(a, b)
    if exact is not None:
        return exact
    if isinstance(b, int):
        if b < 0:
            return floordiv(mul(a, -1), -b)
        terms, constant = terms_of(a)
        whole = [(m, c // b) for m, c in terms if c % b == 0]
        rest = [(m, c) for m, c in terms if c % b]
        if whole or not 0 <= constant < b:
            inner = from_sorted(rest, constant % b)
            return add(from_sorted(whole, constant // b), floordiv(inner, b))
        if isinstance(a, FloorDiv) and isinstance(a.b, int) and a.b > 0:
            return floordiv(a.a, a.b * b)
        common = math.gcd(b, *(c for _, c in terms))
        if common > 1:
            return floordiv(
                from_sorted([(m, c // common) for m, c in terms], constant // common), b // common
            )
    return FloorDiv(a, b)


def mod(a: Dim, b: Dim) -> Dim:
    """a % b, with multiples of b dropped.  Raises: ZeroDivisionError."""
    if isinstance(a, int) and isinstance(b, int):
        return a % b
    if b == 1 or exact_quotient(a, b) is not None:
        return 0
    if isinstance(b, int):
        terms, constant = terms_of(a)
        inner = from_sorted([(m, c % b) for m, c in terms], constant % b)
        if inner != a:
            return mod(inner, b)
    return Mod(a, b)


def ceildiv(a: Dim, b: Dim) -> Dim:
    """The least integer not below a / b, for b > 0."""
    return floordiv(add(a, add(b, -1)), b)


def align(a: Dim, alignment: int) -> Dim:
    """The least multiple of `alignment` not below a."""
    return mul(ceildiv(a, alignment), alignment)


def minimum(a: Dim, b: Dim) -> Dim:
    """The smaller, decided now where the difference has a known sign."""
    low, high = bounds(add(a, mul(b, -1)))
    if high is not None and high <= 0:
        return a
    if low is not None and low >= 0:
        return b
    return Minimum(*sorted((a, b), key=sort_key))


def maximum(a: Dim, b: Dim) -> Dim:
    """The larger, decided now where the difference has a known sign."""
    low, high = bounds(add(a, mul(b, -1)))
    if high is not None and high <= 0:
        return b
    if low is not None and low >= 0:
        return a
    return Maximum(*sorted((a, b), key=sort_key))
