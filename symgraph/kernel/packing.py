"""Constant operands in the order in which a kernel reads them.

    w: [64, 48] read at [n, k]              view (64, 48), order (1, 0), panel 32
    packed: [2, 48, 32] read at [n//32, k, n%32]; what lies beyond the end of n is zero

A schedule that knows an input to be constant may read it packed; the program then carries the
packed array, and nothing is packed when it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from . import dims
from .dims import Dim, LoopVar


@dataclass(frozen=True, slots=True)
class Packing:
    """The elements seen as `view`, axes in `order`, the last of them cut into panels."""

    view: tuple[int, ...]
    order: tuple[int, ...]
    panel: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the packed array."""
        *front, last = (self.view[axis] for axis in self.order)
        return (-(-last // self.panel), *front, self.panel)

    def apply(self, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The packed array, from one in the order that it had."""
        packed = np.empty(self.shape, array.dtype)
        self.write(array, packed)
        return packed

    def write(self, array: np.ndarray[Any, Any], packed: np.ndarray[Any, Any]) -> None:
        """`apply`, to where the packed array shall lie."""
        source = np.ascontiguousarray(array).reshape(self.view).transpose(self.order)
        _, *front, _ = self.shape
        whole, left = divmod(source.shape[-1], self.panel)
        cut = source[..., : whole * self.panel].reshape(*front, whole, self.panel)
        packed[:whole] = np.moveaxis(cut, -2, 0)
        if left:
            packed[whole, ..., :left] = source[..., whole * self.panel :]
            packed[whole, ..., left:] = 0

    def restore(self, packed: np.ndarray[Any, Any], shape: Sequence[int]) -> np.ndarray[Any, Any]:
        """The array of that shape which `apply` packed."""
        *front, last = (self.view[axis] for axis in self.order)
        whole = np.moveaxis(packed, 0, -2).reshape(*front, -1)[..., :last]
        back = [self.order.index(axis) for axis in range(len(self.order))]
        return np.ascontiguousarray(whole.transpose(back)).reshape(shape)


def packing_of(
    index: Sequence[Dim], shape: Sequence[Dim], loops: Sequence[tuple[LoopVar, Dim]], panel: int
) -> Packing | None:
    """How an array read at `index` is packed in the order of these loops, the last one in panels.

    None unless the loops together pass over every element exactly once.
    """
    if not all(isinstance(d, int) for d in (*shape, *(extent for _, extent in loops))):
        return None
    position: Dim = 0
    for place, extent in zip(index, shape, strict=True):
        position = dims.add(dims.mul(position, extent), place)
    strides: list[int] = []
    rest = dims.substitute(position, {var: 0 for var, _ in loops})
    for var, _ in loops:
        step = dims.coefficient(position, var)
        if not isinstance(step, int):
            return None
        strides.append(step)
    extents = [int(extent) for _, extent in loops if isinstance(extent, int)]
    by_stride = sorted(range(len(loops)), key=lambda n: -strides[n])
    view = tuple(extents[n] for n in by_stride)
    expected = [prod(view[number + 1 :]) for number in range(len(view))]
    covers = [strides[n] for n in by_stride] == expected
    if rest != 0 or not covers or prod(view) != prod(int(d) for d in shape if isinstance(d, int)):
        return None
    return Packing(view, tuple(by_stride.index(n) for n in range(len(loops))), panel)
