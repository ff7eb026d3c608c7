"""Element types: a closed set, with numpy spelling, size and the type sums are kept in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DTypeError, require


@dataclass(frozen=True, slots=True)
class DType:
    """One element type.  `kind` is one of "float", "int", "uint", "bool"."""

    name: str
    kind: str
    nbytes: int
    short: str

    def __repr__(self) -> str:
        return self.name

    @property
    def is_float(self) -> bool:
        return self.kind == "float"

    @property
    def is_integer(self) -> bool:
        return self.kind in ("int", "uint")

    @property
    def is_bool(self) -> bool:
        return self.kind == "bool"

    @property
    def accumulator(self) -> DType:
        """The type in which sums and products of this type are kept."""
        return float32 if self.name in ("float16", "bfloat16") else self

    @property
    def numpy(self) -> np.dtype[Any]:
        """The numpy type.  Raises: MissingDependencyError for bfloat16 without ml_dtypes."""
        if self.name != "bfloat16":
            return np.dtype(self.name)
        try:
            import ml_dtypes
        except ImportError as error:
            raise require("ml_dtypes", "bfloat16", "bfloat16 arrays in numpy") from error
        found: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return found

    @property
    def lowest(self) -> float | int | bool:
        """The smallest value: the neutral element of max."""
        if self.is_float:
            return float("-inf")
        return False if self.is_bool else int(np.iinfo(self.name).min)

    @property
    def highest(self) -> float | int | bool:
        """The largest value: the neutral element of min."""
        if self.is_float:
            return float("inf")
        return True if self.is_bool else int(np.iinfo(self.name).max)


float16 = DType("float16", "float", 2, "f16")
bfloat16 = DType("bfloat16", "float", 2, "bf16")
float32 = DType("float32", "float", 4, "f32")
float64 = DType("float64", "float", 8, "f64")
int8 = DType("int8", "int", 1, "i8")
int16 = DType("int16", "int", 2, "i16")
int32 = DType("int32", "int", 4, "i32")
int64 = DType("int64", "int", 8, "i64")
uint8 = DType("uint8", "uint", 1, "u8")
uint16 = DType("uint16", "uint", 2, "u16")
uint32 = DType("uint32", "uint", 4, "u32")
uint64 = DType("uint64", "uint", 8, "u64")
bool_ = DType("bool", "bool", 1, "b1")

ALL: tuple[DType, ...] = (
    float16,
    bfloat16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
    bool_,
)
FLOATS = tuple(t for t in ALL if t.is_float)
_BY_NAME = {t.name: t for t in ALL} | {t.short: t for t in ALL}

DTypeLike = Any


def as_dtype(value: DTypeLike) -> DType:
    """The DType of a DType, a name, a numpy type or a Python type.

    Raises: DTypeError, listing the known names.
    """
    if isinstance(value, DType):
        return value
    if isinstance(value, str) and value in _BY_NAME:
        return _BY_NAME[value]
    if value is float:
        return float32
    if value is int:
        return int64
    try:
        return _BY_NAME[np.dtype(value).name]
    except (TypeError, ValueError, KeyError):
        known = ", ".join(t.name for t in ALL)
        raise DTypeError(f"unknown dtype {value!r}; known are {known}") from None
