"""Operations on the bits of integers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.registry import register
from ..ir.sample import Sample, Samples
from .base import (
    Binary,
    Gradients,
    Unary,
    functional,
    integer_samples,
)

if TYPE_CHECKING:
    from ..ir.infer import DTypeView, Unifier


class _Bitwise(Binary):
    """Bits of two integers, or logic of two booleans."""

    __slots__ = ()
    no_gradient = ("x", "y")
    samples = Samples(
        lambda cls: (
            *integer_samples(cls(), (17, 33), (17, 33)),
            *integer_samples(cls(), (), (0, 3)),
            Sample(cls(), ((), ()), dtype="int16", low=-9, high=9, gradient=False),
            Sample(cls(), ((2, 3, 5), (3, 1)), dtype="bool", gradient=False),
        )
    )

    def result_dtype(self, u: Unifier, x: DTypeView) -> Any:
        return u.whole(x, self.name)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (None, None)


@register
@dataclass(frozen=True, slots=True)
class BitwiseAnd(_Bitwise):
    """z = x & y.   Shapes: x, y broadcast.   Dtypes: integers or bool, the same for both."""

    name = "bitwise_and"
    function = "and"
    numpy = np.bitwise_and
    commutative = True


@register
@dataclass(frozen=True, slots=True)
class BitwiseOr(_Bitwise):
    """z = x | y.   Shapes: x, y broadcast.   Dtypes: integers or bool, the same for both."""

    name = "bitwise_or"
    function = "or"
    numpy = np.bitwise_or
    commutative = True


@register
@dataclass(frozen=True, slots=True)
class BitwiseXor(_Bitwise):
    """z = x ^ y.   Shapes: x, y broadcast.   Dtypes: integers or bool, the same for both."""

    name = "bitwise_xor"
    function = "xor"
    numpy = np.bitwise_xor
    commutative = True


class _Shift(Binary):
    """Bits moved; by the width or more gives 0."""

    __slots__ = ()
    no_gradient = ("x", "y")
    samples = Samples(
        lambda cls: [
            Sample(cls(), shapes, dtype=t, low=0, high=7, gradient=False)
            for shapes, t in (
                (((17, 33), (17, 33)), "int32"),
                (((2, 3, 5), (3, 1)), "uint8"),
                (((), ()), "int64"),
                (((0, 3), ()), "int32"),
            )
        ]
    )

    def result_dtype(self, u: Unifier, x: DTypeView) -> Any:
        return u.integer(x)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (None, None)


@register
@dataclass(frozen=True, slots=True)
class LeftShift(_Shift):
    """z = x << y, 0 where y is the width of x or more.

    Shapes: x, y broadcast.   Dtypes: integers, the same for both.
    """

    name = "bitwise_left_shift"
    function = "shl"
    numpy = np.left_shift


@register
@dataclass(frozen=True, slots=True)
class RightShift(_Shift):
    """z = x >> y with the sign kept, 0 where y is the width of x or more.

    Shapes: x, y broadcast.   Dtypes: integers, the same for both.
    """

    name = "bitwise_right_shift"
    function = "shr"
    numpy = np.right_shift


@register
@dataclass(frozen=True, slots=True)
class BitwiseInvert(Unary):
    """y = ~x.   Shapes: any, kept.   Dtypes: integers or bool, kept."""

    name = "bitwise_invert"
    function = "not"
    numpy = np.invert
    no_gradient = ("x",)
    samples = Samples(
        lambda cls: (
            *integer_samples(cls(), (17, 33)),
            *integer_samples(cls(), ()),
            *integer_samples(cls(), (0, 3)),
            Sample(cls(), ((2, 1, 5),), dtype="bool", gradient=False),
        )
    )

    def infer_dtype(self, u: Unifier, x: DTypeView) -> tuple[Any, ...]:
        return (u.whole(x, self.name),)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (None,)


bitwise_and = functional(BitwiseAnd)
bitwise_or = functional(BitwiseOr)
bitwise_xor = functional(BitwiseXor)
bitwise_invert = functional(BitwiseInvert)
bitwise_left_shift = functional(LeftShift)
bitwise_right_shift = functional(RightShift)


__all__ = [
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
]
