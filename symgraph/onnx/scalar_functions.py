"""The scalar functions of kernels, spelled by operators of ONNX.

Semantics are those of `kernel/functions.py`, also where ONNX leaves them open: integer division by
zero, shifts by the width or more, numbers too large for an integer type.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..kernel.dtypes import DType, as_dtype, float32
from .elements import Elements, ElementWriter

Spelling = Callable[..., Elements]

_SAME = {
    "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "neg": "Neg", "abs": "Abs",
    "min": "Min", "max": "Max", "sqrt": "Sqrt", "exp": "Exp", "log": "Log", "sigmoid": "Sigmoid",
    "tanh": "Tanh", "erf": "Erf", "sin": "Sin", "cos": "Cos", "tan": "Tan", "asin": "Asin",
    "acos": "Acos", "atan": "Atan", "floor": "Floor", "ceil": "Ceil", "round": "Round",
    "lt": "Less", "le": "LessOrEqual", "eq": "Equal",
}  # fmt: skip


def _of_kinds(boolean: str, integer: str) -> Spelling:
    def spell(e: ElementWriter, *args: Elements) -> Elements:
        return e.apply(boolean if args[0].dtype.is_bool else integer, *args)

    return spell


def _same(kind: str) -> Spelling:
    return lambda e, *args: e.apply(kind, *args)


def _not_equal(e: ElementWriter, a: Elements, b: Elements) -> Elements:
    return e.apply("Not", e.apply("Equal", a, b))


def _where(e: ElementWriter, condition: Elements, a: Elements, b: Elements) -> Elements:
    return e.apply("Where", condition, a, b)


def _is_zero(e: ElementWriter, x: Elements) -> Elements:
    return e.apply("Equal", x, e.number(0, x))


def _never_zero(x: Elements) -> bool:
    return x.is_known and bool(np.all(x.value))


def _mod(e: ElementWriter, a: Elements, b: Elements) -> Elements:
    """The remainder with the sign of b; of integers by 0: 0."""
    if a.dtype.is_float:
        rest = e.apply("Mod", a, b, fmod=1)
        other_sign = _not_equal(e, e.apply("Less", rest, e.number(0, a)),
                                e.apply("Less", b, e.number(0, a)))  # fmt: skip
        moved = e.apply("And", other_sign, e.apply("Not", _is_zero(e, rest)))
        return _where(e, moved, e.apply("Add", rest, b), rest)
    if _never_zero(b):
        return e.apply("Mod", a, b)
    zero = _is_zero(e, b)
    rest = e.apply("Mod", a, _where(e, zero, e.number(1, b), b))
    return _where(e, zero, e.number(0, a), rest)


def _floordiv(e: ElementWriter, a: Elements, b: Elements) -> Elements:
    """(a - a mod b) / b, which is whole; of integers by 0: 0."""
    whole = e.apply("Sub", a, _mod(e, a, b))
    if a.dtype.is_float:
        by_zero = _is_zero(e, b)
        exact = e.apply("Round", e.apply("Div", whole, b))
        return _where(e, by_zero, e.apply("Div", a, b), exact)
    if _never_zero(b):
        return e.apply("Div", whole, b)
    zero = _is_zero(e, b)
    quotient = e.apply("Div", whole, _where(e, zero, e.number(1, b), b))
    return _where(e, zero, e.number(0, a), quotient)


def _pow(e: ElementWriter, a: Elements, b: Elements) -> Elements:
    """Of integers with a negative exponent: the truncated inverse, 0 but for 1 and -1."""
    if a.dtype.is_float or a.dtype.kind == "uint":
        return e.apply("Pow", a, b)
    zero, one = e.number(0, a), e.number(1, a)
    whole = e.apply("Pow", a, e.apply("Max", b, zero))
    odd = e.apply("Not", _is_zero(e, e.apply("Mod", b, e.number(2, b))))
    of_minus_one = _where(e, odd, e.number(-1, a), one)
    is_minus_one = e.apply("Equal", a, e.number(-1, a))
    inverse = _where(e, is_minus_one, of_minus_one, zero)
    inverse = _where(e, e.apply("Equal", a, one), one, inverse)
    return _where(e, e.apply("Less", b, zero), inverse, whole)


def _expm1(e: ElementWriter, x: Elements) -> Elements:
    """2t / (1 - t), t = tanh(x/2), near 0, where exp(x) - 1 would cancel."""
    one = e.number(1, x)
    t = e.apply("Tanh", e.apply("Mul", x, e.number(0.5, x)))
    near = e.apply("Div", e.apply("Add", t, t), e.apply("Sub", one, t))
    far = e.apply("Sub", e.apply("Exp", x), one)
    return _where(e, e.apply("Less", e.apply("Abs", x), one), near, far)


def _log1p(e: ElementWriter, x: Elements) -> Elements:
    """log(u) x / (u - 1), u = 1 + x rounded, near 0 (Higham 2002, Accuracy and Stability of
    Numerical Algorithms, 1.14.1)."""
    one = e.number(1, x)
    u = e.apply("Add", x, one)
    far = e.apply("Log", u)
    near = e.apply("Mul", far, e.apply("Div", x, e.apply("Sub", u, one)))
    near = _where(e, e.apply("Equal", u, one), x, near)
    return _where(e, e.apply("Less", e.apply("Abs", x), e.number(0.5, x)), near, far)


def _trunc(e: ElementWriter, x: Elements) -> Elements:
    return e.apply("Mul", e.apply("Sign", x), e.apply("Floor", e.apply("Abs", x)))


def _negative(e: ElementWriter, x: Elements) -> Elements:
    """The sign bit of a number: 1/-0 is below 0."""
    zero = e.number(0, x)
    below = e.apply("Less", e.apply("Reciprocal", x), zero)
    return e.apply("Or", e.apply("Less", x, zero), below)


def _atan2(e: ElementWriter, y: Elements, x: Elements) -> Elements:
    """The angle in the first octant, turned into the one where the point lies."""
    ay, ax = e.apply("Abs", y), e.apply("Abs", x)
    ratio = e.apply("Div", e.apply("Min", ay, ax), e.apply("Max", ay, ax))
    ratio = _where(e, e.apply("Equal", ay, ax), e.number(1, x), ratio)
    ratio = _where(e, _is_zero(e, ay), e.number(0, x), ratio)
    angle = e.apply("Atan", ratio)
    turned = e.apply("Sub", e.number(math.pi / 2, x), angle)
    angle = _where(e, e.apply("Less", ax, ay), turned, angle)
    angle = _where(e, _negative(e, x), e.apply("Sub", e.number(math.pi, x), angle), angle)
    angle = _where(e, _negative(e, y), e.apply("Neg", angle), angle)
    nan = e.apply("Or", e.apply("IsNaN", x), e.apply("IsNaN", y))
    return _where(e, nan, e.number(math.nan, x), angle)


def _shift(direction: str) -> Spelling:
    def spell(e: ElementWriter, a: Elements, b: Elements) -> Elements:
        """Bits are moved without a sign; below 0 to the right by the complement."""
        bits = 8 * a.dtype.nbytes
        unsigned = as_dtype(f"uint{bits}")
        zero = e.number(0, a)
        inside = e.apply("Less", b, e.number(bits, b))
        if b.dtype.kind == "int":
            inside = e.apply("And", inside, e.apply("LessOrEqual", e.number(0, b), b))
        count = e.cast(_where(e, inside, b, zero), unsigned)

        def moved(x: Elements) -> Elements:
            plain = e.apply("BitShift", e.cast(x, unsigned), count, direction=direction)
            return e.cast(plain, a.dtype)

        result = moved(a)
        if direction == "RIGHT" and a.dtype.kind == "int":
            below = e.apply("BitwiseNot", moved(e.apply("BitwiseNot", a)))
            result = _where(e, e.apply("Less", a, zero), below, result)
        return _where(e, inside, result, zero)

    return spell


SPELLINGS: dict[str, Spelling] = {
    **{name: _same(kind) for name, kind in _SAME.items()},
    "floordiv": _floordiv,
    "mod": _mod,
    "pow": _pow,
    "expm1": _expm1,
    "log1p": _log1p,
    "trunc": _trunc,
    "atan2": _atan2,
    "ne": _not_equal,
    "and": _of_kinds("And", "BitwiseAnd"),
    "or": _of_kinds("Or", "BitwiseOr"),
    "xor": _of_kinds("Xor", "BitwiseXor"),
    "not": _of_kinds("Not", "BitwiseNot"),
    "shl": _shift("LEFT"),
    "shr": _shift("RIGHT"),
}


def converted(e: ElementWriter, x: Elements, dtype: DType) -> Elements:
    """As numpy's astype; float to integer truncates and saturates, NaN gives 0."""
    if x.dtype.is_float and dtype.is_integer:
        return _saturated(e, x, dtype)
    return e.cast(x, dtype)


def _saturated(e: ElementWriter, x: Elements, dtype: DType) -> Elements:
    """What a conversion of ONNX leaves open: numbers outside the integer's range, and NaN."""
    wide = x if x.dtype.nbytes >= 4 else e.cast(x, float32)
    lowest, highest = int(dtype.lowest), int(dtype.highest)
    limit = wide.dtype.numpy.type(highest)
    if int(limit) > highest:  # the next number of the float type lies outside
        limit = np.nextafter(limit, wide.dtype.numpy.type(0))
    bounds = [e.number(float(lowest), wide), e.number(float(limit), wide)]
    number = _where(e, e.apply("IsNaN", wide), e.number(0, wide), wide)
    inside = e.cast(e.apply("Clip", number, *bounds), dtype)
    largest = Elements(np.asarray(highest, dtype.numpy), (), dtype)
    return _where(e, e.apply("Less", bounds[1], wide), largest, inside)


def select(e: ElementWriter, *args: Any) -> Elements:
    """The second where the first holds, else the third."""
    return _where(e, *args)
