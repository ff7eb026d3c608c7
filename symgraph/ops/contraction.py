"""Matrix products: matmul, linear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AttributeValueError
from ..ir.initializer import He
from ..ir.op import Op, Owned
from ..ir.registry import register
from ..ir.sample import Sample, Samples
from ..ir.symbol import Symbol
from ..kernel.compute import Compute, Tensor, compute, reduce
from ..kernel.dims import Dim
from .base import Array, Gradients, broadcast_index, broadcast_shape, make, specified_by, sum_to

if TYPE_CHECKING:
    from ..ir.infer import ShapeView, Unifier


@register
@dataclass(frozen=True, slots=True)
class Matmul(Op):
    """z = x @ y, with either operand transposed in its last two axes.

    Shapes: x [*b, m, k], y [*b, k, n] -> z [*b, m, n]; leading axes broadcast; a vector operand
    loses its axis in the result.   Dtypes: any number, the same for both.
    """

    transpose_x: bool = False
    transpose_y: bool = False
    name = "matmul"

    def infer_shape(self, u: Unifier, x: ShapeView, y: ShapeView) -> tuple[Any, ...]:
        a, b = u.at_least(x, 1, "x"), u.at_least(y, 1, "y")
        m, k, kx = self._split(a, self.transpose_x, False)
        n, k2, ky = self._split(b, self.transpose_y, True)
        u.equal(k, k2, f"x.shape[{kx}] must equal y.shape[{ky}]")
        from ..ir.infer import ShapeView as View

        lead = u.broadcast(View(u, a[:-2]), View(u, b[:-2]), why="leading axes must broadcast")
        return ((*lead, *m, *n),)

    @staticmethod
    def _split(
        shape: tuple[Dim, ...], transposed: bool, right: bool
    ) -> tuple[tuple[Dim, ...], Dim, int]:
        """(the axis kept, the axis summed, its number)."""
        if len(shape) == 1:
            return (), shape[0], -1
        summed = -2 if right != transposed else -1
        return (shape[-3 - summed],), shape[summed], summed

    def forward(self, x: Tensor, y: Tensor) -> Compute:
        (m, k, _), (n, _, _) = (
            self._split(x.shape, self.transpose_x, False),
            self._split(y.shape, self.transpose_y, True),
        )
        lead_x, lead_y = x.shape[:-2], y.shape[:-2]
        lead = broadcast_shape(lead_x, lead_y)

        def element(*i: Any) -> Any:
            batch, row = i[: len(lead)], i[len(lead) : len(lead) + len(m)]
            column = i[len(lead) + len(m) :]
            bx, by = broadcast_index(lead_x, batch), broadcast_index(lead_y, batch)

            def term(r: Any) -> Any:
                ix = (*bx, r, *row) if self.transpose_x and m else (*bx, *row, r)
                iy = (*by, *column, r) if self.transpose_y and n else (*by, r, *column)
                return x[ix] * y[iy]

            return reduce("sum", k, term)

        return compute((*lead, *m, *n), element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x, y) = grads, ins
        return (self._gradient_x(g, x, y), self._gradient_y(g, x, y))

    def _gradient_x(self, g: Symbol, x: Symbol, y: Symbol) -> Symbol:
        if y.ndim == 1:
            g, y = make("expand_dims", g, axis=-1), make("expand_dims", y, axis=-1)
            flip_y = False
        else:
            flip_y = self.transpose_y
        if x.ndim == 1:
            g = make("expand_dims", g, axis=-2)
            full = Matmul(False, not flip_y)(g, y)
            return sum_to(make("squeeze", full, axis=(-2,)), x)
        if self.transpose_x:
            return sum_to(Matmul(flip_y, True)(y, g), x)
        return sum_to(Matmul(False, not flip_y)(g, y), x)

    def _gradient_y(self, g: Symbol, x: Symbol, y: Symbol) -> Symbol:
        if y.ndim == 1:
            g = make("expand_dims", g, axis=-1)
        flip_x = self.transpose_x
        if x.ndim == 1:
            g, x = make("expand_dims", g, axis=-2), make("expand_dims", x, axis=-2)
            flip_x = False
        if y.ndim == 1:
            full = Matmul(not flip_x, False)(x, g)
            return sum_to(make("squeeze", full, axis=(-1,)), y)
        if self.transpose_y:
            return sum_to(Matmul(True, flip_x)(g, x), y)
        return sum_to(Matmul(not flip_x, False)(x, g), y)

    def reference(self, x: Array, y: Array) -> Any:
        a = np.swapaxes(x, -1, -2) if self.transpose_x and x.ndim > 1 else x
        b = np.swapaxes(y, -1, -2) if self.transpose_y and y.ndim > 1 else y
        return np.matmul(a, b)

    samples = Samples(
        lambda cls: (
            Sample(cls(), ((5, 7), (7, 3))),
            Sample(cls(True, False), ((7, 5), (7, 3))),
            Sample(cls(False, True), ((5, 7), (3, 7))),
            Sample(cls(True, True), ((7, 5), (3, 7))),
            Sample(cls(), ((2, 5, 7), (2, 7, 3))),
            Sample(cls(), ((2, 1, 5, 7), (3, 7, 4))),
            Sample(cls(True, True), ((2, 1, 7, 5), (3, 4, 7)), dtype="float64"),
            Sample(cls(), ((7,), (7, 3))),
            Sample(cls(), ((5, 7), (7,))),
            Sample(cls(), ((2, 5, 7), (7,))),
            Sample(cls(False, True), ((7,), (2, 3, 7))),
            Sample(cls(), ((7,), (7,))),
            Sample(cls(), ((0, 7), (7, 3))),
            Sample(cls(), ((5, 0), (0, 3)), gradient=False),
            Sample(cls(), ((1, 1), (1, 1))),
            Sample(cls(), ((33, 65), (65, 37)), atol=1e-5),
            Sample(cls(), ((5, 7), (7, 3)), dtype="float64"),
            Sample(cls(), ((5, 7), (7, 3)), dtype="float16", gradient=False),
            Sample(cls(), ((5, 7), (7, 3)), dtype="int32", low=-9, high=9, gradient=False),
        )
    )


@register
@dataclass(frozen=True, slots=True)
class Linear(Op):
    """y = x @ weight.T + bias.

    Shapes: x [*b, k], weight [units, k], bias [units] -> y [*b, units].   Dtypes: any float.
    """

    units: int
    use_bias: bool = True
    name = "linear"
    owned = (
        Owned("weight", He(gain=1.0)),
        Owned("bias", needed=lambda op: op.use_bias),
    )

    def check_attributes(self) -> None:
        if self.units < 1:
            raise AttributeValueError(f"linear: units must be at least 1, got {self.units!r}")

    def infer_shape(
        self, u: Unifier, x: ShapeView, weight: ShapeView, bias: ShapeView | None = None
    ) -> tuple[Any, ...]:
        w = u.rank(weight, 2, "weight")
        u.equal(w[0], self.units, f"weight.shape[0] must equal units {self.units}")
        if bias is not None:
            b = u.rank(bias, 1, "bias")
            u.equal(b[0], self.units, f"bias.shape[0] must equal units {self.units}")
        shape = u.at_least(x, 1, "x")
        u.equal(w[1], shape[-1], "weight.shape[1] must equal x.shape[-1]")
        return ((*shape[:-1], self.units),)

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Compute:
        def element(*i: Any) -> Any:
            def term(r: Any) -> Any:
                index = (*i[:-1], r)
                return x[index] * weight[i[-1], r]

            total = reduce("sum", x.shape[-1], term)
            return total if bias is None else total + bias[i[-1]]

        return compute((*x.shape[:-1], self.units), element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x, weight) = grads, ins[:2]
        rows_g = make("reshape", g, shape=(-1, self.units))
        rows_x = make("flatten", x, start_axis=0, end_axis=-2)
        result: list[Symbol | None] = [
            Matmul()(g, weight),
            Matmul(transpose_x=True)(rows_g, rows_x),
        ]
        if len(ins) > 2:
            result.append(make("sum", rows_g, axis=(0,)))
        return result

    def absorb_affine(
        self, ins: tuple[Symbol, ...], axis: int | None, scale: Symbol | None, shift: Symbol | None
    ) -> Symbol | None:
        """A scale and a shift of each unit go into weight and bias."""
        x, weight = ins[:2]
        bias = ins[2] if len(ins) > 2 else None
        if axis is not None and x.ndim is not None and axis != x.ndim - 1:
            return None
        if scale is not None:
            weight = weight * (scale if axis is None else make("expand_dims", scale, axis=1))
            bias = None if bias is None else bias * scale
        if shift is not None:
            if bias is not None:
                bias = bias + shift
            else:
                bias = shift if axis is not None else make("broadcast_to", shift,
                                                           shape=(self.units,))  # fmt: skip
        inputs = (x, weight) if bias is None else (x, weight, bias)
        return Linear(self.units, bias is not None)(*inputs)  # type: ignore[no-any-return]

    def reference(self, x: Array, weight: Array, bias: Array | None = None) -> Any:
        y = np.matmul(x, weight.T)
        return y if bias is None else y + bias

    samples = Samples(
        lambda cls: (
            Sample(cls(3), ((5, 7), (3, 7), (3,))),
            Sample(cls(3), ((2, 5, 7), (3, 7), (3,))),
            Sample(cls(4), ((7,), (4, 7), (4,))),
            Sample(cls(35, use_bias=False), ((17, 33), (35, 33)), atol=1e-5),
            Sample(cls(3), ((0, 7), (3, 7), (3,))),
            Sample(cls(1), ((1, 5), (1, 5), (1,))),
            Sample(cls(3), ((5, 7), (3, 7), (3,)), dtype="float64"),
        )
    )


def linear(
    x: Symbol,
    units: int,
    weight: Symbol | None = None,
    bias: Symbol | None = None,
    *,
    use_bias: bool = True,
    name: str | None = None,
) -> Symbol:
    """y = x @ weight.T + bias; missing weight and bias become parameters.

    Shapes: x [*b, k], weight [units, k], bias [units] -> y [*b, units].   Dtypes: any float.
    """
    inputs = (x, weight, bias) if use_bias else (x, weight)
    return Linear(units, use_bias)(*inputs, name=name)  # type: ignore[no-any-return]


@specified_by(Matmul)
def matmul(
    x: Symbol,
    y: Symbol,
    *,
    transpose_x: bool = False,
    transpose_y: bool = False,
    name: str | None = None,
) -> Symbol:
    """z = x @ y."""
    return Matmul(transpose_x, transpose_y)(x, y, name=name)  # type: ignore[no-any-return]


__all__ = ["Linear", "Matmul", "linear", "matmul"]
