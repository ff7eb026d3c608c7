"""Exporters of norms, activations with attributes, and parts of tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir.node import Node
from ..kernel.dtypes import as_dtype
from .export import Writer, exports


def _scalar(w: Writer, node: Node, value: float) -> str:
    """An initialiser of one number of the type of the node's first input."""
    dtype = as_dtype(node.inputs[0].type.dtype).numpy
    return w.constant(np.asarray(value, dtype))


@exports("batch_norm")
def _batch_norm(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    """With the moving statistics, which stay as they are."""
    op: Any = node.op
    y = w.emit("BatchNormalization", ins, epsilon=op.eps, momentum=op.momentum)
    return [y, ins[3], ins[4]]


@exports("layer_norm")
def _layer_norm(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    op: Any = node.op
    shape = node.inputs[0].type.shape or ()
    axis = op.axis % len(shape)
    given = list(ins)
    if len(given) == 1:
        dtype = as_dtype(node.inputs[0].type.dtype).numpy
        given.append(w.constant(np.ones(shape[axis:], dtype)))
    return [w.emit("LayerNormalization", given, axis=axis, epsilon=op.eps)]


@exports("local_response_norm")
def _local_response_norm(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    op: Any = node.op
    return [w.emit("LRN", ins, size=op.size, alpha=op.alpha, beta=op.beta, bias=op.k)]


@exports("gelu")
def _gelu(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    """As the operators that importers recognise as one."""
    op: Any = node.op
    x, half, one = ins[0], _scalar(w, node, 0.5), _scalar(w, node, 1.0)
    if op.approximate == "none":
        inner = w.emit("Erf", [w.emit("Div", [x, _scalar(w, node, math.sqrt(2))])])
        return [w.emit("Mul", [w.emit("Mul", [x, w.emit("Add", [inner, one])]), half])]
    cube = w.emit("Pow", [x, _scalar(w, node, 3.0)])
    bent = w.emit("Add", [x, w.emit("Mul", [cube, _scalar(w, node, 0.044715)])])
    inner = w.emit("Tanh", [w.emit("Mul", [bent, _scalar(w, node, math.sqrt(2 / math.pi))])])
    return [w.emit("Mul", [w.emit("Mul", [x, w.emit("Add", [inner, one])]), half])]


@exports("relu6")
def _relu6(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    return [w.emit("Clip", [*ins, _scalar(w, node, 0.0), _scalar(w, node, 6.0)])]


@exports("clip")
def _clip(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    op: Any = node.op
    bounds = ["" if b is None else _scalar(w, node, b) for b in (op.min, op.max)]
    return [w.emit("Clip", [*ins, *bounds])]


@exports("square")
def _square(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    return [w.emit("Mul", [ins[0], ins[0]])]


@exports("rsqrt")
def _rsqrt(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    return [w.emit("Reciprocal", [w.emit("Sqrt", ins)])]


@exports("slice")
def _slice(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    op: Any = node.op
    far = np.iinfo(np.int64).max
    starts, stops, axes, steps = [], [], [], []
    for axis, (start, stop, step) in enumerate(op.items):
        if (start, stop, step) == (None, None, 1):
            continue
        starts.append(start if start is not None else 0 if step > 0 else far)
        stops.append(stop if stop is not None else far if step > 0 else -far)
        axes.append(axis)
        steps.append(step)
    if not axes:
        return [w.emit("Identity", ins)]
    return [w.emit("Slice", [*ins, *(w.ints(v) for v in (starts, stops, axes, steps))])]


@exports("split")
def _split(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    """As slices: the lengths of a split may be open."""
    op: Any = node.op
    shape = node.inputs[0].type.shape or ()
    axis = op.axis % len(shape)
    lengths = [(t.shape or ())[axis] for t in node.types]
    names = [w.fresh("Split") for _ in lengths]
    sizes = [w.ints([d for d in lengths if isinstance(d, int)])] if all(
        isinstance(d, int) for d in lengths) else []  # fmt: skip
    w.emit_several("Split", [*ins, *sizes], names, axis=axis)
    return names


@exports("stack")
def _stack(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    op: Any = node.op
    axis = op.axis % len(node.types[0].shape or ())
    parts = [w.emit("Unsqueeze", [name, w.ints([axis])]) for name in ins]
    return [w.emit("Concat", parts, axis=axis)]


@exports("full")
def _full(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    op: Any = node.op
    dtype = as_dtype(op.dtype).numpy
    shape = node.types[0].shape or ()
    if all(isinstance(d, int) for d in shape):
        return [w.constant(np.full(shape, op.value, dtype))]
    raise w.unknown(node)


@exports("cast")
def _cast(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    op: Any = node.op
    element = w.onnx.helper.np_dtype_to_tensor_dtype(as_dtype(op.dtype).numpy)
    return [w.emit("Cast", ins, to=element)]


@exports("repeat")
def _repeat(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    """Each element several times along an axis: a new axis, tiled, merged."""
    op: Any = node.op
    shape = list(node.types[0].shape or ())
    if op.axis is None or not isinstance(op.repeats, int):
        raise w.unknown(node)
    axis = op.axis % len(shape)
    apart = w.emit("Unsqueeze", [ins[0], w.ints([axis + 1])])
    counts = [op.repeats if n == axis + 1 else 1 for n in range(len(shape) + 1)]
    tiled = w.emit("Tile", [apart, w.ints(counts)])
    target = [d if isinstance(d, int) else 0 for d in shape]
    return [w.emit("Reshape", [tiled, w.ints(target)])]
