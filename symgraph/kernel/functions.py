"""The closed set of scalar functions: name, number of arguments, result type, numpy meaning.

A target spells each of them once; nothing else may appear in a kernel.  Semantics at NaN,
infinities and signed zeros are numpy's.  Integer `floordiv` and `mod` by zero give 0, integer
arithmetic wraps around; `round` rounds half to even; shifts by the width or more give 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class ScalarFunction:
    """`result` is "same" (as the arguments) or "bool"; `domain` is "float", "integer" or "any"."""

    name: str
    arity: int
    result: str
    domain: str
    numpy: Callable[..., Any]
    flops: int = 1


def _is_float(x: Any) -> bool:
    """bfloat16 is no floating type to numpy, though it is one."""
    return np.asarray(x).dtype.kind not in "iub"


def _erf(x: Any) -> Any:
    x = np.asarray(x)
    wide = np.vectorize(math.erf, otypes=[np.float64])(x.astype(np.float64))
    return wide.astype(x.dtype)


def _sigmoid(x: Any) -> Any:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e)).astype(np.asarray(x).dtype)


def _floordiv(a: Any, b: Any) -> Any:
    if _is_float(a):
        return np.floor_divide(a, b)
    return np.where(b == 0, 0, np.floor_divide(a, np.where(b == 0, 1, b)))


def _mod(a: Any, b: Any) -> Any:
    if _is_float(a):
        return np.mod(a, b)
    return np.where(b == 0, 0, np.mod(a, np.where(b == 0, 1, b)))


def _int_pow(a: Any, b: Any) -> Any:
    if _is_float(a):
        return np.power(a, b)
    kind = np.asarray(a).dtype
    whole = np.power(a, np.where(b < 0, 0, b).astype(kind))
    if kind.kind == "u":
        return whole
    inverse = np.where(a == 1, 1, np.where(a == -1, np.where(b % 2 == 0, 1, -1), 0))
    return np.where(b < 0, inverse, whole).astype(kind)


def _shift(function: Callable[..., Any]) -> Callable[..., Any]:
    def shift(a: Any, b: Any) -> Any:
        width = np.asarray(a).dtype.itemsize * 8
        inside = (b >= 0) & (b < width)
        return np.where(inside, function(a, np.where(inside, b, 0)), 0).astype(np.asarray(a).dtype)

    return shift


def _logical(boolean: Callable[..., Any], bitwise: Callable[..., Any]) -> Callable[..., Any]:
    def apply(*args: Any) -> Any:
        return (boolean if np.asarray(args[0]).dtype == np.bool_ else bitwise)(*args)

    return apply


_TABLE: tuple[ScalarFunction, ...] = (
    ScalarFunction("add", 2, "same", "any", np.add),
    ScalarFunction("sub", 2, "same", "any", np.subtract),
    ScalarFunction("mul", 2, "same", "any", np.multiply),
    ScalarFunction("div", 2, "same", "float", np.divide, 4),
    ScalarFunction("floordiv", 2, "same", "any", _floordiv, 8),
    ScalarFunction("mod", 2, "same", "any", _mod, 8),
    ScalarFunction("neg", 1, "same", "any", np.negative),
    ScalarFunction("abs", 1, "same", "any", np.abs),
    ScalarFunction("min", 2, "same", "any", np.minimum),
    ScalarFunction("max", 2, "same", "any", np.maximum),
    ScalarFunction("pow", 2, "same", "any", _int_pow, 40),
    ScalarFunction("sqrt", 1, "same", "float", np.sqrt, 6),
    ScalarFunction("exp", 1, "same", "float", np.exp, 14),
    ScalarFunction("expm1", 1, "same", "float", np.expm1, 20),
    ScalarFunction("log", 1, "same", "float", np.log, 18),
    ScalarFunction("log1p", 1, "same", "float", np.log1p, 22),
    ScalarFunction("sigmoid", 1, "same", "float", _sigmoid, 20),
    ScalarFunction("tanh", 1, "same", "float", np.tanh, 20),
    ScalarFunction("erf", 1, "same", "float", _erf, 22),
    ScalarFunction("sin", 1, "same", "float", np.sin, 22),
    ScalarFunction("cos", 1, "same", "float", np.cos, 22),
    ScalarFunction("tan", 1, "same", "float", np.tan, 30),
    ScalarFunction("asin", 1, "same", "float", np.arcsin, 22),
    ScalarFunction("acos", 1, "same", "float", np.arccos, 22),
    ScalarFunction("atan", 1, "same", "float", np.arctan, 22),
    ScalarFunction("atan2", 2, "same", "float", np.arctan2, 30),
    ScalarFunction("floor", 1, "same", "float", np.floor),
    ScalarFunction("ceil", 1, "same", "float", np.ceil),
    ScalarFunction("trunc", 1, "same", "float", np.trunc),
    ScalarFunction("round", 1, "same", "float", np.rint),
    ScalarFunction("lt", 2, "bool", "any", np.less),
    ScalarFunction("le", 2, "bool", "any", np.less_equal),
    ScalarFunction("eq", 2, "bool", "any", np.equal),
    ScalarFunction("ne", 2, "bool", "any", np.not_equal),
    ScalarFunction("and", 2, "same", "any", _logical(np.logical_and, np.bitwise_and)),
    ScalarFunction("or", 2, "same", "any", _logical(np.logical_or, np.bitwise_or)),
    ScalarFunction("xor", 2, "same", "any", _logical(np.logical_xor, np.bitwise_xor)),
    ScalarFunction("not", 1, "same", "any", _logical(np.logical_not, np.invert)),
    ScalarFunction("shl", 2, "same", "integer", _shift(np.left_shift)),
    ScalarFunction("shr", 2, "same", "integer", _shift(np.right_shift)),
)

FUNCTIONS: dict[str, ScalarFunction] = {f.name: f for f in _TABLE}

REDUCTIONS: dict[str, str] = {"sum": "add", "prod": "mul", "max": "max", "min": "min"}
"""Name of each reduction and the scalar function that combines two values."""
