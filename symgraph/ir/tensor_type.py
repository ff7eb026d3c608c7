"""What is known of a tensor: its shape, possibly unknown in rank or extents, and its dtype."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..kernel import dims
from ..kernel.dims import Dim, DimVar, Symbolic, Unknown
from ..kernel.dtypes import DType

Shape = tuple[Dim, ...] | None


@dataclass(frozen=True, slots=True)
class TensorType:
    """`shape` is None when the rank is unknown; `dtype` is None when unknown."""

    shape: Shape
    dtype: DType | None

    @property
    def is_complete(self) -> bool:
        """Every extent is an int or made of named extents, and the dtype is known."""
        known = self.shape is not None and all(dims.is_closed(d) for d in self.shape)
        return known and self.dtype is not None

    @property
    def nelems(self) -> Dim:
        assert self.shape is not None
        return dims.product(self.shape)

    @property
    def nbytes(self) -> Dim:
        assert self.dtype is not None
        return dims.mul(self.nelems, self.dtype.nbytes)

    def __str__(self) -> str:
        return f"{self.dtype.short if self.dtype else '?'}{dims.dim_text(self.shape)}"


UNKNOWN = TensorType(None, None)


def as_dim(value: Any, where: str) -> Dim:
    """An extent from an int, a name, a Dim, or None for unknown.  Raises: ShapeError."""
    if value is None:
        return Unknown("?")
    if isinstance(value, Symbolic):
        return value
    if isinstance(value, str):
        if not value.isidentifier():
            raise ShapeError(f"{where}: the name of an extent must be an identifier, got {value!r}")
        return DimVar(value)
    try:
        number = int(value.__index__())
    except (AttributeError, TypeError):
        raise ShapeError(
            f"{where}: an extent must be an int >= 0, a name such as 'N', or None for unknown, "
            f"got {value!r}"
        ) from None
    if number < 0:
        raise ShapeError(f"{where}: an extent must be >= 0, got {number}; use None for unknown")
    return number


def as_shape(value: Any, where: str) -> Shape:
    """A shape from a sequence of extents, one extent, or None for unknown rank."""
    if value is None:
        return None
    if isinstance(value, (str, int, np.integer, Symbolic)):
        return (as_dim(value, where),)
    if not isinstance(value, (Sequence, np.ndarray)):
        raise ShapeError(f"{where}: a shape must be a tuple of extents or None, got {value!r}")
    return tuple(as_dim(v, where) for v in value)
