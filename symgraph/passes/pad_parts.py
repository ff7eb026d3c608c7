"""Put the border around the parts of a join instead of around the whole.

    %j = concat(%a, %b, axis=1)             %p = pad(%a); %q = pad(%b)
    %y = pad(%j)                     ->     %y = concat(%p, %q, axis=1)

What makes a part then writes it into the middle of its place in the padded join (fusion, and
windows when kernels are made), and neither the parts nor the join are stored without the border.
Only borders beside the joined axis are moved, and only where nothing else reads the join or its
parts: a part with another reader would be stored twice, or with its border for a long time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..ir.compose import apply_forward
from ..ir.graph import Graph, make_node, with_inputs
from ..ir.node import Node, Value
from ..ir.parts import join_starts
from ..kernel.dtypes import as_dtype
from ..kernel.ir import Buffer
from ..kernel.placement import Placement, find_placement
from .fusion.profile import Profiles
from .manager import Fact, Pass


@dataclass(frozen=True)
class PadParts(Pass):
    """See the module's text."""

    name: ClassVar[str] = "pad_parts"
    requires: ClassVar[Fact] = Fact.TYPED | Fact.PRIMITIVE

    def run(self, graph: Graph) -> Graph:
        profiles = Profiles()
        results = set(graph.results)
        new: dict[Value, Value] = {}
        for node in graph.nodes:
            join = _join_padded_by(graph, node, profiles, results)
            if join is None:
                made = with_inputs(node, tuple(new[v] for v in node.inputs))
            else:
                parts = tuple(_padded(node, new[v]) for v in join.inputs)
                made = make_node(join.op, parts, node.name, node.origin, node.scope,
                                 node.attributes, node.serial)  # fmt: skip
            new.update(zip(node.values, made.values, strict=True))
        if all(old == value for old, value in new.items()):
            return graph
        outputs = [new[v] for v in graph.outputs]
        return Graph(outputs, [(name, new[v]) for name, v in graph.updates])


def _padded(node: Node, part: Value) -> Value:
    """The border of a node around something else."""
    return make_node(node.op, (part,), None, node.origin, node.scope)[0]


def _join_padded_by(
    graph: Graph, node: Node, profiles: Profiles, results: set[Value]
) -> Node | None:
    """The join around all of which, and beside whose axis, a node puts a border."""
    if len(node.inputs) != 1 or len(node.types) != 1:
        return None
    value = node.inputs[0]
    join = value.node
    if value in results or len(graph.users.get(value, ())) > 1 or len(join.inputs) < 2:
        return None
    axis = join.op.joined_axis([v.type for v in join.inputs])
    if axis is None or join_starts(join) is None:
        return None
    profile = profiles.of(node)
    if (
        profile is None
        or not profile.places
        or any(
            not _is_made(v, profiles) or v in results or len(graph.users.get(v, ())) > 1
            for v in join.inputs
        )
    ):
        return None
    found = _placement(node, value)
    parts = [_placement(node, v) for v in join.inputs]
    if found is None or found.before[axis] or found.after[axis]:
        return None
    return join if all(p is not None and _same(p, found) for p in parts) else None


def _is_made(value: Value, profiles: Profiles) -> bool:
    """A kernel makes it, which can write it somewhere else."""
    return not value.node.op.is_view and profiles.of(value.node) is not None


def _placement(node: Node, value: Value) -> Placement | None:
    """How an operator puts a value into a border."""
    shape = value.type.shape
    assert shape is not None
    return find_placement(apply_forward(
        make_node(node.op, (value,), None, node.origin),
        [Buffer("x", shape, as_dtype(value.type.dtype))],
    )[0])  # fmt: skip


def _same(a: Placement, b: Placement) -> bool:
    around = (a.value.value, a.value.dtype) == (b.value.value, b.value.dtype)
    return around and (a.before, a.after) == (b.before, b.after)
