"""Tensors from nothing: filled, counted, and triangular parts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..errors import AttributeValueError
from ..ir.op import Op
from ..ir.registry import register
from ..ir.sample import Sample, Samples
from ..ir.symbol import Symbol
from ..kernel.compute import Compute, Tensor, compute
from ..kernel.dims import Dim
from ..kernel.dtypes import as_dtype
from ..kernel.ir import call, const, where
from .base import (
    Array,
    Gradients,
    functional,
    index_value,
    is_carried,
    make,
    specified_by,
    with_extents,
)
from .broadcasting import as_extents

if TYPE_CHECKING:
    from ..ir.infer import ShapeView, Unifier
    from ..ir.tensor_type import TensorType


@register
@dataclass(frozen=True, slots=True)
class FullLike(Op):
    """y = one value everywhere, in the shape and dtype of x, of which only the type is read.

    Shapes: x [*s] -> y [*s].   Dtypes: any, kept.
    """

    value: float = 0.0
    name = "full_like"
    may_be_nan = ("value",)
    no_gradient = ("x",)
    samples = Samples(
        lambda cls: [
            Sample(cls(v), (s,), dtype=t, low=0, high=2, gradient=False)
            for v, s, t in (
                (2.5, (17, 33), "float32"),
                (1.0, (2, 1, 5), "float64"),
                (0.0, (), "float32"),
                (3.0, (0, 3), "float32"),
                (7, (5, 3), "int32"),
                (1, (5,), "bool"),
                (0.5, (5,), "float16"),
            )
        ]
    )

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        return (x,)

    def forward(self, x: Tensor) -> Compute:
        return compute(x.shape, lambda *i: const(self.value, x.dtype))

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (None,)

    def reference(self, x: Array) -> Any:
        return np.full(x.shape, self.value, x.dtype)

    def simplify(self, ins: tuple[Symbol, ...]) -> Symbol | None:
        """The same without x, when its type is known."""
        x = ins[0]
        if x.dtype is None or x.shape is None or not is_carried(x.shape):
            return None
        return make("full", shape=x.shape, value=self.value, dtype=x.dtype.name)


@register
@dataclass(frozen=True, slots=True)
class OnesLike(FullLike):
    """y = 1 everywhere, in the shape and dtype of x.   Shapes: x [*s] -> y [*s]."""

    value: float = 1.0
    name = "ones_like"
    samples = Samples(
        lambda cls: [
            Sample(cls(), (s,), dtype=t, low=0, high=2, gradient=False)
            for s, t in (((17, 33), "float32"), ((1, 5), "float64"), ((), "float32"),
                         ((0, 3), "float32"), ((5, 3), "int32"))
        ]
    )  # fmt: skip


@register
@dataclass(frozen=True, slots=True)
class Full(Op):
    """y = one value everywhere.   Shapes: -> y `shape`, of ints and names.   Dtypes: `dtype`."""

    shape: tuple[Dim, ...]
    value: float = 0.0
    dtype: str = "float32"
    name = "full"
    may_be_nan = ("value",)
    samples = Samples(
        lambda cls: [
            Sample(cls(s, v, t), (), gradient=False)
            for s, v, t in (
                ((17, 33), 2.5, "float32"),
                ((2, 1, 5), 1.0, "float64"),
                ((), -1.0, "float32"),
                ((0, 3), 0.0, "float32"),
                ((5, 3), 7, "int32"),
                ((5,), 1, "bool"),
            )
        ]
    )

    def check_attributes(self) -> None:
        const(self.value, self.dtype)

    def infer_shape(self, u: Unifier) -> tuple[Any, ...]:
        return (self.shape,)

    def infer_dtype(self, u: Unifier) -> tuple[Any, ...]:
        return (as_dtype(self.dtype),)

    def typed(self, outs: Sequence[TensorType]) -> Op:
        return with_extents(self, outs)

    def forward(self) -> Compute:
        return compute(self.shape, lambda *i: const(self.value, self.dtype))

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return ()

    def reference(self) -> Any:
        return np.full(self.shape, self.value, as_dtype(self.dtype).numpy)


@register
@dataclass(frozen=True, slots=True)
class Arange(Op):
    """y = start, start + step, ... below stop.

    Shapes: -> y [ceil((stop-start)/step)].   Dtypes: `dtype`.   Raises: AttributeValueError for a
    step of 0.
    """

    start: float
    stop: float
    step: float = 1
    dtype: str = "int64"
    name = "arange"
    samples = Samples(
        lambda cls: [
            Sample(cls(*a), (), gradient=False)
            for a in (
                (0, 17, 1, "int64"),
                (3, -8, -2, "int32"),
                (0.5, 4.0, 0.25, "float32"),
                (5, 5, 1, "float64"),
                (2, 3, 7, "int64"),
            )
        ]
    )

    def check_attributes(self) -> None:
        for value in (self.start, self.stop, self.step):
            if not math.isfinite(value):
                raise AttributeValueError(f"arange: need finite numbers, got {value}")
        if self.step == 0:
            raise AttributeValueError("arange: step must not be 0")
        for value in (self.start, self.step):
            const(value, self.dtype)

    def _count(self) -> int:
        return max(0, math.ceil((self.stop - self.start) / self.step))

    def infer_shape(self, u: Unifier) -> tuple[Any, ...]:
        return ((self._count(),),)

    def infer_dtype(self, u: Unifier) -> tuple[Any, ...]:
        return (as_dtype(self.dtype),)

    def forward(self) -> Compute:
        def element(i: Any) -> Any:
            return index_value(i, self.dtype) * const(self.step, self.dtype) + const(
                self.start, self.dtype
            )

        return compute((self._count(),), element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return ()

    def reference(self) -> Any:
        steps = np.arange(self._count()) * self.step + self.start
        return steps.astype(as_dtype(self.dtype).numpy)


@register
@dataclass(frozen=True, slots=True)
class Eye(Op):
    """y = 1 on the diagonal `k` places above the main one, else 0.

    Shapes: -> y [rows, columns].   Dtypes: `dtype`.
    """

    rows: Dim
    columns: Dim
    k: int = 0
    dtype: str = "float32"
    name = "eye"
    samples = Samples(
        lambda cls: [
            Sample(cls(*a), (), gradient=False)
            for a in (
                (3, 5, 0, "float32"),
                (17, 33, 2, "float32"),
                (5, 3, -1, "int32"),
                (0, 3, 0, "float64"),
                (1, 1, 0, "bool"),
            )
        ]
    )

    def infer_shape(self, u: Unifier) -> tuple[Any, ...]:
        return ((self.rows, self.columns),)

    def infer_dtype(self, u: Unifier) -> tuple[Any, ...]:
        return (as_dtype(self.dtype),)

    def forward(self) -> Compute:
        one, zero = const(1, self.dtype), const(0, self.dtype)
        shape = (self.rows, self.columns)
        return compute(shape, lambda i, j: where(call("eq", i + self.k, j), one, zero))

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return ()

    def reference(self) -> Any:
        return np.eye(
            cast(int, self.rows), cast(int, self.columns), self.k, as_dtype(self.dtype).numpy
        )


class _Triangle(Op):
    """One side of a diagonal of the last two axes, the other side 0."""

    __slots__ = ()
    samples = Samples(
        lambda cls: (
            *(Sample(cls(k), (s,), dtype=t, gradient=t != "float16")
              for k, s, t in (
                (0, (3, 5), "float32"),
                (1, (2, 5, 3), "float64"),
                (-1, (17, 33), "float32"),
                (0, (1, 1), "float32"),
                (0, (0, 3), "float32"),
                (2, (5, 3), "float16"),
            )),
            Sample(cls(0), ((3, 5),), dtype="int32", low=-9, high=9, gradient=False),
        )
    )  # fmt: skip

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        u.at_least(x, 2)
        return (x,)


@register
@dataclass(frozen=True, slots=True)
class Tril(_Triangle):
    """y = x on and below the diagonal `k` places above the main one, else 0.

    Shapes: x [*b, m, n], kept.   Dtypes: any, kept.
    """

    k: int = 0
    name = "tril"

    def forward(self, x: Tensor) -> Compute:
        zero = const(0, x.dtype)
        return compute(x.shape, lambda *i: where(call("le", i[-1], i[-2] + self.k), x[i], zero))

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (Tril(self.k)(grads[0]),)

    def reference(self, x: Array) -> Any:
        return np.tril(x, self.k)


@register
@dataclass(frozen=True, slots=True)
class Triu(_Triangle):
    """y = x on and above the diagonal `k` places above the main one, else 0.

    Shapes: x [*b, m, n], kept.   Dtypes: any, kept.
    """

    k: int = 0
    name = "triu"

    def forward(self, x: Tensor) -> Compute:
        zero = const(0, x.dtype)
        return compute(x.shape, lambda *i: where(call("le", i[-2] + self.k, i[-1]), x[i], zero))

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (Triu(self.k)(grads[0]),)

    def reference(self, x: Array) -> Any:
        return np.triu(x, self.k)


@specified_by(Full)
def full(shape: Any, value: float, dtype: Any = "float32", *, name: str | None = None) -> Symbol:
    """One value everywhere."""
    op = Full(as_extents(shape, "full"), value, as_dtype(dtype).name)
    return op(name=name)  # type: ignore[no-any-return]


def zeros(shape: Any, dtype: Any = "float32", *, name: str | None = None) -> Symbol:
    """Zeros.   Shapes: `shape`, of ints and names.   Dtypes: `dtype`."""
    return full(shape, 0, dtype, name=name)


def ones(shape: Any, dtype: Any = "float32", *, name: str | None = None) -> Symbol:
    """Ones.   Shapes: `shape`, of ints and names.   Dtypes: `dtype`."""
    return full(shape, 1, dtype, name=name)


@specified_by(FullLike)
def full_like(x: Symbol, value: float, *, name: str | None = None) -> Symbol:
    """One value everywhere, in the shape and dtype of x."""
    return FullLike(value)(x, name=name)  # type: ignore[no-any-return]


@specified_by(FullLike)
def zeros_like(x: Symbol, *, name: str | None = None) -> Symbol:
    """Zeros in the shape and dtype of x."""
    return FullLike(0)(x, name=name)  # type: ignore[no-any-return]


ones_like = functional(OnesLike)


def arange(
    start: float,
    stop: float | None = None,
    step: float = 1,
    dtype: Any = None,
    *,
    name: str | None = None,
) -> Symbol:
    """start, start + step, ... below stop; `arange(n)` counts from 0.  See Arange.

    Dtypes: int64 from ints, else float32, unless given.
    """
    first, last = (0, start) if stop is None else (start, stop)
    whole = all(isinstance(v, int) for v in (first, last, step))
    chosen = as_dtype(("int64" if whole else "float32") if dtype is None else dtype).name
    return Arange(first, last, step, chosen)(name=name)  # type: ignore[no-any-return]


@specified_by(Eye)
def eye(
    rows: Any, columns: Any = None, k: int = 0, dtype: Any = "float32", *, name: str | None = None
) -> Symbol:
    """Ones on a diagonal."""
    m, n = as_extents((rows, rows if columns is None else columns), "eye")
    return Eye(m, n, k, as_dtype(dtype).name)(name=name)  # type: ignore[no-any-return]


@specified_by(Tril)
def tril(x: Symbol, k: int = 0, *, name: str | None = None) -> Symbol:
    """The lower triangle."""
    return Tril(k)(x, name=name)  # type: ignore[no-any-return]


@specified_by(Triu)
def triu(x: Symbol, k: int = 0, *, name: str | None = None) -> Symbol:
    """The upper triangle."""
    return Triu(k)(x, name=name)  # type: ignore[no-any-return]


__all__ = [
    "arange",
    "eye",
    "full",
    "full_like",
    "ones",
    "ones_like",
    "tril",
    "triu",
    "zeros",
    "zeros_like",
]
