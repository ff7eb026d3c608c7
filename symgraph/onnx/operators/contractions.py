"""Sums of products: matrices, Einstein sums."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...ir.node import Node
from ..writer import Exporter, Writer
from .attributes import shape_of


def _linear(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    if len(shape_of(node.inputs[0])) == 2:
        return [w.emit("Gemm", ins, transB=1)]
    transposed = w.emit("Transpose", [ins[1]], perm=[1, 0])
    product = w.emit("MatMul", [ins[0], transposed])
    return [product if len(ins) == 2 else w.emit("Add", [product, ins[2]])]


def _matmul(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    op: Any = node.op
    sides = []
    flags = (op.transpose_x, op.transpose_y)
    for name, value, flip in zip(ins, node.inputs, flags, strict=True):
        rank = len(shape_of(value))
        perm = [*range(rank - 2), rank - 1, rank - 2]
        sides.append(w.emit("Transpose", [name], perm=perm) if flip and rank > 1 else name)
    return [w.emit("MatMul", sides)]


def _einsum(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str] | None:
    """Where "..." stands for as many axes everywhere: ONNX does not broadcast ranks."""
    op: Any = node.op
    equation = op.equation.replace(" ", "")
    parts = equation.partition("->")[0].split(",")
    spread = {
        len(shape_of(value)) - len(part.replace("...", ""))
        for value, part in zip(node.inputs, parts, strict=True)
        if "..." in part
    }
    return [w.emit("Einsum", ins, equation=equation)] if len(spread) < 2 else None


EXPORTERS: dict[str, Exporter] = {"linear": _linear, "matmul": _matmul, "einsum": _einsum}
