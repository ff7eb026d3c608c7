"""What an expression holds, and the same with other atoms or with numbers in their place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from .arithmetic import add, from_terms, mul, product, terms_of, without
from .expressions import (
    COMPOUND,
    OPEN,
    UNKNOWN,
    Atom,
    Dim,
    DimVar,
    Monomial,
    Sum,
    Unknown,
    kinds_in,
)


def atoms(dim: Dim) -> Sequence[Atom]:
    """Every atom, outermost first, those inside divisions and the like included."""
    if isinstance(dim, int):
        return ()
    if not dim.holds & COMPOUND:
        if isinstance(dim, Sum):
            return [atom for monomial, _ in dim.terms for atom in monomial[::-1]]
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
    if not kinds_in(dim) & OPEN:
        return ()
    found = {atom for atom in atoms(dim) if isinstance(atom, DimVar)}
    return tuple(sorted(found, key=lambda v: v.name))


def is_closed(dim: Dim) -> bool:
    """True when no extent in it is unknown."""
    return not kinds_in(dim) & UNKNOWN or not any(isinstance(a, Unknown) for a in atoms(dim))


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


@lru_cache(maxsize=1 << 15)
def coefficient(dim: Dim, variable: Atom) -> Dim | None:
    """c when dim == c*variable + rest and neither c nor rest holds the variable; else None."""
    terms, _ = terms_of(dim)
    result: Dim = 0
    for monomial, factor in terms:
        count = monomial.count(variable)
        rest = without(monomial, (variable,)) if count else monomial
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
