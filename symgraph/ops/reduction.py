"""Reductions over axes: sum, prod, max, min, and what all reductions share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..ir.op import Op
from ..ir.registry import register
from ..ir.sample import Sample, Samples
from ..ir.symbol import Symbol
from ..kernel.compute import Compute, Tensor, compute, reduce
from ..kernel.dims import Dim
from .base import Array, Gradients, as_axes, axes_of, checked_axes, known_axes, make

if TYPE_CHECKING:
    from ..ir.infer import DTypeView, ShapeView, Unifier


def reduction_samples(cls: Any, low: float = -1.0, high: float = 1.0, **more: Any) -> list[Sample]:
    """Samples for a reduction with `axis` and `keepdims`."""
    cases: list[tuple[Any, bool, Any, str]] = [
        (None, False, (2, 3, 5), "float32"),
        (1, False, (2, 3, 5), "float32"),
        (-1, True, (17, 33), "float32"),
        ((0, 2), False, (2, 3, 5), "float64"),
        ((0, 2), True, (3, 7, 4), "float32"),
        ((-2, -1), False, (2, 3, 5), "float64"),
        (None, False, (), "float32"),
        (None, True, (1, 7), "float32"),
        (1, False, (0, 3), "float32"),
        (0, False, (17, 3), "float16"),
    ]
    result = []
    for axis, keepdims, shape, dtype in cases:
        rules = {**more, "gradient": False} if dtype == "float16" else more
        result.append(Sample(cls(axis, keepdims), (shape,), dtype=dtype, low=low, high=high,
                             **rules))  # fmt: skip
    return result


def integer_reductions(cls: Any, low: float = -9, high: float = 9) -> list[Sample]:
    """The same for integers."""
    return [
        Sample(cls(axis), ((3, 7),), dtype=t, low=low, high=high, gradient=False)
        for axis, t in ((1, "int32"), (None, "int64"))
    ]


def reduced_shape(shape: Sequence[Dim], axes: Sequence[int], keepdims: bool) -> tuple[Dim, ...]:
    """The shape after a reduction."""
    if keepdims:
        return tuple(1 if n in axes else d for n, d in enumerate(shape))
    return tuple(d for n, d in enumerate(shape) if n not in axes)


def restore_axes(y: Symbol, x: Symbol, axis: Any, keepdims: bool, what: str) -> Symbol:
    """A reduced value with its axes back as extents 1, so that it broadcasts against x."""
    if keepdims or x.ndim == 0:
        return y
    axes = known_axes(axis, x, what)
    return make("expand_dims", y, axis=tuple(sorted(axes))) if axes else y


@dataclass(frozen=True, slots=True)
class Reduction(Op):
    """Base: one value from all along some axes."""

    axis: int | tuple[int, ...] | None = None
    keepdims: bool = False
    kind: ClassVar[str] = ""
    not_empty: ClassVar[bool] = False
    """An empty reduction has no value."""

    @property
    def channelwise(self) -> bool:
        inner = isinstance(self.axis, tuple) and not [a for a in self.axis if a < 2]
        return self.keepdims and inner

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        self._rank_from_output(u, x)
        axes = checked_axes(u, self.axis, len(x))
        shape = x.dims
        if self.not_empty:
            for n in axes:
                kept = [d for m, d in enumerate(shape) if m not in axes]
                if shape[n] == 0 and 0 not in kept:
                    u.fail(f"{self.name} of nothing has no value: x.shape[{n}] is 0")
        return (reduced_shape(shape, axes, self.keepdims),)

    def _rank_from_output(self, u: Unifier, x: ShapeView) -> None:
        rank = u.output().rank
        if x.rank is None and rank is not None:
            if self.keepdims:
                u.rank(x, rank)
            elif self.axis is not None:
                u.rank(x, rank + (1 if isinstance(self.axis, int) else len(self.axis)))

    def infer_dtype(self, u: Unifier, x: DTypeView) -> tuple[Any, ...]:
        return (u.number(x),)

    def forward(self, x: Tensor) -> Compute:
        axes = axes_of(self.axis, x.ndim)
        return self.over(x, axes, lambda read: reduce(self.kind, [x.shape[n] for n in axes], read))

    def over(self, x: Tensor, axes: tuple[int, ...], combine: Any) -> Compute:
        """The reduced tensor; `combine` gets the reader of x at given reduced indices."""

        def element(*i: Any) -> Any:
            def read(*r: Any) -> Any:
                inner, outer = iter(r), iter(i)
                index = []
                for n in range(x.ndim):
                    if n in axes:
                        index.append(next(inner))
                        if self.keepdims:
                            next(outer)
                    else:
                        index.append(next(outer))
                return x[tuple(index)]

            return combine(read)

        return compute(reduced_shape(x.shape, axes, self.keepdims), element)

    def spread(self, y: Symbol, x: Symbol) -> Symbol:
        """A reduced value against x."""
        return restore_axes(y, x, self.axis, self.keepdims, self.name)

    def numpy_axis(self, x: Array) -> tuple[int, ...]:
        return axes_of(self.axis, x.ndim)


@register
@dataclass(frozen=True, slots=True)
class Sum(Reduction):
    """y = the sum of x over `axis` (an int, several, or None for all); 0 of nothing.

    Shapes: x [*s] -> y without the axes, or with extent 1 there under `keepdims`.
    Dtypes: any number, kept; bool needs a cast first.
    """

    name = "sum"
    kind = "sum"
    samples = Samples(lambda cls: (*reduction_samples(cls), *integer_reductions(cls)))

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (make("broadcast_like", self.spread(grads[0], ins[0]), ins[0]),)

    def simplify(self, ins: tuple[Symbol, ...]) -> Symbol | None:
        """The sum over no axis."""
        return ins[0] if self.axis == () else None

    def reference(self, x: Array) -> Any:
        wide = np.float64 if x.dtype.kind == "f" else x.dtype
        total = x.sum(axis=self.numpy_axis(x), keepdims=self.keepdims, dtype=wide)
        return np.asarray(total).astype(x.dtype)


@register
@dataclass(frozen=True, slots=True)
class Prod(Reduction):
    """y = the product of x over `axis`; 1 of nothing.

    The gradient is right also where one or several factors are 0; a second derivative is right
    where none is.   Shapes: as sum.   Dtypes: any number, kept.
    """

    name = "prod"
    kind = "prod"
    samples = Samples(
        lambda cls: (
            *reduction_samples(cls, 0.7, 1.3),
            *integer_reductions(cls, -2, 3),
            Sample(cls(1), (np.array([[0.0, 2.0, 3.0], [0.0, 0.0, 3.0]]),)),
        )
    )

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,) = grads, ins
        zero = make("equal", x, 0)
        rest = make("where", zero, 1, x)
        product = Prod(self.axis, True)(rest)
        zeros = Sum(self.axis, True)(make("where", zero, make("full_like", x, value=1.0), 0))
        others = make("where", make("equal", zeros, 0), product / rest,
                      make("where", make("equal", zeros * 1.0, 1), product, 0))  # fmt: skip
        lone = make("where", make("logical_or", make("equal", zeros, 0), zero), others, 0)
        return (self.spread(g, x) * lone,)

    def reference(self, x: Array) -> Any:
        wide = np.float64 if x.dtype.kind == "f" else x.dtype
        total = x.prod(axis=self.numpy_axis(x), keepdims=self.keepdims, dtype=wide)
        return np.asarray(total).astype(x.dtype)


class _Extreme(Reduction):
    """Ties share the gradient evenly, as JAX and PyTorch's amax do."""

    __slots__ = ()
    not_empty = True

    def infer_dtype(self, u: Unifier, x: DTypeView) -> tuple[Any, ...]:
        return (x,)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,), (y,) = grads, ins, outs
        chosen = make("equal", x, self.spread(y, x))
        share = make("where", chosen, make("full_like", x, value=1.0), 0)
        return (self.spread(g, x) * share / Sum(self.axis, True)(share),)


@register
@dataclass(frozen=True, slots=True)
class Max(_Extreme):
    """y = the greatest of x over `axis`; NaN if any is NaN.  Ties share the gradient evenly.

    Shapes: as sum.   Dtypes: any, kept.   Raises: ShapeError for the maximum of nothing.
    """

    name = "max"
    kind = "max"
    samples = Samples(lambda cls: (*_no_empty(reduction_samples(cls)), *integer_reductions(cls)))

    def reference(self, x: Array) -> Any:
        return np.max(x, axis=self.numpy_axis(x), keepdims=self.keepdims)


@register
@dataclass(frozen=True, slots=True)
class Min(_Extreme):
    """y = the least of x over `axis`; NaN if any is NaN.  Ties share the gradient evenly.

    Shapes: as sum.   Dtypes: any, kept.   Raises: ShapeError for the minimum of nothing.
    """

    name = "min"
    kind = "min"
    samples = Samples(lambda cls: (*_no_empty(reduction_samples(cls)), *integer_reductions(cls)))

    def reference(self, x: Array) -> Any:
        return np.min(x, axis=self.numpy_axis(x), keepdims=self.keepdims)


def _no_empty(samples: list[Sample]) -> list[Sample]:
    """Empty along an axis that stays."""
    kept = [s for s in samples if s.inputs[0] != (0, 3)]
    empty = next(s for s in samples if s.inputs[0] == (0, 3))
    return [*kept, Sample(empty.op, ((0, 3),), gradient=False)]


def reduction_function(cls: type[Reduction]) -> Any:
    def function(
        x: Symbol, axis: Any = None, keepdims: bool = False, *, name: str | None = None
    ) -> Symbol:
        return cls(as_axes(axis), keepdims)(x, name=name)  # type: ignore[no-any-return]

    function.__name__ = function.__qualname__ = cls.name
    function.__doc__ = cls.__doc__
    return function


sum = reduction_function(Sum)
prod = reduction_function(Prod)
max = reduction_function(Max)
min = reduction_function(Min)


__all__ = ["max", "min", "prod", "sum"]
