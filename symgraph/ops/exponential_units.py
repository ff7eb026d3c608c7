"""Activation functions that are linear above 0 and bend towards a constant below."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.registry import register
from ..ir.sample import Samples
from ..ir.symbol import Symbol
from ..kernel.ir import Expr, call, where
from .activation import Activation, activation_samples, choose, zero
from .base import Array, Gradients, functional, specified_by

SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805


@register
@dataclass(frozen=True, slots=True)
class Elu(Activation):
    """y = x if x > 0 else alpha*(e**x - 1).   Shapes: any, kept.   Dtypes: any float, kept."""

    alpha: float = 1.0
    name = "elu"
    samples = Samples(lambda cls: activation_samples(cls(), cls(0.3)))

    def element(self, x: Expr) -> Expr:
        below = call("expm1", call("min", x, zero(x))) * self.alpha
        return where(call("lt", zero(x), x), x, below)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,), (y,) = grads, ins, outs
        return (choose(x > 0, g, g * (y + self.alpha)),)

    def value(self, x: Array) -> Any:
        return np.where(x > 0, x, self.alpha * np.expm1(x))


@register
@dataclass(frozen=True, slots=True)
class Selu(Activation):
    """y = scale * elu(x, alpha), with the constants that keep mean 0 and variance 1.

    Shapes: any, kept.   Dtypes: any float, kept.   Source: Klambauer et al. 2017,
    Self-Normalizing Neural Networks.
    """

    name = "selu"

    def element(self, x: Expr) -> Expr:
        below = call("expm1", call("min", x, zero(x))) * (SELU_SCALE * SELU_ALPHA)
        return where(call("lt", zero(x), x), x * SELU_SCALE, below)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,), (y,) = grads, ins, outs
        return (choose(x > 0, g * SELU_SCALE, g * (y + SELU_SCALE * SELU_ALPHA)),)

    def value(self, x: Array) -> Any:
        return SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(x))


@register
@dataclass(frozen=True, slots=True)
class Celu(Activation):
    """y = x if x > 0 else alpha*(e**(x/alpha) - 1).   Shapes: any, kept.   Dtypes: any float."""

    alpha: float = 1.0
    name = "celu"
    samples = Samples(lambda cls: activation_samples(cls(), cls(0.5)))

    def element(self, x: Expr) -> Expr:
        below = call("expm1", call("min", x, zero(x)) * (1.0 / self.alpha)) * self.alpha
        return where(call("lt", zero(x), x), x, below)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x,), (y,) = grads, ins, outs
        return (choose(x > 0, g, g * (y / self.alpha + 1)),)

    def value(self, x: Array) -> Any:
        return np.where(x > 0, x, self.alpha * np.expm1(x / self.alpha))


selu = functional(Selu)


@specified_by(Elu)
def elu(x: Symbol, alpha: float = 1.0, *, name: str | None = None) -> Symbol:
    """x where positive, else alpha*(e**x - 1)."""
    return Elu(alpha)(x, name=name)  # type: ignore[no-any-return]


@specified_by(Celu)
def celu(x: Symbol, alpha: float = 1.0, *, name: str | None = None) -> Symbol:
    """x where positive, else alpha*(e**(x/alpha) - 1)."""
    return Celu(alpha)(x, name=name)  # type: ignore[no-any-return]


__all__ = ["celu", "elu", "selu"]
