"""Comparisons of values, and what kind of float a value is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.registry import register
from ..ir.sample import Sample, Samples
from ..kernel.ir import Expr, call, const
from .base import (
    Comparison,
    Predicate,
    functional,
)


@register
@dataclass(frozen=True, slots=True)
class Equal(Comparison):
    """z = x == y.   Shapes: x, y broadcast.   Dtypes: any, the same for both -> bool."""

    name = "equal"
    function = "eq"
    numpy = np.equal
    commutative = True


@register
@dataclass(frozen=True, slots=True)
class NotEqual(Comparison):
    """z = x != y.   Shapes: x, y broadcast.   Dtypes: any, the same for both -> bool."""

    name = "not_equal"
    function = "ne"
    numpy = np.not_equal
    commutative = True


@register
@dataclass(frozen=True, slots=True)
class Less(Comparison):
    """z = x < y.   Shapes: x, y broadcast.   Dtypes: any, the same for both -> bool."""

    name = "less"
    function = "lt"
    numpy = np.less


@register
@dataclass(frozen=True, slots=True)
class LessEqual(Comparison):
    """z = x <= y.   Shapes: x, y broadcast.   Dtypes: any, the same for both -> bool."""

    name = "less_equal"
    function = "le"
    numpy = np.less_equal


@register
@dataclass(frozen=True, slots=True)
class Greater(Comparison):
    """z = x > y.   Shapes: x, y broadcast.   Dtypes: any, the same for both -> bool."""

    name = "greater"
    numpy = np.greater

    def element(self, x: Expr, y: Expr) -> Expr:
        return call("lt", y, x)


@register
@dataclass(frozen=True, slots=True)
class GreaterEqual(Comparison):
    """z = x >= y.   Shapes: x, y broadcast.   Dtypes: any, the same for both -> bool."""

    name = "greater_equal"
    numpy = np.greater_equal

    def element(self, x: Expr, y: Expr) -> Expr:
        return call("le", y, x)


def _special(cls: Any) -> list[Sample]:
    values = np.array([1.5, np.nan, np.inf, -np.inf, 0.0, -0.0, 3.0], np.float32)
    return [
        Sample(cls(), (values,), gradient=False),
        Sample(cls(), (values.astype(np.float64)[:5],), gradient=False),
        Sample(cls(), (values.astype(np.float16)[1:4],), gradient=False),
        *(Sample(cls(), (s,), gradient=False) for s in ((17, 33), (1, 5), (), (0, 3))),
    ]


@register
@dataclass(frozen=True, slots=True)
class IsNaN(Predicate):
    """y = x is not a number.   Shapes: any, kept.   Dtypes: any float -> bool."""

    name = "isnan"
    numpy = np.isnan
    samples = Samples(_special)

    def element(self, x: Expr) -> Expr:
        return call("ne", x, x)


@register
@dataclass(frozen=True, slots=True)
class IsInf(Predicate):
    """y = x is plus or minus infinity.   Shapes: any, kept.   Dtypes: any float -> bool."""

    name = "isinf"
    numpy = np.isinf
    samples = Samples(_special)

    def element(self, x: Expr) -> Expr:
        return call("eq", call("abs", x), const(float("inf"), x.dtype))


@register
@dataclass(frozen=True, slots=True)
class IsFinite(Predicate):
    """y = x is neither infinite nor NaN.   Shapes: any, kept.   Dtypes: any float -> bool."""

    name = "isfinite"
    numpy = np.isfinite
    samples = Samples(_special)

    def element(self, x: Expr) -> Expr:
        return call("lt", call("abs", x), const(float("inf"), x.dtype))


equal = functional(Equal)
not_equal = functional(NotEqual)
less = functional(Less)
less_equal = functional(LessEqual)
greater = functional(Greater)
greater_equal = functional(GreaterEqual)
isnan = functional(IsNaN)
isinf = functional(IsInf)
isfinite = functional(IsFinite)


__all__ = [
    "equal",
    "greater",
    "greater_equal",
    "isfinite",
    "isinf",
    "isnan",
    "less",
    "less_equal",
    "not_equal",
]
