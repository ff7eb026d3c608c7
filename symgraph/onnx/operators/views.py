"""The same elements under another shape, repeated along axes, or with axes in another order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...ir.node import Node
from ..writer import Exporter, Writer
from .attributes import shape_of


def _reshape(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    return [w.reshape(ins[0], shape_of(node.values[0]))]


def _places(axis: Any, rank: int) -> list[int]:
    axes = axis if isinstance(axis, tuple) else (axis,)
    return sorted(a % rank for a in axes)


def _expand_dims(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    op: Any = node.op
    axes = _places(op.axis, len(shape_of(node.values[0])))
    return [w.emit("Unsqueeze", [ins[0], w.ints(axes)])]


def _squeeze(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    op: Any = node.op
    shape = shape_of(node.inputs[0])
    axes = (
        [n for n, d in enumerate(shape) if d == 1]
        if op.axis is None
        else _places(op.axis, len(shape))
    )
    return [w.emit("Squeeze", [ins[0], w.ints(axes)]) if axes else ins[0]]


def _transpose(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    op: Any = node.op
    rank = len(shape_of(node.values[0]))
    axes = list(reversed(range(rank))) if op.axes is None else [a % rank for a in op.axes]
    return [w.emit("Transpose", ins, perm=axes) if rank else ins[0]]


def _broadcast(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    return [w.emit("Expand", [ins[0], w.shape(shape_of(node.values[0]))])]


def _tile(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    op: Any = node.op
    rank = len(shape_of(node.inputs[0]))
    lead = len(op.repetitions) - rank
    counts = [1] * max(0, -lead) + list(op.repetitions)
    x = w.emit("Unsqueeze", [ins[0], w.ints(range(lead))]) if lead > 0 else ins[0]
    return [w.emit("Tile", [x, w.ints(counts)])]


def _repeat(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    """Each element several times along an axis: a new axis, tiled, merged."""
    op: Any = node.op
    shape = shape_of(node.values[0])
    axis = op.axis % len(shape)
    apart = w.emit("Unsqueeze", [ins[0], w.ints([axis + 1])])
    counts = [op.repeats if n == axis + 1 else 1 for n in range(len(shape) + 1)]
    return [w.reshape(w.emit("Tile", [apart, w.ints(counts)]), shape)]


EXPORTERS: dict[str, Exporter] = {
    **dict.fromkeys(("reshape", "reshape_like", "flatten"), _reshape),
    **dict.fromkeys(("broadcast_to", "broadcast_like"), _broadcast),
    "expand_dims": _expand_dims,
    "squeeze": _squeeze,
    "transpose": _transpose,
    "tile": _tile,
    "repeat": _repeat,
}
