"""Elementwise arithmetic and literals, with broadcasting by numpy's rules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AttributeValueError, InternalError
from ..ir.op import Affine, Constant, Op
from ..ir.registry import register
from ..ir.sample import Sample, Samples
from ..ir.symbol import Symbol, constant
from ..ir.tensor_type import TensorType
from ..kernel.compute import Compute
from .base import (
    Binary,
    Gradients,
    Unary,
    binary_samples,
    functional,
    integer_samples,
    is_constant,
    is_exact,
    literal,
    make,
    sum_to,
    zeros_like,
)

if TYPE_CHECKING:
    from ..ir.infer import DTypeView, Unifier


@register
@dataclass(frozen=True, slots=True)
class Scalar(Op):
    """A Python number whose dtype follows from what it meets.   Shapes: -> y []."""

    value: float | int | bool
    name = "scalar"
    may_be_nan = ("value",)
    samples = Samples(lambda cls: (Sample(cls(2.5), (), gradient=False),))

    def check_attributes(self) -> None:
        """NaN is a number like any other here."""
        if not isinstance(self.value, (int, float, bool)):
            raise AttributeValueError(f"scalar: need a Python number, got {self.value!r}")

    @property
    def default_dtype(self) -> str | None:
        """As numpy reads the number, but for floats, which are float32 as everywhere here."""
        kind = type(self.value)
        return "bool" if kind is bool else "int64" if kind is int else "float32"

    def infer_shape(self, u: Unifier) -> tuple[Any, ...]:
        return ((),)

    def infer_dtype(self, u: Unifier) -> tuple[Any, ...]:
        cell = u.unknown_dtype("value")
        if isinstance(self.value, float):
            u.floating(cell, f"the partner of the number {self.value}")
        else:
            u.holding(cell, int(self.value))
        return (cell,)

    def typed(self, outs: Sequence[TensorType]) -> Op:
        dtype = outs[0].dtype
        if dtype is None:
            raise InternalError(f"the literal {self.value} has no dtype")
        return Constant(np.asarray(self.value, dtype.numpy))

    def forward(self) -> Compute:
        raise InternalError("a literal was not given its dtype before lowering")

    def reference(self) -> Any:
        return np.asarray(self.value, np.float32)


@register
@dataclass(frozen=True, slots=True)
class Add(Binary):
    """z = x + y.   Shapes: x, y broadcast.   Dtypes: any, the same for both."""

    name = "add"
    function = "add"
    numpy = np.add
    commutative = True

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,) = grads
        return (sum_to(g, ins[0]), sum_to(g, ins[1]))

    def affine(self, ins: tuple[Symbol, ...]) -> Affine | None:
        x, y = ins
        if is_constant(y):
            return Affine(x, shift=y)
        return Affine(y, shift=x) if is_constant(x) else None

    def simplify(self, ins: tuple[Symbol, ...]) -> Symbol | None:
        """x + 0 -> x, x + -y -> x - y."""
        x, y = ins
        if literal(y) == 0:
            return x
        if literal(x) == 0:
            return y
        if y.node.op.name == "negative":
            return Subtract()(x, Symbol(y.node.inputs[0]))  # type: ignore[no-any-return]
        return None


@register
@dataclass(frozen=True, slots=True)
class Subtract(Binary):
    """z = x - y.   Shapes: x, y broadcast.   Dtypes: any number, the same for both."""

    name = "subtract"
    function = "sub"
    numpy = np.subtract

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,) = grads
        return (sum_to(g, ins[0]), sum_to(-g, ins[1]))

    def affine(self, ins: tuple[Symbol, ...]) -> Affine | None:
        x, y = ins
        if is_constant(y):
            return Affine(x, shift=-y)
        return Affine(y, minus_one(y), x) if is_constant(x) else None

    def simplify(self, ins: tuple[Symbol, ...]) -> Symbol | None:
        """x - 0 -> x, 0 - y -> -y, x - -y -> x + y, x - x -> 0 for integers."""
        x, y = ins
        if literal(y) == 0:
            return x
        if literal(x) == 0:
            return -y
        if y.node.op.name == "negative":
            return x + Symbol(y.node.inputs[0])
        return zeros_like(x) if x == y and is_exact(x) else None


@register
@dataclass(frozen=True, slots=True)
class Multiply(Binary):
    """z = x * y.   Shapes: x, y broadcast.   Dtypes: any, the same for both."""

    name = "multiply"
    function = "mul"
    numpy = np.multiply
    commutative = True

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x, y) = grads, ins
        return (sum_to(g * y, x), sum_to(g * x, y))

    def affine(self, ins: tuple[Symbol, ...]) -> Affine | None:
        x, y = ins
        if is_constant(y):
            return Affine(x, scale=y)
        return Affine(y, scale=x) if is_constant(x) else None

    def simplify(self, ins: tuple[Symbol, ...]) -> Symbol | None:
        """x * 1 -> x, x * -1 -> -x, x * x -> square(x), x * 0 -> 0 for integers."""
        x, y = ins
        for number, other in ((literal(y), x), (literal(x), y)):
            if number == 1:
                return other
            if number == -1:
                return -other
            if number == 0 and is_exact(other):
                return zeros_like(other)
        return make("square", x) if x == y else None


@register
@dataclass(frozen=True, slots=True)
class Divide(Binary):
    """z = x / y.   Shapes: x, y broadcast.   Dtypes: any float, the same for both."""

    name = "divide"
    function = "div"
    numpy = np.divide
    samples = Samples(lambda cls: binary_samples(cls(), 0.5, 2.0))

    def result_dtype(self, u: Unifier, x: DTypeView) -> Any:
        return u.floating(x)

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x, y), (z,) = grads, ins, outs
        return (sum_to(g / y, x), sum_to(-g * z / y, y))

    def affine(self, ins: tuple[Symbol, ...]) -> Affine | None:
        x, y = ins
        return Affine(x, scale=make("reciprocal", y)) if is_constant(y) else None

    def simplify(self, ins: tuple[Symbol, ...]) -> Symbol | None:
        """x / 1 -> x, x / -1 -> -x, x / 2**k -> x * 2**-k (exact), 1 / y -> reciprocal(y)."""
        x, y = ins
        number = literal(y)
        if number == 1:
            return x
        if number == -1:
            return -x
        if number and math.isfinite(number) and abs(math.frexp(number)[0]) == 0.5:
            inverse = 1.0 / number
            # Neither the number nor its inverse may leave the range that every float type has.
            return x * inverse if 2.0**-14 <= abs(inverse) <= 2.0**14 else None
        return make("reciprocal", y) if literal(x) == 1 else None


@register
@dataclass(frozen=True, slots=True)
class FloorDivide(Binary):
    """z = floor(x / y).   Shapes: x, y broadcast.   Dtypes: any number, the same for both.

    Rounds towards minus infinity; an integer divided by zero gives 0.  The gradient is zero, as
    the function is constant by pieces.
    """

    name = "floor_divide"
    function = "floordiv"
    samples = Samples(
        lambda cls: (
            *binary_samples(cls(), 0.5, 3.0),
            *integer_samples(cls(), (2, 3, 5), (3, 1)),
        )
    )

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (zeros_like(ins[0]), zeros_like(ins[1]))

    def reference(self, x: Any, y: Any) -> Any:
        if np.issubdtype(x.dtype, np.floating):
            return np.floor_divide(x, y)
        return np.where(y == 0, 0, np.floor_divide(x, np.where(y == 0, 1, y))).astype(x.dtype)

    def simplify(self, ins: tuple[Symbol, ...]) -> Symbol | None:
        """x // 1 -> x for integers."""
        return ins[0] if literal(ins[1]) == 1 and is_exact(ins[0]) else None


@register
@dataclass(frozen=True, slots=True)
class Remainder(Binary):
    """z = x - floor(x / y) * y, with the sign of y.

    Shapes: x, y broadcast.   Dtypes: any number, the same for both; modulo integer zero gives 0.
    """

    name = "remainder"
    function = "mod"
    samples = Samples(
        lambda cls: (
            *binary_samples(cls(), 0.5, 3.0),
            *integer_samples(cls(), (2, 3, 5), (3, 1)),
        )
    )

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x, y) = grads, ins
        return (sum_to(g, x), sum_to(-g * (x // y), y))

    def reference(self, x: Any, y: Any) -> Any:
        if np.issubdtype(x.dtype, np.floating):
            return np.mod(x, y)
        return np.where(y == 0, 0, np.mod(x, np.where(y == 0, 1, y))).astype(x.dtype)


@register
@dataclass(frozen=True, slots=True)
class Power(Binary):
    """z = x ** y.   Shapes: x, y broadcast.   Dtypes: any number, the same for both.

    The gradient for y is taken as 0 where x <= 0, where x ** y has none.
    """

    name = "power"
    function = "pow"
    samples = Samples(
        lambda cls: (
            *binary_samples(cls(), 0.5, 2.0, rtol=2e-5),
            Sample(cls(), ((3, 5), (5,)), dtype="int32", low=0, high=5, gradient=False),
        )
    )

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x, y), (z,) = grads, ins, outs
        # x ** (y-1) at x = 0 would make the derivative of the constant x ** 0 not a number.
        lower = make("where", make("equal", y, 0), 1, y)
        one = make("where", x > 0, x, 1)
        positive = make("where", x > 0, z, 0)
        return (
            sum_to(g * y * make("power", x, lower - 1), x),
            sum_to(g * positive * make("log", one), y),
        )

    def reference(self, x: Any, y: Any) -> Any:
        return np.power(x, y)

    def simplify(self, ins: tuple[Symbol, ...]) -> Symbol | None:
        """x ** 1 -> x, x ** 2 -> square(x), x ** 0.5 -> sqrt(x), x ** -1 -> reciprocal(x)."""
        x, y = ins
        number = literal(y)
        if number == 1:
            return x
        if number == 2:
            return make("square", x)
        if x.dtype is None or not x.dtype.is_float:
            return None
        if number == 0.5:
            return make("sqrt", x)
        if number == -1:
            return make("reciprocal", x)
        return make("rsqrt", x) if number == -0.5 else None


class _Extremum(Binary):
    """The larger or smaller of two; where they are equal each gets half of the gradient."""

    __slots__ = ()

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        (g,), (x, y), (z,) = grads, ins, outs
        share = make("where", make("equal", x, y), g * 0.5, g)
        from_x = make("where", make("equal", x, z), share, 0)
        from_y = make("where", make("equal", y, z), share, 0)
        return (sum_to(from_x, x), sum_to(from_y, y))

    def simplify(self, ins: tuple[Symbol, ...]) -> Symbol | None:
        """max(x, x) -> x."""
        return ins[0] if ins[0] == ins[1] else None


@register
@dataclass(frozen=True, slots=True)
class Maximum(_Extremum):
    """z = the larger of x and y; NaN if either is NaN.

    Shapes: x, y broadcast.   Dtypes: any, the same for both.   Where x == y each input gets half of
    the gradient, as in JAX and PyTorch.
    """

    name = "maximum"
    function = "max"
    numpy = np.maximum
    commutative = True


@register
@dataclass(frozen=True, slots=True)
class Minimum(_Extremum):
    """z = the smaller of x and y; NaN if either is NaN.

    Shapes: x, y broadcast.   Dtypes: any, the same for both.   Where x == y each input gets half of
    the gradient, as in JAX and PyTorch.
    """

    name = "minimum"
    function = "min"
    numpy = np.minimum
    commutative = True


@register
@dataclass(frozen=True, slots=True)
class Negative(Unary):
    """y = -x.   Shapes: any, kept.   Dtypes: any number, kept."""

    name = "negative"
    function = "neg"
    numpy = np.negative
    float_only = False

    def backward(self, ins: Any, outs: Any, grads: Any) -> Gradients:
        return (-grads[0],)

    def affine(self, ins: tuple[Symbol, ...]) -> Affine | None:
        return Affine(ins[0], minus_one(ins[0]))

    def simplify(self, ins: tuple[Symbol, ...]) -> Symbol | None:
        """--x -> x, -(x - y) -> y - x for integers."""
        node = ins[0].node
        if node.op.name == "negative":
            return Symbol(node.inputs[0])
        if node.op.name == "subtract" and is_exact(ins[0]):
            return Symbol(node.inputs[1]) - Symbol(node.inputs[0])
        return None


def minus_one(like: Symbol) -> Symbol:
    """The number -1 in the dtype of a symbol; of an unsigned one, the number that wraps like it."""
    assert like.dtype is not None
    return constant(np.asarray(-1).astype(like.dtype.numpy))


def scalar(value: float | int | bool) -> Symbol:
    """A number whose dtype follows from what it is combined with."""
    return make("scalar", value=value)


add = functional(Add)
subtract = functional(Subtract)
multiply = functional(Multiply)
divide = functional(Divide)
floor_divide = functional(FloorDivide)
remainder = functional(Remainder)
power = functional(Power)
maximum = functional(Maximum)
minimum = functional(Minimum)
negative = functional(Negative)

__all__ = [
    "add",
    "divide",
    "floor_divide",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "power",
    "remainder",
    "scalar",
    "subtract",
]
