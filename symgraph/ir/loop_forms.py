"""Simpler forms of a loop: the same results with less to pass and less to carry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..kernel.dims import DimVar
from .compose import reads_elements
from .graph import Graph, make_node
from .node import Value
from .op import Constant
from .registry import registry

if TYPE_CHECKING:
    from .scan import Scan


def simpler(op: Scan, ins: Sequence[Value]) -> tuple[Scan, tuple[Value, ...]] | None:
    """The loop and its inputs with numbers written into the body, equal inputs passed once,
    zeros for what only lends its shape, states that keep their value captured, and unread inputs
    left out; None for no change."""
    given = dict(zip(op.names, ins, strict=True))
    mapping = _replaced(op, given)
    body = op.body.replace(mapping) if mapping else op.body
    fixed = _fixed_states(op, body)
    states = tuple(s for s in op.states if s not in fixed)
    outputs = [
        v for s, v in zip(op.states, body.outputs, strict=False) if s not in fixed
    ]  # fmt: skip
    new = replace(
        op,
        body=Graph([*outputs, *body.outputs[len(op.states) :]]),
        states=states,
        captured=(*op.captured, *fixed),
    )
    sequences, _, _ = op.split([v.type for v in ins])
    known = all(t.shape is not None for t in sequences)
    new = new.trimmed(op.steps([v.type for v in ins]) if known else None)
    if new.names == op.names and body is op.body:
        return None
    return new, tuple(given[name] for name in new.names)


def _replaced(op: Scan, given: dict[str, Value]) -> dict[Value, Value]:
    """Variables of the body that are numbers, or equal to an earlier one."""
    variables = op.variables()
    first: dict[object, Value] = {}
    mapping: dict[Value, Value] = {}
    axes: dict[str, int | None] = dict(zip(op.sequences, op.axes, strict=True))
    for name in (*op.sequences, *op.captured):
        if name not in variables:
            continue
        own, value = variables[name][0], given[name]
        if _only_its_shape(op.body, own):
            mapping[own] = _zeros(own)
            continue
        constant = value.node.op
        if name in op.captured and isinstance(constant, Constant) and constant.is_literal:
            mapping[own] = value
            continue
        earlier = first.setdefault((value, axes.get(name)), own)
        if earlier is not own:
            mapping[own] = earlier
    return mapping


def _only_its_shape(graph: Graph, value: Value) -> bool:
    """The type is known, and nothing reads an element of the value."""
    shape = value.type.shape
    if not value.type.is_complete or shape is None or value in graph.outputs:
        return False
    plain = all(isinstance(d, (int, DimVar)) for d in shape)
    uses = graph.users.get(value, ())
    return plain and not any(reads_elements(node, number) for node, number in uses)


def _zeros(value: Value) -> Value:
    type = value.type
    assert type.dtype is not None
    full: Any = registry.get("full")
    return make_node(full(type.shape, 0, type.dtype.name), (), value.node.name,
                     value.node.origin)[0]  # fmt: skip


def _fixed_states(op: Scan, body: Graph) -> tuple[str, ...]:
    """The states whose next value is their own."""
    variables = {body.names[n]: n[0] for n in body.variables}
    return tuple(
        name
        for name, value in zip(op.states, body.outputs, strict=False)
        if variables.get(name) == value
    )
