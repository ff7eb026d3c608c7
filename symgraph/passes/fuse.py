"""Put nodes into groups that become one kernel each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from ..ir.compose import literal
from ..ir.fused import Fused
from ..ir.graph import Graph
from ..ir.node import Node, Value
from ..ir.op import Variable
from .fusion.group import Dependencies, Group
from .fusion.judge import Judge, Limits
from .fusion.partition import Partition
from .manager import Fact, Pass, provider


@provider
@dataclass(frozen=True)
class Fuse(Pass):
    """%m = max(%x); %e = exp(%x - %m); %y = %e / sum(%e)   ->   %y = fused(%x) {max+...+divide}

    Elementwise chains, what follows a contraction or reduction, whole rows (softmax, layer norm),
    readers of one input, and cheap values recomputed where they are read.  Views stay outside.
    """

    limits: Limits = field(default_factory=Limits)
    name: ClassVar[str] = "fuse"
    requires: ClassVar[Fact] = Fact.NAMED | Fact.TYPED | Fact.PRIMITIVE
    provides: ClassVar[Fact] = Fact.FUSED

    def run(self, graph: Graph) -> Graph:
        partition = Partition(graph, Judge(self.limits))
        groups = partition.run()
        return _Builder(graph, groups, partition.dependencies).run()


class _Builder:
    """The graph in which every group is one node."""

    def __init__(self, graph: Graph, groups: Sequence[Group], dependencies: Dependencies) -> None:
        self.graph = graph
        self.dependencies = dependencies
        self.exported: dict[Group, list[Value]] = {}
        self.maker: dict[Value, Group] = {}
        for group in groups:
            self._find_exports(group)
        self.new: dict[Value, Value] = {}

    def _find_exports(self, group: Group) -> None:
        if is_alone(group):
            exported = list(group.nodes[0].values)
        else:
            exported = [
                v
                for v in self.dependencies.exported(group.nodes, group.members)
                if v not in self.maker
            ]
        self.exported[group] = exported
        self.maker.update(dict.fromkeys(exported, group))

    def run(self) -> Graph:
        for value in self.graph.results:
            self._build(value)
        outputs = [self.new[v] for v in self.graph.outputs]
        updates = [(name, self.new[v]) for name, v in self.graph.updates]
        if outputs == list(self.graph.outputs) and updates == list(self.graph.updates):
            return self.graph
        return Graph(outputs, updates)

    def _build(self, wanted: Value) -> None:
        """Make a value and all it rests on, without recursion."""
        stack = [wanted]
        while stack:
            value = stack[-1]
            if value in self.new:
                stack.pop()
                continue
            group = self.maker[value]
            waiting = [v for v in _inputs(group) if v not in self.new]
            if waiting:
                stack.extend(waiting)
            else:
                self._emit(group)
                stack.pop()

    def _emit(self, group: Group) -> None:
        exported = self.exported[group]
        if is_alone(group):
            (node,) = group.nodes
            inputs = tuple(self.new[v] for v in node.inputs)
            made = node if inputs == node.inputs else Node(
                node.op, inputs, node.types, node.name, node.origin, node.scope, node.attributes,
                node.serial,
            )  # fmt: skip
        else:
            made = self._fused(group, exported)
        self.new.update(zip(exported, made.values, strict=True))

    def _fused(self, group: Group, exported: Sequence[Value]) -> Node:
        inner, sources = sub_graph(group.nodes, exported, self.graph.names)
        inputs = tuple(self.new[sources[v]] for v in inner.variables)
        last = exported[-1].node
        types = tuple(v.type for v in exported)
        return Node(Fused(inner), inputs, types, self.graph.names[last], last.origin, last.scope,
                    last.attributes, last.serial)  # fmt: skip


def is_alone(group: Group) -> bool:
    """The group is a node that stays as it is: one that cannot be fused, or has one output."""
    (first, *others) = group.nodes
    return not others and (group.domain is None or first.op.output_count == 1)


def _inputs(group: Group) -> list[Value]:
    """The values that a group reads from outside; literals are part of it."""
    alone = is_alone(group)
    found: dict[Value, None] = {}
    for node in group.nodes:
        for value in node.inputs:
            if value.node not in group.members and (alone or literal(value) is None):
                found[value] = None
    return list(found)


def sub_graph(
    nodes: Sequence[Node], exported: Sequence[Value], names: Mapping[Node, str]
) -> tuple[Graph, dict[Node, Value]]:
    """A graph of its own that makes the exported values; its variables and what they stand for."""
    members = set(nodes)
    new: dict[Value, Value] = {}
    sources: dict[Node, Value] = {}
    taken: set[str] = set()
    for node in nodes:
        for value in node.inputs:
            if value not in new and value.node not in members and literal(value) is None:
                variable = _stand_in(value, names, taken)
                new[value], sources[variable] = variable[0], value
        inputs = tuple(new.get(v, v) for v in node.inputs)
        copy = Node(node.op, inputs, node.types, names[node], node.origin, "", node.attributes,
                    node.serial)  # fmt: skip
        new.update(zip(node.values, copy.values, strict=True))
    return Graph([new[v] for v in exported]), sources


def _stand_in(value: Value, names: Mapping[Node, str], taken: set[str]) -> Node:
    """A variable inside for a value outside."""
    base = names[value.node]
    if value.node.op.output_count > 1:
        base = f"{base}_{value.node.op.output_names[value.index]}"
    name, number = base, 1
    while name in taken:
        name, number = f"{base}_{number}", number + 1
    taken.add(name)
    return Node(Variable(value.type), (), (value.type,), name, value.node.origin)
