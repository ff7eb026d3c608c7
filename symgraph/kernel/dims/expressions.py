"""The expressions themselves: what a dim is made of, and its order among others."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

_serials = itertools.count()
_set = object.__setattr__


def next_serial() -> int:
    """A number that no variable or buffer has had."""
    return next(_serials)


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
        super().__init__(hint, next_serial())

    @property
    def key(self) -> tuple[Any, ...]:
        return (1, self.serial)


class LoopVar(_Numbered):
    """The index of one loop or axis.  Compared by identity."""

    __slots__ = ()
    holds = LOOP

    def __init__(self, hint: str = "i") -> None:
        super().__init__(hint, next_serial())

    @property
    def key(self) -> tuple[Any, ...]:
        return (2, self.serial)


@dataclass(frozen=True, slots=True)
class Binary(Atom):
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
        object.__setattr__(self, "_hash", hash((type(self).__name__, self.a, self.b)))
        object.__setattr__(self, "_key", (self.order, sort_key(self.a), sort_key(self.b)))
        object.__setattr__(self, "_bounds", None)
        object.__setattr__(self, "holds", COMPOUND | kinds_in(self.a) | kinds_in(self.b))

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


class FloorDiv(Binary):
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


class Mod(Binary):
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


class Minimum(Binary):
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


class Maximum(Binary):
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


@dataclass(frozen=True, slots=True, init=False)
class Sum(Symbolic):
    """Canonical `constant + sum(coefficient * product of atoms)`; terms sorted, none zero."""

    terms: tuple[tuple[Monomial, int], ...]
    constant: int
    _hash: int | None = field(init=False, repr=False, compare=False)
    holds: int = field(init=False, repr=False, compare=False)

    # Written out: sums are made far more often than anything else.
    def __init__(
        self, terms: tuple[tuple[Monomial, int], ...], constant: int, holds: int | None = None
    ) -> None:
        """`holds` where it is known."""
        if holds is None:
            holds = 0
            for monomial, _ in terms:
                for atom in monomial:
                    holds |= atom.holds
        _set(self, "terms", terms)
        _set(self, "constant", constant)
        _set(self, "holds", holds)
        _set(self, "_hash", None)

    def __post_init__(self) -> None:
        """What follows from the fields, of a sum that is read back from records."""
        Sum.__init__(self, self.terms, self.constant)

    def __hash__(self) -> int:
        found = self._hash
        if found is None:  # of most sums nobody asks
            found = hash((self.terms, self.constant))
            object.__setattr__(self, "_hash", found)
        return found

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


def kinds_in(dim: Dim) -> int:
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
    return (9, tuple((monomial_key(m), c) for m, c in dim.terms), dim.constant)


@lru_cache(maxsize=1 << 16)
def monomial_key(monomial: Monomial) -> tuple[Any, ...]:
    return tuple(atom.key for atom in monomial)


# Their operators make canonical forms, which are made of them.
from .arithmetic import add, floordiv, maximum, minimum, mod, mul  # noqa: E402
