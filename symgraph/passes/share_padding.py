"""Let everything that reads a value read the padded copy of it that is made anyway.

    %p = pad(%r, 1); %c = convolution(%p, %w)        %p = pad(%r, 1); %c = convolution(%p, %w)
    %y = add(%c, %r)                            ->   %y = read_inside(%c, %p){add}

What makes the value then writes it into the middle of the padded one (fusion, and placement when
kernels are made), and it is never stored without its border.  Of several paddings with one value,
the widest serves all.  A value that a result, a view or a host operator needs stays as it is.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar

from ..ir.compose import apply_forward
from ..ir.form import op_key
from ..ir.graph import Graph, make_node, with_inputs
from ..ir.node import Node, Value
from ..ir.read_inside import Margins, ReadInside
from ..kernel.dtypes import as_dtype
from ..kernel.ir import Buffer
from ..kernel.placement import Placement, find_placement
from .fusion.profile import Profiles
from .manager import Fact, Pass


@dataclass(frozen=True)
class SharePadding(Pass):
    """Readers of a value that is also padded read it inside its border."""

    name: ClassVar[str] = "share_padding"
    requires: ClassVar[Fact] = Fact.TYPED | Fact.PRIMITIVE

    def run(self, graph: Graph) -> Graph:
        return _Sharing(graph).run()


@dataclass(frozen=True)
class _Around:
    """Where an old value is read: inside a padded one."""

    padded: Value
    margins: Margins


class _Sharing:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.profiles = Profiles()
        self.results = set(graph.results)
        self.placements: dict[Value, Placement] = {}
        self.looked_at: dict[Hashable, Placement | None] = {}
        self.around: dict[Value, _Around] = {}
        self.new: dict[Value, Value] = {}

    def run(self) -> Graph:
        self._find_placements()
        for node in self.graph.nodes:
            for value in node.values:
                self._share(value)
        if not self.around:
            return self.graph
        for node in self.graph.nodes:
            if node[0] not in self.new:
                self._rebuild(node)
        outputs = [self.new[v] for v in self.graph.outputs]
        updates = [(name, self.new[v]) for name, v in self.graph.updates]
        return Graph(outputs, updates)

    def _find_placements(self) -> None:
        for node in self.graph.nodes:
            if len(node.inputs) == 1 and len(node.types) == 1 and self._is_native(node):
                others = len(self.graph.users.get(node.inputs[0], ())) > 1
                found = self._placement(node) if others else None
                if found is not None:
                    self.placements[node[0]] = found

    def _placement(self, node: Node) -> Placement | None:
        """How a node puts its input into a border; equal nodes are looked at once."""
        type = node.inputs[0].type
        assert type.shape is not None
        key = op_key(node.op), type
        if key[0] is not None and key in self.looked_at:
            return self.looked_at[key]
        source = Buffer("x", type.shape, as_dtype(type.dtype))
        found = find_placement(apply_forward(node, [source])[0])
        if key[0] is not None:
            self.looked_at[key] = found
        return found

    def _is_native(self, node: Node) -> bool:
        """The node reads by index expressions, so that it can read at other places."""
        return not node.op.is_view and self.profiles.of(node) is not None

    def _share(self, value: Value) -> None:
        users = [user for user, _ in self.graph.users.get(value, ())]
        padded = [u[0] for u in users if u[0] in self.placements]
        if len(users) < 2 or not padded or not self._is_free(value):
            return
        if not self._is_native(value.node):
            return
        widest = max(padded, key=lambda p: sum(map(sum, _margins(self.placements[p]))))
        self.around[value] = _Around(widest, _margins(self.placements[widest]))
        for other in padded:
            inside = self._inside(self.placements[other], self.placements[widest])
            if other is not widest and inside is not None and self._is_free(other):
                self.around[other] = _Around(widest, inside)

    def _is_free(self, value: Value) -> bool:
        """Every reader of a value can read it elsewhere."""
        users = self.graph.users.get(value, ())
        return value not in self.results and all(self._is_native(u) for u, _ in users)

    @staticmethod
    def _inside(small: Placement, large: Placement) -> Margins | None:
        """Where in the larger padding the smaller one lies; None where it does not."""
        pairs = zip(_margins(large), _margins(small), strict=True)
        gaps = tuple((a - c, b - d) for (a, b), (c, d) in pairs)
        same = small.value.value == large.value.value and small.value.dtype == large.value.dtype
        return gaps if same and all(n >= 0 for pair in gaps for n in pair) else None

    def _rebuild(self, node: Node) -> None:
        """The node over new inputs; the padded copy that it reads may stand behind it."""
        margins = [self._margins_of(node, v) for v in node.inputs]
        for value, found in zip(node.inputs, margins, strict=True):
            if found is not None and self.around[value].padded not in self.new:
                self._rebuild(self.around[value].padded.node)
        if all(m is None for m in margins):
            new = with_inputs(node, tuple(self.new[v] for v in node.inputs))
        else:
            inputs = tuple(
                self.new[v] if m is None else self.new[self.around[v].padded]
                for v, m in zip(node.inputs, margins, strict=True)
            )
            op = ReadInside(node.op, tuple(margins))
            new = make_node(op, inputs, node.name, node.origin, node.scope, node.attributes,
                            node.serial)  # fmt: skip
        self.new.update(zip(node.values, new.values, strict=True))

    def _margins_of(self, reader: Node, value: Value) -> Margins | None:
        """The border around what a node reads; the node that makes the border reads it bare."""
        found = self.around.get(value)
        return None if found is None or found.padded.node is reader else found.margins


def _margins(placement: Placement) -> Margins:
    return tuple(zip(placement.before, placement.after, strict=True))
