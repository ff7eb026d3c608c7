"""Running sums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.op import Op
from ..ir.registry import register
from ..ir.sample import Sample, Samples
from ..ir.symbol import Symbol
from ..kernel.compute import Compute, Tensor, compute, reduce
from ..kernel.ir import Expr, call, where
from .base import Array, Gradients, specified_by
from .indexing import stated_axis

if TYPE_CHECKING:
    from ..ir.infer import DTypeView, ShapeView, Unifier


@register
@dataclass(frozen=True, slots=True)
class CumSum(Op):
    """y[.., n, ..] = the sum of x[.., 0..n, ..] along `axis`; from the end under `reverse`.

    Shapes: any, kept.   Dtypes: any number, kept.
    """

    axis: int = 0
    reverse: bool = False
    name = "cumsum"
    samples = Samples(
        lambda cls: (
            Sample(cls(), ((5, 3),)),
            Sample(cls(1), ((17, 33),), atol=1e-5),
            Sample(cls(-1, True), ((2, 3, 7),), dtype="float64"),
            Sample(cls(0), ((0, 3),)),
            Sample(cls(1), ((3, 1),)),
            Sample(cls(1), ((3, 5),), dtype="int32", low=-9, high=9, gradient=False),
        )
    )

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        if x.rank is not None:
            u.axis(self.axis, len(x))
        return (x,)

    def infer_dtype(self, u: Unifier, x: DTypeView) -> tuple[Any, ...]:
        return (u.number(x),)

    def forward(self, x: Tensor) -> Compute:
        axis = self.axis % x.ndim

        def element(*i: Any) -> Any:
            def term(r: Any) -> Expr:
                index = (*i[:axis], r, *i[axis + 1 :])
                reached = call("le", i[axis], r) if self.reverse else call("le", r, i[axis])
                return where(reached, x[index], 0)

            return reduce("sum", x.shape[axis], term)

        return compute(x.shape, element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (CumSum(self.axis, not self.reverse)(grads[0]),)

    def reference(self, x: Array) -> Any:
        turned = np.flip(x, self.axis) if self.reverse else x
        total = np.cumsum(turned, self.axis, dtype=x.dtype)
        return np.flip(total, self.axis) if self.reverse else total


@specified_by(CumSum)
def cumsum(
    x: Symbol, axis: int | None = None, reverse: bool = False, *, name: str | None = None
) -> Symbol:
    """Running sums along an axis."""
    return CumSum(stated_axis(axis, x, "cumsum"), reverse)(x, name=name)  # type: ignore[no-any-return]


__all__ = ["cumsum"]
