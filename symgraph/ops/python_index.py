"""What `x[index]` means, one part of the index after the other."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..errors import DTypeError, ShapeError
from ..ir.symbol import Symbol
from .base import make

Item = tuple["int | None", "int | None", int]
"""(start, stop, step) of one axis, with Python's meaning of negative values and None."""


WHOLE: Item = (None, None, 1)


class PythonIndex:
    """One Python index, taken apart."""

    def __init__(self, x: Symbol, parts: tuple[Any, ...]) -> None:
        self.x = x
        self.parts = self._without_ellipsis(parts)
        self.items: list[Item] = []
        self.dropped: list[int] = []
        self.taken: tuple[int, Any] | None = None

    def _without_ellipsis(self, parts: tuple[Any, ...]) -> list[Any]:
        places = [n for n, p in enumerate(parts) if p is Ellipsis]
        if len(places) > 1:
            raise ShapeError("an index can hold only one Ellipsis")
        used = sum(1 for p in parts if p is not None and p is not Ellipsis)
        rank = self.x.ndim
        if rank is not None and used > rank:
            raise ShapeError(
                f"too many indices: {self.x!r} has {rank} axes, the index names {used}"
            )
        if not places:
            return list(parts)
        front, back = list(parts[: places[0]]), list(parts[places[0] + 1 :])
        if not back:
            return front
        if rank is None:
            raise ShapeError(f"indices after an Ellipsis need the rank of {self.x!r}; declare it")
        return [*front, *[slice(None)] * (rank - used), *back]

    def run(self) -> Symbol:
        for part in self.parts:
            if part is not None:
                self._axis(part, len(self.items))
        result = self.x
        if any(item != WHOLE for item in self.items):
            result = make("slice", result, items=tuple(self.items))
        if self.taken is not None:
            axis, indices = self.taken
            result = make("take", result, indices, axis=axis)
        return self._axes(result)

    def _axes(self, result: Symbol) -> Symbol:
        """Axes of single positions dropped, new axes put in."""
        extra = 0 if self.taken is None else _rank_of(self.taken[1]) - 1
        position = 0 if self.taken is None else self.taken[0]
        dropped = tuple(n + (extra if self.taken and n > position else 0) for n in self.dropped)
        if dropped:
            result = make("squeeze", result, axis=dropped)
        fresh: list[int] = []
        place = axis = 0
        for part in self.parts:
            if part is None:
                fresh.append(place)
                place += 1
                continue
            if axis not in self.dropped:
                place += 1 + (extra if self.taken and axis == position else 0)
            axis += 1
        return make("expand_dims", result, axis=tuple(fresh)) if fresh else result

    def _axis(self, part: Any, axis: int) -> None:
        if isinstance(part, slice):
            values = [
                None if v is None else _integer(v) for v in (part.start, part.stop, part.step)
            ]
            self.items.append((values[0], values[1], 1 if values[2] is None else values[2]))
        elif isinstance(part, (bool, np.bool_)) or _is_bool(part):
            raise DTypeError(
                "a boolean index gives an extent that depends on the data, which no shape can say; "
                "use sg.where(condition, x, 0) instead"
            )
        elif isinstance(part, (Symbol, np.ndarray, list)) and not _is_plain(part):
            if self.taken is not None:
                raise ShapeError("only one axis can be indexed by an array; use sg.gather")
            self.items.append(WHOLE)
            self.taken = (axis, part if isinstance(part, Symbol) else np.asarray(part))
        else:
            self._single(_integer(part), axis)

    def _single(self, number: int, axis: int) -> None:
        extent = None if self.x.shape is None else self.x.shape[axis]
        if isinstance(extent, int) and not -extent <= number < extent:
            raise ShapeError(f"index {number} is out of range: axis {axis} of {self.x!r} has "
                             f"extent {extent}")  # fmt: skip
        self.items.append((number, None if number == -1 else number + 1, 1))
        self.dropped.append(axis)


def _is_plain(part: Any) -> bool:
    return isinstance(part, np.ndarray) and part.ndim == 0


def _is_bool(part: Any) -> bool:
    if isinstance(part, Symbol):
        return part.dtype is not None and part.dtype.is_bool
    return isinstance(part, (np.ndarray, list)) and np.asarray(part).dtype == np.bool_


def _rank_of(indices: Any) -> int:
    rank = indices.ndim
    if rank is None:
        raise ShapeError(f"indexing needs the rank of the indices {indices!r}; declare it")
    return int(rank)


def _integer(value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise DTypeError(
            f"an index must be an int, a slice, None, Ellipsis or integer array, got {value!r}"
        ) from None
