"""Tensors from nothing, and triangular parts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...ir.node import Node
from ...kernel.dtypes import as_dtype, int64
from ..elements import LARGEST_KNOWN
from ..writer import Exporter, Writer
from .attributes import shape_of


def _full(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    op: Any = node.op
    dtype = as_dtype(node.types[0].dtype)
    shape = shape_of(node.values[0])
    closed = [d for d in shape if isinstance(d, int)]
    if len(closed) == len(shape) and math.prod(closed) <= LARGEST_KNOWN:
        return [w.constant(np.full(closed, op.value, dtype.numpy))]
    return [w.emit("Expand", [w.scalar(op.value, dtype), w.shape(shape)])]


def _triangle(upper: int) -> Exporter:
    def export(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
        op: Any = node.op
        return [w.emit("Trilu", [ins[0], w.scalar(op.k, int64)], upper=upper)]

    return export


EXPORTERS: dict[str, Exporter] = {
    **dict.fromkeys(("full", "full_like", "ones_like"), _full),
    "tril": _triangle(0),
    "triu": _triangle(1),
}
