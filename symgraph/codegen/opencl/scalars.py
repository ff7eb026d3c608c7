"""Element types and scalar functions as OpenCL C.

Every function is a builtin whose accuracy the OpenCL standard states, or a helper of `helpers.py`.
Values of float16 and bfloat16 are kept as `float` and rounded after each operation, bool as
`bool`; in memory they are `half`, `ushort` and `uchar`.
"""

from __future__ import annotations

import math

import numpy as np

from ...kernel.dtypes import DType, bfloat16, float16
from ...kernel.ir import Const

_MEMORY = {"float16": "half", "bfloat16": "ushort", "bool": "uchar"}
_VALUE = {
    "float16": "float",
    "bfloat16": "float",
    "float32": "float",
    "float64": "double",
    "int8": "char",
    "int16": "short",
    "int32": "int",
    "int64": "long",
    "uint8": "uchar",
    "uint16": "ushort",
    "uint32": "uint",
    "uint64": "ulong",
    "bool": "bool",
}

_SAME_NAME = (
    "sqrt",
    "exp",
    "expm1",
    "log",
    "log1p",
    "tanh",
    "erf",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "atan2",
    "floor",
    "ceil",
    "trunc",
    "pow",
)
BUILTINS = {**{name: name for name in _SAME_NAME}, "round": "rint", "abs": "fabs"}
COMPARISONS = {"lt": "<", "le": "<=", "eq": "==", "ne": "!="}
_INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/"}
_BITS = {"and": "&", "or": "|", "xor": "^"}
_EXACT = {"neg", "abs", "min", "max", "floor", "ceil", "trunc", "round"}
"""Functions whose result on rounded arguments needs no rounding."""


def memory_type(dtype: DType) -> str:
    """The C type of an element in global and shared memory."""
    return _MEMORY.get(dtype.name, _VALUE[dtype.name])


def value_type(dtype: DType) -> str:
    """The C type in which a value is computed."""
    return _VALUE[dtype.name]


def unsigned_type(dtype: DType) -> str:
    """The C type in which integer arithmetic wraps around; C widens narrower ones to `int`."""
    return "ulong" if dtype.nbytes == 8 else "uint"


class Scalars:
    """Spells values; `used` collects the helpers that the text needs."""

    def __init__(self, used: set[tuple[str, str]]) -> None:
        self._used = used

    def helper(self, name: str, kind: str = "") -> str:
        """The name of a helper function, which is then part of the text."""
        self._used.add((name, kind))
        return f"{name}_{kind}" if kind else name

    # -- memory --------------------------------------------------------------------------------

    def load(self, dtype: DType, pointer: str, index: str) -> str:
        if dtype == float16:
            return f"vload_half({index}, {pointer})"
        element = f"{pointer}[{index}]"
        if dtype == bfloat16:
            return f"{self.helper('from_bf16')}({element})"
        return f"({element} != 0)" if dtype.is_bool else element

    def store(self, dtype: DType, pointer: str, index: str, value: str) -> str:
        if dtype == float16:
            return f"vstore_half_rte({value}, {index}, {pointer});"
        if dtype == bfloat16:
            value = f"{self.helper('to_bf16')}({value})"
        return f"{pointer}[{index}] = {value};"

    def rounded(self, dtype: DType, text: str) -> str:
        """A `float` rounded to what the type can hold."""
        if dtype == float16:
            return f"{self.helper('round_f16')}({text})"
        if dtype == bfloat16:
            return f"{self.helper('round_bf16')}({text})"
        return text

    # -- values --------------------------------------------------------------------------------

    def const(self, constant: Const) -> str:
        dtype, value = constant.dtype, constant.value
        if dtype.is_bool:
            return "true" if value else "false"
        if dtype.is_integer:
            return _integer(int(value), value_type(dtype))
        return _floating(float(value), dtype)

    def call(self, function: str, dtype: DType, args: tuple[str, ...]) -> str:
        """A function of arguments of `dtype`."""
        if function in COMPARISONS:
            return f"({args[0]} {COMPARISONS[function]} {args[1]})"
        if dtype.is_bool:
            return self._logical(function, args)
        if dtype.is_float:
            text = self._floating(function, dtype, args)
            return text if function in _EXACT else self.rounded(dtype, text)
        return self._integer(function, dtype, args)

    def multiply_add(self, dtype: DType, a: str, b: str, c: str) -> str:
        """a * b + c of float32 or float64, fused where the device does that in hardware."""
        return f"MULTIPLY_ADD({a}, {b}, {c})"

    def _floating(self, function: str, dtype: DType, args: tuple[str, ...]) -> str:
        if function in _INFIX:
            return f"({args[0]} {_INFIX[function]} {args[1]})"
        if function == "neg":
            return f"(-{args[0]})"
        if function in BUILTINS:
            return f"{BUILTINS[function]}({', '.join(args)})"
        kind = value_type(dtype)
        names = {
            "min": "minimum",
            "max": "maximum",
            "floordiv": "floordiv",
            "mod": "modulo",
            "sigmoid": "sigmoid",
        }
        return f"{self.helper(names[function], kind)}({', '.join(args)})"

    def _integer(self, function: str, dtype: DType, args: tuple[str, ...]) -> str:
        kind, unsigned = value_type(dtype), unsigned_type(dtype)
        if function in ("add", "sub", "mul"):
            a, b = (f"({unsigned}){x}" for x in args)
            return f"(({kind})({a} {_INFIX[function]} {b}))"
        if function == "neg":
            return f"(({kind})(({unsigned})0 - ({unsigned}){args[0]}))"
        if function == "abs":
            return f"(({kind})abs({args[0]}))"
        if function in ("min", "max"):
            return f"{function}(({kind}){args[0]}, ({kind}){args[1]})"
        if function in _BITS:
            return f"(({kind})({args[0]} {_BITS[function]} {args[1]}))"
        if function == "not":
            return f"(({kind})(~{args[0]}))"
        if function in ("floordiv", "mod"):
            name = "floordiv" if function == "floordiv" else "modulo"
            return f"{self.helper(name, kind)}({args[0]}, {args[1]})"
        names = {"pow": "power", "shl": "shift_left", "shr": "shift_right"}
        return f"{self.helper(names[function], kind)}({args[0]}, {args[1]})"

    def _logical(self, function: str, args: tuple[str, ...]) -> str:
        match function:
            case "and" | "mul" | "min" | "floordiv":
                return f"({args[0]} && {args[1]})"
            case "or" | "add" | "max":
                return f"({args[0]} || {args[1]})"
            case "xor" | "sub":
                return f"({args[0]} != {args[1]})"
            case "not" | "neg":
                return f"(!{args[0]})"
            case "pow":
                return f"({args[0]} || !{args[1]})"
            case "mod":
                return "false"
            case "abs":
                return args[0]
            case _:
                raise AssertionError(function)

    def cast(self, source: DType, target: DType, value: str) -> str:
        """Conversion as `Cast` defines it."""
        if target.is_bool:
            return f"({value} != 0)"
        if target.is_float:
            return self._cast_to_float(source, target, value)
        if source.is_float:
            kind = f"{value_type(source)}_{value_type(target)}"
            return f"{self.helper('saturate', kind)}({value})"
        return f"(({value_type(target)}){value})"

    def _cast_to_float(self, source: DType, target: DType, value: str) -> str:
        if target == float16 and source.name == "float64":
            return f"{self.helper('double_to_f16')}({value})"
        if source in (float16, bfloat16) and source == target:
            return value
        return self.rounded(target, f"(({value_type(target)}){value})")


def _integer(value: int, kind: str) -> str:
    if kind == "long":
        return f"(-{-value - 1}L - 1)" if value < 0 else f"{value}L"
    if kind == "ulong":
        return f"{value}UL"
    if kind == "uint":
        return f"{value}u"
    text = (
        f"(-{-value - 1} - 1)" if value == -(1 << 31) else f"({value})" if value < 0 else f"{value}"
    )
    return text if kind == "int" else f"(({kind}){text})"


def _floating(value: float, dtype: DType) -> str:
    kind = value_type(dtype)
    if math.isnan(value):
        return f"(({kind})NAN)"
    with np.errstate(over="ignore"):
        rounded = np.asarray(value, dtype.numpy)
    number = rounded.astype(np.float64 if kind == "double" else np.float32)[()]
    if math.isinf(number):
        return f"({'-' if number < 0 else ''}({kind})INFINITY)"
    text = repr(number.item()) if kind == "double" else str(number)
    if not any(c in text for c in ".en"):
        text += ".0"
    suffix = "" if kind == "double" else "f"
    return f"({text}{suffix})" if math.copysign(1.0, number) < 0 else f"{text}{suffix}"
