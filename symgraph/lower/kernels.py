"""Naive kernels of nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from ..errors import InternalError
from ..ir.compose import apply_forward, literal, literal_tensor
from ..ir.node import Node, Value
from ..kernel import dims, loops
from ..kernel.compute import Compute, Tensor
from ..kernel.dtypes import as_dtype
from ..kernel.ir import Buffer, Kernel, Load
from ..kernel.rewrite import expressions, walk

K = TypeVar("K")


def identifier(name: str) -> str:
    """The name as one that every language takes."""
    text = "".join(c if c.isalnum() and c.isascii() else "_" for c in name)
    return text if text and not text[0].isdigit() else f"k_{text}"


def node_kernel(
    node: Node, kernel_name: str, origin: str, wanted: tuple[bool, ...] | None = None
) -> tuple[Kernel, tuple[Value, ...]]:
    """The naive kernel of one node, and the values its inputs stand for.

    `wanted` tells which of its results are stored; by default all are.
    """
    used: dict[Value, Buffer] = {}
    for value in node.inputs:
        if value not in used and literal(value) is None:
            used[value] = value_buffer(value, identifier(value.node.label))
    tensors = [_tensor(value, used) for value in node.inputs]
    results = checked_results(node, tensors)
    chosen = (True,) * len(results) if wanted is None else wanted
    outputs = [
        (value_buffer(value, result_label(value)), result)
        for value, result, stored in zip(node.values, results, chosen, strict=True)
        if stored
    ]
    return kernel_over(kernel_name, used, outputs, origin)


def value_buffer(value: Value, name: str) -> Buffer:
    """A buffer that holds a value."""
    type = value.node.types[value.index]
    assert type.shape is not None
    return Buffer(name, type.shape, as_dtype(type.dtype))


def result_label(value: Value) -> str:
    """What a kernel calls the value that it computes."""
    op = value.node.op
    return op.output_names[value.index] if op.output_count > 1 else "out"


def checked_results(node: Node, tensors: Sequence[Tensor]) -> tuple[Compute, ...]:
    """The index expressions of a node.  Raises: InternalError when they are not of its types."""
    results = apply_forward(node, tensors)
    for value, result in zip(node.values, results, strict=True):
        type = node.types[value.index]
        assert type.shape is not None and type.dtype is not None
        if result.dtype != type.dtype or len(result.shape) != len(type.shape):
            raise InternalError(
                f"{node.op.name}: forward gives {result.dtype.name}{dims.dim_text(result.shape)}, "
                f"inference says {type}"
            )
    return results


def kernel_over(
    name: str, used: Mapping[K, Buffer], outputs: Sequence[tuple[Buffer, Compute]], origin: str
) -> tuple[Kernel, tuple[K, ...]]:
    """The naive kernel of computations, and what of `used` it reads.

    Inputs that no expression reads (only their shape mattered) are not passed.
    """
    kernel = loops.lower(name, tuple(used.values()), outputs, origin)
    read = {e.tensor for top in expressions(kernel.body) for e in walk(top) if isinstance(e, Load)}
    kept = [(v, b) for v, b in used.items() if b in read]
    inputs = tuple(b for _, b in kept)
    trimmed = Kernel(kernel.name, inputs, kernel.outputs, kernel.dims, kernel.body, kernel.origin)
    return trimmed, tuple(v for v, _ in kept)


def _tensor(value: Value, used: Mapping[Value, Buffer]) -> Tensor:
    number = literal(value)
    return used[value] if number is None else literal_tensor(number)
