"""What convolution and pooling share: extents of sliding windows, and their attributes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AttributeValueError
from ..ir.symbol import Symbol
from ..kernel.dims import Dim
from .base import Array, make

if TYPE_CHECKING:
    from ..ir.infer import Unifier

Sizes = tuple[int, ...]
Padding = tuple[tuple[int, int], ...]


def sizes(value: Any, rank: int, what: str, least: int = 1) -> Sizes:
    """One int for every spatial axis, from an int or a sequence.  Raises: AttributeValueError."""
    items = (value,) * rank if isinstance(value, (int, np.integer)) else value
    fits = isinstance(items, Sequence) and not isinstance(items, str) and len(items) == rank
    if not fits or any(isinstance(i, bool) or not isinstance(i, (int, np.integer)) for i in items):
        raise AttributeValueError(f"{what} must be an int or {rank} ints, got {value!r}")
    if any(i < least for i in items):
        raise AttributeValueError(f"{what} must be at least {least}, got {value!r}")
    return tuple(int(i) for i in items)


def check_windows(op: Any) -> None:
    """Every attribute of sliding windows has an item for each spatial axis, and none is too small.

    Raises: AttributeValueError.
    """
    rank = len(op.stride)
    kinds = {"stride": 1, "kernel_size": 1, "dilation": 1, "padding": 0, "output_padding": 0}
    for what, least in kinds.items():
        value = getattr(op, what, None)
        if value is None:
            continue
        if len(value) != rank:
            raise AttributeValueError(f"{op.name}: {what} must have {rank} items, got {value!r}")
        if any(min(item) < least if what == "padding" else item < least for item in value):
            raise AttributeValueError(f"{op.name}: {what} must be at least {least}, got {value!r}")


def paddings(value: Any, rank: int, what: str, kernel: Sizes | None, stride: Sizes,
             dilation: Sizes) -> Padding:  # fmt: skip
    """(before, after) for every spatial axis, from an int, ints, pairs, "same" or "valid".

    "same" keeps the extents; where the total is odd, the larger part comes after.
    """
    if value == "valid":
        return ((0, 0),) * rank
    if value == "same":
        if kernel is None or any(s != 1 for s in stride):
            reason = "a known kernel_size" if kernel is None else f"stride 1, got {stride}"
            raise AttributeValueError(f"{what}='same' needs {reason}")
        totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return tuple((t // 2, t - t // 2) for t in totals)
    if isinstance(value, str):
        raise AttributeValueError(f"{what} must be ints, pairs, 'same' or 'valid', got {value!r}")
    pairs = isinstance(value, Sequence) and any(isinstance(v, Sequence) for v in value)
    if pairs and len(value) == rank:
        return tuple(sizes(v, 2, what, 0) for v in value)  # type: ignore[misc]
    return tuple((p, p) for p in sizes(value, rank, what, 0))


def extent(size: Dim, kernel: Dim, stride: int, dilation: int, padding: tuple[int, int]) -> Dim:
    """The number of windows along one axis.

    n -> (n + padding - dilation*(kernel-1) - 1) // stride + 1
    """
    return (size + sum(padding) - dilation * (kernel - 1) - 1) // stride + 1


def window_extents(
    u: Unifier, x: Sequence[Dim], kernel: Sequence[Dim], stride: Sizes, dilation: Sizes,
    padding: Padding | None = None,
) -> tuple[Dim, ...]:  # fmt: skip
    """The number of windows along every spatial axis, which must be at least one."""
    pads = padding if padding is not None else ((0, 0),) * len(stride)
    result = []
    for axis, (n, k, s, d, p) in enumerate(zip(x, kernel, stride, dilation, pads, strict=True)):
        reach = f"kernel {k}" + (f" with dilation {d}" if d > 1 else "")
        what = (
            f"the output extent along spatial axis {axis} (input {u.resolve(n)}, padding "
            f"{p[0]}+{p[1]}, {reach})"
        )
        result.append(u.positive(extent(n, k, s, d, p), what))
    return tuple(result)


def pad_spatial(x: Symbol, padding: Sequence[tuple[int, int]], value: float = 0.0) -> Symbol:
    """x [n, c, *s] with constants around its spatial axes; x itself when there are none."""
    if all(p == (0, 0) for p in padding):
        return x
    return make("pad", x, padding=((0, 0), (0, 0), *padding), value=value)


def windows(x: Array, kernel: Sizes, stride: Sizes, dilation: Sizes) -> Any:
    """numpy: x [n, c, *s] -> a view [n, c, *windows, *kernel]."""
    reach = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    axes = tuple(range(2, x.ndim))
    view = np.lib.stride_tricks.sliding_window_view(x, reach, axis=axes)
    steps = (slice(None), slice(None), *(slice(None, None, s) for s in stride))
    return pick(view, *steps, *(slice(None, None, d) for d in dilation))


def pick(tensor: Any, *index: Any) -> Any:
    """tensor[index], of a tensor or a numpy array, for an index in parts."""
    return tensor[index]


def pad_array(x: Array, padding: Padding, value: float = 0.0) -> Array:
    """numpy: constants around the spatial axes."""
    return np.pad(x, ((0, 0), (0, 0), *padding), constant_values=value)
