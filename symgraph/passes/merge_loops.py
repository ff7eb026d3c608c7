"""Run two loops over the same steps as one, so that what both compute is computed once.

The gradient of a loop reads values of its body, and gets them from the same loop with more results:
beside the loop that the loss reads stands one with the same states.

    %h1, %y = scan(%x, %h0) {h' = f(x, h); h'}
    %h2, %k = scan(%x, %h0) {h' = f(x, h); g(h)}   ->   %h, %y, %k = scan(%x, %h0) {...; h'; g(h)}

Variables of the two bodies are one when they read the same value in the same way; states when they
begin with the same value and their next values are the same, which is assumed of all and then
checked, until what is assumed holds.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from ..ir.graph import Graph, topological
from ..ir.node import Node, Value
from ..ir.scan import Scan, variable
from .eliminate_common_subexpressions import node_key
from .manager import Fact, Pass


@dataclass(frozen=True)
class MergeLoops(Pass):
    """See the module's text."""

    name: ClassVar[str] = "merge_loops"
    requires: ClassVar[Fact] = Fact.NAMED | Fact.TYPED

    def run(self, graph: Graph) -> Graph:
        while True:
            found = next(_pairs(graph), None)
            if found is None:
                return graph
            graph = graph.replace(found)


def _pairs(graph: Graph) -> Iterator[dict[Value, Value]]:
    """What replaces the outputs of two loops that can be one."""
    loops = [n for n in graph.nodes if isinstance(n.op, Scan)]
    for number, later in enumerate(loops):
        above = set(topological([v.node for v in later.inputs])) if number else set()
        for earlier in loops[:number]:
            if earlier not in above and _alike(earlier, later):
                merged = _Merge(earlier, later).run()
                if merged is not None:
                    yield merged


def _alike(a: Node, b: Node) -> bool:
    assert isinstance(a.op, Scan) and isinstance(b.op, Scan)
    same = a.op.reverse == b.op.reverse and _steps(a) == _steps(b)
    return same and bool(set(_initial(a)) & set(_initial(b)))


def _steps(node: Node) -> object:
    assert isinstance(node.op, Scan)
    return node.op.steps([v.type for v in node.inputs])


def _initial(node: Node) -> Sequence[Value]:
    assert isinstance(node.op, Scan)
    return node.op.split(node.inputs)[1]


class _Merge:
    """`first` takes in what `second` computes besides."""

    def __init__(self, first: Node, second: Node) -> None:
        assert isinstance(first.op, Scan) and isinstance(second.op, Scan)
        self.node = first
        self.first, self.second = first.op, second.op
        self.inputs = dict(zip(first.op.names, first.inputs, strict=True))
        self.given = dict(zip(second.op.names, second.inputs, strict=True))
        self.other = second
        self.axes = dict(zip(first.op.sequences, first.op.axes, strict=True))
        self.added: dict[str, tuple[str, Value]] = {}

    def run(self) -> dict[Value, Value] | None:
        assumed = self._assumed()
        while assumed:
            new = self._values(assumed)
            wrong = [s for s, own in assumed.items() if self._next(s, new) != self._own_next(own)]
            if not wrong:
                return self._merged(assumed, new)
            for name in wrong:
                del assumed[name]
        return None

    def _assumed(self) -> dict[str, str]:
        """States of the second that may be states of the first: they begin alike."""
        own: dict[Value, list[str]] = {}
        for name in self.first.states:
            own.setdefault(self.inputs[name], []).append(name)
        found: dict[str, str] = {}
        for name in self.second.states:
            names = own.get(self.given[name])
            if names:
                found[name] = names.pop(0)
        return found

    def _next(self, state: str, new: dict[Value, Value]) -> Value:
        return new[self.second.next_states[self.second.states.index(state)]]

    def _own_next(self, state: str) -> Value:
        return self.first.next_states[self.first.states.index(state)]

    def _values(self, assumed: dict[str, str]) -> dict[Value, Value]:
        """For each value of the second body the same of the first, or a copy of its own."""
        number: dict[Node, int] = {}
        known: dict[Hashable, Node] = {}
        for node in self.first.body.nodes:
            key = node_key(node, node.inputs, number)
            if key is not None:
                number.setdefault(known.setdefault(key, node), len(number))
        new = self._variables(assumed)
        for node in self.second.body.nodes:
            if node.is_variable:
                continue
            inputs = tuple(new[v] for v in node.inputs)
            key = node_key(node, inputs, number)
            twin = known.get(key) if key is not None else None
            if twin is None:
                twin = Node(node.op, inputs, node.types, None, node.origin, node.scope,
                            node.attributes, node.serial)  # fmt: skip
                if key is not None:
                    known[key] = twin
                    number[twin] = len(number)
            new.update(zip(node.values, twin.values, strict=True))
        return new

    def _variables(self, assumed: dict[str, str]) -> dict[Value, Value]:
        """The variables of the second body; those that the first has not are added."""
        own = self.first.variables()
        readers = {
            (self.inputs[name], self.axes.get(name)): node[0]
            for name, node in own.items()
            if name not in self.first.states
        }
        axes = dict(zip(self.second.sequences, self.second.axes, strict=True))
        taken = set(self.first.names)
        self.added = {}
        new: dict[Value, Value] = {}
        for name, node in self.second.variables().items():
            twin = assumed.get(name)
            place = (self.given[name], axes.get(name))
            if twin is not None and twin in own:
                new[node[0]] = own[twin][0]
            elif name not in self.second.states and place in readers:
                new[node[0]] = readers[place]
            else:
                label = twin if twin is not None else _unique(name, taken)
                new[node[0]] = variable(label, node.types[0])[0]
                if twin is None:
                    self.added[name] = (label, self.given[name])
        for name in self.second.states:
            if name not in assumed and name not in self.added:
                self.added[name] = (_unique(name, taken), self.given[name])
        return new

    def _merged(self, assumed: dict[str, str], new: dict[Value, Value]) -> dict[Value, Value]:
        first, second = self.first, self.second
        more = [s for s in second.states if s not in assumed]
        axes = dict(zip(second.sequences, second.axes, strict=True))
        sequences = [s for s in second.sequences if s in self.added]
        stacked = [new[v] for v in second.stacked]
        body = Graph([
            *first.next_states, *(self._next(s, new) for s in more), *first.stacked, *stacked,
        ])  # fmt: skip
        op = replace(
            first,
            body=_named(body),
            sequences=(*first.sequences, *(self.added[s][0] for s in sequences)),
            axes=(*first.axes, *(axes[s] for s in sequences)),
            states=(*first.states, *(self.added[s][0] for s in more)),
            captured=(*first.captured,
                      *(self.added[s][0] for s in second.captured if s in self.added)),
            output_axes=(*first.output_axes, *second.output_axes),
        )  # fmt: skip
        values = {**self.inputs, **dict(self.added.values())}
        return self._outputs(op, tuple(values[n] for n in op.names), assumed, more)

    def _outputs(
        self, op: Scan, inputs: tuple[Value, ...], assumed: dict[str, str], more: Sequence[str]
    ) -> dict[Value, Value]:
        a, b = self.node, self.other
        count, own = len(op.states), len(self.first.states)
        second = len(self.second.states)
        kept = [b[self.second.states.index(s)] for s in more]
        olds = [*a.values[:own], *kept, *a.values[own:], *b.values[second:]]
        node = Node(op, inputs, tuple(v.type for v in olds), a.name, a.origin, a.scope,
                    a.attributes, a.serial)  # fmt: skip
        found = dict(zip(olds, node.values, strict=True))
        for name, twin in assumed.items():
            found[b[self.second.states.index(name)]] = node[op.states.index(twin)]
        assert count == own + len(more)
        return found


def _unique(base: str, taken: set[str]) -> str:
    name, number = base, 1
    while name in taken:
        name, number = f"{base}_{number}", number + 1
    taken.add(name)
    return name


def _named(graph: Graph) -> Graph:
    """The graph with a name for every node."""

    def change(node: Node, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
        if node.name is not None:
            return None
        return Node(node.op, inputs, node.types, graph.names[node], node.origin, "",
                    node.attributes, node.serial).values  # fmt: skip

    return graph.rewrite(change)
