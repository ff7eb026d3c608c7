"""Tensors put together along an axis and taken apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AttributeValueError, InputError
from ..ir.op import CompositeOp, Op
from ..ir.registry import register
from ..ir.sample import Sample, Samples
from ..ir.symbol import Group, Symbol
from ..ir.tensor_type import TensorType
from ..kernel import dims
from ..kernel.compute import Compute, Tensor, compute
from ..kernel.dims import Dim
from ..kernel.ir import Expr, IndexValue, call, where
from .base import Array, Gradients, as_ints, make, specified_by, zeros_like

if TYPE_CHECKING:
    from ..ir.infer import DTypeView, ShapeView, Unifier


def _offsets(shapes: Sequence[Sequence[Dim]], axis: int) -> list[Dim]:
    """Where each part begins, and the whole extent."""
    result: list[Dim] = [0]
    for shape in shapes:
        result.append(dims.add(result[-1], shape[axis]))
    return result


MOST_IN_A_ROW = 32
"""Parts that are asked for one after the other; more are halved first, as a chain of questions
would be as deep as there are parts."""


@register
@dataclass(frozen=True, slots=True)
class Concat(Op):
    """y = the inputs one after the other along `axis`.

    Shapes: x0 [*a, n0, *b], x1 [*a, n1, *b], ... -> y [*a, n0+n1+..., *b].
    Dtypes: any, the same for all.
    """

    axis: int = 0
    name = "concat"
    samples = Samples(
        lambda cls: (
            Sample(cls(), ((2, 5), (3, 5))),
            Sample(cls(1), ((2, 3, 5), (2, 17, 5), (2, 1, 5))),
            Sample(cls(-1), ((2, 33), (2, 4), (2, 7)), dtype="float64"),
            Sample(cls(), ((3, 5),)),
            Sample(cls(), ((0, 5), (2, 5))),
            Sample(cls(), ((3,), (0,), (4,))),
            Sample(cls(1), ((2, 3), (2, 5)), dtype="int64", low=-9, high=9, gradient=False),
            Sample(cls(1), ((2, 3), (2, 5)), dtype="bool", gradient=False),
        )
    )

    @property
    def channelwise(self) -> bool:
        return self.axis == 1

    def joined_axis(self, ins: Sequence[TensorType]) -> int | None:
        return None if ins[0].shape is None else self.axis % len(ins[0].shape)

    def infer_shape(self, u: Unifier, *x: ShapeView) -> tuple[Any, ...]:
        u.require(len(x) > 0, "concat needs at least one input")
        known = next((v.rank for v in (*x, u.output()) if v.rank is not None), None)
        if known is None:
            return (x[0].dims,)  # waits for a rank
        shapes = [u.rank(v, known, f"x{n}") for n, v in enumerate(x)]
        axis = u.axis(self.axis, known)
        for number, shape in enumerate(shapes[1:], start=1):
            for n in range(known):
                if n != axis:
                    u.equal(
                        shapes[0][n], shape[n], f"x0.shape[{n}] must equal x{number}.shape[{n}]"
                    )
        result = list(shapes[0])
        result[axis] = _offsets(shapes, axis)[-1]
        return (tuple(result),)

    def forward(self, *x: Tensor) -> Compute:
        axis = self.axis % x[0].ndim
        offsets = _offsets([t.shape for t in x], axis)
        shape = list(x[0].shape)
        shape[axis] = offsets[-1]

        def element(*i: Any) -> Any:
            def part(n: int) -> Expr:
                index = list(i)
                index[axis] = i[axis] - offsets[n]
                return x[n][tuple(index)]

            def among(first: int, last: int) -> Expr:
                """That of the parts first .. last-1 in which the element lies."""
                if last - first > MOST_IN_A_ROW:
                    middle = (first + last) // 2
                    inside = call("lt", i[axis], IndexValue(offsets[middle]))
                    return where(inside, among(first, middle), among(middle, last))
                result = part(last - 1)
                for n in reversed(range(first, last - 1)):
                    inside = call("lt", i[axis], IndexValue(offsets[n + 1]))
                    result = where(inside, part(n), result)
                return result

            return among(0, len(x))

        return compute(shape, element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return [
            make("concat_gradient", grads[0], *ins, axis=self.axis, position=n)
            for n in range(len(ins))
        ]

    def simplify(self, ins: tuple[Symbol, ...]) -> Symbol | None:
        """One input; inputs without elements dropped."""
        if len(ins) == 1:
            return ins[0]
        kept = [x for x in ins if x.shape is None or x.shape[self.axis] != 0]
        if 0 < len(kept) < len(ins):
            return Concat(self.axis)(*kept)  # type: ignore[no-any-return]
        return None

    def reference(self, *x: Array) -> Any:
        return np.concatenate(x, self.axis)


@register
@dataclass(frozen=True, slots=True)
class ConcatGradient(Op):
    """y = the part of x that came from input `position` of concat.

    Of the inputs `like0`, `like1`, ... only the shapes are read.
    Shapes: x [*a, n0+n1+..., *b], like[p] [*a, np, *b] -> y [*a, np, *b].   Dtypes: any, kept.
    """

    axis: int
    position: int
    name = "concat_gradient"
    samples = Samples(
        lambda cls: [
            Sample(cls(a, p), s, dtype=t, gradient=False)
            for a, p, s, t in (
                (0, 0, ((5, 7), (2, 7), (3, 7)), "float32"),
                (0, 1, ((5, 7), (2, 7), (3, 7)), "float32"),
                (1, 1, ((2, 21, 5), (2, 3, 5), (2, 17, 5), (2, 1, 5)), "float64"),
                (-1, 2, ((2, 21, 5), (2, 21, 1), (2, 21, 4), (2, 21, 0)), "float32"),
                (0, 1, ((19, 33), (2, 33), (17, 33), (0, 33)), "float32"),
            )
        ]
    )

    def infer_shape(self, u: Unifier, x: ShapeView, *like: ShapeView) -> tuple[Any, ...]:
        if like[self.position].rank is not None:
            u.axis(self.axis, len(like[self.position]))
        return (like[self.position],)

    def infer_dtype(self, u: Unifier, x: DTypeView, *like: DTypeView) -> tuple[Any, ...]:
        return (x,)

    def cut_starts(self, ins: Sequence[TensorType]) -> tuple[tuple[Dim, ...], ...] | None:
        shapes = [t.shape for t in ins if t.shape is not None]
        axis = self.axis % len(shapes[0])
        start: list[Dim] = [0] * len(shapes[0])
        start[axis] = _offsets(shapes[1:], axis)[self.position]
        return (tuple(start),)

    def forward(self, x: Tensor, *like: Tensor) -> Compute:
        axis = self.axis % x.ndim
        offset = _offsets([t.shape for t in like], axis)[self.position]

        def element(*i: Any) -> Any:
            index = (*i[:axis], i[axis] + offset, *i[axis + 1 :])
            return x[index]

        return compute(like[self.position].shape, element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        likes = ins[1:]
        parts = [grads[0] if n == self.position else zeros_like(v) for n, v in enumerate(likes)]
        return (Concat(self.axis)(*parts), *(None for _ in likes))

    def simplify(self, ins: tuple[Symbol, ...]) -> Symbol | None:
        """A slice at a known place, which does not keep the inputs alive."""
        before = ins[1 : self.position + 2]
        if any(v.shape is None for v in before) or ins[0].ndim is None:
            return None
        axis = self.axis % ins[0].ndim
        ends = _offsets([v.shape for v in before if v.shape is not None], axis)
        if not all(isinstance(d, int) for d in ends):
            return None
        return make("slice", ins[0], items=(*((None, None, 1),) * axis, (ends[-2], ends[-1], 1)))

    def reference(self, x: Array, *like: Array) -> Any:
        ends = np.cumsum([v.shape[self.axis] for v in like])
        return np.split(x, ends[:-1], self.axis)[self.position]


@register
@dataclass(frozen=True, slots=True)
class Stack(CompositeOp):
    """y = the inputs beside each other along a new axis.

    Shapes: x0 [*s], x1 [*s], ... -> y with the number of inputs put in at `axis`.
    Dtypes: any, the same for all.
    """

    axis: int = 0
    name = "stack"
    samples = Samples(
        lambda cls: (
            Sample(cls(), ((2, 5), (2, 5), (2, 5))),
            Sample(cls(-1), ((17, 33), (17, 33)), dtype="float64"),
            Sample(cls(1), ((1, 5), (1, 5))),
            Sample(cls(), ((), ())),
            Sample(cls(1), ((0, 3), (0, 3))),
            Sample(cls(), ((2, 5), (2, 5)), dtype="int32", low=-9, high=9, gradient=False),
        )
    )

    def forward(self, *x: Symbol) -> Symbol:
        apart = [make("expand_dims", v, axis=self.axis) for v in x]
        return Concat(self.axis)(*apart)  # type: ignore[no-any-return]

    def reference(self, *x: Array) -> Any:
        return np.stack(x, self.axis)


@register
@dataclass(frozen=True, slots=True)
class Split(Op):
    """The parts of x along `axis`: `parts` equal ones, or cut before each of the indices `parts`.

    Shapes: x [*a, n, *b] -> parts equal [*a, n/parts, *b], or [*a, i0, *b], [*a, i1-i0, *b], ...
    Dtypes: any, kept.   Raises: ShapeError when n is no multiple.
    """

    parts: int | tuple[int, ...]
    axis: int = 0
    name = "split"
    samples = Samples(
        lambda cls: (
            Sample(cls(3), ((6, 5),)),
            Sample(cls(2, -1), ((3, 5, 34),), dtype="float64"),
            Sample(cls((1, 4), 1), ((2, 7, 5),)),
            Sample(cls((17,), 0), ((33, 1),)),
            Sample(cls((0, 2), 0), ((2, 3),)),
            Sample(cls(2, 1), ((0, 4),)),
            Sample(cls(2), ((4, 3),), dtype="int32", low=-9, high=9, gradient=False),
        )
    )

    def check_attributes(self) -> None:
        if isinstance(self.parts, int):
            if self.parts < 1:
                raise AttributeValueError(f"split: parts must be at least 1, got {self.parts}")
        elif any(a > b for a, b in zip((0, *self.parts), self.parts, strict=False)):
            raise AttributeValueError(f"split: indices must be >= 0 and rise, got {self.parts}")

    @property
    def output_count(self) -> int:
        return self.parts if isinstance(self.parts, int) else len(self.parts) + 1

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        known = next((r for n in range(self.output_count) if (r := u.output(n).rank) is not None),
                     None)  # fmt: skip
        if x.rank is None and known is not None:
            u.rank(x, known)
        axis = u.axis(self.axis, len(x))
        sizes = self._sizes(u, x[axis], axis)
        return tuple((*x[:axis], size, *x[axis + 1 :]) for size in sizes)

    def _sizes(self, u: Unifier, extent: Dim, axis: int) -> list[Dim]:
        if isinstance(self.parts, tuple):
            last = self.parts[-1] if self.parts else 0
            if isinstance(extent, int):
                u.require(last <= extent, f"x.shape[{axis}] must be at least {last}, got {extent}")
            starts = (0, *self.parts)
            ends: tuple[Dim, ...] = (*self.parts, extent)
            return [dims.add(b, -a) for a, b in zip(starts, ends, strict=True)]
        why = f"x.shape[{axis}] must be a multiple of {self.parts}"
        size = dims.exact_quotient(extent, self.parts)
        if size is None:
            size = u.fresh("part")
            u.equal(dims.mul(size, self.parts), extent, why)
            size = u.resolve(size)
            if dims.is_closed(extent) and not dims.is_closed(size):
                size = dims.floordiv(extent, self.parts)
                u.equal(dims.mul(size, self.parts), extent, why)
        return [size] * self.parts

    def infer_dtype(self, u: Unifier, x: DTypeView) -> tuple[Any, ...]:
        return (x,) * self.output_count

    def cut_starts(self, ins: Sequence[TensorType]) -> tuple[tuple[Dim, ...], ...] | None:
        shape = ins[0].shape
        assert shape is not None
        axis = self.axis % len(shape)
        bounds = self._bounds(shape[axis])[:-1]
        return tuple(tuple(b if n == axis else 0 for n in range(len(shape))) for b in bounds)

    def _bounds(self, extent: Dim) -> list[Dim]:
        """Where each part begins, and where the last one ends."""
        if isinstance(self.parts, int):
            size = dims.floordiv(extent, self.parts)
            return [dims.mul(size, n) for n in range(self.parts + 1)]
        return [0, *self.parts, extent]

    def forward(self, x: Tensor) -> Sequence[Compute]:
        axis = self.axis % x.ndim
        bounds = self._bounds(x.shape[axis])

        def part(start: Dim, end: Dim) -> Compute:
            def element(*i: Any) -> Any:
                index = (*i[:axis], i[axis] + start, *i[axis + 1 :])
                return x[index]

            size = dims.add(end, dims.mul(start, -1))
            return compute((*x.shape[:axis], size, *x.shape[axis + 1 :]), element)

        return [part(a, b) for a, b in pairwise(bounds)]

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        parts = [zeros_like(y) if g is None else g for g, y in zip(grads, outs, strict=True)]
        return (Concat(self.axis)(*parts),)

    def reference(self, x: Array) -> Any:
        return tuple(np.split(x, self.parts, self.axis))


def _several(inputs: Any, what: str) -> tuple[Any, ...]:
    if isinstance(inputs, Symbol):
        raise InputError(f"{what}: give the inputs as a list, as in {what}([x, y])")
    if not isinstance(inputs, Iterable):
        raise InputError(f"{what}: give the inputs as a list, got {inputs!r}")
    found = tuple(inputs)
    if not found:
        raise InputError(f"{what} needs at least one input, got an empty list")
    return found


@specified_by(Concat)
def concat(inputs: Sequence[Symbol], axis: int = 0, *, name: str | None = None) -> Symbol:
    """The inputs one after the other along an axis."""
    return Concat(axis)(*_several(inputs, "concat"), name=name)  # type: ignore[no-any-return]


@specified_by(Stack)
def stack(inputs: Sequence[Symbol], axis: int = 0, *, name: str | None = None) -> Symbol:
    """The inputs beside each other along a new axis."""
    return Stack(axis)(*_several(inputs, "stack"), name=name)  # type: ignore[no-any-return]


@specified_by(Split)
def split(
    x: Symbol, parts: int | Sequence[int], axis: int = 0, *, name: str | None = None
) -> Group:
    """The parts of x along an axis, as a group."""
    result = Split(as_ints(parts, "split: parts"), axis)(x, name=name)
    return Group(result if isinstance(result, tuple) else (result,))


__all__ = ["concat", "split", "stack"]
