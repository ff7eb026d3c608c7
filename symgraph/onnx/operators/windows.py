"""Convolution and pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...ir.node import Node
from ...kernel.dims import Dim
from ...kernel.dtypes import as_dtype
from ..writer import Exporter, Writer
from .attributes import shape_of

Padding = Sequence[tuple[int, int]]


def _pads(padding: Padding) -> list[int]:
    return [p[0] for p in padding] + [p[1] for p in padding]


def _convolve(
    w: Writer, kind: str, node: Node, ins: Sequence[str], padding: Padding, **more: Any
) -> Sequence[str]:
    """With what the attributes of a convolution and of its transpose share."""
    op: Any = node.op
    kernel = [d for d in shape_of(node.inputs[1])[2:] if isinstance(d, int)]
    if len(kernel) == len(op.stride):
        more["kernel_shape"] = kernel
    name = w.emit(
        kind, ins, strides=list(op.stride), pads=_pads(padding), dilations=list(op.dilation),
        group=op.groups, **more,
    )  # fmt: skip
    return [name]


def _convolution(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    op: Any = node.op
    padding = getattr(op, "padding", ((0, 0),) * len(op.stride))
    return _convolve(w, "Conv", node, ins, padding)


def _transposed(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str] | None:
    op: Any = node.op
    if 0 in shape_of(node.inputs[0]):
        return None
    extra = list(op.output_padding)
    return _convolve(w, "ConvTranspose", node, ins, op.padding, output_padding=extra)


def _overhang(op: Any, before: Sequence[Dim], after: Sequence[Dim]) -> Padding | None:
    """Padding with which windows that are counted downwards are as many as in ceil mode; None
    where extents are open."""
    result = []
    for n, count, k, s, (first, _) in zip(
        before, after, op.kernel_size, op.stride, op.padding, strict=True
    ):
        if not isinstance(n, int) or not isinstance(count, int):
            return None
        result.append((first, max(0, (count - 1) * s + k - first - n)))
    return result


def _padding(node: Node) -> Padding | None:
    op: Any = node.op
    if not op.ceil_mode:
        return tuple(op.padding)
    return _overhang(op, shape_of(node.inputs[0])[2:], shape_of(node.values[0])[2:])


def _max_pool(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str] | None:
    op: Any = node.op
    padding = _padding(node)
    if padding is None:
        return None
    size, stride = list(op.kernel_size), list(op.stride)
    return [w.emit("MaxPool", ins, kernel_shape=size, strides=stride, pads=_pads(padding))]


def _avg_pool(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str] | None:
    """What a window of ceil mode has beyond the padding is never counted."""
    op: Any = node.op
    padding = _padding(node)
    if padding is None:
        return None
    x, include = ins[0], op.count_include_pad
    if op.ceil_mode and include:
        around = _pads([(0, 0), (0, 0), *op.padding])
        zero = w.scalar(0.0, as_dtype(node.types[0].dtype))
        x = w.emit("Pad", [x, w.ints(around), zero])
        padding = [(0, max(0, end - own[1])) for (_, end), own in
                   zip(padding, op.padding, strict=True)]  # fmt: skip
        include = False
    size, stride = list(op.kernel_size), list(op.stride)
    name = w.emit(
        "AveragePool", [x], kernel_shape=size, strides=stride, pads=_pads(padding),
        count_include_pad=int(include),
    )  # fmt: skip
    return [name]


def _global(kind: str) -> Exporter:
    """Of nothing there is no mean, and so ONNX's implementations fail."""
    return lambda w, node, ins: None if 0 in shape_of(node.inputs[0]) else [w.emit(kind, ins)]


EXPORTERS: dict[str, Exporter] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d", "convolution"), _convolution),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d"), _transposed),
    **dict.fromkeys(("max_pool1d", "max_pool2d", "max_pool3d"), _max_pool),
    **dict.fromkeys(("avg_pool1d", "avg_pool2d", "avg_pool3d"), _avg_pool),
    "global_avg_pool2d": _global("GlobalAveragePool"),
    "global_max_pool2d": _global("GlobalMaxPool"),
}
