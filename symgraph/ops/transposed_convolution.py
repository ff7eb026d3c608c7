"""Transposed convolution with stride, padding, dilation and groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AttributeValueError
from ..ir.initializer import He
from ..ir.op import CompositeOp, Owned
from ..ir.registry import register
from ..ir.sample import Sample
from ..ir.symbol import Symbol
from .base import Array, Gradients, make
from .convolution import check_channels, named, window_attributes
from .convolution_gradients import (
    PAIR,
    ConvolutionInputGradient,
    ConvolutionWeightGradient,
    convolve,
    spread,
)
from .windows import Padding, Sizes, check_windows, sizes

if TYPE_CHECKING:
    from ..ir.infer import ShapeView, Unifier


@dataclass(frozen=True, slots=True)
class _ConvTranspose(CompositeOp):
    """What the transposed convolutions share."""

    channels: int | None
    kernel_size: Sizes | None
    stride: Sizes
    padding: Padding
    dilation: Sizes
    output_padding: Sizes
    groups: int = 1
    use_bias: bool = True
    owned = (Owned("weight", He(gain=1.0)), Owned("bias", needed=lambda op: op.use_bias))

    def check_attributes(self) -> None:
        check_channels(self)
        check_windows(self)
        for extra, s in zip(self.output_padding, self.stride, strict=True):
            if extra >= s:
                raise AttributeValueError(
                    f"{self.name}: output_padding must be less than the stride {s}, got {extra}"
                )

    def infer_shape(
        self, u: Unifier, x: ShapeView, weight: ShapeView, bias: ShapeView | None = None
    ) -> tuple[Any, ...]:
        rank = len(self.stride)
        xs, ws = u.rank(x, rank + 2, "x"), u.rank(weight, rank + 2, "weight")
        u.equal(ws[0], xs[1], "weight.shape[0] must equal x.shape[1]")
        if self.channels is not None:
            each = self.channels // self.groups
            u.equal(ws[1], each, f"weight.shape[1] must equal channels/groups {each}")
        for axis, k in enumerate(self.kernel_size or ()):
            u.equal(ws[axis + 2], k, f"weight.shape[{axis + 2}] must equal kernel_size {k}")
        channels = ws[1] * self.groups
        if bias is not None:
            u.equal(u.rank(bias, 1, "bias")[0], channels, "bias.shape[0] must equal channels")
        spatial: list[Any] = []
        for axis, (n, kernel) in enumerate(zip(xs[2:], ws[2:], strict=True)):
            reach = self.dilation[axis] * (kernel - 1) + self.output_padding[axis] + 1
            size = (n - 1) * self.stride[axis] - sum(self.padding[axis]) + reach
            spatial.append(u.positive(size, f"the output extent along spatial axis {axis}"))
        return ((xs[0], channels, *spatial),)

    def forward(self, x: Symbol, weight: Symbol, bias: Symbol | None = None) -> Any:
        attributes = (self.stride, self.padding, self.dilation, self.groups)
        y = spread(x, weight, *attributes, extra=self.output_padding)
        if bias is None:
            return y
        return y + make("reshape", bias, shape=(-1, *(1,) * len(self.stride)))

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x, weight) = grads, ins[:2]
        attributes = (self.stride, self.padding, self.dilation, self.groups)
        result = [
            convolve(g, weight, None, *attributes),
            ConvolutionWeightGradient(*attributes)(g, x, weight),
        ]
        if len(ins) > 2:
            result.append(make("sum", g, axis=(0, *range(2, 2 + len(self.stride)))))
        return result

    def reference(self, x: Array, weight: Array, bias: Array | None = None) -> Any:
        spatial = [
            (n - 1) * s - sum(p) + d * (k - 1) + e + 1
            for n, s, p, d, k, e in zip(
                x.shape[2:], self.stride, self.padding, self.dilation, weight.shape[2:],
                self.output_padding, strict=True,
            )
        ]  # fmt: skip
        like = np.zeros((x.shape[0], weight.shape[1] * self.groups, *spatial))
        part = ConvolutionInputGradient(self.stride, self.padding, self.dilation, self.groups)
        y = part.reference(x, weight, like)
        return y if bias is None else y + bias.reshape(-1, *(1,) * len(spatial))


@register
@dataclass(frozen=True, slots=True)
class ConvTranspose1d(_ConvTranspose):
    """Transposed convolution over one axis; see `conv_transpose1d`."""

    name = "conv_transpose1d"


@register
@dataclass(frozen=True, slots=True)
class ConvTranspose2d(_ConvTranspose):
    """Transposed convolution over two axes; see `conv_transpose2d`."""

    name = "conv_transpose2d"


def _transposed_function(cls: Any, rank: int) -> Any:
    def conv_transpose(
        x: Symbol,
        channels: int | None = None,
        weight: Symbol | None = None,
        bias: Symbol | None = None,
        *,
        kernel_size: int | Sequence[int] | None = None,
        stride: int | Sequence[int] = 1,
        padding: Any = 0,
        output_padding: int | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        use_bias: bool = True,
        name: str | None = None,
    ) -> Symbol:
        kernel, strides, pads, dilations = window_attributes(
            cls.name, rank, channels, weight, kernel_size, stride, padding, dilation
        )
        extra = sizes(output_padding, rank, f"{cls.name}: output_padding", 0)
        op = cls(channels, kernel, strides, pads, dilations, extra, groups, use_bias)
        return op(x, weight, bias, name=name) if use_bias else op(x, weight, name=name)  # type: ignore[no-any-return]

    return named(
        conv_transpose,
        cls.name,
        f"""y = transposed convolution of x, plus bias.

    The gradient of a convolution in its input, as a layer; missing weight and bias become
    parameters.

    Shapes: x [n, c, *s], weight [c, channels/groups, *kernel], bias [channels] ->
    y [n, channels, *p], p = (s-1)*stride - padding + dilation*(kernel-1) + output_padding + 1,
    over {rank} spatial axes.   Dtypes: any float.
    Raises: AttributeValueError, ShapeError.
    """,
    )


conv_transpose1d = _transposed_function(ConvTranspose1d, 1)
conv_transpose2d = _transposed_function(ConvTranspose2d, 2)


ConvTranspose1d.samples = (
    Sample(
        ConvTranspose1d(4, (2,), (1,), ((0, 0),), (1,), (0,)), ((0, 3, 17), (3, 4, 2), (4,)),
        dtype="float64",
    ),
    Sample(ConvTranspose1d(4, (5,), (2,), ((1, 1),), (1,), (1,)), ((1, 3, 17), (3, 4, 5), (4,))),
    Sample(
        ConvTranspose1d(4, (3,), (2,), ((1, 1),), (1,), (1,)), ((2, 3, 5), (3, 4, 3), (4,))
    ),
)  # fmt: skip


ConvTranspose2d.samples = (
    Sample(
        ConvTranspose2d(4, (5, 2), (2, 1), ((1, 1), (0, 0)), (1, 1), (0, 0)),
        ((0, 3, 17, 7), (3, 4, 5, 2), (4,)),
    ),
    Sample(
        ConvTranspose2d(1, (5, 2), (1, 1), ((1, 1), (0, 0)), (1, 1), (0, 0)),
        ((2, 3, 4, 7), (3, 1, 5, 2), (1,)),
    ),
    Sample(
        ConvTranspose2d(4, (3, 2), (2, 3), PAIR, (1, 1), (1, 2)),
        ((2, 3, 5, 7), (3, 4, 3, 2), (4,)),
    ),
    Sample(
        ConvTranspose2d(4, (3, 2), (1, 1), ((0, 0), (0, 0)), (1, 1), (0, 0), use_bias=False),
        ((2, 3, 5, 7), (3, 4, 3, 2)), dtype="float64",
    ),
    Sample(
        ConvTranspose2d(6, (3, 2), (2, 1), ((0, 0), (0, 0)), (2, 1), (0, 0), 3),
        ((1, 3, 4, 5), (3, 2, 3, 2), (6,)),
    ),
)  # fmt: skip
