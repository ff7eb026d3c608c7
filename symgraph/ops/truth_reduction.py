"""Whether some or every element along axes is true."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.registry import register
from ..ir.sample import Sample, Samples
from ..kernel.compute import Compute, Tensor, reduce
from ..kernel.ir import Expr, call, const
from .base import Array, Gradients, axes_of
from .reduction import Reduction, reduction_function, reduction_samples

if TYPE_CHECKING:
    from ..ir.infer import DTypeView, Unifier


class _Truth(Reduction):
    """Logic over axes."""

    __slots__ = ()
    no_gradient = ("x",)
    samples = Samples(
        lambda cls: (
            *(Sample(s.op, s.inputs, dtype="bool", gradient=False)
              for s in reduction_samples(cls)),
            Sample(cls(1), (np.array([[0, 2, 0], [0, 0, 0]], np.int32),),
                   gradient=False),
        )
    )  # fmt: skip

    def infer_dtype(self, u: Unifier, x: DTypeView) -> tuple[Any, ...]:
        return ("bool",)

    def forward(self, x: Tensor) -> Compute:
        axes = axes_of(self.axis, x.ndim)

        def combine(read: Any) -> Any:
            def truth(*r: Any) -> Expr:
                value: Expr = read(*r)
                return value if x.dtype.is_bool else call("ne", value, const(0, x.dtype))

            return reduce(self.kind, [x.shape[n] for n in axes], truth)

        return self.over(x, axes, combine)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (None,)


@register
@dataclass(frozen=True, slots=True)
class Any_(_Truth):
    """y = some x over `axis` is true or not 0; False of nothing.

    Shapes: as sum.   Dtypes: any -> bool.
    """

    name = "any"
    kind = "max"

    def reference(self, x: Array) -> Any:
        return np.any(x, axis=self.numpy_axis(x), keepdims=self.keepdims)


@register
@dataclass(frozen=True, slots=True)
class All_(_Truth):
    """y = every x over `axis` is true or not 0; True of nothing.

    Shapes: as sum.   Dtypes: any -> bool.
    """

    name = "all"
    kind = "min"

    def reference(self, x: Array) -> Any:
        return np.all(x, axis=self.numpy_axis(x), keepdims=self.keepdims)


any = reduction_function(Any_)
all = reduction_function(All_)


__all__ = ["all", "any"]
