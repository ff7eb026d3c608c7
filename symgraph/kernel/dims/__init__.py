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

# First: the others are made of these, and give them their operators.
from .expressions import (
    OTHER,
    Atom,
    Bound,
    Dim,
    DimVar,
    Env,
    FloorDiv,
    Interval,
    LoopVar,
    Maximum,
    Minimum,
    Mod,
    Monomial,
    Ranges,
    Sum,
    Symbolic,
    Unknown,
    next_serial,
    sort_key,
)

# isort: split
from .arithmetic import (
    add,
    align,
    ceildiv,
    exact_quotient,
    floordiv,
    from_terms,
    maximum,
    minimum,
    mod,
    mul,
    product,
    terms_of,
)
from .intervals import bounds
from .simplification import simplify
from .walk import (
    atoms,
    coefficient,
    dim_text,
    dim_vars,
    evaluate,
    is_closed,
    substitute,
    transform,
)

__all__ = [
    "OTHER",
    "Atom",
    "Bound",
    "Dim",
    "DimVar",
    "Env",
    "FloorDiv",
    "Interval",
    "LoopVar",
    "Maximum",
    "Minimum",
    "Mod",
    "Monomial",
    "Ranges",
    "Sum",
    "Symbolic",
    "Unknown",
    "add",
    "align",
    "atoms",
    "bounds",
    "ceildiv",
    "coefficient",
    "dim_text",
    "dim_vars",
    "evaluate",
    "exact_quotient",
    "floordiv",
    "from_terms",
    "is_closed",
    "maximum",
    "minimum",
    "mod",
    "mul",
    "next_serial",
    "product",
    "simplify",
    "sort_key",
    "substitute",
    "terms_of",
    "transform",
]
