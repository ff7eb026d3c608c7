"""The elements of a tensor in row-major order under any other shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AttributeValueError, ShapeError
from ..ir.op import Op
from ..ir.registry import register
from ..ir.sample import Sample, Samples
from ..ir.symbol import Symbol
from ..ir.tensor_type import TensorType, as_dim
from ..kernel import dims
from ..kernel.dims import Dim
from .base import Array, Gradients, is_carried, make, specified_by
from .views import View

if TYPE_CHECKING:
    from ..ir.infer import DTypeView, ShapeView, Unifier


@register
@dataclass(frozen=True, slots=True)
class Reshape(View):
    """y = the elements of x in row-major order under another shape.

    Entries of `shape`: an extent or the name of one; 0 copies the extent of the axis that stands
    here; -1 infers (once); -2 copies all the rest; -3 merges the next two axes; -4 splits the next
    axis into the two entries that follow, of which one may be -1.
    Shapes: x [*s] -> y of the same number of elements.   Dtypes: any, kept.
    """

    shape: tuple[Dim | str, ...]
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


@specified_by(Reshape)
def reshape(x: Symbol, shape: Any, *, name: str | None = None) -> Symbol:
    """The elements of x under another shape, which may hold codes.

    Raises: ShapeError when the number of elements differs.
    """
    single = isinstance(shape, (int, np.integer, str, dims.Symbolic))
    if not single and not isinstance(shape, (Sequence, np.ndarray)):
        raise ShapeError(f"reshape: a shape must be a tuple of extents and codes, got {shape!r}")
    entries = (shape,) if single else tuple(shape)
    op = Reshape(tuple(as_dim(d, "reshape") if isinstance(d, str) else d for d in entries))
    return op(x, name=name)  # type: ignore[no-any-return]


@specified_by(ReshapeLike)
def reshape_like(x: Symbol, like: Symbol, *, name: str | None = None) -> Symbol:
    """The elements of x under another symbol's shape."""
    return ReshapeLike()(x, like, name=name)  # type: ignore[no-any-return]


__all__ = ["reshape", "reshape_like"]
