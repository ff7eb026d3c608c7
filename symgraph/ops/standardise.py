"""What the normalisations share: values brought to mean 0 and deviation 1 over some axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import AttributeValueError, GradientError
from ..ir.initializer import Constant
from ..ir.op import Owned
from ..ir.symbol import Symbol
from .base import Array, make

Axes = tuple[int, ...]


def rank_of(x: Symbol, what: str) -> int:
    if x.ndim is None:
        raise GradientError(f"{what}: the rank of x must be known: declare the shape of {x!r}")
    return x.ndim


def mean_over(x: Symbol, axes: Axes) -> Symbol:
    return make("mean", x, axis=axes, keepdims=True)


def standardise(x: Symbol, axes: Axes, eps: float) -> tuple[Symbol, Symbol, Symbol, Symbol]:
    """(x less its mean over the axes, over its deviation; 1/deviation; mean; variance)."""
    mean = mean_over(x, axes)
    centred = x - mean
    variance = mean_over(make("square", centred), axes)
    inverse = make("rsqrt", variance + eps)
    return centred * inverse, inverse, mean, variance


def standardise_gradient(g: Symbol, standard: Symbol, inverse: Symbol, axes: Axes) -> Symbol:
    """The gradient in x of the standardised values."""
    return inverse * (g - mean_over(g, axes) - standard * mean_over(g * standard, axes))


def per_channel(value: Symbol, rank: int) -> Symbol:
    """[c] -> [c, 1, ...], which broadcasts to [n, c, *s]."""
    return value if rank <= 2 else make("reshape", value, shape=(-1, *(1,) * (rank - 2)))


def check_eps(op: Any) -> None:
    if not op.eps > 0:
        raise AttributeValueError(f"{op.name}: eps must be positive, got {op.eps!r}")


SCALED = (
    Owned("gamma", Constant(1.0), needed=lambda op: op.use_affine),
    Owned("beta", needed=lambda op: op.use_affine),
)


def standard_array(x: Array, axes: Axes, eps: float) -> Any:
    """numpy: standardised in float64."""
    wide = x.astype(np.float64)
    deviation = np.sqrt(wide.var(axis=axes, keepdims=True) + eps)
    return (wide - wide.mean(axis=axes, keepdims=True)) / deviation
