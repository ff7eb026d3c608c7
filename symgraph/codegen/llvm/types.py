"""How element types and literals are spelled in LLVM IR.

A value has a memory form and a register form: float16 and bfloat16 lie in memory as i16 and are
computed with as float; bool lies in memory as i8 and is i1 in registers.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ...kernel.dtypes import DType

_FLOATS = {"float16": "float", "bfloat16": "float", "float32": "float", "float64": "double"}
_FLOATS_IN_MEMORY = {"float16": "i16", "bfloat16": "i16", "float32": "float", "float64": "double"}


@dataclass(frozen=True, slots=True)
class Value:
    """One SSA value or literal: the dtype it stands for and its lanes (1 is a scalar)."""

    text: str
    dtype: DType
    lanes: int = 1

    @property
    def type(self) -> str:
        return vector(register_type(self.dtype), self.lanes)


def register_type(dtype: DType) -> str:
    """The type of one element as an SSA value."""
    if dtype.is_float:
        return _FLOATS[dtype.name]
    return "i1" if dtype.is_bool else f"i{dtype.nbytes * 8}"


def memory_type(dtype: DType) -> str:
    """The type of one element in memory."""
    return _FLOATS_IN_MEMORY[dtype.name] if dtype.is_float else f"i{dtype.nbytes * 8}"


def vector(type: str, lanes: int) -> str:
    return type if lanes == 1 else f"<{lanes} x {type}>"


def is_rounded(dtype: DType) -> bool:
    """Computed in float32 and rounded after each operation."""
    return dtype.name in ("float16", "bfloat16")


def suffix(type: str, lanes: int) -> str:
    """The name of a type in an intrinsic's name: `float` times 16 is v16f32."""
    scalar = {"float": "f32", "double": "f64", "half": "f16", "ptr": "p0"}.get(type, type)
    return scalar if lanes == 1 else f"v{lanes}{scalar}"


def literal(value: int | float | bool, dtype: DType) -> str:
    """One element; floats are spelled by the bits of the float64 that holds them."""
    if dtype.is_bool:
        return "true" if value else "false"
    if not dtype.is_float:
        return str(int(value))
    number = float(value)
    if dtype.name == "float32":
        number = round_float32(number)
    elif dtype.name == "float16":
        number = round_float16(number)
    elif dtype.name == "bfloat16":
        number = round_bfloat16(number)
    return f"0x{struct.unpack('<Q', struct.pack('<d', number))[0]:016X}"


def splat(scalar: str, type: str, lanes: int) -> str:
    """A literal in every lane."""
    return scalar if lanes == 1 else f"splat ({type} {scalar})"


def round_float32(value: float) -> float:
    """The nearest float32."""
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def round_float16(value: float) -> float:
    """The nearest float16."""
    try:
        return float(struct.unpack("<e", struct.pack("<e", value))[0])
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def round_bfloat16(value: float) -> float:
    """The nearest bfloat16, by way of float32."""
    single = round_float32(value)
    if single != single or single in (float("inf"), float("-inf")):
        return single
    bits = struct.unpack("<I", struct.pack("<f", single))[0]
    bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    return float(struct.unpack("<f", struct.pack("<I", bits))[0])
