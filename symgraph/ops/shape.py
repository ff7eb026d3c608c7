"""Shapes changed without moving elements (views), and axes reordered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AttributeValueError
from ..ir.op import Op, Sample, Samples, register
from ..ir.symbol import Symbol
from ..ir.tensor_type import TensorType, as_dim
from ..kernel import dims
from ..kernel.compute import Compute, Tensor, compute
from ..kernel.dims import Dim
from .base import Array, Gradients, as_axes, axes_of, checked_axes, is_carried, make, specified_by

if TYPE_CHECKING:
    from ..ir.infer import DTypeView, ShapeView, Unifier


class View(Op):
    """Base: the row-major elements of x under another shape; no element is moved."""

    __slots__ = ()

    @property
    def is_view(self) -> bool:
        return True

    def result_shape(self, x: Sequence[Dim]) -> tuple[Dim, ...]:
        """The shape of the output for a complete input shape."""
        raise NotImplementedError

    def forward(self, x: Tensor, *like: Tensor) -> Compute:
        shape = like[0].shape if like else self.result_shape(x.shape)
        return compute(shape, lambda *i: x[moved_index(x.shape, shape, i)])

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (make("reshape_like", grads[0], ins[0]),)

    def simplify(self, ins: tuple[Symbol, ...]) -> Symbol | None:
        """A view of a view is a view of the first; one that changes nothing is its input."""
        x = ins[0]
        if x.shape is None or not all(dims.is_closed(d) for d in x.shape):
            return None
        like = ins[1].shape if len(ins) > 1 else self.result_shape(x.shape)
        if like is None or not is_carried(like, x):
            return None
        if like == x.shape:
            return x
        if isinstance(x.node.op, View) and 0 not in like:
            return Reshape(like)(Symbol(x.node.inputs[0]))  # type: ignore[no-any-return]
        return None


def moved_index(old: Sequence[Dim], new: Sequence[Dim], index: Sequence[Any]) -> tuple[Any, ...]:
    """The index into `old` of the element at `index` of `new`, in row-major order.

    Groups of axes with equal products are matched, so that most indices stay as they are.
    """
    result: list[Any] = []
    a = b = 0
    while a < len(old) or b < len(new):
        first_a, first_b = a, b
        size_a: Dim = 1
        size_b: Dim = 1
        a, size_a = (a + 1, old[a]) if a < len(old) else (a, 1)
        b, size_b = (b + 1, new[b]) if b < len(new) else (b, 1)
        while size_a != size_b and (a < len(old) or b < len(new)):
            if b == len(new) or (a < len(old) and _smaller(size_a, size_b)):
                size_a, a = dims.mul(size_a, old[a]), a + 1
            else:
                size_b, b = dims.mul(size_b, new[b]), b + 1
        result += _spread(old[first_a:a], _flat(new[first_b:b], index[first_b:b]))
    return tuple(result)


def _smaller(a: Dim, b: Dim) -> bool:
    if isinstance(a, int) and isinstance(b, int):
        return a < b
    return dims.exact_quotient(b, a) is not None


def _flat(shape: Sequence[Dim], index: Sequence[Any]) -> Any:
    position: Any = 0
    for extent, i in zip(shape, index, strict=True):
        position = i if isinstance(position, int) and position == 0 else position * extent + i
    return position


def _spread(shape: Sequence[Dim], position: Any) -> list[Any]:
    """The index of a row-major position."""
    result: list[Any] = []
    looped = [n for n, d in enumerate(shape) if d != 1]
    for n, extent in reversed(list(enumerate(shape))):
        if extent == 1:
            result.append(0)
        elif n == looped[0]:
            result.append(position)
        else:
            result.append(position % extent if extent != 0 else 0)
            position = position // extent if extent != 0 else 0
    return result[::-1]


@register
@dataclass(frozen=True, slots=True)
class Reshape(View):
    """y = the elements of x in row-major order under another shape.

    Entries of `shape`: an extent or the name of one; 0 copies the extent of the axis that stands
    here; -1 infers (once); -2 copies all the rest; -3 merges the next two axes; -4 splits the next
    axis into the two entries that follow, of which one may be -1.
    Shapes: x [*s] -> y of the same number of elements.   Dtypes: any, kept.
    """

    shape: tuple[Any, ...]
    name = "reshape"
    samples = Samples(
        lambda cls: (
            Sample(cls((5, 6)), ((2, 3, 5),)),
            Sample(cls((-1, 5)), ((2, 3, 5),)),
            Sample(cls((0, -1)), ((2, 3, 5),), dtype="float64"),
            Sample(cls((0, -2)), ((2, 3, 5),)),
            Sample(cls((-3, 0)), ((2, 3, 5),)),
            Sample(cls((0, -4, 2, -1, 0)), ((3, 14, 5),)),
            Sample(cls((-4, -1, 3, -2)), ((33, 17),)),
            Sample(cls(()), ((1, 1),)),
            Sample(cls((1, 1)), ((),)),
            Sample(cls((3, 0, 5)), ((3, 0),)),
            Sample(cls((0, 3)), ((0, 3),), gradient=False),
            Sample(cls((7, -1)), ((3, 7),), dtype="int32", low=-9, high=9, gradient=False),
        )
    )

    def check_attributes(self) -> None:
        if sum(1 for d in self.shape if isinstance(d, int) and d == -1) > 1 + 2 * (
            self.shape.count(-4)
        ):
            raise AttributeValueError(f"reshape: only one extent may be -1, got {self.shape}")
        if any(isinstance(d, int) and d < -4 for d in self.shape):
            raise AttributeValueError(
                f"reshape: the codes are 0, -1, -2, -3 and -4, got {self.shape}"
            )

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        if x.rank is None and any(isinstance(d, int) and d in (0, -2, -3, -4) for d in self.shape):
            return (x.dims,)  # waits for the rank
        if x.rank is None:
            return (tuple(u.fresh(("infer", n)) if d == -1 else d
                          for n, d in enumerate(self.shape)),)  # fmt: skip
        source = x.dims
        entries = self._entries(u, source)
        return (_solve(u, source, entries),)

    def _entries(self, u: Unifier, source: tuple[Dim, ...]) -> list[Any]:
        """The shape with copies, merges and splits written out; -1 stays."""
        try:
            return _written_out(self.shape, source, lambda whole, a, b: _split(u, whole, a, b))
        except _TooFewAxes as error:
            u.fail(str(error))

    def result_shape(self, x: Sequence[Dim]) -> tuple[Dim, ...]:
        def divide(whole: Dim, a: Any, b: Any) -> tuple[Dim, Dim]:
            return (dims.floordiv(whole, b), b) if a == -1 else (
                (a, dims.floordiv(whole, a)) if b == -1 else (a, b))  # fmt: skip

        entries = _written_out(self.shape, tuple(x), divide)
        known = dims.product([d for d in entries if not _is_infer(d)])
        total = dims.product(list(x))
        return tuple(dims.floordiv(total, known) if _is_infer(d) else d for d in entries)

    def typed(self, outs: Sequence[TensorType]) -> Op:
        """With extents in place of names; not with 0, which would be a code."""
        named = any(not isinstance(d, int) for d in self.shape)
        shape = outs[0].shape
        if not named or shape is None or not is_carried(shape) or 0 in shape:
            return self
        return Reshape(shape)

    def reference(self, x: Array) -> Any:
        if any(d in (-2, -3, -4) for d in self.shape):
            return x.reshape([int(str(d)) for d in self.result_shape(x.shape)])
        copied = [x.shape[n] if d == 0 and n < x.ndim else d for n, d in enumerate(self.shape)]
        return x.reshape(copied)


class _TooFewAxes(Exception):
    pass


def _is_infer(entry: Any) -> bool:
    return isinstance(entry, int) and entry == -1


def _written_out(shape: Sequence[Any], source: tuple[Dim, ...], split: Any) -> list[Any]:
    """A shape attribute with the codes 0, -2, -3 and -4 replaced by extents."""
    result: list[Any] = []
    entries, axis = list(shape), 0

    def take(count: int, code: int) -> tuple[Dim, ...]:
        if axis + count > len(source):
            raise _TooFewAxes(
                f"the code {code} in shape {tuple(shape)} needs axis {axis + count - 1} of x, "
                f"which has {len(source)} axes"
            )
        return source[axis : axis + count]

    while entries:
        entry = entries.pop(0)
        if not isinstance(entry, int) or entry > 0 or entry == -1:
            result.append(as_dim(entry, "reshape") if entry != -1 else -1)
            axis += 1
        elif entry == 0 and axis >= len(source):
            result.append(0)  # an extent of 0, as there is no axis to copy
            axis += 1
        elif entry == 0:
            result += take(1, 0)
            axis += 1
        elif entry == -2:
            result += source[axis:]
            axis = len(source)
        elif entry == -3:
            result.append(dims.product(list(take(2, -3))))
            axis += 2
        else:
            (whole,) = take(1, -4)
            if len(entries) < 2:
                raise _TooFewAxes(f"the code -4 in shape {tuple(shape)} needs two entries after it")
            result += split(whole, entries.pop(0), entries.pop(0))
            axis += 1
    return result


def _split(u: Unifier, whole: Dim, a: Any, b: Any) -> tuple[Dim, Dim]:
    u.require(not (a == -1 and b == -1), "only one of the two entries after -4 may be -1")
    if a == -1 or b == -1:
        known = b if a == -1 else a
        other = _quotient(u, whole, known, "-4")
        return (other, known) if a == -1 else (known, other)
    u.equal(dims.mul(a, b), whole, f"the parts {a} and {b} must make the axis")
    return a, b


def _quotient(u: Unifier, total: Dim, known: Dim, tag: Any) -> Dim:
    """total / known as an extent: exact now, or as a kept condition."""
    exact = None if known == 0 else dims.exact_quotient(total, known)
    if exact is not None:
        return exact
    unknown = u.fresh(("quotient", tag))
    u.require(known != 0, "an extent cannot be inferred beside an extent of 0; state it")
    u.equal(total, dims.mul(known, unknown), "the number of elements must stay the same")
    unknown = u.resolve(unknown)
    if dims.is_closed(unknown) or not (dims.is_closed(total) and dims.is_closed(known)):
        return unknown
    quotient = dims.floordiv(total, known)
    u.equal(total, dims.mul(known, quotient), "the number of elements must stay the same")
    return quotient


def _solve(u: Unifier, source: tuple[Dim, ...], entries: list[Any]) -> tuple[Dim, ...]:
    """The extents, with -1 worked out and the number of elements kept equal."""
    total = dims.product(list(source))
    if not any(_is_infer(d) for d in entries):
        u.equal(total, dims.product(entries), "the number of elements must stay the same")
        return tuple(entries)
    left, right = list(source), [d for d in entries if not _is_infer(d)]
    for extent in tuple(right):
        # Equal extents on both sides cancel; an open one may be 0, but then both sides are.
        if extent in left and extent != 0:
            left.remove(extent)
            right.remove(extent)
    inferred = _quotient(u, dims.product(left), dims.product(right), "infer")
    return tuple(inferred if _is_infer(d) else d for d in entries)


@register
@dataclass(frozen=True, slots=True)
class ReshapeLike(View):
    """y = the elements of x under the shape of `like`, of which only the shape is read.

    Shapes: x [*s], like [*t] with as many elements -> y [*t].   Dtypes: any, kept.
    """

    name = "reshape_like"
    no_gradient = ("like",)
    samples = Samples(
        lambda cls: (
            Sample(cls(), ((2, 15), (5, 3, 2))),
            Sample(cls(), ((33, 17), (17, 33))),
            Sample(cls(), ((1, 1), ())),
            Sample(cls(), ((0, 3), (3, 0, 5))),
            Sample(cls(), ((2, 3, 5), (6, 5)), dtype="float64"),
            Sample(cls(), ((3, 7), (21,)), dtype="int32", low=-9, high=9, gradient=False),
        )
    )

    def infer_shape(self, u: Unifier, x: ShapeView, like: ShapeView) -> tuple[Any, ...]:
        if x.rank is not None and like.rank is not None:
            total = dims.product(list(x.dims))
            u.equal(total, dims.product(list(like.dims)), "x and like must have as many elements")
        return (like,)

    def infer_dtype(self, u: Unifier, x: DTypeView, like: DTypeView) -> tuple[Any, ...]:
        return (x,)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (make("reshape_like", grads[0], ins[0]), None)

    def simplify(self, ins: tuple[Symbol, ...]) -> Symbol | None:
        """A reshape to a known shape, which does not keep `like` alive."""
        x, like = ins
        simpler = View.simplify(self, ins)
        if simpler is not None or like.shape is None:
            return simpler
        if 0 in like.shape or not is_carried(like.shape, x):
            return None
        return Reshape(like.shape)(x)  # type: ignore[no-any-return]

    def reference(self, x: Array, like: Array) -> Any:
        return x.reshape(like.shape)


@register
@dataclass(frozen=True, slots=True)
class Flatten(View):
    """y = x with the axes from `start_axis` to `end_axis` (inclusive) merged into one.

    With `end_axis` one below `start_axis` an axis of extent 1 is put in before `start_axis`.
    Shapes: x [*a, *b, *c] -> y [*a, prod(b), *c].   Dtypes: any, kept.
    """

    start_axis: int = 1
    end_axis: int = -1
    name = "flatten"
    samples = Samples(
        lambda cls: (
            Sample(cls(), ((2, 3, 5),)),
            Sample(cls(), ((17, 33),)),
            Sample(cls(0, -1), ((2, 3, 5),), dtype="float64"),
            Sample(cls(0, -2), ((2, 3, 5),)),
            Sample(cls(0, -2), ((7,),)),
            Sample(cls(1, 2), ((2, 3, 5, 4),)),
            Sample(cls(), ((1,),)),
            Sample(cls(0), ((),)),
            Sample(cls(), ((0, 3, 5),)),
            Sample(cls(), ((3, 7, 2),), dtype="int32", low=-9, high=9, gradient=False),
        )
    )

    def _range(self, rank: int) -> tuple[int, int]:
        start = self.start_axis if self.start_axis >= 0 else self.start_axis + rank
        end = self.end_axis if self.end_axis >= 0 else self.end_axis + rank
        return start, end + 1

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        rank = len(x)
        start, end = self._range(rank)
        u.require(
            0 <= start <= end <= rank,
            f"cannot merge axes {self.start_axis} to {self.end_axis} of {rank} axes",
        )
        return (self.result_shape(x.dims),)

    def result_shape(self, x: Sequence[Dim]) -> tuple[Dim, ...]:
        start, end = self._range(len(x))
        return (*x[:start], dims.product(list(x[start:end])), *x[end:])

    def reference(self, x: Array) -> Any:
        start, end = self._range(x.ndim)
        return x.reshape(*x.shape[:start], int(np.prod(x.shape[start:end])), *x.shape[end:])


@register
@dataclass(frozen=True, slots=True)
class Squeeze(View):
    """y = x without the axes of extent 1 named by `axis` (None: all that are known to be 1).

    Shapes: x [*s] -> y without them.   Dtypes: any, kept.   Raises: ShapeError for another extent.
    """

    axis: Any = None
    name = "squeeze"
    samples = Samples(
        lambda cls: (
            Sample(cls(), ((2, 1, 5, 1),)),
            Sample(cls(1), ((17, 1, 33),)),
            Sample(cls((0, -1)), ((1, 3, 5, 1),), dtype="float64"),
            Sample(cls(), ((),)),
            Sample(cls(-1), ((0, 3, 1),)),
            Sample(cls((0,)), ((1, 7),), dtype="int32", low=-9, high=9, gradient=False),
        )
    )

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        out = u.output().rank
        if x.rank is None and out is not None and self.axis is not None:
            u.rank(x, out + (1 if isinstance(self.axis, int) else len(self.axis)))
        if self.axis is not None:
            for n in checked_axes(u, self.axis, len(x)):
                u.equal(x[n], 1, f"x.shape[{n}] must equal 1 to be squeezed")
        elif any(not dims.is_closed(d) for d in x.dims):
            return (u.unknown_shape("squeezed"),)
        return (self.result_shape(x.dims),)

    def result_shape(self, x: Sequence[Dim]) -> tuple[Dim, ...]:
        if self.axis is None:
            return tuple(d for d in x if d != 1)
        axes = axes_of(self.axis, len(x))
        return tuple(d for n, d in enumerate(x) if n not in axes)

    def reference(self, x: Array) -> Any:
        return np.squeeze(x, self.axis)


@register
@dataclass(frozen=True, slots=True)
class ExpandDims(View):
    """y = x with axes of extent 1 put in, so that they stand at `axis` of y.

    Shapes: x [*s] -> y with 1 at each of `axis`.   Dtypes: any, kept.
    """

    axis: Any
    name = "expand_dims"
    samples = Samples(
        lambda cls: (
            Sample(cls(1), ((17, 33),)),
            Sample(cls((0, -1)), ((2, 5),), dtype="float64"),
            Sample(cls(0), ((),)),
            Sample(cls(-1), ((0, 3),)),
            Sample(cls((1, 2)), ((1, 7),), dtype="int32", low=-9, high=9, gradient=False),
        )
    )

    def _count(self) -> int:
        return 1 if isinstance(self.axis, int) else len(self.axis)

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        out = u.output().rank
        if x.rank is None and out is not None:
            u.rank(x, out - self._count())
        checked_axes(u, self.axis, len(x) + self._count())
        return (self.result_shape(x.dims),)

    def result_shape(self, x: Sequence[Dim]) -> tuple[Dim, ...]:
        axes = axes_of(self.axis, len(x) + self._count())
        rest = iter(x)
        return tuple(1 if n in axes else next(rest) for n in range(len(x) + self._count()))

    def reference(self, x: Array) -> Any:
        return np.expand_dims(x, self.axis)


@register
@dataclass(frozen=True, slots=True)
class Transpose(Op):
    """y = x with its axes in the order `axes` (None: reversed).

    Shapes: x [*s] -> y [s[axes[0]], s[axes[1]], ...].   Dtypes: any, kept.
    """

    axes: Any = None
    name = "transpose"
    samples = Samples(
        lambda cls: (
            Sample(cls(), ((2, 3, 5),)),
            Sample(cls((1, 0)), ((17, 33),)),
            Sample(cls((2, 0, 1)), ((2, 3, 5),), dtype="float64"),
            Sample(cls((0, -1, 1)), ((2, 3, 5),)),
            Sample(cls(), ((),)),
            Sample(cls(), ((1, 5),)),
            Sample(cls(), ((0, 3),)),
            Sample(cls((1, 0)), ((3, 7),), dtype="int32", low=-9, high=9, gradient=False),
        )
    )

    def _order(self, rank: int) -> tuple[int, ...]:
        if self.axes is None:
            return tuple(reversed(range(rank)))
        return tuple(a % rank for a in self.axes)

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        out = u.output().rank
        if self.axes is not None:
            u.rank(x, len(self.axes))
            checked_axes(u, tuple(self.axes), len(x))
        elif x.rank is None and out is not None:
            u.rank(x, out)
        return (tuple(x[a] for a in self._order(len(x))),)

    def _inverse(self, rank: int) -> tuple[int, ...]:
        order = self._order(rank)
        return tuple(order.index(n) for n in range(rank))

    def forward(self, x: Tensor) -> Compute:
        order, inverse = self._order(x.ndim), self._inverse(x.ndim)
        shape = [x.shape[a] for a in order]
        return compute(shape, lambda *i: x[tuple(i[n] for n in inverse)])

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        if self.axes is None:
            return (Transpose()(grads[0]),)
        return (Transpose(self._inverse(len(self.axes)))(grads[0]),)

    def simplify(self, ins: tuple[Symbol, ...]) -> Symbol | None:
        """The order kept; a transpose of a transpose is one; moved extents of 1 are a view."""
        (x,) = ins
        if x.ndim is None or x.shape is None:
            return None
        order = self._order(x.ndim)
        if order == tuple(range(x.ndim)):
            return x
        if isinstance(x.node.op, Transpose):
            before = x.node.op._order(x.ndim)
            source = Symbol(x.node.inputs[0])
            return Transpose(tuple(before[a] for a in order))(source)  # type: ignore[no-any-return]
        solid = [a for a in order if x.shape[a] != 1]
        if solid == sorted(solid) and all(dims.is_closed(d) and d != 0 for d in x.shape):
            return Reshape(tuple(x.shape[a] for a in order))(x)  # type: ignore[no-any-return]
        return None

    def reference(self, x: Array) -> Any:
        return np.transpose(x, self.axes)


@specified_by(Reshape)
def reshape(x: Symbol, shape: Any, *, name: str | None = None) -> Symbol:
    """The elements of x under another shape, which may hold codes.

    Raises: ShapeError when the number of elements differs.
    """
    entries = (shape,) if isinstance(shape, (int, str, dims.Symbolic)) else tuple(shape)
    op = Reshape(tuple(as_dim(d, "reshape") if isinstance(d, str) else d for d in entries))
    return op(x, name=name)  # type: ignore[no-any-return]


@specified_by(ReshapeLike)
def reshape_like(x: Symbol, like: Symbol, *, name: str | None = None) -> Symbol:
    """The elements of x under another symbol's shape."""
    return ReshapeLike()(x, like, name=name)  # type: ignore[no-any-return]


@specified_by(Flatten)
def flatten(
    x: Symbol, start_axis: int = 1, end_axis: int = -1, *, name: str | None = None
) -> Symbol:
    """Axes merged into one, by default all but the first."""
    return Flatten(start_axis, end_axis)(x, name=name)  # type: ignore[no-any-return]


@specified_by(Squeeze)
def squeeze(x: Symbol, axis: Any = None, *, name: str | None = None) -> Symbol:
    """Axes of extent 1 dropped."""
    return Squeeze(as_axes(axis))(x, name=name)  # type: ignore[no-any-return]


@specified_by(ExpandDims)
def expand_dims(x: Symbol, axis: Any, *, name: str | None = None) -> Symbol:
    """Axes of extent 1 put in."""
    return ExpandDims(as_axes(axis))(x, name=name)  # type: ignore[no-any-return]


@specified_by(Transpose)
def transpose(x: Symbol, axes: Any = None, *, name: str | None = None) -> Symbol:
    """Axes reordered, by default reversed."""
    return Transpose(as_axes(axes))(x, name=name)  # type: ignore[no-any-return]


def _rank(x: Symbol, what: str) -> int:
    if x.ndim is None:
        raise AttributeValueError(f"{what}: the rank of {x!r} must be known; declare its shape")
    return x.ndim


def moveaxis(x: Symbol, source: Any, destination: Any, *, name: str | None = None) -> Symbol:
    """Axes moved to other places, the others in their order; as numpy.moveaxis."""
    rank = _rank(x, "moveaxis")
    sources, targets = axes_of(as_axes(source), rank), axes_of(as_axes(destination), rank)
    order = [n for n in range(rank) if n not in sources]
    for target, origin in sorted(zip(targets, sources, strict=True)):
        order.insert(target, origin)
    return transpose(x, tuple(order), name=name)


def swapaxes(x: Symbol, axis1: int, axis2: int, *, name: str | None = None) -> Symbol:
    """Two axes exchanged; as numpy.swapaxes."""
    order = list(range(_rank(x, "swapaxes")))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return transpose(x, tuple(order), name=name)


__all__ = [
    "expand_dims",
    "flatten",
    "moveaxis",
    "reshape",
    "reshape_like",
    "squeeze",
    "swapaxes",
    "transpose",
]
