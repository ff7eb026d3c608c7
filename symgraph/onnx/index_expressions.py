"""Any native operator, from its index expressions: what its `forward` says of each element.

    y[i, j] = where(j <= i, x[i, j], 0)          Where(LessOrEqual(j, i), x, 0)
    y[i, j] = sum over r of a[i, r] * b[r, j]    Einsum(a, b, "ac,cb->ab")
    y[i, j] = x[j, 2*i + 1]                      Transpose(Gather(x, 2*i + 1, axis=1))

Each value is an array over the indices it depends on (see `elements.py`).  A tensor that is read at
plain indices is itself; along an axis with an index of its own its elements are gathered; read at
indices that depend on one another, it is gathered flat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..kernel import dims
from ..kernel.compute import Compute, Tensor
from ..kernel.dims import Atom, Dim, DimVar, FloorDiv, LoopVar, Maximum, Minimum, Mod
from ..kernel.dtypes import DType, int64
from ..kernel.functions import FUNCTIONS
from ..kernel.ir import (
    Axis,
    Call,
    Cast,
    Const,
    DataIndex,
    Expr,
    IndexValue,
    Load,
    Reduce,
    Select,
    neutral,
)
from ..kernel.parts import producers_first
from .elements import LARGEST_KNOWN, Elements, ElementWriter, folded, known, union
from .scalar_functions import SPELLINGS, converted, select

if TYPE_CHECKING:
    from .writer import Writer

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_REDUCTIONS = {"sum": "ReduceSum", "prod": "ReduceProd", "max": "ReduceMax", "min": "ReduceMin"}
_OPERATIONS: dict[type[Atom], str] = {
    FloorDiv: "floordiv",
    Mod: "mod",
    Minimum: "min",
    Maximum: "max",
}


class IndexExpressions(ElementWriter):
    """Writes computations over the tensors that have names in the model."""

    def __init__(self, writer: Writer, tensors: Mapping[Tensor, str | Elements]) -> None:
        super().__init__(writer)
        self.tensors = dict(tensors)
        self.numbers: dict[LoopVar, int] = {}
        self.extents: list[Dim] = []
        self._done: dict[tuple[int, bool], tuple[Expr, Elements]] = {}

    def run(self, results: Sequence[Compute]) -> list[str]:
        """The names of the computations."""
        for compute in producers_first(results):
            if compute not in self.tensors:
                self._number(compute.axes)
                self.tensors[compute] = self._whole(self._value(compute.body, False), compute)
        return [str(self.tensors[compute]) for compute in results]

    def extent(self, dim: Dim) -> str:
        """The number that an extent is, of no axes."""
        return self.name(self._dim(dim))

    def _number(self, axes: Sequence[Axis]) -> None:
        for axis in axes:
            if axis.var not in self.numbers:
                self.numbers[axis.var] = len(self.extents)
                self.extents.append(axis.extent)

    def _whole(self, x: Elements, compute: Compute) -> str:
        """An array with all axes of a computation."""
        own = [self.numbers[axis.var] for axis in compute.axes]
        missing = [n for n, a in enumerate(own) if a not in x.axes]
        if not missing:
            return self.name(x)
        if all(compute.shape[n] == 1 for n in missing):
            return self.w.emit("Unsqueeze", [self.name(x), self.w.ints(missing)])
        return self.w.emit("Expand", [self.name(self.aligned(x, own)), self.w.shape(compute.shape)])

    # -- values ------------------------------------------------------------------------------------

    def _value(self, e: Expr, guarded: bool) -> Elements:
        """`guarded`: under a condition, so that loads may leave the tensor where it fails."""
        if (id(e), guarded) not in self._done:
            self._done[id(e), guarded] = (e, self._made(e, guarded))
        return self._done[id(e), guarded][1]

    def _made(self, e: Expr, guarded: bool) -> Elements:
        match e:
            case Const(value=value, dtype=dtype):
                return known(np.asarray(value, dtype.numpy))
            case IndexValue(dim=dim):
                return self._dim(dim, guarded)
            case Load():
                return self._load(e, guarded)
            case Call(function=function, args=args, dtype=dtype):
                return self._call(function, [self._value(a, guarded) for a in args], dtype)
            case Cast(value=value, dtype=dtype):
                return converted(self, self._value(value, guarded), dtype)
            case Select(condition=condition, then=then, otherwise=otherwise):
                c = self._value(condition, guarded)
                a, b = self._value(then, True), self._value(otherwise, True)
                made = folded(np.where, (c, a, b), a.dtype)
                return select(self, c, a, b) if made is None else made
            case Reduce():
                return self._reduce(e, guarded)
            case _:
                raise AssertionError(e)

    def _call(self, function: str, args: Sequence[Elements], dtype: DType) -> Elements:
        made = folded(FUNCTIONS[function].numpy, args, dtype)
        return SPELLINGS[function](self, *args) if made is None else made

    # -- indices -----------------------------------------------------------------------------------

    def _integers(self, function: str, a: Elements, b: Elements) -> Elements:
        return self._call(function, (a, b), int64)

    def _dim(self, dim: Dim, guarded: bool = False) -> Elements:
        if isinstance(dim, int):
            return known(np.asarray(dim, np.int64))
        if isinstance(dim, Atom):
            return self._atom(dim, guarded)
        terms, constant = dims.terms_of(dim)
        total: Elements | None = None
        for monomial, coefficient in terms:
            part = self._atom(monomial[0], guarded)
            for atom in monomial[1:]:
                part = self._integers("mul", part, self._atom(atom, guarded))
            if coefficient != 1:
                part = self._integers("mul", part, self._dim(coefficient))
            total = part if total is None else self._integers("add", total, part)
        assert total is not None
        return total if not constant else self._integers("add", total, self._dim(constant))

    def _atom(self, atom: Atom, guarded: bool) -> Elements:
        if isinstance(atom, LoopVar):
            return self._counted(self.numbers[atom])
        if isinstance(atom, DimVar):
            return Elements(self.w.open_extent(atom), (), int64)
        if isinstance(atom, DataIndex):
            return self._clamped(self.cast(self._value(atom.value, guarded), int64), atom.extent)
        a, b = (self._dim(d, guarded) for d in atom.children())
        return self._integers(_OPERATIONS[type(atom)], a, b)

    def _counted(self, number: int) -> Elements:
        """0, 1, ... below an index's extent."""
        extent = self.extents[number]
        if isinstance(extent, int) and extent <= LARGEST_KNOWN:
            return known(np.arange(extent), (number,))
        bounds = [self.w.scalar(0, int64), self.w.extent(extent), self.w.scalar(1, int64)]
        return Elements(self.w.emit("Range", bounds), (number,), int64)

    def _clamped(self, x: Elements, extent: Dim) -> Elements:
        last = self._dim(dims.add(extent, -1))
        return self._integers("max", self._integers("min", x, last), self._dim(0))

    # -- loads -------------------------------------------------------------------------------------

    def _load(self, e: Load, guarded: bool) -> Elements:
        source, shape = self.tensors[e.tensor], e.tensor.shape
        if isinstance(source, Elements):
            return source
        if 0 in shape:
            return known(np.zeros((), e.dtype.numpy))  # nothing to read: no element needs it
        places = [self._place(d, extent, guarded) for d, extent in zip(e.index, shape, strict=True)]
        used = [a for p in places for a in ((p,) if isinstance(p, int) else p.axes)]
        if len(used) == len(set(used)):
            return self._gathered(source, places, e.dtype)
        return self._gathered_flat(source, places, shape, e.dtype)

    def _place(self, index: Dim, extent: Dim, guarded: bool) -> int | Elements:
        """Where an axis is read: at a plain index of the whole axis, or elsewhere."""
        if isinstance(index, LoopVar):
            number = self.numbers[index]
            if self.extents[number] == extent:
                return number
        place = self._dim(index, guarded)
        return self._clamped(place, extent) if guarded else place

    def _gathered(self, name: str, places: Sequence[int | Elements], dtype: DType) -> Elements:
        """Axis by axis, the last first, so that the places of those before it stay."""
        axes: list[int] = []
        for axis, place in reversed(list(enumerate(places))):
            if isinstance(place, int):
                axes.insert(0, place)
                continue
            name = self.w.emit("Gather", [name, self.name(place)], axis=axis)
            axes[:0] = place.axes
        order = sorted(range(len(axes)), key=axes.__getitem__)
        if order != list(range(len(axes))):
            name = self.w.emit("Transpose", [name], perm=order)
        return Elements(name, tuple(sorted(axes)), dtype)

    def _gathered_flat(
        self, name: str, places: Sequence[int | Elements], shape: Sequence[Dim], dtype: DType
    ) -> Elements:
        total = self._dim(0)
        for place, extent in zip(places, shape, strict=True):
            position = self._counted(place) if isinstance(place, int) else place
            scaled = self._integers("mul", total, self._dim(extent))
            total = self._integers("add", scaled, position)
        flat = self.w.emit("Reshape", [name, self.w.ints([-1])])
        return Elements(self.w.emit("Gather", [flat, self.name(total)], axis=0), total.axes, dtype)

    # -- reductions --------------------------------------------------------------------------------

    def _reduce(self, e: Reduce, guarded: bool) -> Elements:
        self._number(e.axes)
        if any(axis.extent == 0 for axis in e.axes):
            return known(np.asarray(neutral(e.kind, e.dtype).value, e.dtype.numpy))
        summed = [self.numbers[axis.var] for axis in e.axes]
        if e.kind == "sum" and isinstance(e.body, Call) and e.body.function == "mul":
            a, b = (self._value(x, guarded) for x in e.body.args)
            if set(summed) <= set(union(a, b)) and not (a.is_known and b.is_known):
                return self._product_sum(a, b, summed)
        body = self._value(e.body, guarded)
        axes = tuple(sorted({*body.axes, *summed}))
        name = self.name(self.aligned(body, axes))
        if axes != body.axes:
            shape = [self.extents[a] if a not in body.axes else 1 for a in axes]
            name = self.w.emit("Expand", [name, self.w.shape(shape)])
        places = self.w.ints([axes.index(a) for a in sorted(summed)])
        name = self.w.emit(_REDUCTIONS[e.kind], [name, places], keepdims=0)
        return Elements(name, tuple(a for a in axes if a not in summed), e.dtype)

    def _product_sum(self, a: Elements, b: Elements, summed: Sequence[int]) -> Elements:
        axes = union(a, b)
        letters = {axis: _LETTERS[n] for n, axis in enumerate(axes)}
        kept = tuple(axis for axis in axes if axis not in summed)
        left, right, result = (
            "".join(letters[axis] for axis in part) for part in (a.axes, b.axes, kept)
        )
        names = [self.name(a), self.name(b)]
        name = self.w.emit("Einsum", names, equation=f"{left},{right}->{result}")
        return Elements(name, kept, a.dtype)
