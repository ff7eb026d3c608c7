"""Small operators for tests of passes: each offers one thing to one pass, none is registered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from symgraph.ir.host import HostOp
from symgraph.ir.op import Affine, CompositeOp, Op
from symgraph.ir.symbol import Symbol
from symgraph.kernel.compute import Compute, Tensor, compute, reduce
from symgraph.kernel.ir import call


class Elementwise(Op):
    """y = f(x), kept in shape and dtype."""

    __slots__ = ()

    def infer_shape(self, u: Any, x: Any) -> Any:
        return (x,)

    def forward(self, x: Tensor) -> Compute:
        return compute(x.shape, lambda *i: self.element(x[i]))

    def element(self, x: Any) -> Any:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Scale(Elementwise):
    """y = x * factor."""

    factor: float = 2.0
    name = "toy_scale"

    def element(self, x: Any) -> Any:
        return x * self.factor

    def reference(self, x: Any) -> Any:
        return x * np.asarray(self.factor, x.dtype)

    def simplify(self, ins: tuple[Symbol, ...]) -> Symbol | None:
        (x,) = ins
        if self.factor == 1.0:
            return x
        inner = x.node.op
        if isinstance(inner, Scale):
            return Scale(self.factor * inner.factor)(Symbol(x.node.inputs[0]))
        return None

    def affine(self, ins: tuple[Symbol, ...]) -> Affine:
        from symgraph.ir.symbol import constant

        return Affine(ins[0], constant(np.asarray(self.factor, ins[0].dtype.numpy)))


@dataclass(frozen=True, slots=True)
class Exp(Elementwise):
    """y = exp(x), too costly to be computed twice."""

    name = "toy_exp"

    def element(self, x: Any) -> Any:
        return call("exp", x)

    def reference(self, x: Any) -> Any:
        return np.exp(x)


@dataclass(frozen=True, slots=True)
class Dropout(Elementwise):
    """Itself at training, nothing at inference."""

    rate: float = 0.5
    name = "toy_dropout"
    pure = False

    def element(self, x: Any) -> Any:
        return x * self.rate

    def reference(self, x: Any) -> Any:
        return x * np.asarray(self.rate, x.dtype)

    def inference(self, ins: tuple[Symbol, ...]) -> Symbol:
        return ins[0]


@dataclass(frozen=True, slots=True)
class Pair(Op):
    """(x + 1, x - 1); offers each alone."""

    name = "toy_pair"
    outputs = ("more", "less")

    def infer_shape(self, u: Any, x: Any) -> Any:
        return (x, x)

    def forward(self, x: Tensor) -> Sequence[Compute]:
        return (compute(x.shape, lambda *i: x[i] + 1), compute(x.shape, lambda *i: x[i] - 1))

    def reference(self, x: Any) -> Any:
        one = np.asarray(1, x.dtype)
        return x + one, x - one

    def only(self, ins: tuple[Symbol, ...], used: tuple[bool, ...]) -> Any:
        return [ins[0] + 1 if used[0] else None, ins[0] - 1 if used[1] else None]


@dataclass(frozen=True, slots=True)
class Twice(CompositeOp):
    """x + x * literal, from parts."""

    name = "toy_twice"

    def forward(self, x: Any) -> Any:
        return Dropout()(x) + x * 1.5


@dataclass(frozen=True, slots=True)
class Flip(Elementwise):
    """Its identity undoes that of Flop."""

    name = "toy_flip"

    def simplify(self, ins: tuple[Symbol, ...]) -> Symbol:
        return Flop()(ins[0])


@dataclass(frozen=True, slots=True)
class Flop(Elementwise):
    """Its identity undoes that of Flip."""

    name = "toy_flop"

    def simplify(self, ins: tuple[Symbol, ...]) -> Symbol:
        return Flip()(ins[0])


@dataclass(frozen=True, slots=True)
class WrongShape(Elementwise):
    """Offers a form of another shape."""

    name = "toy_wrong_shape"

    def simplify(self, ins: tuple[Symbol, ...]) -> Symbol:
        return RowSum()(ins[0])


@dataclass(frozen=True, slots=True)
class RowSum(Op):
    """y[i] = sum of x[i, :]."""

    name = "toy_row_sum"
    kind: str = "sum"

    def infer_shape(self, u: Any, x: Any) -> Any:
        return (tuple(u.at_least(x, 1, "x"))[:-1],)

    def forward(self, x: Tensor) -> Compute:
        return compute(x.shape[:-1], lambda *i: reduce(self.kind, x.shape[-1],
                                                       lambda r: x[(*i, r)]))  # fmt: skip

    def reference(self, x: Any) -> Any:
        return {"sum": np.sum, "max": np.max}[self.kind](x, axis=-1).astype(x.dtype)


@dataclass(frozen=True, slots=True)
class SubtractRow(Op):
    """z[i, j] = x[i, j] - row[i]."""

    name = "toy_subtract_row"

    def infer_shape(self, u: Any, x: Any, row: Any) -> Any:
        return (x,)

    def forward(self, x: Tensor, row: Tensor) -> Compute:
        return compute(x.shape, lambda *i: x[i] - row[i[:-1]])

    def reference(self, x: Any, row: Any) -> Any:
        return x - row[..., None]


@dataclass(frozen=True, slots=True)
class Dense(Op):
    """z = x @ w.T * scale + shift, able to take scales and shifts in."""

    name = "toy_dense"

    def infer_shape(self, u: Any, x: Any, w: Any, b: Any) -> Any:
        return ((*x.dims[:-1], w.dims[0]),)

    def forward(self, x: Tensor, w: Tensor, b: Tensor) -> Compute:
        def element(*i: Any) -> Any:
            return reduce("sum", x.shape[-1], lambda r: x[(*i[:-1], r)] * w[i[-1], r]) + b[i[-1]]

        return compute((*x.shape[:-1], w.shape[0]), element)

    def reference(self, x: Any, w: Any, b: Any) -> Any:
        return x @ w.T + b

    def absorb_affine(
        self, ins: Any, axis: int | None, scale: Symbol | None, shift: Symbol | None
    ) -> Any:
        x, w, b = ins
        if axis not in (None, len(x.shape) - 1):
            return None
        if scale is not None:
            w = AlongFirst()(w, scale) if axis is not None else w * scale
            b = b * scale
        return Dense()(x, w, b if shift is None else b + shift)


@dataclass(frozen=True, slots=True)
class AlongFirst(Op):
    """z[i, j] = w[i, j] * s[i]."""

    name = "toy_along_first"

    def infer_shape(self, u: Any, w: Any, s: Any) -> Any:
        return (w,)

    def forward(self, w: Tensor, s: Tensor) -> Compute:
        return compute(w.shape, lambda i, j: w[i, j] * s[i])

    def reference(self, w: Any, s: Any) -> Any:
        return w * s[:, None]


@dataclass(frozen=True, slots=True)
class HostDouble(HostOp):
    """y = 2 * x, in Python."""

    name = "toy_host_double"

    def infer_shape(self, u: Any, x: Any) -> Any:
        return (x,)

    def forward(self, is_train: bool, in_data: Any, out_data: Any) -> None:
        out_data[0][...] = 2 * in_data[0]


@dataclass(frozen=True, slots=True)
class Repeat(Op):
    """A vector of `count` copies of a number."""

    count: int
    name = "toy_repeat"

    def infer_shape(self, u: Any, x: Any) -> Any:
        return ((self.count,),)

    def forward(self, x: Tensor) -> Compute:
        return compute((self.count,), lambda i: x[()])

    def reference(self, x: Any) -> Any:
        return np.full((self.count,), x)


@dataclass(frozen=True, slots=True)
class Broken(Elementwise):
    """Its reference always fails."""

    name = "toy_broken"

    def element(self, x: Any) -> Any:
        return x

    def reference(self, x: Any) -> Any:
        raise ZeroDivisionError("no such number")


@dataclass(frozen=True, slots=True)
class View(Op):
    """The elements of x as one row."""

    name = "toy_view"

    @property
    def is_view(self) -> bool:
        return True

    def infer_shape(self, u: Any, x: Any) -> Any:
        total: Any = 1
        for extent in x.dims:
            total = total * extent
        return ((total,),)

    def forward(self, x: Tensor) -> Compute:
        def element(i: Any) -> Any:
            index = []
            for extent in reversed(x.shape):
                index.append(i % extent)
                i = i // extent
            return x[tuple(reversed(index))]

        total: Any = 1
        for extent in x.shape:
            total = total * extent
        return compute((total,), element)

    def reference(self, x: Any) -> Any:
        return x.reshape(-1)
