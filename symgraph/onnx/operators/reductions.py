"""Values from all along some axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...ir.node import Node
from ...kernel.dtypes import as_dtype, int64
from ..writer import Exporter, Writer
from .attributes import shape_of

_KINDS = {
    "sum": "ReduceSum", "mean": "ReduceMean", "max": "ReduceMax", "min": "ReduceMin",
    "prod": "ReduceProd",
}  # fmt: skip


def _reduction(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str] | None:
    op: Any = node.op
    axes = op.axis if op.axis is None or isinstance(op.axis, tuple) else (op.axis,)
    if 0 in shape_of(node.inputs[0]) and op.name != "sum":
        return None  # ONNX leaves the results of nothing open
    more = [] if axes is None else [w.ints(axes)]
    plain = axes == ()
    return [
        w.emit("Identity", ins) if plain else
        w.emit(_KINDS[op.name], [*ins, *more], keepdims=int(op.keepdims))
    ]  # fmt: skip


def _arg_extreme(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str] | None:
    op: Any = node.op
    shape = shape_of(node.inputs[0])
    if not shape or 0 in shape:
        return None
    kind = "ArgMax" if op.name == "argmax" else "ArgMin"
    if op.axis is not None:
        return [w.emit(kind, ins, axis=op.axis, keepdims=int(op.keepdims))]
    flat = w.emit("Reshape", [ins[0], w.ints([-1])])
    place = w.emit(kind, [flat], axis=0, keepdims=0)
    return [w.reshape(place, shape_of(node.values[0]))]


def _softmax(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    op: Any = node.op
    kind = "Softmax" if op.name == "softmax" else "LogSoftmax"
    return [w.emit(kind, ins, axis=op.axis)]


def _cumsum(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    op: Any = node.op
    return [w.emit("CumSum", [*ins, w.scalar(op.axis, int64)], reverse=int(op.reverse))]


def _top_k(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    op: Any = node.op
    values, indices = w.emit_several("TopK", [*ins, w.ints([op.k])], 2, axis=op.axis)
    return [values, w.cast(indices, as_dtype(node.types[1].dtype))]


EXPORTERS: dict[str, Exporter] = {
    **dict.fromkeys(_KINDS, _reduction),
    "argmax": _arg_extreme,
    "argmin": _arg_extreme,
    "softmax": _softmax,
    "log_softmax": _softmax,
    "cumsum": _cumsum,
    "top_k": _top_k,
}
