"""Normalisation over the batch or the last axes: batch, layer, root mean square, L2.

Each subtracts a mean and divides by a deviation over some axes; what follows from that, gradients
included, is written once.  The gradient recomputes the standardised values instead of storing
them; where the forward pass runs in the same program, they are one value again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AttributeValueError
from ..ir.initializer import Constant
from ..ir.op import CompositeOp, Owned
from ..ir.registry import register
from ..ir.sample import Sample
from ..ir.symbol import Symbol
from .base import Array, Gradients, make, sum_to
from .loss import ElementCount
from .standardise import (
    SCALED,
    Axes,
    check_eps,
    mean_over,
    per_channel,
    rank_of,
    standard_array,
    standardise,
    standardise_gradient,
)

if TYPE_CHECKING:
    from ..ir.infer import ShapeView, Unifier


@register
@dataclass(frozen=True, slots=True)
class BatchNorm(CompositeOp):
    """y = gamma (x - mean) / sqrt(var + eps) + beta, mean and var of the batch; see `batch_norm`.

    In inference form mean and var are the moving ones, and y = x scale + shift.
    """

    momentum: float = 0.9
    eps: float = 1e-5
    name = "batch_norm"
    outputs = ("output", "next_mean", "next_var")
    state = (("moving_mean", "next_mean"), ("moving_var", "next_var"))
    no_gradient = ("moving_mean", "moving_var")
    owned = (
        Owned("gamma", Constant(1.0)),
        Owned("beta"),
        Owned("moving_mean", auxiliary=True),
        Owned("moving_var", Constant(1.0), auxiliary=True),
    )

    def check_attributes(self) -> None:
        check_eps(self)
        if not 0.0 <= self.momentum <= 1.0:
            raise AttributeValueError(
                f"batch_norm: momentum must be in [0, 1], got {self.momentum!r}"
            )

    def infer_shape(
        self, u: Unifier, x: ShapeView, gamma: ShapeView, beta: ShapeView,
        moving_mean: ShapeView, moving_var: ShapeView,
    ) -> tuple[Any, ...]:  # fmt: skip
        parts = {"gamma": gamma, "beta": beta, "moving_mean": moving_mean, "moving_var": moving_var}
        found = {what: u.rank(part, 1, what)[0] for what, part in parts.items()}
        channels = u.at_least(x, 2, "x")[1]
        for what, extent in found.items():
            u.equal(extent, channels, f"{what}.shape[0] must equal x.shape[1]")
        return (x, (channels,), (channels,))

    def _axes(self, x: Symbol) -> Axes:
        return (0, *range(2, rank_of(x, self.name)))

    def forward(
        self, x: Symbol, gamma: Symbol, beta: Symbol, moving_mean: Symbol, moving_var: Symbol
    ) -> tuple[Symbol, ...]:
        axes, rank = self._axes(x), rank_of(x, self.name)
        standard, _, mean, variance = standardise(x, axes, self.eps)
        y = standard * per_channel(gamma, rank) + per_channel(beta, rank)
        return (y, self._moved(moving_mean, mean), self._moved(moving_var, variance))

    def _moved(self, old: Symbol, batch: Symbol) -> Symbol:
        new = make("reshape", batch, shape=(-1,))
        return old * self.momentum + new * (1.0 - self.momentum)

    def inference(self, ins: tuple[Symbol, ...]) -> Sequence[Symbol]:
        x, gamma, beta, mean, variance = ins
        rank = rank_of(x, self.name)
        scale = gamma * make("rsqrt", variance + self.eps)
        shift = beta - mean * scale
        return (x * per_channel(scale, rank) + per_channel(shift, rank), mean, variance)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (x, gamma), (g, to_mean, to_var) = ins[:2], grads
        axes, rank = self._axes(x), rank_of(x, self.name)
        standard, inverse, mean, _ = standardise(x, axes, self.eps)
        parts: list[Symbol] = []
        by_gamma: Symbol | None = None
        by_beta: Symbol | None = None
        one = 1.0 / ElementCount(axes, others=False)(x)
        if g is not None:
            # gamma leaves the sums, which are then those of gamma's and beta's own gradients.
            by_gamma = make("sum", g * standard, axis=axes)
            by_beta = make("sum", g, axis=axes)
            spread = per_channel(by_beta * one, rank) + standard * per_channel(by_gamma * one, rank)
            parts.append(per_channel(gamma, rank) * inverse * (g - spread))
        # The moving averages are seldom differentiated, but they depend on x too.
        share = (1.0 - self.momentum) * one
        if to_mean is not None:
            parts.append(make("broadcast_like", per_channel(to_mean * share, rank), x))
        if to_var is not None:
            parts.append(per_channel(to_var * share, rank) * (2.0 * (x - mean)))
        total = parts[0] if parts else None
        for part in parts[1:]:
            total = part if total is None else total + part
        return (total, by_gamma, by_beta, None, None)

    def reference(
        self, x: Array, gamma: Array, beta: Array, moving_mean: Array, moving_var: Array
    ) -> Any:
        axes = (0, *range(2, x.ndim))
        column = (-1, *(1,) * (x.ndim - 2))
        y = standard_array(x, axes, self.eps) * gamma.reshape(column) + beta.reshape(column)
        wide = x.astype(np.float64)
        m = self.momentum
        return (
            y.astype(x.dtype),
            (moving_mean * m + wide.mean(axis=axes) * (1 - m)).astype(x.dtype),
            (moving_var * m + wide.var(axis=axes) * (1 - m)).astype(x.dtype),
        )


@register
@dataclass(frozen=True, slots=True)
class LayerNorm(CompositeOp):
    """y = gamma (x - mean) / sqrt(var + eps) + beta over the last axes; see `layer_norm`."""

    axis: int = -1
    eps: float = 1e-5
    use_affine: bool = True
    name = "layer_norm"
    owned = SCALED

    def check_attributes(self) -> None:
        check_eps(self)

    def infer_shape(
        self, u: Unifier, x: ShapeView, gamma: ShapeView | None = None,
        beta: ShapeView | None = None,
    ) -> tuple[Any, ...]:  # fmt: skip
        return _trailing(self, u, x, gamma=gamma, beta=beta)

    def forward(self, x: Symbol, gamma: Symbol | None = None, beta: Symbol | None = None) -> Symbol:
        y = standardise(x, _last(self, x), self.eps)[0]
        return y if gamma is None or beta is None else y * gamma + beta

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), x, axes = grads, ins[0], _last(self, ins[0])
        standard, inverse, _, _ = standardise(x, axes, self.eps)
        if not self.use_affine:
            return (standardise_gradient(g, standard, inverse, axes),)
        return (
            standardise_gradient(g * ins[1], standard, inverse, axes),
            sum_to(g * standard, ins[1]),
            sum_to(g, ins[2]),
        )

    def reference(self, x: Array, gamma: Array | None = None, beta: Array | None = None) -> Any:
        y = standard_array(x, tuple(range(self.axis % x.ndim, x.ndim)), self.eps)
        y = y if gamma is None or beta is None else y * gamma + beta
        return y.astype(x.dtype)


@register
@dataclass(frozen=True, slots=True)
class RmsNorm(CompositeOp):
    """y = gamma x / sqrt(mean x^2 + eps) over the last axes; see `rms_norm`."""

    axis: int = -1
    eps: float = 1e-6
    use_affine: bool = True
    name = "rms_norm"
    owned = SCALED[:1]

    def check_attributes(self) -> None:
        check_eps(self)

    def infer_shape(
        self, u: Unifier, x: ShapeView, gamma: ShapeView | None = None
    ) -> tuple[Any, ...]:
        return _trailing(self, u, x, gamma=gamma)

    def _parts(self, x: Symbol) -> tuple[Symbol, Symbol, Axes]:
        axes = _last(self, x)
        inverse = make("rsqrt", mean_over(make("square", x), axes) + self.eps)
        return x * inverse, inverse, axes

    def forward(self, x: Symbol, gamma: Symbol | None = None) -> Symbol:
        y = self._parts(x)[0]
        return y if gamma is None else y * gamma

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), x = grads, ins[0]
        standard, inverse, axes = self._parts(x)
        scaled = g * ins[1] if self.use_affine else g
        dx = inverse * (scaled - standard * mean_over(scaled * standard, axes))
        return (dx, sum_to(g * standard, ins[1])) if self.use_affine else (dx,)

    def reference(self, x: Array, gamma: Array | None = None) -> Any:
        wide = x.astype(np.float64)
        axes = tuple(range(self.axis % x.ndim, x.ndim))
        y = wide / np.sqrt((wide**2).mean(axis=axes, keepdims=True) + self.eps)
        return (y if gamma is None else y * gamma).astype(x.dtype)


def _trailing(op: Any, u: Unifier, x: ShapeView, **parts: ShapeView | None) -> tuple[Any, ...]:
    """gamma and beta have the extents of x from `axis` on."""
    if x.rank is None and op.axis >= 0:
        return (x,)
    shape = u.at_least(x, 1, "x")
    first = u.axis(op.axis, len(shape))
    for what, part in parts.items():
        if part is None:
            continue
        own = u.rank(part, len(shape) - first, what)
        for axis, (a, b) in enumerate(zip(own, shape[first:], strict=True)):
            u.equal(a, b, f"{what}.shape[{axis}] must equal x.shape[{first + axis}]")
    return (x,)


def _last(op: Any, x: Symbol) -> Axes:
    rank = rank_of(x, op.name)
    return tuple(range(op.axis % rank, rank))


@register
@dataclass(frozen=True, slots=True)
class L2Normalize(CompositeOp):
    """y = x / max(|x|, eps) along one axis; see `l2_normalize`."""

    axis: int = -1
    eps: float = 1e-12
    name = "l2_normalize"

    def check_attributes(self) -> None:
        check_eps(self)

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        if x.rank is not None:
            u.axis(self.axis, x.rank)
        return (x,)

    def forward(self, x: Symbol) -> Symbol:
        # The bound is on the square, so that the gradient at 0 is 0 times a finite number.
        total = make("sum", make("square", x), axis=(self.axis,), keepdims=True)
        return x * make("rsqrt", make("maximum", total, self.eps**2))

    def reference(self, x: Array) -> Any:
        wide = x.astype(np.float64)
        length = np.sqrt((wide**2).sum(axis=self.axis, keepdims=True))
        return (wide / np.maximum(length, self.eps)).astype(x.dtype)


def batch_norm(
    x: Symbol,
    gamma: Symbol | None = None,
    beta: Symbol | None = None,
    moving_mean: Symbol | None = None,
    moving_var: Symbol | None = None,
    *,
    momentum: float = 0.9,
    eps: float = 1e-5,
    name: str | None = None,
) -> Symbol:
    """y = gamma (x - mean) / sqrt(var + eps) + beta for each channel (Ioffe and Szegedy 2015).

    In training mean and (biased) var are the batch's, and the state moves on:
    moving = moving*momentum + batch*(1-momentum).  For inference they are the moving ones.
    Missing parameters and state become variables.

    Shapes: x [n, c, *s], the rest [c] -> y as x.   Dtypes: any float, kept.
    """
    op = BatchNorm(momentum, eps)
    return op(x, gamma, beta, moving_mean, moving_var, name=name)[0]  # type: ignore[no-any-return]


def layer_norm(
    x: Symbol, gamma: Symbol | None = None, beta: Symbol | None = None, *, axis: int = -1,
    eps: float = 1e-5, use_affine: bool = True, name: str | None = None,
) -> Symbol:  # fmt: skip
    """y = gamma (x - mean) / sqrt(var + eps) + beta over `axis` and all after it (Ba et al. 2016).

    Shapes: x [*b, *s], gamma, beta [*s] -> y as x.   Dtypes: any float, kept.
    """
    inputs = (x, gamma, beta) if use_affine else (x,)
    return LayerNorm(axis, eps, use_affine)(*inputs, name=name)  # type: ignore[no-any-return]


def rms_norm(
    x: Symbol, gamma: Symbol | None = None, *, axis: int = -1, eps: float = 1e-6,
    use_affine: bool = True, name: str | None = None,
) -> Symbol:  # fmt: skip
    """y = gamma x / sqrt(mean of x^2 + eps) over `axis` and all after it (Zhang, Sennrich 2019).

    Shapes: x [*b, *s], gamma [*s] -> y as x.   Dtypes: any float, kept.
    """
    inputs = (x, gamma) if use_affine else (x,)
    return RmsNorm(axis, eps, use_affine)(*inputs, name=name)  # type: ignore[no-any-return]


def l2_normalize(
    x: Symbol, axis: int = -1, *, eps: float = 1e-12, name: str | None = None
) -> Symbol:
    """y = x / max(|x|, eps) along one axis, |x| the Euclidean length; rows of zeros stay zero.

    Shapes: x [*s] -> y the same.   Dtypes: any float, kept.
    """
    return L2Normalize(axis, eps)(x, name=name)  # type: ignore[no-any-return]


_C = ((3,),) * 4
BatchNorm.samples = (
    Sample(BatchNorm(), ((4, 1, 17), (1,), (1,), (1,), (1,)), low=0.1, high=2.0),
    Sample(BatchNorm(), ((2, 0, 5), (0,), (0,), (0,), (0,)), low=0.1, high=2.0),
    Sample(BatchNorm(), ((4, 3, 5, 7), *_C), low=0.1, high=2.0),
    Sample(BatchNorm(0.5, 1e-3), ((17, 3), *_C), low=0.1, high=2.0, dtype="float64"),
    Sample(BatchNorm(), ((2, 3, 9), *_C), low=0.1, high=2.0),
)
LayerNorm.samples = (
    Sample(LayerNorm(), ((1, 5), (5,), (5,))),
    Sample(LayerNorm(), ((5, 33), (33,), (33,))),
    Sample(LayerNorm(-2), ((2, 3, 5, 7), (5, 7), (5, 7)), dtype="float64"),
    Sample(LayerNorm(1, use_affine=False), ((2, 3, 5),)),
    Sample(LayerNorm(), ((0, 3), (3,), (3,))),
)
RmsNorm.samples = (
    Sample(RmsNorm(), ((1, 5), (5,))),
    Sample(RmsNorm(), ((0, 3), (3,))),
    Sample(RmsNorm(), ((5, 33), (33,))),
    Sample(RmsNorm(-2), ((2, 3, 5, 7), (5, 7)), dtype="float64"),
    Sample(RmsNorm(use_affine=False), ((2, 3, 5),)),
)
L2Normalize.samples = (
    Sample(L2Normalize(), ((0, 3),)),
    Sample(L2Normalize(), ((1, 17),)),
    Sample(L2Normalize(), ((5, 7),)),
    Sample(L2Normalize(0), ((3, 2, 5),), dtype="float64"),
    Sample(L2Normalize(), (np.zeros((2, 3), np.float32),), gradient=False),
)
