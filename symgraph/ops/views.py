"""Base of the operators that show the same elements under another shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..ir.op import Op
from ..ir.symbol import Symbol
from ..kernel import dims
from ..kernel.compute import Compute, Tensor, compute
from ..kernel.dims import Dim
from .base import Gradients, is_carried, make


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
            return make("reshape", Symbol(x.node.inputs[0]), shape=like)
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
