"""The gradients of convolution, and the transposed convolution that they are made of.

Algorithms: Dumoulin and Visin 2016, "A guide to convolution arithmetic for deep learning"; the
strided input gradient runs by phases of the stride, so that it multiplies no zeros (sub-pixel
convolution, Shi et al. 2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AttributeValueError
from ..ir.op import CompositeOp
from ..ir.registry import register
from ..ir.sample import Sample
from ..ir.symbol import Symbol
from ..kernel import dims
from .base import Array, Gradients, make
from .convolution_parts import (
    Convolution,
    ConvolutionWeightSum,
    relate_channels,
)
from .convolution_phases import Interleave, PhaseWeights
from .windows import Padding, Sizes, check_windows, pad_array, pad_spatial, pick, window_extents

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

    def check_attributes(self) -> None:
        check_windows(self)

    def infer_shape(
        self, u: Unifier, g: ShapeView, weight: ShapeView, x: ShapeView
    ) -> tuple[Any, ...]:
        relate_windows(self, u, x, weight, g)
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

    def check_attributes(self) -> None:
        check_windows(self)

    def infer_shape(
        self, u: Unifier, x: ShapeView, g: ShapeView, weight: ShapeView
    ) -> tuple[Any, ...]:
        relate_windows(self, u, x, weight, g)
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


def relate_windows(
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


PAIR = ((1, 1), (2, 0))
_GRADIENT = ((2, 3), PAIR, (1, 1), 1)


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
        ConvolutionInputGradient((1, 1), PAIR, (1, 2), 2),
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
        ConvolutionWeightGradient((1, 1), PAIR, (1, 2), 2),
        ((2, 6, 5, 6), (2, 4, 5, 6), (4, 3, 3, 2)), dtype="float64",
    ),
)  # fmt: skip
