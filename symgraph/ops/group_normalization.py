"""Normalisation over groups of channels of one example: group and instance norm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import AttributeValueError
from ..ir.op import CompositeOp
from ..ir.registry import register
from ..ir.sample import Sample
from ..ir.symbol import Symbol
from ..kernel import dims
from .base import Array, Gradients, make
from .standardise import (
    SCALED,
    check_eps,
    per_channel,
    rank_of,
    standard_array,
    standardise,
    standardise_gradient,
)

if TYPE_CHECKING:
    from ..ir.infer import ShapeView, Unifier


@dataclass(frozen=True, slots=True)
class _Grouped(CompositeOp):
    """What group and instance norm share: each example alone, gamma and beta for each channel."""

    eps: float = 1e-5
    use_affine: bool = True
    owned = SCALED

    def check_attributes(self) -> None:
        check_eps(self)

    def infer_shape(
        self, u: Unifier, x: ShapeView, gamma: ShapeView | None = None,
        beta: ShapeView | None = None,
    ) -> tuple[Any, ...]:  # fmt: skip
        shape = u.at_least(x, 2, "x")
        self.check_channels(u, u.resolve(shape[1]))
        for what, part in (("gamma", gamma), ("beta", beta)):
            if part is not None:
                extent = u.rank(part, 1, what)[0]
                u.equal(extent, shape[1], f"{what}.shape[0] must equal x.shape[1]")
        return (x,)

    def check_channels(self, u: Unifier, channels: Any) -> None:
        """A condition on the number of channels."""

    def split(self, x: Symbol) -> Symbol:
        """x with what is normalised together behind its first two axes."""
        return x

    def merge(self, parts: Symbol, x: Symbol) -> Symbol:
        """The reverse of `split`, in the shape of x."""
        return parts

    def forward(self, x: Symbol, gamma: Symbol | None = None, beta: Symbol | None = None) -> Symbol:
        parts = self.split(x)
        axes = tuple(range(2, rank_of(parts, self.name)))
        y = self.merge(standardise(parts, axes, self.eps)[0], x)
        if gamma is None or beta is None:
            return y
        rank = rank_of(x, self.name)
        return y * per_channel(gamma, rank) + per_channel(beta, rank)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), x, rank = grads, ins[0], rank_of(ins[0], self.name)
        parts = self.split(x)
        axes = tuple(range(2, rank_of(parts, self.name)))
        standard, inverse, _, _ = standardise(parts, axes, self.eps)
        scaled = g * per_channel(ins[1], rank) if self.use_affine else g
        dx = self.merge(standardise_gradient(self.split(scaled), standard, inverse, axes), x)
        if not self.use_affine:
            return (dx,)
        others = (0, *range(2, rank))
        by_gamma = make("sum", g * self.merge(standard, x), axis=others)
        return (dx, by_gamma, make("sum", g, axis=others))

    def scaled(self, y: Array, x: Array, gamma: Array | None, beta: Array | None) -> Any:
        """numpy: with gamma and beta, in x's shape and dtype."""
        y = y.reshape(x.shape)
        if gamma is not None and beta is not None:
            column = (-1, *(1,) * (x.ndim - 2))
            y = y * gamma.reshape(column) + beta.reshape(column)
        return y.astype(x.dtype)


@register
@dataclass(frozen=True, slots=True)
class GroupNorm(_Grouped):
    """Normalisation over groups of channels and space of each example; see `group_norm`."""

    groups: int = 1
    name = "group_norm"

    def check_attributes(self) -> None:
        check_eps(self)
        if self.groups < 1:
            raise AttributeValueError(f"group_norm: groups must be at least 1, got {self.groups!r}")

    def check_channels(self, u: Unifier, channels: Any) -> None:
        why = f"x.shape[1] must be a multiple of groups {self.groups}"
        if isinstance(channels, int) and channels % self.groups:
            u.fail(f"{why}, got {channels}")
        elif not isinstance(channels, int):
            # A call decides for a named number of channels.
            each = dims.floordiv(channels, self.groups)
            u.equal(dims.mul(each, self.groups), channels, why)

    def split(self, x: Symbol) -> Symbol:
        return make("reshape", x, shape=(0, -4, self.groups, -1, -2))

    def merge(self, parts: Symbol, x: Symbol) -> Symbol:
        # Like x: the named number of channels itself, not groups times a part of it.
        return make("reshape_like", parts, x)

    def reference(self, x: Array, gamma: Array | None = None, beta: Array | None = None) -> Any:
        per_group = x.shape[1] // self.groups
        parts = x.reshape(x.shape[0], self.groups, per_group, *x.shape[2:])
        y = standard_array(parts, tuple(range(2, parts.ndim)), self.eps)
        return self.scaled(y, x, gamma, beta)


@register
@dataclass(frozen=True, slots=True)
class InstanceNorm(_Grouped):
    """Normalisation over the space of each channel of each example; see `instance_norm`."""

    name = "instance_norm"

    def reference(self, x: Array, gamma: Array | None = None, beta: Array | None = None) -> Any:
        return self.scaled(standard_array(x, tuple(range(2, x.ndim)), self.eps), x, gamma, beta)


def group_norm(
    x: Symbol, groups: int, gamma: Symbol | None = None, beta: Symbol | None = None, *,
    eps: float = 1e-5, use_affine: bool = True, name: str | None = None,
) -> Symbol:  # fmt: skip
    """Standardised over each group of channels and space, then gamma, beta (Wu and He 2018).

    Shapes: x [n, c, *s], gamma, beta [c] -> y as x.   Dtypes: any float, kept.
    """
    inputs = (x, gamma, beta) if use_affine else (x,)
    return GroupNorm(eps, use_affine, groups)(*inputs, name=name)  # type: ignore[no-any-return]


def instance_norm(
    x: Symbol, gamma: Symbol | None = None, beta: Symbol | None = None, *, eps: float = 1e-5,
    use_affine: bool = True, name: str | None = None,
) -> Symbol:  # fmt: skip
    """Standardised over the space of each channel of each example, then gamma, beta.

    Shapes: x [n, c, *s], gamma, beta [c] -> y as x.   Dtypes: any float, kept.
    """
    inputs = (x, gamma, beta) if use_affine else (x,)
    return InstanceNorm(eps, use_affine)(*inputs, name=name)  # type: ignore[no-any-return]


GroupNorm.samples = (
    Sample(GroupNorm(groups=1), ((1, 2, 17), (2,), (2,))),
    Sample(GroupNorm(groups=2), ((0, 4, 3), (4,), (4,))),
    Sample(GroupNorm(groups=3), ((2, 6, 5, 4), (6,), (6,))),
    Sample(GroupNorm(groups=2, use_affine=False), ((3, 4, 7),), dtype="float64"),
)


InstanceNorm.samples = (
    Sample(InstanceNorm(), ((1, 2, 17), (2,), (2,))),
    Sample(InstanceNorm(), ((0, 4, 3), (4,), (4,))),
    Sample(InstanceNorm(), ((2, 3, 5, 7), (3,), (3,))),
    Sample(InstanceNorm(use_affine=False), ((2, 3, 17),), dtype="float64"),
)
