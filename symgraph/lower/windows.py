"""Kernels that write or read a part of a larger array whose elements lie apart.

y = f(x); j = concat(y, z)    ->    j[:, 0:3] = f(x); j[:, 3:8] = z
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..ir.program import KernelStep
from ..ir.tensor_type import TensorType
from ..kernel.dims import Dim
from ..kernel.dtypes import as_dtype
from ..kernel.in_place import in_place_positions
from ..kernel.ir import Buffer
from ..kernel.transform.embed import Slice, Window, Windows, embed


def windows_at(start: Sequence[Dim], part: TensorType, whole: TensorType) -> Windows:
    """The axes along which a part from an index on is not all of what it lies in."""
    assert part.shape is not None and whole.shape is not None
    places = zip(start, part.shape, whole.shape, strict=True)
    return tuple(
        Window(axis, first, extent)
        for axis, (first, extent, all_of_it) in enumerate(places)
        if first != 0 or extent != all_of_it
    )


def in_windows(step: KernelStep, windows: Sequence[Windows]) -> KernelStep:
    """The step with some arguments seen through windows, given one for each argument."""
    slices: dict[Buffer, Slice] = {}
    for param, argument, seen in zip(step.kernel.params, step.arguments, windows, strict=True):
        if seen:
            shape = argument.type.shape
            assert shape is not None
            whole = Buffer(param.name, shape, as_dtype(argument.type.dtype))
            slices[param] = Slice(whole, windows=seen)
    if not slices:
        return step
    kernel = embed(step.kernel, slices)
    return replace(step, kernel=kernel, in_place=in_place_positions(kernel), windows=tuple(windows))
