"""Convolution with stride, padding, dilation and groups.

Padding is a value of its own (`pad`), so that the contraction behind it reads affine indices and
the memory planner may make the copy a halo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import AttributeValueError
from ..ir.initializer import He
from ..ir.op import CompositeOp, Owned
from ..ir.registry import register
from ..ir.sample import Sample
from ..ir.symbol import Symbol, as_symbol
from .base import Array, Gradients, make
from .convolution_gradients import (
    PAIR,
    ConvolutionInputGradient,
    ConvolutionWeightGradient,
    convolve,
    relate_windows,
)
from .convolution_parts import (
    Convolution,
)
from .windows import Padding, Sizes, check_windows, pad_array, paddings, sizes

if TYPE_CHECKING:
    from ..ir.infer import ShapeView, Unifier


def check_channels(op: Any) -> None:
    """Attributes that can be judged without any shape.  Raises: AttributeValueError."""
    for what in ("channels", "groups"):
        value = getattr(op, what)
        if value is not None and (isinstance(value, bool) or value < 1):
            raise AttributeValueError(f"{op.name}: {what} must be at least 1, got {value!r}")
    if op.channels is not None and op.channels % op.groups:
        raise AttributeValueError(
            f"{op.name}: channels {op.channels} must be a multiple of groups {op.groups}"
        )


@dataclass(frozen=True, slots=True)
class _Conv(CompositeOp):
    """What conv1d, conv2d and conv3d share."""

    channels: int | None
    kernel_size: Sizes | None
    stride: Sizes
    padding: Padding
    dilation: Sizes
    groups: int = 1
    use_bias: bool = True
    owned = (Owned("weight", He(gain=1.0)), Owned("bias", needed=lambda op: op.use_bias))

    def check_attributes(self) -> None:
        check_channels(self)
        check_windows(self)

    def infer_shape(
        self, u: Unifier, x: ShapeView, weight: ShapeView, bias: ShapeView | None = None
    ) -> tuple[Any, ...]:
        ws = u.rank(weight, len(self.stride) + 2, "weight")
        if self.channels is not None:
            u.equal(ws[0], self.channels, f"weight.shape[0] must equal channels {self.channels}")
        for axis, k in enumerate(self.kernel_size or ()):
            u.equal(ws[axis + 2], k, f"weight.shape[{axis + 2}] must equal kernel_size {k}")
        if bias is not None:
            u.equal(u.rank(bias, 1, "bias")[0], ws[0], "bias.shape[0] must equal weight.shape[0]")
        return (relate_windows(self, u, x, weight),)

    def forward(self, x: Symbol, weight: Symbol, bias: Symbol | None = None) -> Symbol:
        return convolve(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x, weight) = grads, ins[:2]
        attributes = (self.stride, self.padding, self.dilation, self.groups)
        result = [
            ConvolutionInputGradient(*attributes)(g, weight, x),
            ConvolutionWeightGradient(*attributes)(x, g, weight),
        ]
        if len(ins) > 2:
            result.append(make("sum", g, axis=(0, *range(2, 2 + len(self.stride)))))
        return result

    def reference(self, x: Array, weight: Array, bias: Array | None = None) -> Any:
        part = Convolution(self.stride, self.dilation, self.groups)
        return part.reference(pad_array(x, self.padding), weight, bias)


@register
@dataclass(frozen=True, slots=True)
class Conv1d(_Conv):
    """Convolution over one axis; see `conv1d`."""

    name = "conv1d"


@register
@dataclass(frozen=True, slots=True)
class Conv2d(_Conv):
    """Convolution over two axes; see `conv2d`."""

    name = "conv2d"


@register
@dataclass(frozen=True, slots=True)
class Conv3d(_Conv):
    """Convolution over three axes; see `conv3d`."""

    name = "conv3d"


def window_attributes(
    what: str, rank: int, channels: int | None, weight: Symbol | None, kernel_size: Any,
    stride: Any, padding: Any, dilation: Any,
) -> tuple[Sizes | None, Sizes, Padding, Sizes]:  # fmt: skip
    kernel = None if kernel_size is None else sizes(kernel_size, rank, f"{what}: kernel_size")
    if weight is None and (channels is None or kernel is None):
        missing = "channels" if channels is None else "kernel_size"
        raise AttributeValueError(f"{what}: give {missing}, or a weight")
    shape = None if weight is None else as_symbol(weight).shape
    if kernel is None and shape is not None:
        found = shape[2:]
        kernel = tuple(found) if all(isinstance(n, int) for n in found) else None  # type: ignore[arg-type]
    strides = sizes(stride, rank, f"{what}: stride")
    dilations = sizes(dilation, rank, f"{what}: dilation")
    pads = paddings(padding, rank, f"{what}: padding", kernel, strides, dilations)
    return kernel, strides, pads, dilations


def _convolution_function(cls: Any, rank: int) -> Any:
    def conv(
        x: Symbol,
        channels: int | None = None,
        weight: Symbol | None = None,
        bias: Symbol | None = None,
        *,
        kernel_size: int | Sequence[int] | None = None,
        stride: int | Sequence[int] = 1,
        padding: Any = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        use_bias: bool = True,
        name: str | None = None,
    ) -> Symbol:
        kernel, strides, pads, dilations = window_attributes(
            cls.name, rank, channels, weight, kernel_size, stride, padding, dilation
        )
        op = cls(channels, kernel, strides, pads, dilations, groups, use_bias)
        return op(x, weight, bias, name=name) if use_bias else op(x, weight, name=name)  # type: ignore[no-any-return]

    return named(
        conv,
        cls.name,
        f"""y = convolution of x with weight, plus bias, channels first.

    Missing weight and bias become parameters.  `padding` is an int, one int or one (before,
    after) pair for each axis, "valid", or "same" (stride 1).  The kernel is not turned round.

    Shapes: x [n, c, *s], weight [channels, c/groups, *kernel], bias [channels] ->
    y [n, channels, *p], p = (s + padding - dilation*(kernel-1) - 1) // stride + 1, over {rank}
    spatial axes.   Dtypes: any float.
    Raises: AttributeValueError, ShapeError.
    """,
    )


def named(function: Any, name: str, text: str) -> Any:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = text
    return function


conv1d = _convolution_function(Conv1d, 1)
conv2d = _convolution_function(Conv2d, 2)
conv3d = _convolution_function(Conv3d, 3)


Conv1d.samples = (
    Sample(Conv1d(4, (5,), (1,), ((0, 0),), (1,)), ((2, 3, 7), (4, 3, 5), (4,))),
    Sample(Conv1d(1, (3,), (1,), ((1, 1),), (1,)), ((0, 1, 7), (1, 1, 3), (1,))),
    Sample(Conv1d(4, (3,), (2,), ((1, 1),), (1,)), ((2, 3, 17), (4, 3, 3), (4,))),
    Sample(
        Conv1d(4, (3,), (1,), ((2, 1),), (2,), use_bias=False), ((2, 3, 7), (4, 3, 3)),
        dtype="float64",
    ),
)  # fmt: skip


Conv2d.samples = (
    Sample(
        Conv2d(4, (5, 2), (1, 1), PAIR, (1, 1)),
        ((2, 3, 17, 7), (4, 3, 5, 2), (4,)),
        dtype="float64",
    ),
    Sample(Conv2d(4, (3, 2), (1, 1), PAIR, (1, 1)), ((2, 3, 5, 7), (4, 3, 3, 2), (4,))),
    Sample(Conv2d(5, (3, 3), (2, 3), PAIR, (1, 1)), ((2, 3, 7, 9), (5, 3, 3, 3), (5,))),
    Sample(Conv2d(6, (3, 2), (2, 1), PAIR, (1, 2), 2), ((1, 4, 8, 6), (6, 2, 3, 2), (6,))),
    Sample(Conv2d(4, (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1)), ((0, 3, 5, 7), (4, 3, 1, 1), (4,))),
    Sample(Conv2d(3, (2, 2), (3, 3), ((0, 0), (0, 0)), (1, 1)), ((1, 1, 8, 9), (3, 1, 2, 2), (3,))),
    Sample(Conv2d(4, (1, 2), (1, 1), ((2, 2), (0, 0)), (1, 1)), ((1, 3, 4, 5), (4, 3, 1, 2), (4,))),
)


Conv3d.samples = (
    Sample(
        Conv3d(3, (2, 1, 4), (1, 1, 1), ((0, 0), (0, 0), (1, 1)), (1, 1, 1)),
        ((0, 5, 3, 4, 17), (3, 5, 2, 1, 4), (3,)),
        dtype="float64",
    ),
    Sample(
        Conv3d(6, (2, 3, 4), (1, 1, 1), ((0, 0),) * 3, (1, 1, 1)),
        ((1, 5, 3, 4, 6), (6, 5, 2, 3, 4), (6,)),
    ),
    Sample(
        Conv3d(3, (2, 1, 3), (1, 2, 1), ((0, 0), (1, 1), (1, 0)), (1, 1, 1)),
        ((1, 2, 3, 4, 5), (3, 2, 2, 1, 3), (3,)),
    ),
)
