"""Parts of a tensor by position: slices and Python indexing, flip and roll."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AttributeValueError, DTypeError, ShapeError
from ..ir.op import Op, Sample, Samples, register
from ..ir.symbol import Symbol
from ..ir.tensor_type import TensorType
from ..kernel import dims
from ..kernel.compute import Compute, Tensor, all_of, compute
from ..kernel.dims import Dim
from ..kernel.ir import IndexValue, call, const, where
from .base import Array, Gradients, as_axes, axes_of, checked_axes, make, specified_by

if TYPE_CHECKING:
    from ..ir.infer import DTypeView, ShapeView, Unifier

Item = tuple["int | None", "int | None", int]
"""(start, stop, step) of one axis, with Python's meaning of negative values and None."""
WHOLE: Item = (None, None, 1)


def bounds_of(item: Item, extent: Dim) -> tuple[Dim, Dim]:
    """(start, length) of a slice of an axis; Python's rules, for symbolic extents too."""
    start, stop, step = item
    if isinstance(extent, int):
        chosen = range(*slice(start, stop, step).indices(extent))
        return (chosen.start if len(chosen) else 0), len(chosen)
    low, high = (0, extent) if step > 0 else (-1, dims.add(extent, -1))

    def place(value: int | None, default: Dim) -> Dim:
        if value is None:
            return default
        if value < 0:
            return dims.maximum(dims.add(extent, value), low)
        return dims.minimum(value, high)

    first = place(start, low if step > 0 else high)
    last = place(stop, high if step > 0 else low)
    gap = dims.add(last, dims.mul(first, -1)) if step > 0 else dims.add(first, dims.mul(last, -1))
    return first, dims.maximum(dims.ceildiv(gap, abs(step)), 0)


def _items(items: Sequence[Item], rank: int) -> list[Item]:
    return [*items, *[WHOLE] * (rank - len(items))]


def _learn(u: Unifier, item: Item, extent: Dim, out: Dim, why: str) -> Dim:
    """The length of a slice of an axis not known yet, and what the length says of the axis."""
    start, stop, step = item
    if item == WHOLE or (start is None and stop is None and abs(step) == 1):
        u.equal(out, extent, why)
        return u.resolve(extent)
    if not isinstance(out, int) or out == 0 or step != 1:
        return out
    if start is not None and start < 0:
        return out  # the axis may be longer
    first = 0 if start is None else start
    if stop is None:
        u.equal(extent, first + out, why)
    elif stop < 0:
        u.equal(extent, first + out - stop, why)
    elif out < stop - first:
        u.equal(extent, first + out, why)
    return out


_CASES: tuple[tuple[tuple[Item, ...], tuple[int, ...]], ...] = (
    (((1, 3, 1),), (5, 7)),
    (((None, None, 2), (1, None, 3)), (17, 33)),
    (((None, None, -1), (None, -1, 1)), (3, 5)),
    (((-2, None, 1), (4, 1, -2)), (3, 7)),
    (((10, None, 1),), (5, 3)),
    (((0, 1, 1), (2, 2, 1)), (2, 1, 3)),
    ((WHOLE, (0, 100, 1)), (0, 3)),
    (((-100, 2, 1),), (3, 5)),
)


def _slice_samples(make_one: Any) -> list[Sample]:
    cases = [make_one(items, shape, "float32") for items, shape in _CASES]
    return [
        *cases,
        make_one((), (), "float32"),
        make_one(((1, 3, 1),), (5, 7), "float64"),
        make_one(((None, None, -2),), (5, 7), "int32"),
    ]


@register
@dataclass(frozen=True, slots=True)
class Slice(Op):
    """y = x[start:stop:step, ...], one (start, stop, step) for each leading axis.

    Bounds follow Python: negative ones count from the end, those outside are clamped.
    Shapes: x [*s] -> y with the lengths of the slices.   Dtypes: any, kept.
    """

    items: tuple[Item, ...]
    name = "slice"
    samples = Samples(
        lambda cls: _slice_samples(
            lambda items, shape, dtype: Sample(
                cls(items), (shape,), dtype=dtype, low=-9 if dtype == "int32" else -1,
                high=9 if dtype == "int32" else 1, gradient=dtype != "int32",
            )
        )
    )  # fmt: skip

    def check_attributes(self) -> None:
        if any(step == 0 for _, _, step in self.items):
            raise AttributeValueError("slice: a step must not be 0")

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        view = u.output()
        if x.rank is None and view.rank is not None:
            u.rank(x, view.rank)
        shape = u.at_least(x, len(self.items))
        result: list[Dim] = []
        for n, (item, extent) in enumerate(zip(_items(self.items, len(shape)), shape, strict=True)):
            if dims.is_closed(extent):
                result.append(bounds_of(item, extent)[1])
            else:
                out = u.fresh(("length", n)) if view.rank is None else view[n]
                result.append(_learn(u, item, extent, out, f"slice of x.shape[{n}]"))
        return (tuple(result),)

    def cut_starts(self, ins: Sequence[TensorType]) -> tuple[tuple[Dim, ...], ...] | None:
        shape = ins[0].shape
        assert shape is not None
        items = _items(self.items, len(shape))
        if any(step != 1 for _, _, step in items):
            return None
        return (tuple(bounds_of(i, extent)[0] for i, extent in zip(items, shape, strict=True)),)

    def forward(self, x: Tensor) -> Compute:
        items = _items(self.items, x.ndim)
        places = [bounds_of(item, extent) for item, extent in zip(items, x.shape, strict=True)]

        def element(*i: Any) -> Any:
            return x[
                tuple(
                    i[n] * items[n][2] + start if items[n][2] != 1 else i[n] + start
                    for n, (start, _) in enumerate(places)
                )
            ]

        return compute([length for _, length in places], element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (make("slice_gradient", grads[0], ins[0], items=self.items),)

    def simplify(self, ins: tuple[Symbol, ...]) -> Symbol | None:
        """A slice of everything."""
        (x,) = ins
        if all(item == WHOLE for item in self.items):
            return x
        if x.shape is None or not all(isinstance(d, int) for d in x.shape):
            return None
        items = _items(self.items, len(x.shape))
        whole = all(
            item[2] == 1 and bounds_of(item, d) == (0, d)
            for item, d in zip(items, x.shape, strict=True)
        )
        return x if whole else None

    def reference(self, x: Array) -> Any:
        return x[tuple(slice(*item) for item in self.items)]

    @staticmethod
    def from_index(x: Symbol, index: Any) -> Symbol:
        """What `x[index]` means: ints, slices, Ellipsis, None for a new axis, one integer array.

        An int drops its axis and moves no other, beside an integer array too.

        Raises: ShapeError, DTypeError for what cannot be known or is not allowed.
        """
        return _Index(x, index if isinstance(index, tuple) else (index,)).run()


class _Index:
    """One Python index, taken apart."""

    def __init__(self, x: Symbol, parts: tuple[Any, ...]) -> None:
        self.x = x
        self.parts = self._without_ellipsis(parts)
        self.items: list[Item] = []
        self.dropped: list[int] = []
        self.taken: tuple[int, Any] | None = None

    def _without_ellipsis(self, parts: tuple[Any, ...]) -> list[Any]:
        places = [n for n, p in enumerate(parts) if p is Ellipsis]
        if len(places) > 1:
            raise ShapeError("an index can hold only one Ellipsis")
        used = sum(1 for p in parts if p is not None and p is not Ellipsis)
        rank = self.x.ndim
        if rank is not None and used > rank:
            raise ShapeError(
                f"too many indices: {self.x!r} has {rank} axes, the index names {used}"
            )
        if not places:
            return list(parts)
        front, back = list(parts[: places[0]]), list(parts[places[0] + 1 :])
        if not back:
            return front
        if rank is None:
            raise ShapeError(f"indices after an Ellipsis need the rank of {self.x!r}; declare it")
        return [*front, *[slice(None)] * (rank - used), *back]

    def run(self) -> Symbol:
        for part in self.parts:
            if part is not None:
                self._axis(part, len(self.items))
        result = self.x
        if any(item != WHOLE for item in self.items):
            result = Slice(tuple(self.items))(result)
        if self.taken is not None:
            axis, indices = self.taken
            result = make("take", result, indices, axis=axis)
        return self._axes(result)

    def _axes(self, result: Symbol) -> Symbol:
        """Axes of single positions dropped, new axes put in."""
        extra = 0 if self.taken is None else _rank_of(self.taken[1]) - 1
        position = 0 if self.taken is None else self.taken[0]
        dropped = tuple(n + (extra if self.taken and n > position else 0) for n in self.dropped)
        if dropped:
            result = make("squeeze", result, axis=dropped)
        fresh: list[int] = []
        place = axis = 0
        for part in self.parts:
            if part is None:
                fresh.append(place)
                place += 1
                continue
            if axis not in self.dropped:
                place += 1 + (extra if self.taken and axis == position else 0)
            axis += 1
        return make("expand_dims", result, axis=tuple(fresh)) if fresh else result

    def _axis(self, part: Any, axis: int) -> None:
        if isinstance(part, slice):
            values = [
                None if v is None else _integer(v) for v in (part.start, part.stop, part.step)
            ]
            self.items.append((values[0], values[1], 1 if values[2] is None else values[2]))
        elif isinstance(part, (bool, np.bool_)) or _is_bool(part):
            raise DTypeError(
                "a boolean index gives an extent that depends on the data, which no shape can say; "
                "use sg.where(condition, x, 0) instead"
            )
        elif isinstance(part, (Symbol, np.ndarray, list)) and not _is_plain(part):
            if self.taken is not None:
                raise ShapeError("only one axis can be indexed by an array; use sg.gather")
            self.items.append(WHOLE)
            self.taken = (axis, part if isinstance(part, Symbol) else np.asarray(part))
        else:
            self._single(_integer(part), axis)

    def _single(self, number: int, axis: int) -> None:
        extent = None if self.x.shape is None else self.x.shape[axis]
        if isinstance(extent, int) and not -extent <= number < extent:
            raise ShapeError(f"index {number} is out of range: axis {axis} of {self.x!r} has "
                             f"extent {extent}")  # fmt: skip
        self.items.append((number, None if number == -1 else number + 1, 1))
        self.dropped.append(axis)


def _is_plain(part: Any) -> bool:
    return isinstance(part, np.ndarray) and part.ndim == 0


def _is_bool(part: Any) -> bool:
    if isinstance(part, Symbol):
        return part.dtype is not None and part.dtype.is_bool
    return isinstance(part, (np.ndarray, list)) and np.asarray(part).dtype == np.bool_


def _rank_of(indices: Any) -> int:
    rank = indices.ndim
    if rank is None:
        raise ShapeError(f"indexing needs the rank of the indices {indices!r}; declare it")
    return int(rank)


def _integer(value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise DTypeError(
            f"an index must be an int, a slice, None, Ellipsis or integer array, got {value!r}"
        ) from None


@register
@dataclass(frozen=True, slots=True)
class SliceGradient(Op):
    """y = zeros of the shape of `like`, with x written over y[items]: the gradient of slice.

    Of `like` only the shape is read.   Shapes: x [lengths], like [*s] -> y [*s].
    Dtypes: any, kept.
    """

    items: tuple[Item, ...]
    name = "slice_gradient"
    no_gradient = ("like",)
    samples = Samples(
        lambda cls: _slice_samples(
            lambda items, shape, dtype: Sample(
                cls(items),
                (np.zeros(shape)[tuple(slice(*i) for i in items)].shape, shape),
                dtype=dtype, low=-9 if dtype == "int32" else -1,
                high=9 if dtype == "int32" else 1, gradient=dtype != "int32",
            )
        )
    )  # fmt: skip

    def infer_shape(self, u: Unifier, x: ShapeView, like: ShapeView) -> tuple[Any, ...]:
        return (like,)

    def infer_dtype(self, u: Unifier, x: DTypeView, like: DTypeView) -> tuple[Any, ...]:
        return (x,)

    def forward(self, x: Tensor, like: Tensor) -> Compute:
        items = _items(self.items, like.ndim)

        def element(*i: Any) -> Any:
            index: list[Any] = []
            conditions = []
            for n, (item, extent) in enumerate(zip(items, like.shape, strict=True)):
                if item == WHOLE:
                    index.append(i[n])
                    continue
                start, length = bounds_of(item, extent)
                step = item[2]
                away = i[n] - start if step > 0 else IndexValue(start) - i[n]
                conditions.append(call("le", const(0, "int64"), away))
                place = away // abs(step) if abs(step) != 1 else away
                conditions.append(call("lt", place, IndexValue(length)))
                if abs(step) != 1:
                    conditions.append(call("eq", away % abs(step), const(0, "int64")))
                index.append(place)
            value = x[tuple(index)]
            return where(all_of(*conditions), value, 0) if conditions else value

        return compute(like.shape, element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (Slice(self.items)(grads[0]), None)

    def reference(self, x: Array, like: Array) -> Any:
        result = np.zeros(like.shape, x.dtype)
        result[tuple(slice(*item) for item in self.items)] = x
        return result


@register
@dataclass(frozen=True, slots=True)
class Flip(Op):
    """y = x with the order of the elements along `axis` (None: every axis) reversed.

    Shapes: any, kept.   Dtypes: any, kept.
    """

    axis: int | tuple[int, ...] | None = None
    name = "flip"
    samples = Samples(
        lambda cls: (
            Sample(cls(), ((2, 3, 5),)),
            Sample(cls(1), ((17, 33),)),
            Sample(cls((0, -1)), ((2, 3, 5),), dtype="float64"),
            Sample(cls(), ((),)),
            Sample(cls(0), ((1, 5),)),
            Sample(cls(0), ((0, 3),)),
            Sample(cls(1), ((3, 7),), dtype="int32", low=-9, high=9, gradient=False),
        )
    )

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        if x.rank is not None:
            checked_axes(u, self.axis, len(x))
        return (x,)

    def forward(self, x: Tensor) -> Compute:
        axes = axes_of(self.axis, x.ndim)

        def element(*i: Any) -> Any:
            index = (IndexValue(x.shape[n]) - 1 - v if n in axes else v for n, v in enumerate(i))
            return x[tuple(index)]

        return compute(x.shape, element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (Flip(self.axis)(grads[0]),)

    def reference(self, x: Array) -> Any:
        return np.flip(x, self.axis)


@register
@dataclass(frozen=True, slots=True)
class Roll(Op):
    """y = x with its elements moved by `shift` places along `axis`, those that leave come back.

    Shapes: any, kept.   Dtypes: any, kept.
    """

    shift: tuple[int, ...]
    axis: tuple[int, ...]
    name = "roll"
    samples = Samples(
        lambda cls: (
            Sample(cls((2,), (1,)), ((3, 5),)),
            Sample(cls((-1, 40), (0, -1)), ((17, 33),)),
            Sample(cls((1, 1), (0, 2)), ((2, 1, 5),), dtype="float64"),
            Sample(cls((2,), (0,)), ((0, 3),)),
            Sample(cls((), ()), ((),)),
            Sample(cls((-3,), (1,)), ((3, 7),), dtype="int32", low=-9, high=9, gradient=False),
        )
    )

    def check_attributes(self) -> None:
        if len(self.shift) != len(self.axis):
            raise AttributeValueError(
                f"roll: one shift for each axis: {len(self.shift)} != {len(self.axis)}"
            )

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        if x.rank is not None:
            checked_axes(u, self.axis, len(x))
        return (x,)

    def forward(self, x: Tensor) -> Compute:
        shifts = dict(zip(axes_of(self.axis, x.ndim), self.shift, strict=True))

        def element(*i: Any) -> Any:
            index = list(i)
            for n, shift in shifts.items():
                if x.shape[n] != 0:
                    index[n] = (i[n] - shift) % x.shape[n]
            return x[tuple(index)]

        return compute(x.shape, element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (Roll(tuple(-s for s in self.shift), self.axis)(grads[0]),)

    def reference(self, x: Array) -> Any:
        return np.roll(x, self.shift, self.axis) if self.axis else x


@specified_by(Flip)
def flip(x: Symbol, axis: Any = None, *, name: str | None = None) -> Symbol:
    """The order of elements reversed along axes."""
    return Flip(as_axes(axis))(x, name=name)  # type: ignore[no-any-return]


def roll(x: Symbol, shift: Any, axis: Any = None, *, name: str | None = None) -> Symbol:
    """Elements moved around along axes; without an axis, of the flattened x.  See Roll."""
    if axis is None:
        flat = make("flatten", x, start_axis=0, end_axis=-1)
        return make("reshape_like", roll(flat, shift, 0, name=name), x)
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    shifts = (shift,) * len(axes) if isinstance(shift, int) else tuple(shift)
    return Roll(shifts, axes)(x, name=name)  # type: ignore[no-any-return]


__all__ = ["flip", "roll"]
