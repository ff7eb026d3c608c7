"""Elements in another order along axes: reversed, or moved round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AttributeValueError
from ..ir.op import Op
from ..ir.registry import register
from ..ir.sample import Sample, Samples
from ..ir.symbol import Symbol
from ..kernel.compute import Compute, Tensor, compute
from ..kernel.ir import IndexValue
from .base import Array, Gradients, as_axes, as_ints, axes_of, checked_axes, make, specified_by

if TYPE_CHECKING:
    from ..ir.infer import ShapeView, Unifier


@register
@dataclass(frozen=True, slots=True)
class Flip(Op):
    """y = x with the order of the elements along `axis` (None: every axis) reversed.

    Shapes: any, kept.   Dtypes: any, kept.
    """

    axis: int | tuple[int, ...] | None = None
    name = "flip"
    samples = Samples(
        lambda cls: (
            Sample(cls(), ((2, 3, 5),)),
            Sample(cls(1), ((17, 33),)),
            Sample(cls((0, -1)), ((2, 3, 5),), dtype="float64"),
            Sample(cls(), ((),)),
            Sample(cls(0), ((1, 5),)),
            Sample(cls(0), ((0, 3),)),
            Sample(cls(1), ((3, 7),), dtype="int32", low=-9, high=9, gradient=False),
        )
    )

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        if x.rank is not None:
            checked_axes(u, self.axis, len(x))
        return (x,)

    def forward(self, x: Tensor) -> Compute:
        axes = axes_of(self.axis, x.ndim)

        def element(*i: Any) -> Any:
            index = (IndexValue(x.shape[n]) - 1 - v if n in axes else v for n, v in enumerate(i))
            return x[tuple(index)]

        return compute(x.shape, element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (Flip(self.axis)(grads[0]),)

    def reference(self, x: Array) -> Any:
        return np.flip(x, self.axis)


@register
@dataclass(frozen=True, slots=True)
class Roll(Op):
    """y = x with its elements moved by `shift` places along `axis`, those that leave come back.

    Shapes: any, kept.   Dtypes: any, kept.
    """

    shift: tuple[int, ...]
    axis: tuple[int, ...]
    name = "roll"
    samples = Samples(
        lambda cls: (
            Sample(cls((2,), (1,)), ((3, 5),)),
            Sample(cls((-1, 40), (0, -1)), ((17, 33),)),
            Sample(cls((1, 1), (0, 2)), ((2, 1, 5),), dtype="float64"),
            Sample(cls((2,), (0,)), ((0, 3),)),
            Sample(cls((), ()), ((),)),
            Sample(cls((-3,), (1,)), ((3, 7),), dtype="int32", low=-9, high=9, gradient=False),
        )
    )

    def check_attributes(self) -> None:
        if len(self.shift) != len(self.axis):
            raise AttributeValueError(
                f"roll: one shift for each axis: {len(self.shift)} != {len(self.axis)}"
            )

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        if x.rank is not None:
            checked_axes(u, self.axis, len(x))
        return (x,)

    def forward(self, x: Tensor) -> Compute:
        shifts = dict(zip(axes_of(self.axis, x.ndim), self.shift, strict=True))

        def element(*i: Any) -> Any:
            index = list(i)
            for n, shift in shifts.items():
                if x.shape[n] != 0:
                    index[n] = (i[n] - shift) % x.shape[n]
            return x[tuple(index)]

        return compute(x.shape, element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (Roll(tuple(-s for s in self.shift), self.axis)(grads[0]),)

    def reference(self, x: Array) -> Any:
        return np.roll(x, self.shift, self.axis) if self.axis else x


@specified_by(Flip)
def flip(x: Symbol, axis: Any = None, *, name: str | None = None) -> Symbol:
    """The order of elements reversed along axes."""
    return Flip(as_axes(axis))(x, name=name)  # type: ignore[no-any-return]


def roll(x: Symbol, shift: Any, axis: Any = None, *, name: str | None = None) -> Symbol:
    """Elements moved around along axes; without an axis, of the flattened x.  See Roll."""
    if axis is None:
        flat = make("flatten", x, start_axis=0, end_axis=-1)
        return make("reshape_like", roll(flat, shift, 0, name=name), x)
    axes, shifts = as_ints(axis, "roll: axis"), as_ints(shift, "roll: shift")
    axes = (axes,) if isinstance(axes, int) else axes
    shifts = (shifts,) * len(axes) if isinstance(shifts, int) else shifts
    return Roll(shifts, axes)(x, name=name)  # type: ignore[no-any-return]


__all__ = ["flip", "roll"]
