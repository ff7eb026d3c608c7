"""Normalisation by statistics of the batch, of channels, of groups or of the last axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...ir.node import Node
from ...kernel.dims import Dim
from ...kernel.dtypes import float64
from ..writer import Exporter, Writer
from .attributes import are_exact, dtype_of, shape_of


def _batch_norm(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str] | None:
    """With the moving statistics, which stay as they are."""
    op: Any = node.op
    if not are_exact(node, op.eps):
        return None
    y = w.emit("BatchNormalization", ins, epsilon=op.eps, momentum=op.momentum)
    return [y, ins[3], ins[4]]


def _layer_norm(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str] | None:
    """ONNX keeps the statistics in float32."""
    op: Any = node.op
    shape = shape_of(node.inputs[0])
    axis = op.axis % len(shape)
    given = list(ins)
    if dtype_of(node.inputs[0]) == float64 or 0 in shape:
        return None
    if len(given) == 1:
        ones = _filled(w, node, shape[axis:], 1.0)
        if ones is None:
            return None
        given.append(ones)
    return [w.emit("LayerNormalization", given, axis=axis, epsilon=op.eps)]


def _filled(w: Writer, node: Node, shape: Sequence[Dim], value: float) -> str | None:
    """A constant of the type of the input; None for open extents."""
    closed = [d for d in shape if isinstance(d, int)]
    if len(closed) != len(shape):
        return None
    return w.constant(np.full(closed, value, dtype_of(node.inputs[0]).numpy))


def _local_response_norm(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str] | None:
    op: Any = node.op
    # ONNX leaves open on which side an even window has more; implementations take images only.
    plain = op.size % 2 == 1 and len(shape_of(node.inputs[0])) == 4
    if not plain or not are_exact(node, op.alpha, op.beta, op.k):
        return None
    return [w.emit("LRN", ins, size=op.size, alpha=op.alpha, beta=op.beta, bias=op.k)]


def _instance_norm(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str] | None:
    op: Any = node.op
    shape = shape_of(node.inputs[0])
    if len(shape) < 3 or 0 in shape or not are_exact(node, op.eps):
        return None
    if len(ins) == 3:
        return [w.emit("InstanceNormalization", ins, epsilon=op.eps)]
    y = _standard(w, node, ins[0], shape[1], op.eps)
    return None if y is None else [y]


def _standard(w: Writer, node: Node, name: str, channels: Dim, eps: float) -> str | None:
    """Mean 0 and variance 1 for each entry of the first two axes."""
    one, zero = (_filled(w, node, (channels,), value) for value in (1.0, 0.0))
    if one is None or zero is None:
        return None
    return w.emit("InstanceNormalization", [name, one, zero], epsilon=eps)


def _group_norm(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str] | None:
    """Groups as the channels of an instance norm: GroupNormalization of opset 18 scales groups."""
    op: Any = node.op
    shape = shape_of(node.inputs[0])
    if 0 in shape or not are_exact(node, op.eps):
        return None
    parts = w.emit("Reshape", [ins[0], w.ints([0, op.groups, -1])])
    standard = _standard(w, node, parts, op.groups, op.eps)
    if standard is None:
        return None
    y = w.reshape(standard, shape)
    if len(ins) == 1:
        return [y]
    axes = w.ints(range(1, len(shape) - 1))
    gamma, beta = (w.emit("Unsqueeze", [n, axes]) if len(shape) > 2 else n for n in ins[1:])
    return [w.emit("Add", [w.emit("Mul", [y, gamma]), beta])]


EXPORTERS: dict[str, Exporter] = {
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "local_response_norm": _local_response_norm,
    "instance_norm": _instance_norm,
    "group_norm": _group_norm,
}
