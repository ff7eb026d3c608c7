"""Conversions and bounds of values, and operators that leave the values as they are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AttributeValueError
from ..ir.op import Op
from ..ir.registry import register
from ..ir.sample import Sample, Samples
from ..ir.symbol import Symbol
from ..kernel.compute import Compute, Tensor, compute
from ..kernel.dtypes import as_dtype
from ..kernel.ir import Expr, call, const
from ..kernel.ir import cast as convert
from .base import (
    Array,
    Gradients,
    Unary,
    functional,
    integer_samples,
    make,
    specified_by,
    unary_samples,
)

if TYPE_CHECKING:
    from ..ir.infer import DTypeView, ShapeView, Unifier


def _to_integer(x: Array, dtype: Any) -> Array:
    """Truncate and saturate; NaN gives 0."""
    limits = np.iinfo(dtype)
    result = np.zeros(x.shape, dtype)
    for place, value in np.ndenumerate(x.astype(np.float64)):
        if not np.isnan(value):
            bounded = min(max(value, float(limits.min)), float(limits.max))
            result[place] = min(max(int(bounded), int(limits.min)), int(limits.max))
    return result


@register
@dataclass(frozen=True, slots=True)
class Cast(Op):
    """y = x converted to another dtype.

    Float to integer truncates towards zero and saturates, NaN gives 0; a number is True where it is
    not 0.   Shapes: any, kept.   Dtypes: any -> `dtype`.
    """

    dtype: str = "float32"
    name = "cast"
    samples = Samples(
        lambda cls: (
            *unary_samples(cls("float64"), gradient=False),
            *unary_samples(cls("int32"), -9.0, 9.0, gradient=False),
            *unary_samples(cls("bool"), gradient=False),
            *integer_samples(cls("float32"), (3, 7)),
            *integer_samples(cls("int64"), (3, 7)),
            Sample(cls("float32"), ((3, 7),), dtype="bool", gradient=False),
            Sample(cls("float64"), ((3, 7),), dtype="float64"),
            Sample(cls("uint8"), (np.array([-1.5, 300.0, np.nan, 7.9, np.inf], np.float32),),
                   gradient=False),
        )
    )  # fmt: skip

    def check_attributes(self) -> None:
        as_dtype(self.dtype)

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        return (x,)

    def infer_dtype(self, u: Unifier, x: DTypeView) -> tuple[Any, ...]:
        return (as_dtype(self.dtype),)

    def forward(self, x: Tensor) -> Compute:
        target = as_dtype(self.dtype)
        if target.is_bool and not x.dtype.is_bool:
            return compute(x.shape, lambda *i: call("ne", x[i], const(0, x.dtype)))
        return compute(x.shape, lambda *i: convert(x[i], target))

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,) = grads, ins
        if not as_dtype(self.dtype).is_float or (x.dtype is not None and not x.dtype.is_float):
            return (None,)
        return (make("cast_like", g, x),)

    def simplify(self, ins: tuple[Symbol, ...]) -> Symbol | None:
        """A conversion to the dtype that it has already."""
        return ins[0] if ins[0].dtype == as_dtype(self.dtype) else None

    def reference(self, x: Array) -> Any:
        target = as_dtype(self.dtype)
        if target.is_integer and x.dtype.kind == "f":
            return _to_integer(x, target.numpy)
        return x.astype(target.numpy)


@register
@dataclass(frozen=True, slots=True)
class CastLike(Op):
    """y = x converted to the dtype of `like`, of which only the type is read.

    Shapes: any, kept.   Dtypes: any float -> like's.
    """

    name = "cast_like"
    no_gradient = ("like",)
    samples = Samples(
        lambda cls: [
            Sample(cls(), (x, np.zeros((2,), t)), gradient=t == "float64")
            for x, t in (((17, 33), "float64"), ((), "float16"), ((0, 3), "float64"),
                         ((1, 5), "float64"))
        ]
    )  # fmt: skip

    def infer_shape(self, u: Unifier, x: ShapeView, like: ShapeView) -> tuple[Any, ...]:
        return (x,)

    def infer_dtype(self, u: Unifier, x: DTypeView, like: DTypeView) -> tuple[Any, ...]:
        u.floating(x)
        return (like,)

    def forward(self, x: Tensor, like: Tensor) -> Compute:
        return compute(x.shape, lambda *i: convert(x[i], like.dtype))

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (make("cast_like", grads[0], ins[0]), None)

    def simplify(self, ins: tuple[Symbol, ...]) -> Symbol | None:
        """The conversion to a dtype that is known."""
        x, like = ins
        if like.dtype is None:
            return None
        return x if x.dtype == like.dtype else make("cast", x, dtype=like.dtype.name)

    def reference(self, x: Array, like: Array) -> Any:
        return x.astype(like.dtype)


@register
@dataclass(frozen=True, slots=True)
class Clip(Unary):
    """y = x kept between `min` and `max`; NaN stays.

    The gradient passes where min <= x <= max, bounds included, as in PyTorch.
    Shapes: any, kept.   Dtypes: any number, kept.
    """

    min: float | None = None
    max: float | None = None
    name = "clip"
    float_only = False
    samples = Samples(
        lambda cls: (
            *unary_samples(cls(-0.5, 0.25)),
            *unary_samples(cls(None, 0.25)),
            *unary_samples(cls(-0.5, None)),
            *integer_samples(cls(2, 5), (3, 7)),
        )
    )

    def check_attributes(self) -> None:
        for value in (self.min, self.max):
            if value is not None and math.isnan(value):
                raise AttributeValueError("clip: a bound is NaN")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise AttributeValueError(f"clip: min must not exceed max: {self.min} > {self.max}")

    def element(self, x: Expr) -> Expr:
        if self.min is not None:
            x = call("max", x, const(self.min, x.dtype))
        return x if self.max is None else call("min", x, const(self.max, x.dtype))

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,) = grads, ins
        if self.min is not None:
            g = make("where", x >= self.min, g, 0)
        return (g if self.max is None else make("where", x <= self.max, g, 0),)

    def reference(self, x: Array) -> Any:
        if self.min is None and self.max is None:
            return x
        return np.clip(x, self.min, self.max).astype(x.dtype)

    def simplify(self, ins: tuple[Symbol, ...]) -> Symbol | None:
        """No bounds."""
        return ins[0] if self.min is None and self.max is None else None


class _Same(Op):
    """The input itself, under another node."""

    __slots__ = ()
    samples = Samples(
        lambda cls: (*unary_samples(cls(), gradient=False), *integer_samples(cls(), (3, 7)))
    )

    @property
    def is_view(self) -> bool:
        return True

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        return (x,)

    def forward(self, x: Tensor) -> Compute:
        return compute(x.shape, lambda *i: x[i])

    def reference(self, x: Array) -> Any:
        return x

    def simplify(self, ins: tuple[Symbol, ...]) -> Symbol | None:
        """The input."""
        return ins[0]


@register
@dataclass(frozen=True, slots=True)
class Identity(_Same):
    """y = x.   Shapes: any, kept.   Dtypes: any, kept."""

    name = "identity"
    samples = Samples(
        lambda cls: (*unary_samples(cls()), *integer_samples(cls(), (3, 7)))
    )  # fmt: skip

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (grads[0],)


@register
@dataclass(frozen=True, slots=True)
class StopGradient(_Same):
    """y = x, through which no gradient flows.   Shapes: any, kept.   Dtypes: any, kept."""

    name = "stop_gradient"
    no_gradient = ("x",)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (None,)

    def simplify(self, ins: tuple[Symbol, ...]) -> Symbol | None:
        """Kept: a later differentiation must still see it; lowering makes it a view for free."""
        return None


identity = functional(Identity)
stop_gradient = functional(StopGradient)


@specified_by(Cast)
def cast(x: Symbol, dtype: Any, *, name: str | None = None) -> Symbol:
    """x converted to a dtype.   Raises: DTypeError."""
    return Cast(as_dtype(dtype).name)(x, name=name)  # type: ignore[no-any-return]


@specified_by(Clip)
def clip(
    x: Symbol,
    min: float | None = None,
    max: float | None = None,
    *,
    name: str | None = None,
) -> Symbol:
    """x kept between min and max, None for no bound.   Raises: AttributeValueError."""
    return Clip(min, max)(x, name=name)  # type: ignore[no-any-return]


__all__ = ["cast", "clip", "identity", "stop_gradient"]
