"""Values that depend on loop indices, as arrays with one axis for each index they depend on.

    x[i, j] + i      an array over (i, j) plus one over (i)   ->   Add(x, Unsqueeze(i, 1))

Indices are numbered in the order in which they are met, and axes stand in that order, so that
broadcasting puts values over different indices together.  What is known when the model is written,
such as where a window begins, is worked out then, as long as it is small.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..kernel.dtypes import DType, as_dtype

if TYPE_CHECKING:
    from .writer import Writer

LARGEST_KNOWN = 1 << 16
"""Elements of an array that is written into the model rather than computed by it."""


@dataclass(frozen=True, eq=False)
class Elements:
    """`value`, a name of the model or a known array, has one axis for each index in `axes`."""

    value: Any
    axes: tuple[int, ...]
    dtype: DType

    @property
    def is_known(self) -> bool:
        return not isinstance(self.value, str)


def known(array: Any, axes: Sequence[int] = ()) -> Elements:
    """Numbers that are known when the model is written."""
    array = np.asarray(array)
    return Elements(array, tuple(axes), as_dtype(array.dtype))


class ElementWriter:
    """Applies operators of ONNX to elements."""

    def __init__(self, writer: Writer) -> None:
        self.w = writer

    def name(self, x: Elements) -> str:
        """The array of the model that holds the elements."""
        return self.w.constant(x.value) if x.is_known else str(x.value)

    def apply(self, kind: str, *args: Elements, **attributes: Any) -> Elements:
        """An operator that broadcasts its inputs."""
        axes = union(*args)
        names = [self.name(self.aligned(x, axes)) for x in args]
        name = self.w.emit(kind, names, **attributes)
        return Elements(name, axes, self.w.dtypes[name])

    def number(self, value: float, like: Elements) -> Elements:
        """A number of the type of another value."""
        return known(np.asarray(value, like.dtype.numpy))

    def cast(self, x: Elements, dtype: DType) -> Elements:
        """Converted as ONNX does it."""
        if x.dtype == dtype:
            return x
        if x.is_known:
            return Elements(x.value.astype(dtype.numpy), x.axes, dtype)
        return Elements(self.w.cast(x.value, dtype), x.axes, dtype)

    def aligned(self, x: Elements, axes: Sequence[int]) -> Elements:
        """With axes of extent 1 for the indices it does not depend on, but for leading ones."""
        rest = [a for a in axes if x.axes and a >= x.axes[0]] if x.axes else []
        missing = [n for n, a in enumerate(rest) if a not in x.axes]
        if not missing:
            return x
        if x.is_known:
            return Elements(np.expand_dims(x.value, missing), tuple(rest), x.dtype)
        name = self.w.emit("Unsqueeze", [x.value, self.w.ints(missing)])
        return Elements(name, tuple(rest), x.dtype)


def union(*args: Elements) -> tuple[int, ...]:
    """The indices that any of the values depends on, in order."""
    return tuple(sorted({a for x in args for a in x.axes}))


def folded(function: Any, args: Sequence[Elements], dtype: DType) -> Elements | None:
    """A function of known numbers; None where one is not known, or where it would be large."""
    if not all(x.is_known for x in args):
        return None
    axes = union(*args)
    arrays = [
        np.expand_dims(x.value, [n for n, a in enumerate(axes) if a not in x.axes]) for x in args
    ]
    if math.prod(np.broadcast_shapes(*(a.shape for a in arrays))) > LARGEST_KNOWN:
        return None
    with np.errstate(all="ignore"):
        return Elements(np.asarray(function(*arrays)).astype(dtype.numpy), axes, dtype)
