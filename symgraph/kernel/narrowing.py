"""What a condition says of the indices below it."""

from __future__ import annotations

from . import dims
from .dims import Ranges
from .ir import Call, Const, Expr, IndexValue


def narrowed(condition: Expr, ranges: Ranges, holds: bool) -> Ranges | None:
    """The intervals where `atom < number` holds, or where it does not; None for other conditions.

    An atom that is no variable, such as a remainder, gets an interval of its own.
    """
    if not isinstance(condition, Call) or condition.function != "lt":
        return None
    left, right = condition.args
    limit = right.dim if isinstance(right, IndexValue) else None
    if isinstance(right, Const) and isinstance(right.value, int):
        limit = right.value
    if not isinstance(left, IndexValue) or not isinstance(left.dim, dims.Atom):
        return None
    if not isinstance(limit, int):
        return None
    low, high = dims.bounds(left.dim, ranges)
    if holds:
        high = limit - 1 if high is None else min(high, limit - 1)
    else:
        low = limit if low is None else max(low, limit)
    return {**ranges, left.dim: (low, high)}
