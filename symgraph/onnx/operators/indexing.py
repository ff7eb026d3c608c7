"""Elements that integer data name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...ir.node import Node, Value
from ...ir.op import Constant
from ...kernel import dims
from ...kernel.dims import Dim
from ...kernel.dtypes import int64
from ..writer import Exporter, Writer
from .attributes import shape_of


def _inside(w: Writer, name: str, value: Value, extent: Dim) -> str:
    """Indices from -extent to extent - 1, which ONNX asks for: others name the nearest element."""
    if isinstance(extent, int) and isinstance(value.node.op, Constant):
        array = np.asarray(value.node.op.value)
        if not array.size or (array.min() >= -extent and array.max() < extent):
            return name
    lowest, highest = w.extent(dims.mul(extent, -1)), w.extent(dims.add(extent, -1))
    wide = w.cast(name, int64)
    return w.emit("Min", [w.emit("Max", [wide, lowest]), highest])


def _take(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    op: Any = node.op
    shape = shape_of(node.inputs[0])
    axis = op.axis % len(shape)
    indices = _inside(w, ins[1], node.inputs[1], shape[axis])
    return [w.emit("Gather", [ins[0], indices], axis=axis)]


def _embedding(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    op: Any = node.op
    indices = _inside(w, ins[0], node.inputs[0], op.count)
    return [w.emit("Gather", [ins[1], indices], axis=0)]


def _gather(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    op: Any = node.op
    shape = shape_of(node.inputs[0])
    axis = op.axis % len(shape)
    indices = _inside(w, ins[1], node.inputs[1], shape[axis])
    return [w.emit("GatherElements", [ins[0], indices], axis=axis)]


EXPORTERS: dict[str, Exporter] = {"take": _take, "embedding": _embedding, "gather": _gather}
