"""Parts cut out, put together, put around, turned round."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...ir.node import Node
from ..writer import Exporter, Writer
from .attributes import dtype_of, shape_of

_END = int(np.iinfo(np.int64).max)
_BEFORE_START = int(np.iinfo(np.int64).min)


def cut(w: Writer, name: str, items: Sequence[tuple[int, int | None, int | None, int]]) -> str:
    """x[start:stop:step] along axes; items of (axis, start, stop, step), None as in Python."""
    if not items:
        return name
    starts, stops = [], []
    for _, start, stop, step in items:
        starts.append(start if start is not None else 0 if step > 0 else _END)
        stops.append(stop if stop is not None else _END if step > 0 else _BEFORE_START)
    columns = (starts, stops, [i[0] for i in items], [i[3] for i in items])
    return w.emit("Slice", [name, *(w.ints(column) for column in columns)])


def _slice(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    op: Any = node.op
    items = [(n, *item) for n, item in enumerate(op.items) if item != (None, None, 1)]
    return [cut(w, ins[0], items)]


def _flip(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    op: Any = node.op
    rank = len(shape_of(node.inputs[0]))
    given = op.axis if isinstance(op.axis, tuple) else (op.axis,)
    axes = range(rank) if op.axis is None else sorted({a % rank for a in given})
    return [cut(w, ins[0], [(n, None, None, -1) for n in axes])]


def _roll(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str] | None:
    """The elements that leave one end, put before the others."""
    op: Any = node.op
    shape = shape_of(node.inputs[0])
    name = ins[0]
    for axis, shift in zip(op.axis, op.shift, strict=True):
        extent = shape[axis % len(shape)]
        if not isinstance(extent, int):
            return None
        if extent and shift % extent:
            place = extent - shift % extent
            back = cut(w, name, [(axis % len(shape), place, None, 1)])
            front = cut(w, name, [(axis % len(shape), None, place, 1)])
            name = w.emit("Concat", [back, front], axis=axis)
    return [name]


def _concat(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    op: Any = node.op
    return [w.emit("Concat", ins, axis=op.axis)]


def _split(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    """At the places stated, the last part taking the rest: extents may be open."""
    op: Any = node.op
    axis = op.axis % len(shape_of(node.inputs[0]))
    if isinstance(op.parts, int):
        more: dict[str, Any] = {"num_outputs": op.parts}
        return w.emit_several("Split", ins, op.parts, axis=axis, **more)
    lengths = [shape_of(v)[axis] for v in node.values]
    return w.emit_several("Split", [*ins, w.shape(lengths)], len(lengths), axis=axis)


def _stack(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    op: Any = node.op
    axis = op.axis % len(shape_of(node.values[0]))
    parts = [w.emit("Unsqueeze", [name, w.ints([axis])]) for name in ins]
    return [w.emit("Concat", parts, axis=axis)]


def _pad(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    """What negative numbers cut off first, then what is put around."""
    op: Any = node.op
    items = [
        (n, max(0, -before), None if after >= 0 else after, 1)
        for n, (before, after) in enumerate(op.padding)
        if before < 0 or after < 0
    ]
    name = cut(w, ins[0], items)
    around = [max(0, pair[side]) for side in (0, 1) for pair in op.padding]
    if not any(around):
        return [name]
    given = [name, w.ints(around)]
    if op.mode == "constant":
        given.append(w.scalar(op.value, dtype_of(node.inputs[0])))
    return [w.emit("Pad", given, mode=op.mode)]


EXPORTERS: dict[str, Exporter] = {
    "slice": _slice,
    "flip": _flip,
    "roll": _roll,
    "concat": _concat,
    "split": _split,
    "stack": _stack,
    "pad": _pad,
}
