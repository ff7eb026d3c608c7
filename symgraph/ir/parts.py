"""Where tensors lie in one another: joined ones in their join, cut ones in what they are cut from.

An operator says which boxes of elements it puts together (`Op.joined_axis`) or takes apart
(`Op.cut_starts`).  A box whose elements lie together in row-major memory is a part that needs no
copy: its producer may write it where the join wants it, its readers may read it where it is.  A box
whose elements lie apart is a window: kernels may write and read it through the whole array.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..kernel import dims
from ..kernel.dims import Dim
from .graph import Graph
from .node import Node, Value
from .scan import Scan
from .tensor_type import TensorType


def join_offsets(node: Node) -> tuple[int, ...] | None:
    """The byte in the output at which each input's place begins.

    None where the node joins nothing, where the parts of an input do not lie together, or where
    their places depend on open extents.
    """
    inputs, (output, *_) = [v.type for v in node.inputs], node.types
    axis = node.op.joined_axis(inputs)
    if axis is None or output.shape is None or output.dtype is None:
        return None
    if any(extent != 1 for extent in output.shape[:axis]):
        return None
    inner = dims.product(output.shape[axis + 1 :])
    offset: Dim = 0
    found: list[int] = []
    for type in inputs:
        if not isinstance(offset, int) or type.shape is None:
            return None
        found.append(offset)
        size = dims.mul(dims.mul(type.shape[axis], inner), output.dtype.nbytes)
        offset = dims.add(offset, size)
    return tuple(found) if isinstance(offset, int) else None


def join_starts(node: Node) -> tuple[tuple[Dim, ...], ...] | None:
    """The index in the output at which each input's place begins; None where the node joins nothing
    or where it gives its inputs another rank."""
    inputs, (output, *_) = [v.type for v in node.inputs], node.types
    axis = node.op.joined_axis(inputs)
    if axis is None or output.shape is None:
        return None
    start: Dim = 0
    found: list[tuple[Dim, ...]] = []
    for type in inputs:
        if type.shape is None or len(type.shape) != len(output.shape):
            return None
        found.append(tuple(start if n == axis else 0 for n in range(len(output.shape))))
        start = dims.add(start, type.shape[axis])
    return tuple(found)


def is_shared(graph: Graph, node: Node) -> bool:
    """A result, or read by several nodes; a single reader may take a join in, over blocks if not as
    a whole, so that it needs no memory at all."""
    return node[0] in graph.results or len(graph.users.get(node[0], ())) > 1


def may_be_window(graph: Graph, value: Value) -> bool:
    """Kernels alone make and read the value, so that it may lie apart in a larger array."""
    node = value.node
    if not is_made(value) or node.op.is_view or node.op.is_host or isinstance(node.op, Scan):
        return False
    return value not in graph.results and not any(
        user.op.is_view
        or user.op.is_host
        or isinstance(user.op, Scan)
        or cut_offsets(user) is not None
        for user, _ in graph.users.get(value, ())
    )


def cut_offsets(node: Node) -> tuple[Dim, ...] | None:
    """The byte in input 0 at which each output lies; None where one does not lie together."""
    inputs = [v.type for v in node.inputs]
    starts = node.op.cut_starts(inputs)
    if starts is None:
        return None
    found = []
    for start, type in zip(starts, node.types, strict=True):
        offset = _box_offset(inputs[0], type, start)
        if offset is None:
            return None
        found.append(offset)
    return tuple(found)


def viewed(value: Value) -> Value:
    """The value of which this one is another shape."""
    while value.node.op.is_view:
        value = value.node.inputs[0]
    return value


def is_made(value: Value) -> bool:
    """A kernel or a call writes the value, so that it can be told where to."""
    node = value.node
    return bool(node.inputs) and not node.is_variable and cut_offsets(node) is None


def _box_offset(source: TensorType, box: TensorType, start: Sequence[Dim]) -> Dim | None:
    """Where a box begins in its source, if nothing else lies between its elements."""
    assert source.shape is not None and box.shape is not None and source.dtype is not None
    offset: Dim = 0
    stride: Dim = source.dtype.nbytes
    is_whole = True
    for at, extent, part in zip(
        reversed(start), reversed(source.shape), reversed(box.shape), strict=True
    ):
        if not is_whole and part != 1:
            return None
        is_whole = is_whole and part == extent
        offset = dims.add(offset, dims.mul(at, stride))
        stride = dims.mul(stride, extent)
    return offset
