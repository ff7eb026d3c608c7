"""Exporter of loops, as ONNX's Scan: states first, then a slice of each sequence.

What the body reads from outside it reads by its name there, as subgraphs of ONNX may.  Steps are
brought to the first axis and into the loop's order outside: axes and directions of Scan are left
out by several of its implementations, ONNX's reference among them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import UnknownOperatorError
from ..ir.node import Node, Value
from ..ir.scan import Scan
from .export import Writer, exports


@exports("scan")
def _scan(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    op = node.op
    assert isinstance(op, Scan)
    if not op.sequences:
        raise UnknownOperatorError(
            f"{w.graph.names[node]}: a loop without sequences has no counterpart in ONNX's Scan, "
            f"which counts the steps of its sequences (declared at {node.origin}); give the loop "
            f"a sequence, of zeros for example"
        )
    sequences, states, captured = op.split(ins)
    flows = [
        _turned(w, _moved(w, name, value, axis, 0), op)
        for name, value, axis in zip(sequences, node.inputs, op.axes, strict=False)
    ]
    outs = [w.fresh("scan") for _ in node.values]
    body = _body(w, node, op, captured)
    w.emit_several("Scan", [*states, *flows], outs, body=body, num_scan_inputs=len(flows))
    first = len(states)
    stacks = [
        _moved(w, _turned(w, name, op), value, 0, axis)
        for name, value, axis in zip(outs[first:], node.values[first:], op.output_axes, strict=True)
    ]
    return [*outs[:first], *stacks]


def _moved(w: Writer, name: str, value: Value, source: int, target: int) -> str:
    """The axis of steps at another place."""
    order = [n for n in range(len(value.type.shape or ())) if n != source]
    order.insert(target, source)
    return name if source == target else w.emit("Transpose", [name], perm=order)


def _turned(w: Writer, name: str, op: Scan) -> str:
    """The last step first, where the loop runs backwards."""
    if not op.reverse:
        return name
    last = w.ints([np.iinfo(np.int64).min])
    return w.emit("Slice", [name, w.ints([-1]), last, w.ints([0]), w.ints([-1])])


def _body(w: Writer, node: Node, op: Scan, captured: Sequence[str]) -> object:
    types = op.input_types([v.type for v in node.inputs])
    given = {name: w.fresh(name) for name in (*op.states, *op.sequences)}
    inputs = [w.info(given[name], types[name]) for name in (*op.states, *op.sequences)]
    given.update(zip(op.captured, captured, strict=True))
    names: dict[Value, str] = {n[0]: given[name] for name, n in op.variables().items()}
    return w.subgraph(op.body, names, inputs)
