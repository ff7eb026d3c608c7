"""Index expressions: what an operator's `forward` writes.

    compute((n, m), lambda i, j: x[i, j] + reduce("sum", k, lambda r: a[i, r] * b[r, j]))

`compute` describes every element of a new tensor; `reduce` combines values over further axes.
Nothing here says in which order, where in memory or on what machine: that is lowering's task.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import DTypeError, ShapeError
from .dims import Dim, LoopVar, Symbolic
from .dtypes import DType, as_dtype
from .functions import REDUCTIONS
from .ir import Axis, Buffer, Expr, ExprLike, IndexValue, Reduce, Tensor, as_expr, call, cast, where

__all__ = [
    "Buffer",
    "Compute",
    "Tensor",
    "all_of",
    "call",
    "cast",
    "compute",
    "placeholder",
    "reduce",
    "where",
]

_AXIS_NAMES = "ijklmnpq"
_REDUCED_NAMES = "rstuvw"


@dataclass(frozen=True, slots=True, eq=False)
class Compute(Tensor):
    """A tensor given by an expression for each element; indexable like a buffer."""

    name: str
    axes: tuple[Axis, ...]
    body: Expr

    @property
    def shape(self) -> tuple[Dim, ...]:  # type: ignore[override]
        return tuple(axis.extent for axis in self.axes)

    @property
    def dtype(self) -> DType:  # type: ignore[override]
        return self.body.dtype


def placeholder(name: str, shape: Sequence[Dim], dtype: Any) -> Buffer:
    """An input tensor."""
    return Buffer(name, tuple(shape), as_dtype(dtype))


def compute(
    shape: Sequence[Dim],
    element: Callable[..., ExprLike],
    *,
    dtype: Any = None,
    name: str = "t",
) -> Compute:
    """A tensor of `shape` whose element at [i, j, ...] is `element(i, j, ...)`.

    Dtypes: that of the expression; `dtype` converts it, and is needed for a bare literal.
    """
    axes = tuple(Axis(LoopVar(_letter(_AXIS_NAMES, n)), e) for n, e in enumerate(shape))
    value = element(*(IndexValue(axis.var) for axis in axes))
    if dtype is not None:
        kind = as_dtype(dtype)
        body = cast(value, kind) if isinstance(value, (Expr, Symbolic)) else as_expr(value, kind)
    elif isinstance(value, Expr):
        body = value
    else:
        raise DTypeError(f"compute: the literal {value!r} needs a dtype=")
    return Compute(name, axes, body)


def reduce(kind: str, extents: Dim | Sequence[Dim], element: Callable[..., ExprLike]) -> Expr:
    """The "sum", "prod", "max" or "min" of `element(r, ...)` over all r below `extents`.

    An empty reduction gives the neutral element (0, 1, -inf or the lowest, inf or the highest).
    """
    if kind not in REDUCTIONS:
        raise ShapeError(f"reduce: kind must be one of {', '.join(REDUCTIONS)}, got {kind!r}")
    sizes = (extents,) if isinstance(extents, (int, Symbolic)) else tuple(extents)
    axes = tuple(Axis(LoopVar(_letter(_REDUCED_NAMES, n)), e) for n, e in enumerate(sizes))
    body = as_expr(element(*(IndexValue(axis.var) for axis in axes)))
    return Reduce(kind, axes, body) if axes else body


def all_of(*conditions: Expr) -> Expr:
    """True where every condition holds."""
    result = conditions[0]
    for condition in conditions[1:]:
        result = result & condition
    return result


def _letter(letters: str, position: int) -> str:
    return letters[position] if position < len(letters) else f"{letters[0]}{position}"
