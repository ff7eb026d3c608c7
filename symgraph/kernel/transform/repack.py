"""Read a constant that lies in memory in another form than the schedule chose.

    acc += x[0,r] * w[u+(4*jj+v)//28,r,(4*jj+v)%28]              w in panels of 28
    acc += x[0,r] * w[(7*u+jj)//16,r,4*((7*u+jj)%16)+v]     ->   in panels of 64

The kernel computes the same numbers in the same order; only addresses change.  Vectors stay
contiguous: they lie along the same axis in both forms, within what is contiguous there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .. import dims
from ..dims import Atom, Dim, FloorDiv, LoopVar, Mod
from ..form import Digit, Form, with_axes_joined
from ..ir import Buffer, Expr, For, Kernel, Load
from ..rewrite import LoadRewriter, StmtRewriter, expressions, statements, walk


def repack(kernel: Kernel, position: int, old: Form, new: Form) -> Kernel | None:
    """The kernel that is given its input at `position` in another form of the same array; None
    where it cannot read it well."""
    if old == new:
        return kernel
    tensor = kernel.inputs[position]
    if old.extents != new.extents or tensor in kernel.outputs:
        return None
    seen = _as_seen(tensor.shape, old, new)
    if seen is None:
        return None
    old, new = seen
    lanes = {s.var: s.lanes for s in statements(kernel.body) if isinstance(s, For) and s.lanes > 1}
    fresh = Buffer(tensor.name, new.shape, tensor.dtype, tensor.scope)
    reader = _Reader(tensor, fresh, old, new, lanes)
    if any(reader.moved(load) is None for load in _loads(kernel, tensor)):
        return None
    inputs = tuple(fresh if b is tensor else b for b in kernel.inputs)
    packings = tuple(pair for pair in kernel.packings if pair[0] != position)
    return replace(kernel, inputs=inputs, body=reader.stmt(kernel.body), packings=packings)


def _as_seen(shape: Sequence[Dim], old: Form, new: Form) -> tuple[Form, Form] | None:
    """Both forms with the axes in one that a kernel passes over in one loop, [4, 4, ...] as
    [16, ...]; None where its shape is something else."""
    while old.shape != tuple(shape):
        place = next(
            (n for n, (a, b) in enumerate(zip(shape, old.shape, strict=False)) if a != b), None
        )
        if place is None or place + 1 >= len(old.digits):
            return None
        joined = [with_axes_joined(form, place) for form in (old, new)]
        if joined[0] is None or joined[1] is None or len(shape) >= len(old.digits):
            return None
        old, new = joined[0], joined[1]
    return old, new


def _loads(kernel: Kernel, tensor: Buffer) -> list[Load]:
    return [
        e
        for top in expressions(kernel.body)
        for e in walk(top)
        if isinstance(e, Load) and e.tensor is tensor
    ]


@dataclass(frozen=True, slots=True)
class _Place:
    """An index as step*width + rest, 0 <= rest < width."""

    step: Dim
    rest: Dim
    width: int

    @property
    def whole(self) -> Dim:
        return dims.add(dims.mul(self.step, self.width), self.rest)


@dataclass(frozen=True)
class _Reader(StmtRewriter):
    tensor: Buffer
    fresh: Buffer
    old: Form
    new: Form
    lanes: Mapping[LoopVar, int]

    def expr(self, expr: Expr) -> Expr:
        return LoadRewriter(self._load)(expr)

    def _load(self, load: Load) -> Expr | None:
        return self.moved(load) if load.tensor is self.tensor else None

    def moved(self, load: Load) -> Load | None:
        """The load from the new form; None where there is none that keeps vectors contiguous."""
        places = [self._place(load, axis) for axis in range(len(self.old.extents))]
        moving = {v for d in load.index for v in _atoms(d) if v in self.lanes}
        if moving and not self._is_contiguous(places, moving):
            return None
        index: list[Dim] = []
        for digit in self.new.digits:
            if digit.axis < 0:
                index.append(0)
                continue
            found = _digit(places[digit.axis], self.new, digit)
            if found is None:
                return None
            index.append(found)
        return Load(self.fresh, tuple(index))

    def _is_contiguous(self, places: list[_Place], moving: set[Atom]) -> bool:
        """Vectors run along the last memory axis of both forms alone, by steps of one."""
        along = self.new.last_axis
        if along < 0 or along != self.old.last_axis or len(moving) != 1:
            return False
        (var,) = moving
        others = {v for n, p in enumerate(places) if n != along for v in _atoms(p.whole)}
        place = places[along]
        digits = self.new.of_axis(along)
        within = len(digits) == 1 or digits[-1][1].extent % place.width == 0
        is_one = dims.coefficient(place.rest, var) == 1 and var not in set(_atoms(place.step))
        return var not in others and is_one and within

    def _place(self, load: Load, axis: int) -> _Place:
        """The index along an axis, in steps of the lanes where a vector runs along it."""
        digits = self.old.of_axis(axis)
        if len(digits) == 1:
            whole, place = load.index[digits[0][0]], _Place(load.index[digits[0][0]], 0, 1)
        else:
            (outer, coarse), (inner, _) = digits
            place = _Place(load.index[outer], load.index[inner], coarse.divisor)
            whole = _joined(place)
        moving = [v for v in self.lanes if v in set(_atoms(whole))]
        if len(moving) == 1 and dims.coefficient(whole, moving[0]) == 1:
            width = self.lanes[moving[0]]
            start = dims.add(whole, dims.mul(moving[0], -1))
            step = dims.exact_quotient(start, width)
            if step is not None:
                return _Place(step, moving[0], width)
        return place


def _digit(place: _Place, form: Form, digit: Digit) -> Dim | None:
    """The digit of an index: of one that is not cut, the coarse one, or the fine one."""
    digits = [d for _, d in form.of_axis(digit.axis)]
    if len(digits) == 1:
        return place.whole
    size = digits[0].divisor
    if len(digits) > 2 or size % place.width:
        return None
    steps = size // place.width
    if digit is digits[0]:
        return dims.floordiv(place.step, steps)
    return dims.add(dims.mul(dims.mod(place.step, steps), place.width), place.rest)


def _atoms(dim: Dim) -> list[Atom]:
    return [] if isinstance(dim, int) else list(dims.atoms(dim))


def _joined(place: _Place) -> Dim:
    """The index that was split: p + x//size and x%size give size*p + x."""
    size = place.width
    if isinstance(place.rest, Mod) and place.rest.b == size:
        start = dims.add(place.step, dims.mul(FloorDiv(place.rest.a, size), -1))
        return dims.add(dims.mul(start, size), place.rest.a)
    return place.whole
