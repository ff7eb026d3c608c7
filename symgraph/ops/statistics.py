"""Composite reductions: mean, variance, norms, logsumexp."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AttributeValueError
from ..ir.op import CompositeOp, Op
from ..ir.registry import register
from ..ir.sample import Sample, Samples
from ..ir.symbol import Symbol, constant
from ..kernel import dims
from ..kernel.compute import Compute, Tensor, compute
from .base import Array, Gradients, as_axes, axes_of, checked_axes, index_value, make, specified_by
from .reduction import reduction_samples, restore_axes

if TYPE_CHECKING:
    from ..ir.infer import DTypeView, ShapeView, Unifier


@register
@dataclass(frozen=True, slots=True)
class AxisSize(Op):
    """y = how many elements x has along `axis` (None: altogether), as a number of x's dtype.

    Of x only the shape is read.   Shapes: x [*s] -> y [].   Dtypes: any number, kept.
    """

    axis: int | tuple[int, ...] | None = None
    name = "axis_size"
    no_gradient = ("x",)
    samples = Samples(
        lambda cls: [
            Sample(cls(a), (s,), dtype=t, gradient=False)
            for a, s, t in (
                (None, (2, 3, 5), "float32"),
                ((0, -1), (17, 3, 33), "float32"),
                (1, (2, 1, 5), "float64"),
                (None, (), "float32"),
                (0, (0, 3), "int32"),
            )
        ]
    )

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        if x.rank is not None:
            checked_axes(u, self.axis, len(x))
        return ((),)

    def infer_dtype(self, u: Unifier, x: DTypeView) -> tuple[Any, ...]:
        return (u.number(x),)

    def forward(self, x: Tensor) -> Compute:
        count = dims.product([x.shape[n] for n in axes_of(self.axis, x.ndim)])
        return compute((), lambda: index_value(count, x.dtype))

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (None,)

    def simplify(self, ins: tuple[Symbol, ...]) -> Symbol | None:
        """The number, when the extents are known."""
        (x,) = ins
        if x.shape is None or x.dtype is None:
            return None
        count = dims.product([x.shape[n] for n in axes_of(self.axis, len(x.shape))])
        return constant(count, x.dtype) if isinstance(count, int) else None

    def reference(self, x: Array) -> Any:
        axes = axes_of(self.axis, x.ndim)
        return np.asarray(math.prod(x.shape[n] for n in axes), x.dtype)


def _count(x: Symbol, axis: Any) -> Symbol:
    return make("axis_size", x, axis=axis)


@register
@dataclass(frozen=True, slots=True)
class Mean(CompositeOp):
    """y = the mean of x over `axis` (an int, several, or None for all); NaN of nothing.

    Shapes: x [*s] -> y without the axes, or with extent 1 there under `keepdims`.
    Dtypes: any float, kept.
    """

    axis: int | tuple[int, ...] | None = None
    keepdims: bool = False
    name = "mean"
    samples = Samples(reduction_samples)

    def forward(self, x: Symbol) -> Symbol:
        return make("sum", x, axis=self.axis, keepdims=self.keepdims) / _count(x, self.axis)

    def reference(self, x: Array) -> Any:
        axes = axes_of(self.axis, x.ndim)
        count = math.prod(x.shape[n] for n in axes)
        total = x.sum(axis=axes, keepdims=self.keepdims, dtype=np.float64)
        return np.asarray(np.asarray(total) / np.float64(count)).astype(x.dtype)


@register
@dataclass(frozen=True, slots=True)
class Variance(CompositeOp):
    """y = the mean of (x - mean(x))**2 over `axis`, in two passes.

    `correction` is taken from the number of elements (1 for the unbiased estimate).
    Shapes: as mean.   Dtypes: any float, kept.
    """

    axis: int | tuple[int, ...] | None = None
    keepdims: bool = False
    correction: float = 0
    name = "variance"
    samples = Samples(
        lambda cls: (
            *reduction_samples(cls),
            Sample(cls(1, False, 1), ((3, 7),), dtype="float64"),
        )
    )

    def forward(self, x: Symbol) -> Symbol:
        mean = Mean(self.axis, True)(x)
        squares = make("sum", make("square", x - mean), axis=self.axis, keepdims=self.keepdims)
        count = _count(x, self.axis)
        return squares / (count if self.correction == 0 else count - self.correction)

    def reference(self, x: Array) -> Any:
        axes, wide = axes_of(self.axis, x.ndim), x.astype(np.float64)
        result = np.var(wide, axis=axes, keepdims=self.keepdims, ddof=self.correction)
        return np.asarray(result).astype(x.dtype)


@register
@dataclass(frozen=True, slots=True)
class Std(CompositeOp):
    """y = the square root of var(x); the gradient is not a number where var(x) is 0.

    Shapes: as mean.   Dtypes: any float, kept.
    """

    axis: int | tuple[int, ...] | None = None
    keepdims: bool = False
    correction: float = 0
    name = "std"
    samples = Samples(
        lambda cls: [
            *(
                Sample(s.op, s.inputs, dtype=s.dtype, gradient=s.inputs[0] != () and s.gradient)
                for s in reduction_samples(cls)
            ),
            Sample(cls(1, False, 1), ((3, 7),), dtype="float64"),
        ]
    )

    def forward(self, x: Symbol) -> Symbol:
        return make("sqrt", Variance(self.axis, self.keepdims, self.correction)(x))

    def reference(self, x: Array) -> Any:
        axes, wide = axes_of(self.axis, x.ndim), x.astype(np.float64)
        result = np.std(wide, axis=axes, keepdims=self.keepdims, ddof=self.correction)
        return np.asarray(result).astype(x.dtype)


@register
@dataclass(frozen=True, slots=True)
class LogSumExp(CompositeOp):
    """y = log(sum(exp(x))) over `axis`, without overflow; -inf where every x is -inf.

    Shapes: as mean.   Dtypes: any float, kept.   Raises: ShapeError of nothing, as max does.
    """

    axis: int | tuple[int, ...] | None = None
    keepdims: bool = False
    name = "logsumexp"
    samples = Samples(
        lambda cls: (
            *(
                Sample(s.op, s.inputs, dtype=s.dtype, low=-3.0, high=3.0,
                       gradient=s.gradient and s.inputs[0] != (0, 3))
                for s in reduction_samples(cls)
            ),
            Sample(cls(1), (np.array([[1000.0, 999.0, 0.0], [-np.inf, 3.0, 2.0],
                                      [-np.inf, -np.inf, -np.inf]], np.float32)[:, :2],),
                   gradient=False),
        )
    )  # fmt: skip

    def forward(self, x: Symbol) -> Symbol:
        peak = make("stop_gradient", make("max", x, axis=self.axis, keepdims=True))
        peak = make("where", make("isfinite", peak), peak, 0.0)
        total = make("sum", make("exp", x - peak), axis=self.axis, keepdims=self.keepdims)
        if not self.keepdims:
            peak = make("sum", peak, axis=self.axis)  # of one element each: drops the axes
        return make("log", total) + peak

    def reference(self, x: Array) -> Any:
        axes = axes_of(self.axis, x.ndim)
        wide = x.astype(np.float64)
        reduce: Any = np.logaddexp.reduce
        result = reduce(wide, axis=axes, keepdims=self.keepdims)
        return np.asarray(result).astype(x.dtype)


@register
@dataclass(frozen=True, slots=True)
class Norm(CompositeOp):
    """y = the vector norm of x over `axis` (None: of all elements).

    `order` 2: sqrt(sum(x**2)), whose gradient at 0 is taken as 0; 1: sum(|x|); inf and -inf: the
    greatest and least |x|; 0: how many are not 0; any other p: sum(|x|**p) ** (1/p).
    Shapes: as mean.   Dtypes: any float, kept.
    """

    axis: int | tuple[int, ...] | None = None
    keepdims: bool = False
    order: float = 2
    name = "norm"
    samples = Samples(
        lambda cls: (
            *reduction_samples(cls),
            *(
                Sample(cls(1, False, p), ((3, 7),), dtype="float64", gradient=p != 0)
                for p in (0, 1, 3, math.inf, -math.inf)
            ),
            Sample(cls(1, True), (np.array([[0.0, 0.0], [3.0, 4.0], [1.0, 0.0]]),),
                   gradient=False),
        )
    )  # fmt: skip

    def check_attributes(self) -> None:
        if math.isnan(self.order):
            raise AttributeValueError("norm: order is NaN")

    def forward(self, x: Symbol) -> Symbol:
        size = make("abs", x)
        if math.isinf(self.order):
            extreme = "max" if self.order > 0 else "min"
            return make(extreme, size, axis=self.axis, keepdims=self.keepdims)
        if self.order == 0:
            size = make("where", size > 0, make("full_like", x, value=1.0), 0.0)
        elif self.order == 2:
            size = make("square", x)
        elif self.order != 1:
            size = make("power", size, self.order)
        total = make("sum", size, axis=self.axis, keepdims=self.keepdims)
        if self.order in (0, 1):
            return total
        return make("sqrt", total) if self.order == 2 else make("power", total, 1 / self.order)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,), (y,) = grads, ins, outs
        g, y = (restore_axes(v, x, self.axis, self.keepdims, "norm") for v in (g, y))
        if self.order == 0:
            return (make("full_like", x, value=0.0),)
        if self.order == 1:
            return (g * make("sign", x),)
        if math.isinf(self.order):
            chosen = make("equal", make("abs", x), y)
            share = make("where", chosen, make("full_like", x, value=1.0), 0.0)
            ties = make("sum", share, axis=self.axis, keepdims=True)
            return (g * make("sign", x) * share / ties,)
        # The same limit 0 for every norm at 0: the ratio is formed only where it exists.
        safe = make("where", y > 0, y, 1.0)
        ratio = x / safe
        if self.order == 2:
            return (g * ratio,)
        size = make("abs", ratio)
        power = make("where", size > 0, make("power", size, self.order - 1), 0.0)
        return (g * make("sign", x) * power,)

    def reference(self, x: Array) -> Any:
        axes, wide = axes_of(self.axis, x.ndim), x.astype(np.float64)
        rows = np.moveaxis(wide, axes, range(-len(axes), 0)) if axes else wide[..., None]
        kept = rows.shape[: rows.ndim - max(len(axes), 1)]
        flat = rows.reshape(*kept, math.prod(x.shape[n] for n in axes))
        result = np.asarray(np.linalg.norm(flat, self.order, axis=-1))
        if self.keepdims:
            result = np.expand_dims(result, tuple(sorted(axes)))
        return result.astype(x.dtype)


@specified_by(Mean)
def mean(x: Symbol, axis: Any = None, keepdims: bool = False, *, name: str | None = None) -> Symbol:
    """The mean over axes."""
    return Mean(as_axes(axis), keepdims)(x, name=name)  # type: ignore[no-any-return]


@specified_by(Variance)
def variance(
    x: Symbol,
    axis: Any = None,
    keepdims: bool = False,
    correction: float = 0,
    *,
    name: str | None = None,
) -> Symbol:
    """The variance over axes."""
    return Variance(as_axes(axis), keepdims, correction)(x, name=name)  # type: ignore[no-any-return]


@specified_by(Std)
def std(
    x: Symbol,
    axis: Any = None,
    keepdims: bool = False,
    correction: float = 0,
    *,
    name: str | None = None,
) -> Symbol:
    """The standard deviation over axes."""
    return Std(as_axes(axis), keepdims, correction)(x, name=name)  # type: ignore[no-any-return]


@specified_by(LogSumExp)
def logsumexp(
    x: Symbol, axis: Any = None, keepdims: bool = False, *, name: str | None = None
) -> Symbol:
    """log(sum(exp(x))) over axes."""
    return LogSumExp(as_axes(axis), keepdims)(x, name=name)  # type: ignore[no-any-return]


@specified_by(Norm)
def norm(
    x: Symbol,
    axis: Any = None,
    keepdims: bool = False,
    order: float = 2,
    *,
    name: str | None = None,
) -> Symbol:
    """The vector norm over axes."""
    return Norm(as_axes(axis), keepdims, order)(x, name=name)  # type: ignore[no-any-return]


__all__ = ["logsumexp", "mean", "norm", "std", "variance"]
