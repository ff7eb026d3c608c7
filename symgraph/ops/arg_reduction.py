"""Where the greatest and the least element along an axis lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.registry import register
from ..ir.sample import Sample, Samples
from ..kernel import dims
from ..kernel.compute import Compute, Tensor, reduce
from ..kernel.dims import Dim
from ..kernel.ir import Expr, IndexValue, as_expr, call, const, where
from .base import Array, Gradients, axes_of
from .reduction import Reduction, reduction_function

if TYPE_CHECKING:
    from ..ir.infer import DTypeView, Unifier


class _ArgExtreme(Reduction):
    """The place of the extreme value."""

    __slots__ = ()
    no_gradient = ("x",)
    not_empty = True
    samples = Samples(
        lambda cls: (
            *(Sample(cls(a, k), (s,), dtype=t, gradient=False)
              for a, k, s, t in (
                (1, False, (2, 3, 5), "float32"),
                (-1, True, (17, 33), "float32"),
                (None, False, (3, 5, 2), "float64"),
                (None, True, (1, 7), "float32"),
                (None, False, (), "float32"),
                (1, False, (0, 3), "float32"),
            )),
            *(Sample(cls(1), ((3, 17),), dtype=t, low=0, high=4, gradient=False)
              for t in ("int32", "uint8")),
            Sample(cls(1), (np.array([[1.0, np.nan, 3.0], [2.0, 5.0, 5.0]], np.float32),),
                   gradient=False),
        )
    )  # fmt: skip

    def check_attributes(self) -> None:
        if isinstance(self.axis, tuple):
            from ..errors import AttributeValueError

            raise AttributeValueError(f"{self.name}: axis must be an int or None, got {self.axis}")

    def infer_dtype(self, u: Unifier, x: DTypeView) -> tuple[Any, ...]:
        return ("int64",)

    def forward(self, x: Tensor) -> Compute:
        axes = axes_of(self.axis, x.ndim)
        extents = [x.shape[n] for n in axes]
        total = dims.product(extents)

        def combine(read: Any) -> Any:
            best = reduce(self.kind, extents, read)

            def place(*r: Any) -> Expr:
                position: Any = 0
                for extent, index in zip(extents, r, strict=True):
                    position = IndexValue(dims.add(dims.mul(_dim(position), extent), _dim(index)))
                value = read(*r)
                hit = call("eq", value, best)
                if x.dtype.is_float:
                    hit = hit | call("ne", value, value)
                return where(hit, position, as_expr(IndexValue(total)))

            return reduce("min", extents, place) if extents else const(0, "int64")

        return self.over(x, axes, combine)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (None,)

    def _numpy(self, x: Array, function: Any) -> Any:
        if x.ndim == 0:
            return np.zeros((), np.int64)
        return np.asarray(function(x, axis=self.axis, keepdims=self.keepdims), np.int64)


def _dim(value: Any) -> Dim:
    return value.dim if isinstance(value, IndexValue) else value


@register
@dataclass(frozen=True, slots=True)
class ArgMax(_ArgExtreme):
    """y = the index along `axis` of the first greatest x (of the first NaN, if any is NaN).

    `axis` None: the index into the flattened x.   Shapes: as sum.   Dtypes: any -> int64.
    """

    name = "argmax"
    kind = "max"

    def reference(self, x: Array) -> Any:
        return self._numpy(x, np.argmax)


@register
@dataclass(frozen=True, slots=True)
class ArgMin(_ArgExtreme):
    """y = the index along `axis` of the first least x (of the first NaN, if any is NaN).

    `axis` None: the index into the flattened x.   Shapes: as sum.   Dtypes: any -> int64.
    """

    name = "argmin"
    kind = "min"

    def reference(self, x: Array) -> Any:
        return self._numpy(x, np.argmin)


argmax = reduction_function(ArgMax)
argmin = reduction_function(ArgMin)


__all__ = ["argmax", "argmin"]
