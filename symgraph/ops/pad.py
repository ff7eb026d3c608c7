"""Elements put around a tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AttributeValueError
from ..ir.op import Op
from ..ir.registry import register
from ..ir.sample import Sample, Samples
from ..ir.symbol import Symbol, as_symbol
from ..kernel import dims
from ..kernel.compute import Compute, Tensor, all_of, compute, reduce
from ..kernel.dims import Dim
from ..kernel.ir import Expr, IndexValue, call, const, where
from .base import Array, Gradients, as_ints

if TYPE_CHECKING:
    from ..ir.infer import ShapeView, Unifier

MODES = ("constant", "edge", "reflect")


def _source(mode: str, position: Any, extent: Dim) -> Any:
    """The index into the tensor that an element `position` places after its start repeats."""
    place: Dim = position.dim if isinstance(position, IndexValue) else position
    last = dims.add(extent, -1)
    if mode == "edge":
        return IndexValue(dims.maximum(dims.minimum(place, last), 0))
    inner = dims.maximum(place, dims.mul(place, -1))
    away = dims.add(last, dims.mul(inner, -1))
    mirrored = dims.add(last, dims.mul(dims.maximum(away, dims.mul(away, -1)), -1))
    # Inside already; the bounds let intervals prove it.
    return IndexValue(dims.maximum(dims.minimum(mirrored, last), 0))


def _check(name: str, padding: Any, mode: str) -> None:
    if mode not in MODES:
        raise AttributeValueError(f"{name}: mode must be one of {', '.join(MODES)}, got {mode!r}")
    if any(len(pair) != 2 for pair in padding):
        raise AttributeValueError(f"{name}: padding must be (before, after) pairs, got {padding}")
    if mode != "constant" and any(n < 0 for pair in padding for n in pair):
        raise AttributeValueError(f"{name}: only mode 'constant' can cut off, got {padding}")


@register
@dataclass(frozen=True, slots=True)
class Pad(Op):
    """y = x with (before, after) elements put around each axis; negative numbers cut off.

    `mode` "constant": they are `value`; "edge": the nearest element of x; "reflect": x mirrored,
    its edge not repeated.
    Shapes: x [*s] -> y [before+s[n]+after, ...], a pair for each axis.   Dtypes: any, kept.
    """

    padding: tuple[tuple[int, int], ...]
    mode: str = "constant"
    value: float = 0
    name = "pad"
    may_be_nan = ("value",)
    samples = Samples(
        lambda cls: (
            Sample(cls(((1, 2), (0, 3))), ((3, 5),)),
            Sample(cls(((2, 0), (1, 1)), value=1.5), ((17, 33),)),
            Sample(cls(((-1, 2), (0, -2))), ((3, 5),), dtype="float64"),
            Sample(cls(((1, 2), (0, 3)), "edge"), ((3, 5),)),
            Sample(cls(((1, 2), (2, 3)), "reflect"), ((3, 5),)),
            Sample(cls(((0, 0), (2, 3)), "edge"), ((2, 1),), dtype="float64"),
            Sample(cls(()), ((),)),
            Sample(cls(((1, 2), (0, 0))), ((0, 3),)),
            Sample(cls(((1, 0), (0, 1)), value=7), ((3, 7),), dtype="int32", low=-9, high=9,
                   gradient=False),
        )
    )  # fmt: skip

    @property
    def channelwise(self) -> bool:
        return len(self.padding) < 2 or self.padding[1] == (0, 0)

    def check_attributes(self) -> None:
        _check("pad", self.padding, self.mode)

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        shape = u.rank(x, len(self.padding))
        for n, ((before, after), extent) in enumerate(zip(self.padding, shape, strict=True)):
            needed = {"edge": 1, "reflect": max(before, after) + 1}.get(self.mode, 0)
            if isinstance(extent, int) and (before or after):
                u.require(extent >= needed, f"mode {self.mode!r} with {before} before and {after} "
                          f"after needs x.shape[{n}] >= {needed}, got {extent}")  # fmt: skip
                u.require(extent + before + after >= 0, f"x.shape[{n}] = {extent} cannot lose "
                          f"{-before} and {-after}")  # fmt: skip
        return (self._grown(shape),)

    def _grown(self, shape: Sequence[Dim]) -> tuple[Dim, ...]:
        pairs = zip(self.padding, shape, strict=True)
        return tuple(dims.add(d, before + after) for (before, after), d in pairs)

    def forward(self, x: Tensor) -> Compute:
        def element(*i: Any) -> Any:
            index = []
            inside = []
            for n, (before, after) in enumerate(self.padding):
                place = i[n] - before
                if (before > 0 or after > 0) and self.mode == "constant":
                    if before > 0:
                        inside.append(call("le", const(0, "int64"), place))
                    if after > 0:
                        inside.append(call("lt", place, IndexValue(x.shape[n])))
                elif before or after:
                    place = place if self.mode == "constant" else _source(
                        self.mode, place, x.shape[n])  # fmt: skip
                index.append(place)
            value = x[tuple(index)]
            return where(all_of(*inside), value, const(self.value, x.dtype)) if inside else value

        return compute(self._grown(x.shape), element)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (PadGradient(self.padding, self.mode)(grads[0]),)

    def simplify(self, ins: tuple[Symbol, ...]) -> Symbol | None:
        """Nothing put around; a constant around the same constant."""
        (x,) = ins
        if not any(n for pair in self.padding for n in pair):
            return x
        inner = x.node.op
        same = isinstance(inner, Pad) and self.mode == inner.mode == "constant"
        if not same or not isinstance(inner, Pad) or inner.value != self.value:
            return None
        if any(n < 0 for pair in (*self.padding, *inner.padding) for n in pair):
            return None
        pairs = zip(self.padding, inner.padding, strict=True)
        both = tuple((a[0] + b[0], a[1] + b[1]) for a, b in pairs)
        source = Symbol(x.node.inputs[0])
        return Pad(both, "constant", self.value)(source)  # type: ignore[no-any-return]

    def reference(self, x: Array) -> Any:
        cut = x[tuple(slice(max(-a, 0), n - max(-b, 0))
                      for (a, b), n in zip(self.padding, x.shape, strict=True))]  # fmt: skip
        grown = [(max(a, 0), max(b, 0)) for a, b in self.padding]
        if not grown:
            return cut
        if self.mode == "constant":
            return np.pad(cut, grown, constant_values=self.value)
        return np.pad(cut, grown, mode=self.mode)  # type: ignore[call-overload]


@register
@dataclass(frozen=True, slots=True)
class PadGradient(Op):
    """y = x without what pad put around, plus what "edge" and "reflect" repeated from inside.

    Shapes: x [before+s[n]+after, ...] -> y [*s].   Dtypes: any number, kept.
    """

    padding: tuple[tuple[int, int], ...]
    mode: str = "constant"
    name = "pad_gradient"
    samples = Samples(
        lambda cls: (
            Sample(cls(((1, 2), (0, 3))), ((6, 8),)),
            Sample(cls(((2, 0), (1, 1))), ((19, 35),)),
            Sample(cls(((-1, 2), (0, -2))), ((4, 3),), dtype="float64"),
            Sample(cls(((1, 2), (0, 3)), "edge"), ((6, 8),)),
            Sample(cls(((1, 2), (2, 3)), "reflect"), ((6, 10),)),
            Sample(cls(((0, 0), (2, 3)), "edge"), ((2, 6),), dtype="float64"),
            Sample(cls(()), ((),)),
            Sample(cls(((1, 2), (0, 0))), ((3, 1),)),
            Sample(cls(((1, 0), (0, 1))), ((4, 8),), dtype="int32", low=-9, high=9,
                   gradient=False),
        )
    )  # fmt: skip

    def check_attributes(self) -> None:
        _check("pad_gradient", self.padding, self.mode)

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        return (self._shrunk(u.rank(x, len(self.padding))),)

    def _shrunk(self, shape: Sequence[Dim]) -> tuple[Dim, ...]:
        pairs = zip(self.padding, shape, strict=True)
        return tuple(dims.add(d, -before - after) for (before, after), d in pairs)

    def forward(self, x: Tensor) -> Compute:
        shape = self._shrunk(x.shape)

        def element(*i: Any) -> Any:
            return self._collect(x, shape, i, ())

        return compute(shape, element)

    def _collect(
        self, x: Tensor, shape: Sequence[Dim], i: tuple[Any, ...], index: tuple[Any, ...]
    ) -> Expr:
        """The sum over all elements that repeat element i, one axis after the other."""
        n = len(index)
        if n == len(shape):
            return x[index]
        before, after = self.padding[n]
        place = i[n] + before
        if self.mode == "constant":
            outside = before < 0 or after < 0
            value = self._collect(x, shape, i, (*index, place))
            if not outside:
                return value
            inside = [call("le", const(0, "int64"), place),
                      call("lt", place, IndexValue(x.shape[n]))]  # fmt: skip
            return where(all_of(*inside), value, 0)
        total = self._collect(x, shape, i, (*index, place))
        back = dims.add(shape[n], before)
        for count, start in ((before, 0), (after, back)):
            if count:
                total = total + self._repeats(x, shape, i, index, count, start)
        return total

    def _repeats(
        self, x: Tensor, shape: Sequence[Dim], i: tuple[Any, ...], index: tuple[Any, ...],
        count: int, start: Dim,
    ) -> Expr:  # fmt: skip
        n = len(index)

        def term(r: Any) -> Expr:
            place = r + start
            source = _source(self.mode, place - self.padding[n][0], shape[n])
            value = self._collect(x, shape, i, (*index, place))
            return where(call("eq", source, i[n]), value, 0)

        return reduce("sum", count, term)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (Pad(self.padding, self.mode)(grads[0]),)

    def reference(self, x: Array) -> Any:
        shape = [n - a - b for n, (a, b) in zip(x.shape, self.padding, strict=True)]
        result = np.zeros(shape, x.dtype)
        numbers = np.arange(1, result.size + 1).reshape(shape)
        origin = Pad(self.padding, self.mode).reference(numbers)
        np.add.at(result.reshape(-1), origin[origin > 0] - 1, x[origin > 0])
        return result


def pad(
    x: Symbol, padding: Any, mode: str = "constant", value: float = 0, *, name: str | None = None
) -> Symbol:
    """Elements put around x: (before, after) for each axis, or one pair for all.  See Pad."""
    pairs = list(padding) if isinstance(padding, (Sequence, np.ndarray)) else [padding]
    if pairs and not np.ndim(pairs[0]):
        rank = as_symbol(x).ndim
        if rank is None:
            raise AttributeValueError(f"pad: one pair for all axes needs the rank of {x!r}")
        pairs = [pairs] * rank
    ends = []
    for pair in pairs:
        match as_ints(pair, "pad: (before, after)"):
            case (before, after):
                ends.append((before, after))
            case _:
                raise AttributeValueError(
                    f"pad: give (before, after) for each axis, or one pair for all, got {padding!r}"
                )
    return Pad(tuple(ends), mode, value)(x, name=name)  # type: ignore[no-any-return]


__all__ = ["pad"]
