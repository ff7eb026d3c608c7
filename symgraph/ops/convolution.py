"""Convolution with stride, padding, dilation and groups, its transpose, and their gradients.

Padding is a value of its own (`pad`), so that the contraction behind it reads affine indices and
the memory planner may make the copy a halo.  Algorithms: Dumoulin and Visin 2016, "A guide to
convolution arithmetic for deep learning"; the strided input gradient runs by phases of the stride,
so that it multiplies no zeros (sub-pixel convolution, Shi et al. 2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AttributeValueError
from ..ir.initializer import He
from ..ir.op import CompositeOp, Owned, Sample, register
from ..ir.symbol import Symbol
from ..kernel import dims
from .base import Array, Gradients, make
from .convolution_parts import (
    Convolution,
    ConvolutionWeightSum,
    relate_channels,
)
from .convolution_phases import Interleave, PhaseWeights
from .windows import Padding, Sizes, pad_array, pad_spatial, paddings, pick, sizes, window_extents

if TYPE_CHECKING:
    from ..ir.infer import ShapeView, Unifier


def convolve(
    x: Symbol, weight: Symbol, bias: Symbol | None, stride: Sizes, padding: Padding,
    dilation: Sizes, groups: int,
) -> Symbol:  # fmt: skip
    """Pad, then convolve."""
    inputs = (weight,) if bias is None else (weight, bias)
    padded = pad_spatial(x, padding)
    return Convolution(stride, dilation, groups)(padded, *inputs)  # type: ignore[no-any-return]


def _known(extents: Sequence[Any] | None, what: str) -> Sizes:
    if extents is None or not all(isinstance(n, int) for n in extents):
        raise AttributeValueError(f"{what}: the extents of the kernel must be known ints")
    return tuple(extents)


def _reach(weight: Symbol, dilation: Sizes) -> Sizes:
    """The distance between the first and the last tap along each axis."""
    shape = weight.shape
    kernel = _known(None if shape is None else shape[2:], "transposed convolution")
    return tuple(d * (k - 1) for k, d in zip(kernel, dilation, strict=True))


def spread(
    g: Symbol, weight: Symbol, stride: Sizes, padding: Padding, dilation: Sizes, groups: int,
    like: Symbol | None = None, extra: Sizes | None = None,
) -> Symbol:  # fmt: skip
    """The transpose of `convolve` in x, with the extents of `like` or with `extra` more rows.

    Stride 1: a full convolution with the kernel turned round.  Otherwise one plain convolution
    computes all phases of the stride as channels, which are then interleaved.
    """
    reach = _reach(weight, dilation)
    more = extra if extra is not None else (0,) * len(stride)
    ones = (1,) * len(stride)
    simple = all(s == 1 for s in stride)
    pads = tuple(
        (r - before, r - after + e)
        for r, (before, after), e in zip(reach, padding, more, strict=True)
    )
    if simple and all(min(p) >= 0 for p in pads):
        turned = PhaseWeights(ones, ones, groups)(weight)
        return convolve(g, turned, None, ones, pads, dilation, groups)
    taps = tuple(int(dims.ceildiv(r + 1, s)) for r, s in zip(reach, stride, strict=True))  # type: ignore[arg-type]
    # One phase reads taps-1 windows back; the rows that no window reached follow, at most `taps`.
    phases = PhaseWeights(stride, dilation, groups)(weight)
    around = tuple((j - 1, j) for j in taps)
    y = convolve(g, phases, None, ones, around, ones, groups)
    start = tuple(before for before, _ in padding)
    if like is not None:
        return Interleave(stride, start)(y, like)  # type: ignore[no-any-return]
    trim = tuple(
        (j + 1) * s - r - 1 - e + sum(p)
        for j, s, r, e, p in zip(taps, stride, reach, more, padding, strict=True)
    )
    return Interleave(stride, start, trim)(y)  # type: ignore[no-any-return]


@register
@dataclass(frozen=True, slots=True)
class ConvolutionInputGradient(CompositeOp):
    """The gradient of a convolution in its input: the transposed convolution of g.

    Shapes: g [n, o, *p], weight [o, c/groups, *k], x [n, c, *s] -> dx as x; only the shape of x
    is used.   Dtypes: any float.
    """

    stride: Sizes
    padding: Padding
    dilation: Sizes
    groups: int = 1
    name = "convolution_input_gradient"
    no_gradient = ("x",)

    def infer_shape(
        self, u: Unifier, g: ShapeView, weight: ShapeView, x: ShapeView
    ) -> tuple[Any, ...]:
        _relate(self, u, x, weight, g)
        return (x,)

    def forward(self, g: Symbol, weight: Symbol, x: Symbol) -> Symbol:
        return spread(g, weight, self.stride, self.padding, self.dilation, self.groups, like=x)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (dx,), (g, weight, _) = grads, ins
        attributes = (self.stride, self.padding, self.dilation, self.groups)
        return (
            convolve(dx, weight, None, *attributes),
            ConvolutionWeightGradient(*attributes)(dx, g, weight),
            None,
        )

    def reference(self, g: Array, weight: Array, x: Array) -> Any:
        padded = pad_array(np.zeros(x.shape, g.dtype), self.padding)
        per_group = g.shape[1] // self.groups
        inputs = x.shape[1] // self.groups
        for k in np.ndindex(*weight.shape[2:]):
            places = tuple(
                slice(i * d, i * d + (n - 1) * s + 1, s)
                for i, d, n, s in zip(k, self.dilation, g.shape[2:], self.stride, strict=True)
            )
            for group in range(self.groups):
                rows = slice(group * per_group, (group + 1) * per_group)
                channels = slice(group * inputs, (group + 1) * inputs)
                tap = pick(weight, rows, slice(None), *k)
                part = np.tensordot(g[:, rows], tap, axes=(1, 0))
                place = (slice(None), channels, *places)
                padded[place] += np.moveaxis(part, -1, 1)
        crop = tuple(slice(b, b + n) for (b, _), n in zip(self.padding, x.shape[2:], strict=True))
        return pick(padded, slice(None), slice(None), *crop)


@register
@dataclass(frozen=True, slots=True)
class ConvolutionWeightGradient(CompositeOp):
    """The gradient of a convolution in its weight: one contraction over batch and space.

    Shapes: x [n, c, *s], g [n, o, *p], weight [o, c/groups, *k] -> dw as weight; only the shape
    of weight is used.   Dtypes: any float.
    """

    stride: Sizes
    padding: Padding
    dilation: Sizes
    groups: int = 1
    name = "convolution_weight_gradient"
    no_gradient = ("weight",)

    def infer_shape(
        self, u: Unifier, x: ShapeView, g: ShapeView, weight: ShapeView
    ) -> tuple[Any, ...]:
        _relate(self, u, x, weight, g)
        return (weight,)

    def forward(self, x: Symbol, g: Symbol, weight: Symbol) -> Any:
        padded = pad_spatial(x, self.padding)
        total = ConvolutionWeightSum(self.stride, self.dilation, self.groups)(padded, g, weight)
        return total if self.groups == 1 else make("reshape", total, shape=(-3, -2))

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (dw,), (x, g, _) = grads, ins
        attributes = (self.stride, self.padding, self.dilation, self.groups)
        return (
            ConvolutionInputGradient(*attributes)(g, dw, x),
            convolve(x, dw, None, *attributes),
            None,
        )

    def reference(self, x: Array, g: Array, weight: Array) -> Any:
        part = ConvolutionWeightSum(self.stride, self.dilation, self.groups)
        return part.reference(pad_array(x, self.padding), g, weight).reshape(weight.shape)


def _relate(
    op: Any, u: Unifier, x: ShapeView, weight: ShapeView, y: ShapeView | None = None
) -> tuple[Any, ...]:
    """Relations of a convolution between x, weight and, where given, y; the shape of y."""
    rank = len(op.stride)
    xs, ws = u.rank(x, rank + 2, "x"), u.rank(weight, rank + 2, "weight")
    relate_channels(u, xs[1], ws, op.groups)
    spatial = window_extents(u, xs[2:], ws[2:], op.stride, op.dilation, op.padding)
    shape = (xs[0], ws[0], *spatial)
    if y is not None:
        for axis, (have, need) in enumerate(zip(u.rank(y, rank + 2, "g"), shape, strict=True)):
            u.equal(have, need, f"g.shape[{axis}] must be that of the convolution's result")
    return shape


def _check_channels(op: Any) -> None:
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
        _check_channels(self)

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
        return (_relate(self, u, x, weight),)

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
        _check_channels(self)
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


def _attributes(
    what: str, rank: int, channels: int | None, weight: Symbol | None, kernel_size: Any,
    stride: Any, padding: Any, dilation: Any,
) -> tuple[Sizes | None, Sizes, Padding, Sizes]:  # fmt: skip
    kernel = None if kernel_size is None else sizes(kernel_size, rank, f"{what}: kernel_size")
    if weight is None and (channels is None or kernel is None):
        missing = "channels" if channels is None else "kernel_size"
        raise AttributeValueError(f"{what}: give {missing}, or a weight")
    if kernel is None and weight is not None and weight.shape is not None:
        found = weight.shape[2:]
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
        kernel, strides, pads, dilations = _attributes(
            cls.name, rank, channels, weight, kernel_size, stride, padding, dilation
        )
        op = cls(channels, kernel, strides, pads, dilations, groups, use_bias)
        return op(x, weight, bias, name=name) if use_bias else op(x, weight, name=name)  # type: ignore[no-any-return]

    return _named(
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
        kernel, strides, pads, dilations = _attributes(
            cls.name, rank, channels, weight, kernel_size, stride, padding, dilation
        )
        extra = sizes(output_padding, rank, f"{cls.name}: output_padding", 0)
        op = cls(channels, kernel, strides, pads, dilations, extra, groups, use_bias)
        return op(x, weight, bias, name=name) if use_bias else op(x, weight, name=name)  # type: ignore[no-any-return]

    return _named(
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


def _named(function: Any, name: str, text: str) -> Any:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = text
    return function


conv1d = _convolution_function(Conv1d, 1)
conv2d = _convolution_function(Conv2d, 2)
conv3d = _convolution_function(Conv3d, 3)
conv_transpose1d = _transposed_function(ConvTranspose1d, 1)
conv_transpose2d = _transposed_function(ConvTranspose2d, 2)

_PAIR = ((1, 1), (2, 0))
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
        Conv2d(4, (5, 2), (1, 1), _PAIR, (1, 1)),
        ((2, 3, 17, 7), (4, 3, 5, 2), (4,)),
        dtype="float64",
    ),
    Sample(Conv2d(4, (3, 2), (1, 1), _PAIR, (1, 1)), ((2, 3, 5, 7), (4, 3, 3, 2), (4,))),
    Sample(Conv2d(5, (3, 3), (2, 3), _PAIR, (1, 1)), ((2, 3, 7, 9), (5, 3, 3, 3), (5,))),
    Sample(Conv2d(6, (3, 2), (2, 1), _PAIR, (1, 2), 2), ((1, 4, 8, 6), (6, 2, 3, 2), (6,))),
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
        ConvTranspose2d(4, (3, 2), (2, 3), _PAIR, (1, 1), (1, 2)),
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
_GRADIENT = ((2, 3), _PAIR, (1, 1), 1)
ConvolutionInputGradient.samples = (
    Sample(
        ConvolutionInputGradient((2, 1), ((0, 0), (0, 0)), (1, 1)),
        ((0, 4, 7, 5), (4, 3, 5, 2), (0, 3, 17, 6)),
    ),
    Sample(
        ConvolutionInputGradient((2, 1), ((0, 0), (0, 0)), (1, 1)),
        ((1, 4, 7, 5), (4, 3, 5, 2), (1, 3, 17, 6)),
    ),
    Sample(ConvolutionInputGradient(*_GRADIENT), ((2, 4, 4, 3), (4, 3, 3, 2), (2, 3, 7, 8))),
    Sample(
        ConvolutionInputGradient((1, 1), _PAIR, (1, 2), 2),
        ((2, 4, 5, 6), (4, 3, 3, 2), (2, 6, 5, 6)), dtype="float64",
    ),
)  # fmt: skip
ConvolutionWeightGradient.samples = (
    Sample(
        ConvolutionWeightGradient((2, 1), ((0, 0), (0, 0)), (1, 1)),
        ((0, 3, 17, 6), (0, 4, 7, 5), (4, 3, 5, 2)),
    ),
    Sample(
        ConvolutionWeightGradient((2, 1), ((0, 0), (0, 0)), (1, 1)),
        ((1, 3, 17, 6), (1, 4, 7, 5), (4, 3, 5, 2)),
    ),
    Sample(ConvolutionWeightGradient(*_GRADIENT), ((2, 3, 7, 8), (2, 4, 4, 3), (4, 3, 3, 2))),
    Sample(
        ConvolutionWeightGradient((1, 1), _PAIR, (1, 2), 2),
        ((2, 6, 5, 6), (2, 4, 5, 6), (4, 3, 3, 2)), dtype="float64",
    ),
)  # fmt: skip
