"""Parts of a tensor by position: slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import AttributeValueError
from ..ir.op import Op
from ..ir.registry import register
from ..ir.sample import Sample, Samples
from ..ir.symbol import Symbol
from ..ir.tensor_type import TensorType
from ..kernel import dims
from ..kernel.compute import Compute, Tensor, compute
from ..kernel.dims import Dim
from .base import Array, Gradients, make
from .python_index import WHOLE, Item, PythonIndex

if TYPE_CHECKING:
    from ..ir.infer import ShapeView, Unifier


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


def all_items(items: Sequence[Item], rank: int) -> list[Item]:
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


def slice_samples(make_one: Any) -> list[Sample]:
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
        lambda cls: slice_samples(
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
        for n, (item, extent) in enumerate(
            zip(all_items(self.items, len(shape)), shape, strict=True)
        ):
            if dims.is_closed(extent):
                result.append(bounds_of(item, extent)[1])
            else:
                out = u.fresh(("length", n)) if view.rank is None else view[n]
                result.append(_learn(u, item, extent, out, f"slice of x.shape[{n}]"))
        return (tuple(result),)

    def cut_starts(self, ins: Sequence[TensorType]) -> tuple[tuple[Dim, ...], ...] | None:
        shape = ins[0].shape
        assert shape is not None
        items = all_items(self.items, len(shape))
        if any(step != 1 for _, _, step in items):
            return None
        return (tuple(bounds_of(i, extent)[0] for i, extent in zip(items, shape, strict=True)),)

    def forward(self, x: Tensor) -> Compute:
        items = all_items(self.items, x.ndim)
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
        items = all_items(self.items, len(x.shape))
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
        return PythonIndex(x, index if isinstance(index, tuple) else (index,)).run()
