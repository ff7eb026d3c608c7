"""The primitive operators of convolution: sums of products over windows of unpadded tensors.

Each is one contraction over affine indices; the rearrangements of elements are in
`convolution_phases.py`.  `convolution.py` and its neighbours build padded, grouped and transposed
convolutions and all gradients from both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.alternative import Alternative
from ..ir.layout import Layout
from ..ir.op import Op
from ..ir.registry import register
from ..ir.sample import Sample
from ..ir.symbol import Symbol
from ..ir.tensor_type import TensorType
from ..kernel import dims
from ..kernel.compute import Compute, Tensor, compute, reduce
from ..kernel.dims import Dim
from .base import Array, Gradients, make
from .windows import Sizes, pick, window_extents, windows
from .winograd import offers

if TYPE_CHECKING:
    from ..ir.infer import ShapeView, Unifier


def split_channel(index: Any, inner: Dim) -> tuple[Any, Any]:
    """A channel number as (outer, inner)."""
    return (index, 0) if inner == 1 else (index // inner, index % inner)


@register
@dataclass(frozen=True, slots=True)
class Convolution(Op):
    """y[n,o,p] = sum over c, k of x[n,c,p*stride+k*dilation] * weight[o,c,k], plus bias[o].

    Without padding, and without turning the kernel round, as the field has it.

    Shapes: x [n, c, *s], weight [o, c/groups, *k], bias [o] -> y [n, o, *p]; output channel o
    belongs to group o // (channels/groups).   Dtypes: any number, kept.
    """

    stride: Sizes
    dilation: Sizes
    groups: int = 1
    name = "convolution"

    def layouts(
        self, ins: Sequence[TensorType], outs: Sequence[TensorType], block: int
    ) -> tuple[tuple[Layout | None, ...], Layout | None] | None:
        """Channels in blocks, the outputs' innermost in the weight so that a vector holds them."""
        image, result, weight = ins[0].shape, outs[0].shape, ins[1].shape
        assert image is not None and result is not None and weight is not None
        read, made = channel_block(image[1], block), channel_block(result[1], block)
        if made is None:
            return None
        rest = (None,) * (len(ins) - 2)
        images, results = Layout(((1, read or 1),)), Layout(((1, made),))
        if self.groups > 1 and weight[:2] == (self.groups, 1):
            return (results, Layout(((0, made),)), *rest), results
        each = (dims.floordiv(weight[0], self.groups), weight[1])
        if self.groups > 1 and any(dims.exact_quotient(n, block) is None for n in each):
            return None  # a vector of channels would hold several groups
        if read is not None:
            return (images, Layout(((1, read), (0, made))), *rest), results
        return (None, Layout(((0, made),)), *rest), results

    def alternatives(self, ins: tuple[Symbol, ...]) -> Sequence[Alternative]:
        """Winograd's, for images and windows that move by one."""
        ones = (1, 1)
        if self.stride != ones or self.dilation != ones or self.groups != 1:
            return ()
        return offers(ins[0], ins[1], ins[2] if len(ins) > 2 else None)

    def infer_shape(
        self, u: Unifier, x: ShapeView, weight: ShapeView, bias: ShapeView | None = None
    ) -> tuple[Any, ...]:
        rank = len(self.stride)
        xs, ws = u.rank(x, rank + 2, "x"), u.rank(weight, rank + 2, "weight")
        relate_channels(u, xs[1], ws, self.groups)
        if bias is not None:
            u.equal(u.rank(bias, 1, "bias")[0], ws[0], "bias.shape[0] must equal weight.shape[0]")
        spatial = window_extents(u, xs[2:], ws[2:], self.stride, self.dilation)
        return ((xs[0], ws[0], *spatial),)

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Compute:
        inputs, outputs = weight.shape[1], dims.floordiv(weight.shape[0], self.groups)
        kernel = weight.shape[2:]

        def element(n: Any, o: Any, *place: Any) -> Any:
            group = o if outputs == 1 else o // outputs

            def term(c: Any, *k: Any) -> Any:
                taps = zip(place, k, self.stride, self.dilation, strict=True)
                position = tuple(p * s + t * d for p, t, s, d in taps)
                source = group * inputs + c if self.groups > 1 else c
                return pick(x, n, source, *position) * pick(weight, o, c, *k)

            total = reduce("sum", (inputs, *kernel), term)
            return total if bias is None else total + bias[o]

        pairs = zip(x.shape[2:], kernel, self.stride, self.dilation, strict=True)
        spatial = tuple((n - d * (k - 1) - 1) // s + 1 for n, k, s, d in pairs)
        return compute((x.shape[0], weight.shape[0], *spatial), element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        from .convolution_gradients import ConvolutionInputGradient, ConvolutionWeightGradient

        (g,), (x, weight) = grads, ins[:2]
        none = ((0, 0),) * len(self.stride)
        attributes = (self.stride, none, self.dilation, self.groups)
        result = [
            ConvolutionInputGradient(*attributes)(g, weight, x),
            ConvolutionWeightGradient(*attributes)(x, g, weight),
        ]
        if len(ins) > 2:
            result.append(make("sum", g, axis=(0, *range(2, 2 + len(self.stride)))))
        return result

    def reference(self, x: Array, weight: Array, bias: Array | None = None) -> Any:
        n, o, g = x.shape[0], weight.shape[0], self.groups
        seen = windows(x, weight.shape[2:], self.stride, self.dilation)
        spatial = seen.shape[2 : 2 + len(self.stride)]
        parts = []
        for group in range(g):
            w = np.split(weight, g)[group].reshape(o // g, -1)
            v = np.moveaxis(np.split(seen, g, axis=1)[group], 1, 1 + len(spatial))
            part = v.reshape(n * math.prod(spatial), w.shape[1]) @ w.T
            parts.append(np.moveaxis(part.reshape(n, *spatial, o // g), -1, 1))
        y = np.concatenate(parts, axis=1)
        return y if bias is None else y + bias.reshape(1, o, *(1,) * len(spatial))

    def absorb_affine(
        self, ins: tuple[Symbol, ...], axis: int | None, scale: Symbol | None, shift: Symbol | None
    ) -> Symbol | None:
        """A scale and a shift of each output channel go into weight and bias."""
        if axis not in (None, 1):
            return None
        x, weight = ins[:2]
        bias = ins[2] if len(ins) > 2 else None
        if scale is not None:
            ones = (1,) * (len(self.stride) + 1)
            column = scale if axis is None else make("reshape", scale, shape=(-1, *ones))
            weight = weight * column
            bias = None if bias is None else bias * scale
        if shift is not None:
            if bias is None:
                # One number for each channel, whatever the shift's own extent.
                zero = make("sum", weight * 0.0, axis=tuple(range(1, len(self.stride) + 2)))
                bias = zero + shift if axis is None else shift
            else:
                bias = bias + shift
        inputs = (x, weight) if bias is None else (x, weight, bias)
        return self(*inputs)  # type: ignore[no-any-return]


MOST_ODD_CHANNELS = 128
"""Up to so many channels that blocks do not divide lie in one block of their own."""


def channel_block(channels: Dim, block: int) -> int | None:
    """How many channels of an image lie together: a block, or all of a few that half a block
    divides (channels last), which waste less at the end of a vector than they would elsewhere."""
    if dims.exact_quotient(channels, block) is not None:
        return block
    if not isinstance(channels, int) or not block < channels <= MOST_ODD_CHANNELS:
        return None
    return channels if channels % (block // 2) == 0 else None


def grouped_extents(channels: Dim, groups: int) -> tuple[Dim, ...]:
    """The channel axes of a grouped result."""
    return (channels,) if groups == 1 else (groups, dims.floordiv(channels, groups))


def relate_channels(u: Unifier, channels: Dim, weight: tuple[Dim, ...], groups: int) -> None:
    """x's channels are `groups` times the weight's, whose outputs divide by `groups`."""
    times = f" times groups {groups}" if groups > 1 else ""
    u.equal(channels, weight[1] * groups, f"x.shape[1] must equal weight.shape[1]{times}")
    outputs = u.resolve(weight[0])
    if isinstance(outputs, int) and outputs % groups:
        u.fail(f"weight.shape[0] must be a multiple of groups {groups}, got {outputs}")


@register
@dataclass(frozen=True, slots=True)
class ConvolutionWeightSum(Op):
    """w[o,c,k] = sum over n, p of x[n,c,p*stride+k*dilation] * g[n,o,p].

    Shapes: x [n, c, *s], g [n, o, *p], like [o, c/groups, *k] -> w as like, or
    [groups, o/groups, c/groups, *k] for several groups.  Only the shape of `like` is used.
    Dtypes: any number, kept.
    """

    stride: Sizes
    dilation: Sizes
    groups: int = 1
    name = "convolution_weight_sum"
    no_gradient = ("like",)

    def infer_shape(
        self, u: Unifier, x: ShapeView, g: ShapeView, like: ShapeView
    ) -> tuple[Any, ...]:
        rank = len(self.stride)
        xs, gs = u.rank(x, rank + 2, "x"), u.rank(g, rank + 2, "g")
        ws = u.rank(like, rank + 2, "like")
        relate_channels(u, xs[1], ws, self.groups)
        u.equal(gs[1], ws[0], "g.shape[1] must equal like.shape[0]")
        u.equal(gs[0], xs[0], "g.shape[0] must equal x.shape[0]")
        spatial = window_extents(u, xs[2:], ws[2:], self.stride, self.dilation)
        for axis, (have, need) in enumerate(zip(gs[2:], spatial, strict=True)):
            u.equal(have, need, f"g.shape[{axis + 2}] must be the number of windows")
        lead = (ws[0],) if self.groups == 1 else grouped_extents(ws[0], self.groups)
        return ((*lead, *ws[1:]),)

    def forward(self, x: Tensor, g: Tensor, like: Tensor) -> Compute:
        many = self.groups > 1
        inputs, outputs = like.shape[1], dims.floordiv(like.shape[0], self.groups)

        def element(*i: Any) -> Any:
            group, o, c, taps = (i[0], i[1], i[2], i[3:]) if many else (0, i[0], i[1], i[2:])
            source = group * inputs + c if many else c
            channel = group * outputs + o if many else o

            def term(n: Any, *place: Any) -> Any:
                pairs = zip(place, taps, self.stride, self.dilation, strict=True)
                position = tuple(p * s + t * d for p, t, s, d in pairs)
                return pick(x, n, source, *position) * pick(g, n, channel, *place)

            return reduce("sum", (x.shape[0], *g.shape[2:]), term)

        return compute((*grouped_extents(like.shape[0], self.groups), *like.shape[1:]), element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        from .convolution_gradients import ConvolutionInputGradient

        (w,), (x, g, _) = grads, ins
        if self.groups > 1:
            w = make("reshape", w, shape=(-3, -2))
        none = ((0, 0),) * len(self.stride)
        to_x = ConvolutionInputGradient(self.stride, none, self.dilation, self.groups)(g, w, x)
        to_g = Convolution(self.stride, self.dilation, self.groups)(x, w)
        return (to_x, to_g, None)

    def reference(self, x: Array, g: Array, like: Array) -> Any:
        rank = len(self.stride)
        seen = windows(x, like.shape[2:], self.stride, self.dilation)
        summed = (0, *range(2, 2 + rank))
        parts = [
            np.tensordot(gradient, part, axes=(summed, summed))
            for gradient, part in zip(
                np.split(g, self.groups, axis=1),
                np.split(seen, self.groups, axis=1),
                strict=True,
            )
        ]
        return np.stack(parts) if self.groups > 1 else parts[0]


Convolution.samples = (
    Sample(Convolution((1, 1), (1, 1)), ((2, 3, 5, 7), (4, 3, 3, 2), (4,))),
    Sample(Convolution((2, 1), (1, 2)), ((1, 3, 9, 17), (5, 3, 2, 3))),
    Sample(Convolution((1, 2), (1, 1), 3), ((2, 6, 4, 7), (9, 2, 3, 2), (9,))),
    Sample(Convolution((1, 2), (1, 1), 4), ((2, 8, 4, 7), (4, 2, 3, 2), (4,))),
    Sample(Convolution((3,), (1,)), ((2, 3, 11), (5, 3, 4), (5,)), dtype="float64"),
    Sample(Convolution((1, 1, 1), (1, 1, 1)), ((1, 2, 3, 5, 4), (3, 2, 2, 3, 1))),
    Sample(Convolution((1, 1), (1, 1)), ((0, 3, 5, 7), (4, 3, 3, 2))),
    Sample(Convolution((1, 1), (1, 1)), ((1, 1, 1, 1), (1, 1, 1, 1))),
    Sample(Convolution((1, 1), (1, 1)), ((2, 17, 6, 9), (33, 17, 3, 3)), atol=2e-5),
    Sample(
        Convolution((1,), (1,)), ((2, 3, 7), (4, 3, 2)), dtype="int32", low=-9, high=9,
        gradient=False,
    ),
)  # fmt: skip
ConvolutionWeightSum.samples = (
    Sample(ConvolutionWeightSum((1,), (1,)), ((2, 3, 19), (2, 1, 18), (1, 3, 2))),
    Sample(ConvolutionWeightSum((2,), (1,)), ((2, 3, 11), (2, 5, 4), (5, 3, 4))),
    Sample(ConvolutionWeightSum((1, 1), (1, 1)), ((2, 3, 5, 7), (2, 4, 3, 6), (4, 3, 3, 2))),
    Sample(ConvolutionWeightSum((2, 1), (1, 2)), ((1, 3, 9, 17), (1, 5, 4, 13), (5, 3, 2, 3))),
    Sample(
        ConvolutionWeightSum((1, 2), (1, 1), 3), ((2, 6, 4, 7), (2, 9, 2, 3), (9, 2, 3, 2)),
        dtype="float64",
    ),
    Sample(ConvolutionWeightSum((1,), (1,)), ((0, 3, 7), (0, 4, 6), (4, 3, 2))),
)  # fmt: skip
