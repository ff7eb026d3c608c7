"""Attributes of ONNX's operators."""

from __future__ import annotations

import numpy as np

from ...ir.node import Node, Value
from ...kernel.dims import Dim
from ...kernel.dtypes import DType, as_dtype, float64


def shape_of(value: Value) -> tuple[Dim, ...]:
    """The shape of a value of a typed graph."""
    assert value.type.shape is not None
    return value.type.shape


def dtype_of(value: Value) -> DType:
    """The element type of a value of a typed graph."""
    return as_dtype(value.type.dtype)


def are_exact(node: Node, *numbers: float) -> bool:
    """Attributes are float32 numbers in a file: for float64 data they must not lose digits."""
    if dtype_of(node.inputs[0]) != float64:
        return True
    return all(float(np.float32(n)) == n for n in numbers)
