"""Integer expressions as C text, and how large they can become.

The C text has the value of `dims.evaluate` for every value of the extents that keeps each partial
result within 64 bits; `greatest_extent` says up to which extents that is certain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..kernel import dims
from ..kernel.dims import Atom, Dim, DimVar, FloorDiv, Maximum, Minimum, Mod, Sum

HELPERS = """\
#ifndef SYMGRAPH_ARITHMETIC
#define SYMGRAPH_ARITHMETIC
/* Division and remainder that round towards minus infinity; for b > 0. */
static inline SYMGRAPH_CONSTEXPR int64_t sg_floor_div(int64_t a, int64_t b)
{ return a >= 0 ? a / b : -((b - 1 - a) / b); }
static inline SYMGRAPH_CONSTEXPR int64_t sg_floor_mod(int64_t a, int64_t b)
{ return a - sg_floor_div(a, b) * b; }
static inline SYMGRAPH_CONSTEXPR int64_t sg_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline SYMGRAPH_CONSTEXPR int64_t sg_max(int64_t a, int64_t b) { return a > b ? a : b; }
#endif
"""


def c_text(dim: Dim, names: Mapping[str, str]) -> str:
    """The expression in C over int64_t variables; `names` spells the named extents."""
    if isinstance(dim, int):
        return _number(dim)
    if isinstance(dim, Atom):
        return _atom(dim, names)
    assert isinstance(dim, Sum)
    parts: list[str] = []
    for monomial, coefficient in dim.terms:
        product = " * ".join(_factor(atom, names) for atom in monomial)
        size = abs(coefficient)
        text = product if size == 1 else f"{_number(size)} * {product}"
        sign = ("- " if coefficient < 0 else "+ ") if parts else ("-" if coefficient < 0 else "")
        parts.append(sign + text)
    if dim.constant:
        parts.append(f"{'-' if dim.constant < 0 else '+'} {_number(abs(dim.constant))}")
    return " ".join(parts)


def _number(value: int) -> str:
    return f"INT64_C({value})" if abs(value) >= 2**31 else str(value)


def _factor(atom: Atom, names: Mapping[str, str]) -> str:
    text = _atom(atom, names)
    return text if isinstance(atom, DimVar) or text.startswith("sg_") else f"({text})"


def _atom(atom: Atom, names: Mapping[str, str]) -> str:
    match atom:
        case DimVar(name=name):
            return names[name]
        case FloorDiv(a=a, b=b) | Mod(a=a, b=b):
            return _division(isinstance(atom, FloorDiv), a, b, names)
        case Minimum(a=a, b=b):
            return f"sg_min({c_text(a, names)}, {c_text(b, names)})"
        case Maximum(a=a, b=b):
            return f"sg_max({c_text(a, names)}, {c_text(b, names)})"
    raise TypeError(f"no C text for {atom!r}")


def _division(is_quotient: bool, a: Dim, b: Dim, names: Mapping[str, str]) -> str:
    """C rounds towards zero, which is the same where neither operand is negative."""
    low_a, low_b = dims.bounds(a)[0], dims.bounds(b)[0]
    if low_a is not None and low_a >= 0 and low_b is not None and low_b > 0:
        left, right = (_operand(x, names) for x in (a, b))
        return f"{left} {'/' if is_quotient else '%'} {right}"
    function = "sg_floor_div" if is_quotient else "sg_floor_mod"
    return f"{function}({c_text(a, names)}, {c_text(b, names)})"


def _operand(dim: Dim, names: Mapping[str, str]) -> str:
    text = c_text(dim, names)
    return text if isinstance(dim, (int, DimVar)) else f"({text})"


def magnitude(dim: Dim, limit: int, extents: Mapping[str, int] | None = None) -> int:
    """No partial result of the expression exceeds this, for extents from 0 to `limit`.

    `extents` gives smaller limits of single extents.
    """
    known = extents or {}
    if isinstance(dim, int):
        return abs(dim)
    if isinstance(dim, DimVar):
        return min(limit, known.get(dim.name, limit))
    if isinstance(dim, Atom):
        return max([magnitude(child, limit, known) for child in dim.children()], default=limit)
    assert isinstance(dim, Sum)
    total: int = abs(dim.constant)
    for monomial, coefficient in dim.terms:
        size = abs(coefficient)
        for atom in monomial:
            size *= max(1, magnitude(atom, limit, known))
        total += size
    return total


def greatest_extent(
    expressions: Iterable[Dim], bits: int = 63, extents: Mapping[str, int] | None = None
) -> int:
    """The greatest limit of the form 2**k - 1 up to which no expression needs more than `bits`."""
    wanted = tuple(expressions)
    for k in range(bits, 0, -1):
        limit = (1 << k) - 1
        if all(magnitude(dim, limit, extents) < 2**bits for dim in wanted):
            return limit
    return 0
