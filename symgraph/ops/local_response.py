"""Local response normalisation: every element divided by what its neighbour channels hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AttributeValueError
from ..ir.op import CompositeOp, Op
from ..ir.registry import register
from ..ir.sample import Sample
from ..ir.symbol import Symbol
from ..kernel.compute import Compute, Tensor, compute, reduce, where
from ..kernel.ir import as_expr, const
from .base import Array, Gradients, make
from .windows import pick

if TYPE_CHECKING:
    from ..ir.infer import ShapeView, Unifier


@register
@dataclass(frozen=True, slots=True)
class ChannelWindowSum(Op):
    """y[n,c] = sum of x[n,c-before] .. x[n,c+after], as far as they exist.

    Shapes: x [n, c, *s] -> y the same.   Dtypes: any number, kept.
    """

    before: int
    after: int
    name = "channel_window_sum"

    @property
    def channelwise(self) -> bool:
        """The channels that it reads beside its own lie in the same vectors or the next ones."""
        return True

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        if x.rank is not None:
            u.at_least(x, 2, "x")
        return (x,)

    def forward(self, x: Tensor) -> Compute:
        zero = const(0, x.dtype)

        def element(n: Any, c: Any, *s: Any) -> Any:
            def term(r: Any) -> Any:
                channel = c + r - self.before
                inside = (as_expr(channel) >= 0) & (as_expr(channel) < as_expr(x.shape[1]))
                return where(inside, pick(x, n, channel, *s), zero)

            return reduce("sum", self.before + self.after + 1, term)

        return compute(x.shape, element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (ChannelWindowSum(self.after, self.before)(grads[0]),)

    def reference(self, x: Array) -> Any:
        around = [(0, 0), (self.before, self.after), *((0, 0) for _ in x.shape[2:])]
        wide = np.pad(x, around)
        count = self.before + self.after + 1
        return np.sum([wide[:, k : k + x.shape[1]] for k in range(count)], axis=0, dtype=x.dtype)


@register
@dataclass(frozen=True, slots=True)
class LocalResponseNorm(CompositeOp):
    """y = x / (k + alpha/size * sum of x^2 over neighbouring channels)^beta."""

    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0
    name = "local_response_norm"

    def check_attributes(self) -> None:
        if self.size < 1:
            raise AttributeValueError(
                f"local_response_norm: size must be at least 1, got {self.size!r}"
            )

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        if x.rank is not None:
            u.at_least(x, 2, "x")
        return (x,)

    def forward(self, x: Symbol) -> Symbol:
        before = self.size // 2
        total = ChannelWindowSum(before, self.size - 1 - before)(make("square", x))
        base = total * (self.alpha / self.size) + self.k
        root = _quarters(base, self.beta)
        return x * make("power", base, -self.beta) if root is None else x / root

    def reference(self, x: Array) -> Any:
        before = self.size // 2
        sums = ChannelWindowSum(before, self.size - 1 - before).reference(x.astype(np.float64) ** 2)
        return (x / (self.k + self.alpha / self.size * sums) ** self.beta).astype(x.dtype)


def _quarters(base: Symbol, exponent: float) -> Symbol | None:
    """base ** exponent by square roots, which are exact and quick, for 1/4, 1/2, 3/4 and 1."""
    if exponent not in (0.25, 0.5, 0.75, 1.0):
        return None
    half = make("sqrt", base)
    parts = {0.25: make("sqrt", half), 0.5: half, 0.75: half * make("sqrt", half), 1.0: base}
    return parts[exponent]


def local_response_norm(
    x: Symbol, size: int, *, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0,
    name: str | None = None,
) -> Symbol:  # fmt: skip
    """y = x / (k + alpha/size * sum of x^2 over `size` channels around)^beta (Krizhevsky 2012).

    Shapes: x [n, c, *s] -> y the same.   Dtypes: any float, kept.
    """
    return LocalResponseNorm(size, alpha, beta, k)(x, name=name)  # type: ignore[no-any-return]


ChannelWindowSum.samples = (
    Sample(ChannelWindowSum(1, 1), ((0, 3, 1),)),
    Sample(ChannelWindowSum(1, 1), ((2, 17),)),
    Sample(ChannelWindowSum(2, 1), ((2, 7, 3),)),
    Sample(ChannelWindowSum(3, 3), ((2, 3),), dtype="float64"),
)


LocalResponseNorm.samples = (
    Sample(LocalResponseNorm(3), ((0, 3, 1),)),
    Sample(LocalResponseNorm(3), ((2, 17),)),
    Sample(LocalResponseNorm(), ((2, 7, 3, 5),)),
    Sample(LocalResponseNorm(4, 0.5, 0.6, 2.0), ((2, 3, 5),), dtype="float64"),
    Sample(LocalResponseNorm(2, 0.5, 0.5, 2.0), ((2, 17, 3),)),
    Sample(LocalResponseNorm(3, 0.5, 0.25, 2.0), ((2, 5, 3),)),
    Sample(LocalResponseNorm(3, 0.5, 1.0, 2.0), ((3, 2),), dtype="float64"),
)
