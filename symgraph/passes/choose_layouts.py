"""Let images lie in blocks of channels from the first convolution to the last.

An operator may offer the layouts it works fastest in (`Op.layouts`), or say that it works in any
layout of the channel axis (`Op.channelwise`).  Blocked values stay blocked between them; the plain
form is made once, where something needs it.  Constants are packed when they are folded.

    %y: f32[1,64,56,56] = convolution(%x, %w)      ->  %y: f32[1,4,56,56,16] = in_layout(%x', %w')
    %z: f32[1,64,56,56] = relu(%y)                 ->  %z: f32[1,4,56,56,16] = in_layout(%y)
    return %z                                      ->  %p: f32[1,64,56,56] = in_layout(%z)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ..ir.graph import Graph, make_node, with_inputs
from ..ir.layout import InLayout, Layout, Relayout
from ..ir.node import Node, Value
from .manager import Fact, Pass

CHANNELS = 1
"""The axis that is blocked."""


@dataclass(frozen=True)
class ChooseLayouts(Pass):
    """`block` channels lie together; one vector of the target."""

    block: int = 16
    name: ClassVar[str] = "choose_layouts"
    requires: ClassVar[Fact] = Fact.TYPED | Fact.PRIMITIVE
    breaks: ClassVar[Fact] = Fact.CANONICAL

    def run(self, graph: Graph) -> Graph:
        if not any(_offer(n, self.block) for n in graph.nodes):
            return graph
        return _Layouts(graph, Layout(((CHANNELS, self.block),))).run()


class _Layouts:
    """One run: for each old value its new plain form, blocked form, or both."""

    def __init__(self, graph: Graph, layout: Layout) -> None:
        self.graph = graph
        self.layout = layout
        self.plain: dict[Value, Value] = {}
        self.forms: dict[tuple[Value, Layout], Value] = {}
        self.own: dict[Value, Layout] = {}
        """How the channels of a value lie that was made in blocks."""

    def run(self) -> Graph:
        for node in self.graph.nodes:
            self._node(node)
        outputs = [self._plain(v) for v in self.graph.outputs]
        updates = [(name, self._plain(v)) for name, v in self.graph.updates]
        return Graph(outputs, updates)

    def _node(self, node: Node) -> None:
        found = _offer(node, self.layout.blocks[0][1]) or self._following(node)
        if found is None:
            new = with_inputs(node, tuple(self._plain(v) for v in node.inputs))
            self.plain.update(zip(node.values, new.values, strict=True))
            return
        ins, out = found
        inputs = tuple(
            self._plain(v) if layout is None else self._in(v, layout)
            for v, layout in zip(node.inputs, ins, strict=True)
        )
        new = _make(InLayout(node.op, ins, (out,)), inputs, node, node.name)
        if out is None:
            self.plain[node[0]] = new[0]
        else:
            self.forms[node[0], out] = new[0]
            if [axis for axis, _ in out.blocks] == [CHANNELS]:
                self.own[node[0]] = out

    def _following(self, node: Node) -> tuple[tuple[Layout | None, ...], Layout | None] | None:
        """Blocked where an input is blocked already and the operator keeps channels apart."""
        shape = node.types[0].shape
        if not node.op.channelwise or len(node.types) != 1 or shape is None:
            return None
        for own in dict.fromkeys(self.own[v] for v in node.inputs if v in self.own):
            if own.fits(shape):
                ins = tuple(_follow_input(v, len(shape), own) for v in node.inputs)
                if any(layout == self.own.get(v) for v, layout in zip(node.inputs, ins, strict=True)
                       if layout is not None):  # fmt: skip
                    return ins, own
        return None

    def _plain(self, value: Value) -> Value:
        if value not in self.plain:
            layout, blocked = next((k[1], v) for k, v in self.forms.items() if k[0] == value)
            shape = value.type.shape
            assert shape is not None
            view = layout == self.layout and all(d == 1 for d in shape[CHANNELS + 1 :])
            op = InLayout(Relayout(), (layout,), (None,), view)
            self.plain[value] = _make(op, (blocked,), value.node, None)[0]
        return self.plain[value]

    def _in(self, value: Value, layout: Layout) -> Value:
        key = (value, layout)
        if key not in self.forms:
            op = InLayout(Relayout(), (None,), (layout,))
            self.forms[key] = _make(op, (self._plain(value),), value.node, None)[0]
        return self.forms[key]


def _follow_input(value: Value, rank: int, layout: Layout) -> Layout | None:
    """Blocked when it has channels to block; what is broadcast along them is read as it is."""
    shape = value.type.shape
    if shape is None or len(shape) != rank or shape[CHANNELS] == 1:
        return None
    return layout if layout.fits(shape) else None


def _offer(node: Node, block: int) -> tuple[tuple[Layout | None, ...], Layout | None] | None:
    return node.op.layouts([v.type for v in node.inputs], node.types, block)


def _make(op: InLayout, inputs: Sequence[Value], origin: Node, name: str | None) -> Node:
    label = origin.label if name is None else name
    text = f"{label}_{'plain' if op.outs[0] is None else 'blocked'}" if name is None else label
    return make_node(op, tuple(inputs), text, origin.origin, origin.scope, origin.attributes)
