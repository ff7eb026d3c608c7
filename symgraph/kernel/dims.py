"""Integer expressions: the one language of extents, loop indices, offsets and byte counts.

    Dim    = int | Symbolic
    Symbolic = Atom | Sum
    Atom   = DimVar(name)            a named extent that stays open, such as N; never negative
           | Unknown(hint)           an extent that inference may still find
           | LoopVar(hint)           the index of a loop or of an axis
           | FloorDiv(a, b) | Mod(a, b) | Minimum(a, b) | Maximum(a, b)
    Sum    = integer coefficients times products of atoms, plus a constant; canonical

A result that is constant is a plain `int`; a sum of one atom with coefficient 1 is that atom, so
`==` is structural equality of canonical forms.  Division and remainder round towards minus
infinity, as in Python and numpy.  Other modules may add atoms by subclassing `Atom`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

_serials = itertools.count()
_set = object.__setattr__

# What an expression holds, as bits: most questions about one are answered without walking it.
OPEN, UNKNOWN, LOOP, COMPOUND, OTHER = 1, 2, 4, 8, 16


class Symbolic:
    """Arithmetic shared by every integer expression that is not a plain int.

    With anything else (an index that is being computed with) the other side decides.
    """

    __slots__ = ()

    holds: int
    """The kinds of atoms in it: OPEN extents, UNKNOWN ones, LOOP variables, COMPOUND atoms that
    have operands, and those that OTHER modules add."""

    def __add__(self, other: Dim) -> Dim:
        return add(self, other) if isinstance(other, (int, Symbolic)) else NotImplemented

    def __radd__(self, other: Dim) -> Dim:
        return add(other, self) if isinstance(other, (int, Symbolic)) else NotImplemented

    def __sub__(self, other: Dim) -> Dim:
        return add(self, mul(other, -1)) if isinstance(other, (int, Symbolic)) else NotImplemented

    def __rsub__(self, other: Dim) -> Dim:
        return add(other, mul(self, -1)) if isinstance(other, (int, Symbolic)) else NotImplemented

    def __mul__(self, other: Dim) -> Dim:
        return mul(self, other) if isinstance(other, (int, Symbolic)) else NotImplemented

    def __rmul__(self, other: Dim) -> Dim:
        return mul(other, self) if isinstance(other, (int, Symbolic)) else NotImplemented

    def __neg__(self) -> Dim:
        return mul(self, -1)

    def __floordiv__(self, other: Dim) -> Dim:
        return floordiv(self, other) if isinstance(other, (int, Symbolic)) else NotImplemented

    def __rfloordiv__(self, other: Dim) -> Dim:
        return floordiv(other, self) if isinstance(other, (int, Symbolic)) else NotImplemented

    def __mod__(self, other: Dim) -> Dim:
        return mod(self, other) if isinstance(other, (int, Symbolic)) else NotImplemented

    def __rmod__(self, other: Dim) -> Dim:
        return mod(other, self) if isinstance(other, (int, Symbolic)) else NotImplemented


Dim = int | Symbolic
Bound = int | None
Interval = tuple[Bound, Bound]
Ranges = Mapping[Any, Interval]
Env = Mapping["Atom", Any]


class Atom(Symbolic):
    """An expression that a sum treats as one indivisible unknown."""

    __slots__ = ()
    holds = OPEN | UNKNOWN | LOOP | COMPOUND | OTHER

    @property
    def key(self) -> tuple[Any, ...]:
        """Total order among atoms, the same in every run."""
        raise NotImplementedError

    def children(self) -> tuple[Dim, ...]:
        return ()

    def rebuild(self, children: tuple[Dim, ...]) -> Dim:
        return self

    def compute(self, children: tuple[Any, ...]) -> Any:
        """The value, given the children's; children may be numpy arrays."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class DimVar(Atom):
    """A named extent, open until the call; two with one name are the same."""

    name: str
    holds = OPEN

    @property
    def key(self) -> tuple[Any, ...]:
        return (0, self.name)

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, eq=False)
class _Numbered(Atom):
    hint: str
    serial: int

    def __repr__(self) -> str:
        return self.hint


class Unknown(_Numbered):
    """An extent nobody stated; inference may bind it.  Compared by identity."""

    __slots__ = ()
    holds = UNKNOWN

    def __init__(self, hint: str = "?") -> None:
        super().__init__(hint, next(_serials))

    @property
    def key(self) -> tuple[Any, ...]:
        return (1, self.serial)


class LoopVar(_Numbered):
    """The index of one loop or axis.  Compared by identity."""

    __slots__ = ()
    holds = LOOP

    def __init__(self, hint: str = "i") -> None:
        super().__init__(hint, next(_serials))

    @property
    def key(self) -> tuple[Any, ...]:
        return (2, self.serial)


@dataclass(frozen=True, slots=True)
class _Binary(Atom):
    a: Dim
    b: Dim
    # Nested expressions are keys of many tables and share parts; going through the whole tree each
    # time is quadratic.  So what was found of a part is kept with it.
    _hash: int = field(init=False, repr=False, compare=False)
    _key: tuple[Any, ...] = field(init=False, repr=False, compare=False)
    _bounds: Interval | None = field(init=False, repr=False, compare=False)
    holds: int = field(init=False, repr=False, compare=False)

    order = 0
    """Place of the class in the order of atoms."""

    def __post_init__(self) -> None:
        _set(self, "_hash", hash((type(self).__name__, self.a, self.b)))
        _set(self, "_key", (self.order, sort_key(self.a), sort_key(self.b)))
        _set(self, "_bounds", None)
        _set(self, "holds", COMPOUND | _holds(self.a) | _holds(self.b))

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> Any:  # hashes of names differ from process to process
        return type(self), (self.a, self.b)

    @property
    def key(self) -> tuple[Any, ...]:
        return self._key

    def children(self) -> tuple[Dim, ...]:
        return (self.a, self.b)

    def interval(self, a: Interval, b: Interval) -> Interval:
        """Bounds of the value, given the operands'."""
        raise NotImplementedError


class FloorDiv(_Binary):
    """a // b, rounded towards minus infinity."""

    __slots__ = ()
    order = 3

    def interval(self, a: Interval, b: Interval) -> Interval:
        if isinstance(self.b, int) and self.b > 0:
            low, high = (None if end is None else end // self.b for end in a)
            return low, high
        known = a[0] is not None and a[0] >= 0 and b[0] is not None and b[0] >= 0
        return (0 if known else None), None

    def rebuild(self, children: tuple[Dim, ...]) -> Dim:
        return floordiv(*children)

    def compute(self, children: tuple[Any, ...]) -> Any:
        return children[0] // children[1]

    def __repr__(self) -> str:
        return f"{_paren(self.a)}//{_paren(self.b)}"


class Mod(_Binary):
    """a % b with the sign of b."""

    __slots__ = ()
    order = 4

    def interval(self, a: Interval, b: Interval) -> Interval:
        (low, high), (low_b, high_b) = a, b
        if low_b is None or low_b < 0:
            return None, None
        limit = None if high_b is None else high_b - 1
        if low is not None and low >= 0 and high is not None and (limit is None or high < limit):
            limit = high
        return 0, limit

    def rebuild(self, children: tuple[Dim, ...]) -> Dim:
        return mod(*children)

    def compute(self, children: tuple[Any, ...]) -> Any:
        return children[0] % children[1]

    def __repr__(self) -> str:
        return f"{_paren(self.a)}%{_paren(self.b)}"


class Minimum(_Binary):
    """The smaller of two expressions."""

    __slots__ = ()
    order = 5

    def interval(self, a: Interval, b: Interval) -> Interval:
        lows, highs = _ends(a, b)
        return (min(lows) if len(lows) == 2 else None), (min(highs) if highs else None)

    def rebuild(self, children: tuple[Dim, ...]) -> Dim:
        return minimum(*children)

    def compute(self, children: tuple[Any, ...]) -> Any:
        a, b = children
        return min(a, b) if isinstance(a, int) and isinstance(b, int) else _where(a < b, a, b)

    def __repr__(self) -> str:
        return f"min({self.a}, {self.b})"


class Maximum(_Binary):
    """The larger of two expressions."""

    __slots__ = ()
    order = 6

    def interval(self, a: Interval, b: Interval) -> Interval:
        lows, highs = _ends(a, b)
        return (max(lows) if lows else None), (max(highs) if len(highs) == 2 else None)

    def rebuild(self, children: tuple[Dim, ...]) -> Dim:
        return maximum(*children)

    def compute(self, children: tuple[Any, ...]) -> Any:
        a, b = children
        return max(a, b) if isinstance(a, int) and isinstance(b, int) else _where(a > b, a, b)

    def __repr__(self) -> str:
        return f"max({self.a}, {self.b})"


def _ends(a: Interval, b: Interval) -> tuple[list[int], list[int]]:
    """The known lower ends and the known upper ends."""
    lows = [end for end in (a[0], b[0]) if end is not None]
    return lows, [end for end in (a[1], b[1]) if end is not None]


Monomial = tuple[Atom, ...]


@dataclass(frozen=True, slots=True)
class Sum(Symbolic):
    """Canonical `constant + sum(coefficient * product of atoms)`; terms sorted, none zero."""

    terms: tuple[tuple[Monomial, int], ...]
    constant: int
    _hash: int | None = field(init=False, repr=False, compare=False)
    holds: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        held = 0
        for monomial, _ in self.terms:
            for atom in monomial:
                held |= atom.holds
        _set(self, "_hash", None)
        _set(self, "holds", held)

    def __hash__(self) -> int:
        if self._hash is None:
            _set(self, "_hash", hash((self.terms, self.constant)))
        return self._hash  # type: ignore[return-value]

    def __reduce__(self) -> Any:
        return type(self), (self.terms, self.constant)

    def __repr__(self) -> str:
        parts: list[str] = []
        for monomial, coefficient in self.terms:
            product = "*".join(_paren(atom) for atom in monomial)
            size = abs(coefficient)
            text = product if size == 1 else f"{size}*{product}"
            sign = "-" if coefficient < 0 else "+" if parts else ""
            parts.append(sign + text)
        if self.constant:
            parts.append(f"{self.constant:+d}")
        return "".join(parts)


def _holds(dim: Dim) -> int:
    return 0 if isinstance(dim, int) else dim.holds


def _where(condition: Any, a: Any, b: Any) -> Any:
    import numpy as np

    return np.where(condition, a, b)


def _paren(dim: Dim) -> str:
    simple = isinstance(dim, (int, DimVar, _Numbered, Minimum, Maximum))
    return str(dim) if simple else f"({dim})"


def sort_key(dim: Dim) -> tuple[Any, ...]:
    """Total order among dims, the same in every run."""
    if isinstance(dim, int):
        return (-1, dim)
    if isinstance(dim, Atom):
        return dim.key
    assert isinstance(dim, Sum)
    return (9, tuple((_monomial_key(m), c) for m, c in dim.terms), dim.constant)


@lru_cache(maxsize=1 << 16)
def _monomial_key(monomial: Monomial) -> tuple[Any, ...]:
    return tuple(atom.key for atom in monomial)


def terms_of(dim: Dim) -> tuple[tuple[tuple[Monomial, int], ...], int]:
    """The (terms, constant) of any dim."""
    if isinstance(dim, int):
        return (), dim
    if isinstance(dim, Sum):
        return dim.terms, dim.constant
    assert isinstance(dim, Atom), dim
    return (((dim,), 1),), 0


def from_terms(terms: Mapping[Monomial, int], constant: int) -> Dim:
    """The canonical sum of these products of atoms, each in the order of its atoms' keys."""
    kept = [(m, c) for m, c in terms.items() if c]
    if not kept:
        return constant
    if len(kept) == 1 and not constant and kept[0][1] == 1 and len(kept[0][0]) == 1:
        return kept[0][0][0]
    if len(kept) > 1:
        kept.sort(key=lambda item: _monomial_key(item[0]))
    return Sum(tuple(kept), constant)


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
    return from_terms(total, constant_a + constant_b)


def _plus(dim: Symbolic, number: int) -> Dim:
    """dim + number: the terms stay as they are."""
    if not number:
        return dim
    terms, constant = terms_of(dim)
    constant += number
    if not constant and len(terms) == 1 and terms[0][1] == 1 and len(terms[0][0]) == 1:
        return terms[0][0][0]
    return Sum(terms, constant)


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


def _times_number(dim: Dim, number: int) -> Dim:
    """dim * number, which is not 0: the terms keep their order."""
    terms, constant = terms_of(dim)
    if len(terms) == 1 and not constant:
        monomial, factor = terms[0]
        if factor * number == 1 and len(monomial) == 1:
            return monomial[0]
    return Sum(tuple([(m, c * number) for m, c in terms]), constant * number)


def product(dims: tuple[Dim, ...] | list[Dim]) -> Dim:
    """The product; 1 for none."""
    result: Dim = 1
    for dim in dims:
        both = isinstance(dim, int) and isinstance(result, int)  # nearly always
        result = result * dim if both else mul(result, dim)
    return result


def exact_quotient(a: Dim, b: Dim) -> Dim | None:
    """q with q * b == a identically, or None when no such canonical q is found."""
    if isinstance(b, int):
        if b == 0:
            return None
        terms, constant = terms_of(a)
        if constant % b or any(c % b for _, c in terms):
            return None
        return from_terms({m: c // b for m, c in terms}, constant // b)
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
        rest = _without(monomial, divisor)
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
        rest = _without(monomial, lead_b)
        if rest is not None and coefficient % scale == 0:
            candidate = (
                from_terms({rest: coefficient // scale}, 0) if rest else coefficient // scale
            )
            if mul(candidate, b) == a:
                return candidate
    return None


def _without(monomial: Monomial, divisor: Monomial) -> Monomial | None:
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
        whole = {m: c // b for m, c in terms if c % b == 0}
        rest = {m: c for m, c in terms if c % b}
        if whole or not 0 <= constant < b:
            inner = from_terms(rest, constant % b)
            return add(from_terms(whole, constant // b), floordiv(inner, b))
        if isinstance(a, FloorDiv) and isinstance(a.b, int) and a.b > 0:
            return floordiv(a.a, a.b * b)
        common = math.gcd(b, *(c for _, c in terms))
        if common > 1:
            return floordiv(
                from_terms({m: c // common for m, c in terms}, constant // common), b // common
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
        inner = from_terms({m: c % b for m, c in terms}, constant % b)
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


def atoms(dim: Dim) -> Sequence[Atom]:
    """Every atom, outermost first, those inside divisions and the like included."""
    if isinstance(dim, int):
        return ()
    if not dim.holds & COMPOUND:
        if isinstance(dim, Sum):
            return [atom for monomial, _ in dim.terms for atom in reversed(monomial)]
        assert isinstance(dim, Atom)
        return (dim,)
    found: list[Atom] = []
    stack: list[Dim] = [dim]
    while stack:
        current = stack.pop()
        if isinstance(current, Atom):
            found.append(current)
            stack.extend(current.children())
        elif isinstance(current, Sum):
            stack.extend(atom for monomial, _ in reversed(current.terms) for atom in monomial)
    return found


def dim_vars(dim: Dim) -> tuple[DimVar, ...]:
    """The named extents in it, each once, by name."""
    if not _holds(dim) & OPEN:
        return ()
    found = {atom for atom in atoms(dim) if isinstance(atom, DimVar)}
    return tuple(sorted(found, key=lambda v: v.name))


def is_closed(dim: Dim) -> bool:
    """True when no extent in it is unknown."""
    return not _holds(dim) & UNKNOWN or not any(isinstance(a, Unknown) for a in atoms(dim))


def transform(dim: Dim, replace: Callable[[Atom], Dim | None]) -> Dim:
    """Rebuild with atoms replaced; `replace` returns None to keep an atom (its children change)."""
    if isinstance(dim, int):
        return dim
    if isinstance(dim, Atom):
        return _transform_atom(dim, replace)
    assert isinstance(dim, Sum)
    changed = False
    factors: list[list[Dim]] = []
    for monomial, _ in dim.terms:
        new = [_transform_atom(atom, replace) for atom in monomial]
        changed = changed or any(a is not b for a, b in zip(new, monomial, strict=True))
        factors.append(new)
    if not changed:
        return dim
    total: dict[Monomial, int] = {}
    constant = dim.constant
    for (_, coefficient), new in zip(dim.terms, factors, strict=True):
        terms, rest = terms_of(new[0] if len(new) == 1 else product(new))
        constant += coefficient * rest
        for monomial, count in terms:
            total[monomial] = total.get(monomial, 0) + coefficient * count
    return from_terms(total, constant)


def _transform_atom(atom: Atom, replace: Callable[[Atom], Dim | None]) -> Dim:
    new = replace(atom)
    if new is not None:
        return new
    children = atom.children()
    if not children:
        return atom
    changed = tuple(transform(child, replace) for child in children)
    if all(a is b or a == b for a, b in zip(changed, children, strict=True)):
        return atom
    return atom.rebuild(changed)


def substitute(dim: Dim, values: Mapping[Any, Dim]) -> Dim:
    """Replace atoms by dims."""
    if isinstance(dim, int) or not values:
        return dim
    return transform(dim, values.get)


def evaluate(dim: Dim, env: Mapping[Any, Any]) -> Any:
    """The number, given one for every variable; numpy arrays give arrays.

    Raises: KeyError for a variable without a value.
    """
    if isinstance(dim, int):
        return dim
    if isinstance(dim, Atom):
        if dim in env:
            return env[dim]
        children = dim.children()
        if not children:
            raise KeyError(dim)
        return dim.compute(tuple(evaluate(child, env) for child in children))
    assert isinstance(dim, Sum)
    total: Any = dim.constant
    for monomial, coefficient in dim.terms:
        value: Any = coefficient
        for atom in monomial:
            value = value * evaluate(atom, env)
        total = total + value
    return total


def bounds(dim: Dim, ranges: Ranges | None = None) -> Interval:
    """Inclusive interval that holds every value; None means unbounded on that side.

    `ranges` gives intervals of variables; named extents are at least 0 when not listed.
    """
    return _bounds(dim, ranges, {}) if ranges else _bounds(dim, {}, None)


def _bounds(dim: Dim, ranges: Ranges, known: dict[Dim, Interval] | None) -> Interval:
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
    if not isinstance(atom, _Binary):
        return None, None
    found = atom._bounds if known is None else known.get(atom)
    if found is None:
        a, b = _bounds(atom.a, ranges, known), _bounds(atom.b, ranges, known)
        found = atom.interval(a, b)
        if known is None:
            _set(atom, "_bounds", found)
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


def simplify(dim: Dim, ranges: Ranges) -> Dim:
    """Drop divisions, remainders and extrema that the intervals of the variables decide."""
    if not _holds(dim) & COMPOUND:
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
            low, high = _bounds(add(new[0], mul(new[1], -1)), self._ranges, self._known)
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
        rest = from_terms({m: c for m, c in terms if c % b}, constant % b)
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
        rest = from_terms({m: c for m, c in terms if c % step}, constant % step)
        low, high = bounds(rest, ranges)
        if low is not None and high is not None and low >= 0 and high < step:
            whole = exact_quotient(add(a, mul(rest, -1)), step)
            return None if whole is None else (whole, step, rest)
    return None


@lru_cache(maxsize=1 << 15)
def coefficient(dim: Dim, variable: Atom) -> Dim | None:
    """c when dim == c*variable + rest and neither c nor rest holds the variable; else None."""
    terms, _ = terms_of(dim)
    result: Dim = 0
    for monomial, factor in terms:
        count = monomial.count(variable)
        rest = _without(monomial, (variable,)) if count else monomial
        assert rest is not None
        if count > 1 or any(variable in atoms(atom) for atom in rest):
            return None
        if count:
            piece: Dim = factor
            for atom in rest:
                piece = mul(piece, atom)
            result = add(result, piece)
    return result


def dim_text(dims: tuple[Dim, ...] | None) -> str:
    """A shape as in `[N,784]`; `[...]` when the rank is unknown."""
    if dims is None:
        return "[...]"
    return "[" + ",".join(str(d) for d in dims) + "]"
