"""Comparisons, logic, bits, and the choice between values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.op import Op, Sample, Samples, register
from ..ir.symbol import Symbol
from ..kernel.compute import Compute, Tensor, compute
from ..kernel.ir import Expr, call, const
from ..kernel.ir import where as select
from .base import (
    Array,
    Binary,
    Comparison,
    Gradients,
    Predicate,
    Unary,
    broadcast_shape,
    functional,
    integer_samples,
    literal,
    make,
    random_bools,
    read,
    sum_to,
)

if TYPE_CHECKING:
    from ..ir.infer import DTypeView, ShapeView, Unifier


@register
@dataclass(frozen=True, slots=True)
class Equal(Comparison):
    """z = x == y.   Shapes: x, y broadcast.   Dtypes: any, the same for both -> bool."""

    name = "equal"
    function = "eq"
    numpy = np.equal
    commutative = True


@register
@dataclass(frozen=True, slots=True)
class NotEqual(Comparison):
    """z = x != y.   Shapes: x, y broadcast.   Dtypes: any, the same for both -> bool."""

    name = "not_equal"
    function = "ne"
    numpy = np.not_equal
    commutative = True


@register
@dataclass(frozen=True, slots=True)
class Less(Comparison):
    """z = x < y.   Shapes: x, y broadcast.   Dtypes: any, the same for both -> bool."""

    name = "less"
    function = "lt"
    numpy = np.less


@register
@dataclass(frozen=True, slots=True)
class LessEqual(Comparison):
    """z = x <= y.   Shapes: x, y broadcast.   Dtypes: any, the same for both -> bool."""

    name = "less_equal"
    function = "le"
    numpy = np.less_equal


@register
@dataclass(frozen=True, slots=True)
class Greater(Comparison):
    """z = x > y.   Shapes: x, y broadcast.   Dtypes: any, the same for both -> bool."""

    name = "greater"
    numpy = np.greater

    def element(self, x: Expr, y: Expr) -> Expr:
        return call("lt", y, x)


@register
@dataclass(frozen=True, slots=True)
class GreaterEqual(Comparison):
    """z = x >= y.   Shapes: x, y broadcast.   Dtypes: any, the same for both -> bool."""

    name = "greater_equal"
    numpy = np.greater_equal

    def element(self, x: Expr, y: Expr) -> Expr:
        return call("le", y, x)


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


class _Bitwise(Binary):
    """Bits of two integers, or logic of two booleans."""

    __slots__ = ()
    no_gradient = ("x", "y")
    samples = Samples(
        lambda cls: (
            *integer_samples(cls(), (17, 33), (17, 33)),
            *integer_samples(cls(), (), (0, 3)),
            Sample(cls(), ((), ()), dtype="int16", low=-9, high=9, gradient=False),
            Sample(cls(), ((2, 3, 5), (3, 1)), dtype="bool", gradient=False),
        )
    )

    def result_dtype(self, u: Unifier, x: DTypeView) -> Any:
        return u.whole(x, self.name)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (None, None)


@register
@dataclass(frozen=True, slots=True)
class BitwiseAnd(_Bitwise):
    """z = x & y.   Shapes: x, y broadcast.   Dtypes: integers or bool, the same for both."""

    name = "bitwise_and"
    function = "and"
    numpy = np.bitwise_and
    commutative = True


@register
@dataclass(frozen=True, slots=True)
class BitwiseOr(_Bitwise):
    """z = x | y.   Shapes: x, y broadcast.   Dtypes: integers or bool, the same for both."""

    name = "bitwise_or"
    function = "or"
    numpy = np.bitwise_or
    commutative = True


@register
@dataclass(frozen=True, slots=True)
class BitwiseXor(_Bitwise):
    """z = x ^ y.   Shapes: x, y broadcast.   Dtypes: integers or bool, the same for both."""

    name = "bitwise_xor"
    function = "xor"
    numpy = np.bitwise_xor
    commutative = True


class _Shift(Binary):
    """Bits moved; by the width or more gives 0."""

    __slots__ = ()
    no_gradient = ("x", "y")
    samples = Samples(
        lambda cls: [
            Sample(cls(), shapes, dtype=t, low=0, high=7, gradient=False)
            for shapes, t in (
                (((17, 33), (17, 33)), "int32"),
                (((2, 3, 5), (3, 1)), "uint8"),
                (((), ()), "int64"),
                (((0, 3), ()), "int32"),
            )
        ]
    )

    def result_dtype(self, u: Unifier, x: DTypeView) -> Any:
        return u.integer(x)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (None, None)


@register
@dataclass(frozen=True, slots=True)
class LeftShift(_Shift):
    """z = x << y, 0 where y is the width of x or more.

    Shapes: x, y broadcast.   Dtypes: integers, the same for both.
    """

    name = "bitwise_left_shift"
    function = "shl"
    numpy = np.left_shift


@register
@dataclass(frozen=True, slots=True)
class RightShift(_Shift):
    """z = x >> y with the sign kept, 0 where y is the width of x or more.

    Shapes: x, y broadcast.   Dtypes: integers, the same for both.
    """

    name = "bitwise_right_shift"
    function = "shr"
    numpy = np.right_shift


@register
@dataclass(frozen=True, slots=True)
class BitwiseInvert(Unary):
    """y = ~x.   Shapes: any, kept.   Dtypes: integers or bool, kept."""

    name = "bitwise_invert"
    function = "not"
    numpy = np.invert
    no_gradient = ("x",)
    samples = Samples(
        lambda cls: (
            *integer_samples(cls(), (17, 33)),
            *integer_samples(cls(), ()),
            *integer_samples(cls(), (0, 3)),
            Sample(cls(), ((2, 1, 5),), dtype="bool", gradient=False),
        )
    )

    def infer_dtype(self, u: Unifier, x: DTypeView) -> tuple[Any, ...]:
        return (u.whole(x, self.name),)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (None,)


def _special(cls: Any) -> list[Sample]:
    values = np.array([1.5, np.nan, np.inf, -np.inf, 0.0, -0.0, 3.0], np.float32)
    return [
        Sample(cls(), (values,), gradient=False),
        Sample(cls(), (values.astype(np.float64)[:5],), gradient=False),
        Sample(cls(), (values.astype(np.float16)[1:4],), gradient=False),
        *(Sample(cls(), (s,), gradient=False) for s in ((17, 33), (1, 5), (), (0, 3))),
    ]


@register
@dataclass(frozen=True, slots=True)
class IsNaN(Predicate):
    """y = x is not a number.   Shapes: any, kept.   Dtypes: any float -> bool."""

    name = "isnan"
    numpy = np.isnan
    samples = Samples(_special)

    def element(self, x: Expr) -> Expr:
        return call("ne", x, x)


@register
@dataclass(frozen=True, slots=True)
class IsInf(Predicate):
    """y = x is plus or minus infinity.   Shapes: any, kept.   Dtypes: any float -> bool."""

    name = "isinf"
    numpy = np.isinf
    samples = Samples(_special)

    def element(self, x: Expr) -> Expr:
        return call("eq", call("abs", x), const(float("inf"), x.dtype))


@register
@dataclass(frozen=True, slots=True)
class IsFinite(Predicate):
    """y = x is neither infinite nor NaN.   Shapes: any, kept.   Dtypes: any float -> bool."""

    name = "isfinite"
    numpy = np.isfinite
    samples = Samples(_special)

    def element(self, x: Expr) -> Expr:
        return call("lt", call("abs", x), const(float("inf"), x.dtype))


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


where = functional(Where)
equal = functional(Equal)
not_equal = functional(NotEqual)
less = functional(Less)
less_equal = functional(LessEqual)
greater = functional(Greater)
greater_equal = functional(GreaterEqual)
logical_and = functional(LogicalAnd)
logical_or = functional(LogicalOr)
logical_xor = functional(LogicalXor)
logical_not = functional(LogicalNot)
bitwise_and = functional(BitwiseAnd)
bitwise_or = functional(BitwiseOr)
bitwise_xor = functional(BitwiseXor)
bitwise_invert = functional(BitwiseInvert)
bitwise_left_shift = functional(LeftShift)
bitwise_right_shift = functional(RightShift)
isnan = functional(IsNaN)
isinf = functional(IsInf)
isfinite = functional(IsFinite)

__all__ = [
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "equal",
    "greater",
    "greater_equal",
    "isfinite",
    "isinf",
    "isnan",
    "less",
    "less_equal",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "not_equal",
    "where",
]
