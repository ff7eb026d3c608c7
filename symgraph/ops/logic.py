"""Logic of booleans, and choice by a condition."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..ir.op import Op
from ..ir.origin import caller
from ..ir.registry import register
from ..ir.sample import Sample, Samples
from ..ir.symbol import Symbol
from ..kernel.compute import Compute, Tensor, compute
from ..kernel.ir import where as select
from .base import (
    Array,
    Comparison,
    Gradients,
    Unary,
    broadcast_shape,
    functional,
    literal,
    make,
    random_bools,
    read,
    sum_to,
)

if TYPE_CHECKING:
    from ..ir.infer import DTypeView, ShapeView, Unifier


class _Logical(Comparison):
    """Logic of two booleans."""

    __slots__ = ()
    samples = Samples(
        lambda cls: [
            Sample(cls(), shapes, dtype="bool", gradient=False)
            for shapes in (((17, 33), (17, 33)), ((2, 3, 5), (3, 1)), ((), ()), ((0, 3), (1, 3)))
        ]
    )

    def result_dtype(self, u: Unifier, x: DTypeView) -> Any:
        return u.boolean(x, self.name)


@register
@dataclass(frozen=True, slots=True)
class LogicalAnd(_Logical):
    """z = x and y.   Shapes: x, y broadcast.   Dtypes: bool."""

    name = "logical_and"
    function = "and"
    numpy = np.logical_and
    commutative = True


@register
@dataclass(frozen=True, slots=True)
class LogicalOr(_Logical):
    """z = x or y.   Shapes: x, y broadcast.   Dtypes: bool."""

    name = "logical_or"
    function = "or"
    numpy = np.logical_or
    commutative = True


@register
@dataclass(frozen=True, slots=True)
class LogicalXor(_Logical):
    """z = exactly one of x and y.   Shapes: x, y broadcast.   Dtypes: bool."""

    name = "logical_xor"
    function = "xor"
    numpy = np.logical_xor
    commutative = True


@register
@dataclass(frozen=True, slots=True)
class LogicalNot(Unary):
    """y = not x.   Shapes: any, kept.   Dtypes: bool."""

    name = "logical_not"
    function = "not"
    numpy = np.logical_not
    no_gradient = ("x",)
    samples = Samples(
        lambda cls: [
            Sample(cls(), (s,), dtype="bool", gradient=False)
            for s in ((17, 33), (2, 1, 5), (), (0, 3))
        ]
    )

    def infer_dtype(self, u: Unifier, x: DTypeView) -> tuple[Any, ...]:
        return (u.boolean(x, self.name),)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (None,)

    def simplify(self, ins: tuple[Symbol, ...]) -> Symbol | None:
        """not not x -> x."""
        node = ins[0].node
        return Symbol(node.inputs[0]) if node.op.name == "logical_not" else None


@register
@dataclass(frozen=True, slots=True)
class Where(Op):
    """z = x where the condition holds, else y.

    Shapes: condition, x, y broadcast.   Dtypes: condition bool; x, y any, the same for both.
    """

    name = "where"
    no_gradient = ("condition",)
    samples = Samples(
        lambda cls: (
            *(
                Sample(cls(), (random_bools(c), x, y), dtype=t, gradient=t != "float16")
                for c, x, y, t in (
                    ((17, 33), (17, 33), (17, 33), "float32"),
                    ((3, 1), (2, 3, 5), (5,), "float64"),
                    ((2, 3, 5), (), (3, 1), "float32"),
                    ((), (), (), "float32"),
                    ((0, 3), (1, 3), (3,), "float32"),
                    ((1, 5), (3, 1), (), "float16"),
                )
            ),
            Sample(cls(), (random_bools((3, 5)), (3, 5), (5,)), dtype="int64", low=-9, high=9,
                   gradient=False),
        )
    )  # fmt: skip

    @property
    def channelwise(self) -> bool:
        return True

    def infer_shape(
        self, u: Unifier, condition: ShapeView, x: ShapeView, y: ShapeView
    ) -> tuple[Any, ...]:
        return (u.broadcast(condition, x, y),)

    def infer_dtype(
        self, u: Unifier, condition: DTypeView, x: DTypeView, y: DTypeView
    ) -> tuple[Any, ...]:
        u.boolean(condition, "the condition")
        u.same(x, y, "both choices must have one dtype")
        return (x,)

    def forward(self, condition: Tensor, x: Tensor, y: Tensor) -> Compute:
        shape = broadcast_shape(condition.shape, x.shape, y.shape)
        return compute(shape, lambda *i: select(read(condition, i), read(x, i), read(y, i)))

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (condition, x, y) = grads, ins
        return (
            None,
            sum_to(make("where", condition, g, 0), x),
            sum_to(make("where", condition, 0, g), y),
        )

    def reference(self, condition: Array, x: Array, y: Array) -> Any:
        return np.where(condition, x, y)

    def simplify(self, ins: tuple[Symbol, ...]) -> Symbol | None:
        """where(c, x, x) -> x, where(True, x, y) -> x, where their shapes say so."""
        condition, x, y = ins
        if x == y and (literal(condition) is not None or condition.shape == x.shape):
            return x
        chosen = literal(condition)
        if chosen is None or x.shape is None or x.shape != y.shape:
            return None
        return x if chosen else y


def _of_elements(function: Callable[..., Symbol]) -> Callable[..., Symbol]:
    """Refuses True and False as a condition: they come from comparing symbols with ==."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Symbol:
        given = (*args, *kwargs.values())
        conditions = given[:1] if function is _where else given
        if any(isinstance(item, bool) for item in conditions):
            raise InputError(
                f"{function.__name__}: a condition is Python's {conditions[0]!r}, expected a "
                f"symbol or an array of booleans (declared at {caller()}); == between symbols "
                f"asks whether they are the same one: write sg.equal(a, b), or sg.not_equal"
            )
        return function(*args, **kwargs)

    return call


_where = functional(Where)
where = _of_elements(_where)
logical_and = _of_elements(functional(LogicalAnd))
logical_or = _of_elements(functional(LogicalOr))
logical_xor = _of_elements(functional(LogicalXor))
logical_not = _of_elements(functional(LogicalNot))


__all__ = ["logical_and", "logical_not", "logical_or", "logical_xor", "where"]
