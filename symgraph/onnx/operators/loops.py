"""Loops, as ONNX's Scan: states first, then a slice of each sequence.

What the body reads from outside it reads by its name there, as subgraphs of ONNX may.  Steps are
brought to the first axis and into the loop's order outside: axes and directions of Scan are left
out by several of its implementations, ONNX's reference among them.  Scan counts the steps of its
sequences; a loop without any is given one of nothing but its length.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...ir.node import Node, Value
from ...ir.scan import Scan
from ...ir.tensor_type import TensorType
from ...kernel.dtypes import as_dtype, int64
from ..writer import Exporter, Writer
from .attributes import shape_of
from .rearrangements import cut


def _scan(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    op = node.op
    assert isinstance(op, Scan)
    sequences, states, captured = op.split(ins)
    flows = [
        _turned(w, _moved(w, name, value, axis, 0), op)
        for name, value, axis in zip(sequences, node.inputs, op.axes, strict=False)
    ]
    inside, inputs = _inputs(w, node, op)
    if not flows:
        steps = op.steps([v.type for v in node.inputs])
        flows = [w.emit("Expand", [w.scalar(0, int64), w.shape((steps,))])]
        inputs.append(w.info(w.fresh("step"), TensorType((), int64)))
    inside.update(zip(op.captured, captured, strict=True))
    variables = {n[0]: inside[name] for name, n in op.variables().items()}
    outs = w.emit_several(
        "Scan", [*states, *flows], len(node.types), [as_dtype(t.dtype) for t in node.types],
        body=w.subgraph(op.body, variables, inputs), num_scan_inputs=len(flows),
    )  # fmt: skip
    first = len(states)
    stacks = [
        _moved(w, _turned(w, name, op), value, 0, axis)
        for name, value, axis in zip(outs[first:], node.values[first:], op.output_axes, strict=True)
    ]
    return [*outs[:first], *stacks]


def _moved(w: Writer, name: str, value: Value, source: int, target: int) -> str:
    """The axis of steps at another place."""
    order = [n for n in range(len(shape_of(value))) if n != source]
    order.insert(target, source)
    return name if source == target else w.emit("Transpose", [name], perm=order)


def _turned(w: Writer, name: str, op: Scan) -> str:
    """The last step first, where the loop runs backwards."""
    return cut(w, name, [(0, None, None, -1)]) if op.reverse else name


def _inputs(w: Writer, node: Node, op: Scan) -> tuple[dict[str, str], list[object]]:
    """The name of each state and slice inside the body, and the body's declared inputs."""
    types = op.input_types([v.type for v in node.inputs])
    names = {name: w.fresh(name) for name in (*op.states, *op.sequences)}
    return names, [w.info(inner, types[name]) for name, inner in names.items()]


EXPORTERS: dict[str, Exporter] = {"scan": _scan}
