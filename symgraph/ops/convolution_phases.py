"""Phases of a stride: what makes a transposed convolution a plain one, and the way back.

Weights are sorted by the phase of the stride that they meet, and the phases of the result are
interleaved (sub-pixel convolution, Shi et al. 2016).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.op import Op
from ..ir.registry import register
from ..ir.sample import Sample
from ..kernel import dims
from ..kernel.compute import Compute, Tensor, all_of, compute, where
from ..kernel.dims import Dim
from ..kernel.ir import const
from .base import Array, Gradients
from .convolution_parts import split_channel
from .windows import Sizes, pick

if TYPE_CHECKING:
    from ..ir.infer import DTypeView, ShapeView, Unifier


@register
@dataclass(frozen=True, slots=True)
class PhaseWeights(Op):
    """Weights with which a transposed convolution becomes a plain one.

    v[(g, c, r), o, j] = weight[(g, o), c, t/dilation] for the tap t = r + stride*(J-1-j), zero
    where t is no multiple of the dilation or past the kernel: the kernel turned round, inputs and
    outputs exchanged, one set of channels for each remainder r of the stride.

    Shapes: weight [o, c/groups, *k] -> v [c*prod(stride), o/groups, *J], J the number of taps of
    one phase, ceil((dilation*(k-1)+1) / stride).   Dtypes: any number, kept.
    """

    stride: Sizes
    dilation: Sizes
    groups: int = 1
    name = "phase_weights"

    def infer_shape(self, u: Unifier, weight: ShapeView) -> tuple[Any, ...]:
        ws = u.rank(weight, len(self.stride) + 2, "weight")
        return (self._shape(ws),)

    def _shape(self, weight: tuple[Dim, ...]) -> tuple[Dim, ...]:
        channels = weight[1] * (self.groups * math.prod(self.stride))
        return (channels, dims.floordiv(weight[0], self.groups), *self._taps(weight))

    def _taps(self, weight: tuple[Dim, ...]) -> tuple[Dim, ...]:
        triples = zip(weight[2:], self.stride, self.dilation, strict=True)
        return tuple(dims.ceildiv(d * (k - 1) + 1, s) for k, s, d in triples)

    def forward(self, weight: Tensor) -> Compute:
        shape, taps = self._shape(weight.shape), self._taps(weight.shape)
        zero = const(0, weight.dtype)

        def element(channel: Any, o: Any, *j: Any) -> Any:
            outer, phase = split_channel(channel, math.prod(self.stride))
            group, c = split_channel(outer, weight.shape[1]) if self.groups > 1 else (0, outer)
            row = group * shape[1] + o if self.groups > 1 else o
            position, inside = [], []
            numbers = zip(self._phases(phase), j, taps, weight.shape[2:], strict=True)
            for axis, (r, at, count, kernel) in enumerate(numbers):
                s, d = self.stride[axis], self.dilation[axis]
                tap = r + s * (count - 1 - at)
                position.append(tap // d if d > 1 else tap)
                if d > 1:
                    inside.append((tap % d).equal(0))
                if count * s != d * (kernel - 1) + 1:
                    inside.append(as_value(tap) < as_value(d * (kernel - 1) + 1))
            value = pick(weight, row, c, *position)
            return where(all_of(*inside), value, zero) if inside else value

        return compute(shape, element)

    def _phases(self, phase: Any) -> tuple[Any, ...]:
        """The remainder along each axis from the number of a phase."""
        result: list[Any] = []
        for s in reversed(self.stride):
            phase, r = (phase, 0) if s == 1 else (phase // s, phase % s)
            result.append(r)
        return tuple(reversed(result))

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (PhaseWeightsGradient(self.stride, self.dilation, self.groups)(grads[0], ins[0]),)

    def reference(self, weight: Array) -> Any:
        shape = tuple(int(n) for n in self._shape(weight.shape))  # type: ignore[arg-type]
        v = np.zeros((self.groups, shape[0] // self.groups, *shape[1:]), weight.dtype)
        per_group = weight.reshape(self.groups, -1, *weight.shape[1:])
        for k in np.ndindex(*weight.shape[2:]):
            taps = [i * d for i, d in zip(k, self.dilation, strict=True)]
            phases = [t % s for t, s in zip(taps, self.stride, strict=True)]
            phase = int(np.ravel_multi_index(phases, self.stride))
            j = [n - 1 - t // s for n, t, s in zip(shape[2:], taps, self.stride, strict=True)]
            rows = slice(phase, None, math.prod(self.stride))
            place = (slice(None), rows, slice(None), *j)
            v[place] = np.swapaxes(pick(per_group, slice(None), slice(None), slice(None), *k), 1, 2)
        return v.reshape(shape)


def as_value(item: Any) -> Any:
    """An index as a value that can be compared."""
    from ..kernel.ir import Expr, as_expr

    return item if isinstance(item, Expr) else as_expr(item)


@register
@dataclass(frozen=True, slots=True)
class PhaseWeightsGradient(Op):
    """The transpose of `phase_weights`: every weight is found again at its one place.

    Shapes: v [c*prod(stride), o/groups, *J], like [o, c/groups, *k] -> weight as like.
    """

    stride: Sizes
    dilation: Sizes
    groups: int = 1
    name = "phase_weights_gradient"
    no_gradient = ("like",)

    def infer_shape(self, u: Unifier, v: ShapeView, like: ShapeView) -> tuple[Any, ...]:
        u.rank(like, len(self.stride) + 2, "like")
        return (like,)

    def forward(self, v: Tensor, like: Tensor) -> Compute:
        outputs = dims.floordiv(like.shape[0], self.groups)

        def element(row: Any, c: Any, *k: Any) -> Any:
            group, o = split_channel(row, outputs) if self.groups > 1 else (0, row)
            channel: Any = group * like.shape[1] + c if self.groups > 1 else c
            position = []
            for t, s, d, count in zip(k, self.stride, self.dilation, v.shape[2:], strict=True):
                tap = t * d
                channel = channel if s == 1 else channel * s + tap % s
                position.append(count - 1 - (tap if s == 1 else tap // s))
            return pick(v, channel, o, *position)

        return compute(like.shape, element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (PhaseWeights(self.stride, self.dilation, self.groups)(grads[0]), None)

    def reference(self, v: Array, like: Array) -> Any:
        count = int(np.prod(like.shape, dtype=np.int64))
        numbers = np.arange(1, count + 1, dtype=np.int64).reshape(like.shape)
        places = PhaseWeights(self.stride, self.dilation, self.groups).reference(numbers)
        weight = np.zeros(count, v.dtype)
        weight[places[places > 0] - 1] = v[places > 0]
        return weight.reshape(like.shape)


@register
@dataclass(frozen=True, slots=True)
class Interleave(Op):
    """Phases side by side in channels to neighbours in space (sub-pixel shuffle), cropped.

    x[n,c,h] = y[n, c*prod(stride) + (h+start)%stride, (h+start)//stride]

    Shapes: y [n, c*prod(stride), *q] -> x [n, c, *h]: h as in `like` where given, else
    q*stride - trim.   Dtypes: any, kept.
    """

    stride: Sizes
    start: Sizes
    trim: Sizes = ()
    name = "interleave"
    no_gradient = ("like",)

    def infer_shape(
        self, u: Unifier, y: ShapeView, like: ShapeView | None = None
    ) -> tuple[Any, ...]:
        rank = len(self.stride)
        ys = u.rank(y, rank + 2, "y")
        phases = math.prod(self.stride)
        if like is not None:
            shape = u.rank(like, rank + 2, "like")
            u.equal(ys[0], shape[0], "y.shape[0] must equal like.shape[0]")
            u.equal(ys[1], shape[1] * phases, f"y.shape[1] must be {phases} times like.shape[1]")
            return (like,)
        trim = self.trim if self.trim else (0,) * rank
        spatial = [q * s - t for q, s, t in zip(ys[2:], self.stride, trim, strict=True)]
        return ((ys[0], dims.floordiv(ys[1], phases), *spatial),)

    def infer_dtype(
        self, u: Unifier, y: DTypeView, like: DTypeView | None = None
    ) -> tuple[Any, ...]:
        return (y,)

    def forward(self, y: Tensor, like: Tensor | None = None) -> Compute:
        trim = self.trim if self.trim else (0,) * len(self.stride)
        spatial = [q * s - t for q, s, t in zip(y.shape[2:], self.stride, trim, strict=True)]
        channels = dims.floordiv(y.shape[1], math.prod(self.stride))
        shape = (y.shape[0], channels, *spatial) if like is None else like.shape

        def element(n: Any, c: Any, *h: Any) -> Any:
            position = []
            for at, s, start in zip(h, self.stride, self.start, strict=True):
                shifted = at + start
                c = c if s == 1 else c * s + shifted % s
                position.append(shifted if s == 1 else shifted // s)
            return pick(y, n, c, *position)

        return compute(shape, element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        back = Deinterleave(self.stride, self.start)(grads[0], ins[0])
        return (back, None) if len(ins) > 1 else (back,)

    def reference(self, y: Array, like: Array | None = None) -> Any:
        rank, phases = len(self.stride), math.prod(self.stride)
        x = y.reshape(y.shape[0], y.shape[1] // phases, *self.stride, *y.shape[2:])
        order = [0, 1] + [axis for r in range(rank) for axis in (2 + rank + r, 2 + r)]
        full = [q * s for q, s in zip(y.shape[2:], self.stride, strict=True)]
        x = x.transpose(order).reshape(y.shape[0], y.shape[1] // phases, *full)
        trim = self.trim if self.trim else (0,) * rank
        wanted = [n - t for n, t in zip(full, trim, strict=True)]
        extents = wanted if like is None else like.shape[2:]
        crop = [slice(s, s + n) for s, n in zip(self.start, extents, strict=True)]
        return pick(x, slice(None), slice(None), *crop)


@register
@dataclass(frozen=True, slots=True)
class Deinterleave(Op):
    """The transpose of `interleave`: neighbours in space back to phases in channels.

    Shapes: x [n, c, *h], like [n, c*prod(stride), *q] -> y as like, zero where nothing was read.
    Dtypes: any, kept.
    """

    stride: Sizes
    start: Sizes
    name = "deinterleave"
    no_gradient = ("like",)

    def infer_shape(self, u: Unifier, x: ShapeView, like: ShapeView) -> tuple[Any, ...]:
        u.rank(like, len(self.stride) + 2, "like")
        return (like,)

    def infer_dtype(self, u: Unifier, x: DTypeView, like: DTypeView) -> tuple[Any, ...]:
        return (x,)

    def forward(self, x: Tensor, like: Tensor) -> Compute:
        zero = const(0, x.dtype)

        def element(n: Any, channel: Any, *q: Any) -> Any:
            position: list[Any] = []
            inside = []
            for axis in reversed(range(len(self.stride))):
                s = self.stride[axis]
                channel, r = (channel, 0) if s == 1 else (channel // s, channel % s)
                at = q[axis] * s + r - self.start[axis]
                position.insert(0, at)
                inside += [as_value(at) >= 0, as_value(at) < as_value(x.shape[axis + 2])]
            return where(all_of(*inside), pick(x, n, channel, *position), zero)

        return compute(like.shape, element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (Interleave(self.stride, self.start)(grads[0], ins[0]), None)

    def reference(self, x: Array, like: Array) -> Any:
        rank, phases = len(self.stride), math.prod(self.stride)
        full = [q * s for q, s in zip(like.shape[2:], self.stride, strict=True)]
        wide = np.zeros((*x.shape[:2], *(f + n for f, n in zip(full, x.shape[2:], strict=True))),
                        x.dtype)  # fmt: skip
        place = [slice(s, s + n) for s, n in zip(self.start, x.shape[2:], strict=True)]
        target = (slice(None), slice(None), *place)
        wide[target] = x
        wide = pick(wide, slice(None), slice(None), *(slice(0, f) for f in full))
        split = [n for q, s in zip(like.shape[2:], self.stride, strict=True) for n in (q, s)]
        order = [0, 1, *(3 + 2 * r for r in range(rank)), *(2 + 2 * r for r in range(rank))]
        wide = wide.reshape(*x.shape[:2], *split).transpose(order)
        return wide.reshape(x.shape[0], x.shape[1] * phases, *like.shape[2:])


PhaseWeights.samples = (
    Sample(PhaseWeights((2, 1), (1, 1)), ((0, 3, 5, 2),)),
    Sample(PhaseWeights((2, 1), (1, 1)), ((17, 3, 5, 2),)),
    Sample(PhaseWeights((1, 1), (1, 1)), ((4, 3, 5, 2),)),
    Sample(PhaseWeights((2, 3), (1, 1)), ((4, 3, 5, 2),)),
    Sample(PhaseWeights((2, 1), (3, 2), 2), ((6, 5, 3, 2),), dtype="float64"),
    Sample(PhaseWeights((2,), (1,)), ((1, 1, 1),)),
)


PhaseWeightsGradient.samples = (
    Sample(PhaseWeightsGradient((2, 1), (1, 1)), ((6, 0, 3, 2), (0, 3, 5, 2))),
    Sample(PhaseWeightsGradient((2, 1), (1, 1)), ((6, 17, 3, 2), (17, 3, 5, 2))),
    Sample(PhaseWeightsGradient((1, 1), (1, 1)), ((3, 4, 5, 2), (4, 3, 5, 2))),
    Sample(PhaseWeightsGradient((2, 3), (1, 1)), ((18, 4, 3, 1), (4, 3, 5, 2))),
    Sample(PhaseWeightsGradient((2, 1), (3, 2), 2), ((20, 3, 4, 3), (6, 5, 3, 2)), dtype="float64"),
)


Interleave.samples = (
    Sample(Interleave((2, 3), (1, 0), (3, 1)), ((0, 18, 5, 4),)),
    Sample(Interleave((2,), (0,), (1,)), ((1, 6, 17),)),
    Sample(Interleave((2, 3), (1, 0), (3, 1)), ((2, 18, 5, 4),)),
    Sample(Interleave((2, 3), (1, 2)), ((2, 18, 5, 4), (2, 3, 7, 9))),
    Sample(Interleave((1,), (1,), (2,)), ((2, 3, 17),), dtype="float64"),
)


Deinterleave.samples = (
    Sample(Deinterleave((2,), (0,)), ((0, 3, 7), (0, 6, 4))),
    Sample(Deinterleave((2,), (1,)), ((1, 3, 35), (1, 6, 18))),
    Sample(Deinterleave((2, 3), (1, 2)), ((2, 3, 7, 9), (2, 18, 5, 4))),
    Sample(Deinterleave((1,), (1,)), ((2, 3, 15), (2, 3, 17)), dtype="float64"),
)
