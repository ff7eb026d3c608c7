"""How the elements of an array lie in memory: every memory axis holds one digit of one index.

    w: [48, 32, 3, 3]
    in panels of 12 rows    [4, 32, 3, 3, 12]      (0,12) (1,1) (2,1) (3,1) (0,1)
    in blocks of 8 by 8     [6, 4, 3, 3, 8, 8]     (0,8) (1,8) (2,1) (3,1) (1,1) (0,1)

A memory axis (a, d) of extent n holds `index[a] // d % n`.  Axes of one element do not count: they
are left out of the array's own shape.  What lies beyond an index is zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from .packing import Packing

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class Digit:
    """One memory axis: `index[axis] // divisor % extent`; axis -1 is an axis of one element."""

    axis: int
    divisor: int
    extent: int


@dataclass(frozen=True, slots=True)
class Form:
    """`extents` is the array's own shape without axes of one element."""

    extents: tuple[int, ...]
    digits: tuple[Digit, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape in memory."""
        return tuple(digit.extent for digit in self.digits)

    @property
    def last_axis(self) -> int:
        """The axis of the array along which memory is contiguous; -1 where it has one element."""
        return self.digits[-1].axis if self.digits else -1

    def of_axis(self, axis: int) -> tuple[tuple[int, Digit], ...]:
        """The memory axes that hold an index, with their positions, coarse digits first."""
        own = [(n, digit) for n, digit in enumerate(self.digits) if digit.axis == axis]
        return tuple(sorted(own, key=lambda pair: -pair[1].divisor))

    def restore(self, stored: Array) -> Array:
        """The array itself, from memory."""
        places = []
        for digit in self.digits:
            if digit.axis < 0:
                places.append(np.zeros((1,) * len(self.extents), np.intp))
                continue
            index = np.arange(self.extents[digit.axis]) // digit.divisor % digit.extent
            places.append(index.reshape(_along(digit.axis, len(self.extents))))
        if not places:
            return stored.reshape(self.extents)
        return np.ascontiguousarray(np.broadcast_to(stored[tuple(places)], self.extents))


def _along(axis: int, rank: int) -> tuple[int, ...]:
    return tuple(-1 if n == axis else 1 for n in range(rank))


def plain_form(shape: Sequence[int]) -> Form:
    """As it is declared."""
    return blocked_form(shape, ())


def packed_form(packing: Packing) -> Form:
    """As a packing puts it: the last axis of its order in panels, the others before."""
    kept = {axis: n for n, axis in enumerate(a for a, e in enumerate(packing.view) if e != 1)}
    extents = tuple(e for e in packing.view if e != 1)
    *front, last = packing.order
    digits = [Digit(kept[a], 1, packing.view[a]) if a in kept else Digit(-1, 1, 1) for a in front]
    if last not in kept:
        return Form(extents, (Digit(-1, 1, 1), *digits, Digit(-1, 1, packing.panel)))
    panels = -(-packing.view[last] // packing.panel)
    outer = Digit(kept[last], packing.panel, panels)
    return Form(extents, (outer, *digits, Digit(kept[last], 1, packing.panel)))


def blocked_form(shape: Sequence[int], blocks: Sequence[tuple[int, int]]) -> Form:
    """Memory of `shape` whose last axes are blocks of (axis, size), in that order."""
    rank, sizes = len(shape) - len(blocks), dict(blocks)
    whole = [shape[a] * sizes.get(a, 1) for a in range(rank)]
    kept = {axis: n for n, axis in enumerate(a for a, e in enumerate(whole) if e != 1)}
    outer = [
        Digit(kept[a], sizes.get(a, 1), shape[a]) if a in kept else Digit(-1, 1, 1)
        for a in range(rank)
    ]
    inner = [Digit(kept[a], 1, size) if a in kept else Digit(-1, 1, 1) for a, size in blocks]
    return Form(tuple(e for e in whole if e != 1), (*outer, *inner))


def with_axes_joined(form: Form, place: int) -> Form | None:
    """The form with memory axes `place` and the next one seen as one; None unless both hold whole
    axes of the array that follow each other."""
    first, second = form.digits[place], form.digits[place + 1]
    axis = first.axis
    if axis < 0 or second.axis != axis + 1:
        return None
    if first.extent != form.extents[axis] or second.extent != form.extents[axis + 1]:
        return None
    size = first.extent * second.extent
    extents = (*form.extents[:axis], size, *form.extents[axis + 2 :])
    digits = [
        replace(d, axis=d.axis - 1) if d.axis > axis else d
        for n, d in enumerate(form.digits)
        if n != place + 1
    ]
    digits[place] = Digit(axis, 1, size)
    return Form(extents, tuple(digits))


MOST_DIGITS = 2
"""Memory axes that hold one index, at most."""


def with_indices_joined(form: Form, axis: int) -> Form | None:
    """The form of the same memory with axes `axis` and the next one of the array seen as one.

        w: [8, 8, 3] in memory [8, 3, 8]  (0,1) (2,1) (1,1)    ->    w: [64, 3]  (0,8) (1,1) (0,1)

    None where memory holds more than the second axis, or would hold one index in three axes.
    """
    inner = form.extents[axis + 1]
    if prod(digit.extent for _, digit in form.of_axis(axis + 1)) != inner:
        return None
    digits = tuple(_joined(digit, axis, inner) for digit in form.digits)
    extents = (*form.extents[:axis], form.extents[axis] * inner, *form.extents[axis + 2 :])
    joined = Form(extents, digits)
    return joined if len(joined.of_axis(axis)) <= MOST_DIGITS else None


def _joined(digit: Digit, axis: int, inner: int) -> Digit:
    if digit.axis < axis:
        return digit
    if digit.axis == axis:
        return replace(digit, divisor=digit.divisor * inner)
    if digit.axis == axis + 1 and digit.extent == 1:
        return Digit(-1, 1, 1)
    return replace(digit, axis=digit.axis - 1)
