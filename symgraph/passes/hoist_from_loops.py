"""Do outside a loop what does not need its state: once over all steps instead of step by step.

    repeat t: h = tanh(x[t] @ wx + h @ wh); y[t] = h @ v
        ->   zx = x @ wx;  repeat t: h = tanh(zx[t] + h @ wh); hs[t] = h;   y = hs @ v

before  contractions that depend on no state, with what they are made from, and elementwise work on
        their results that does not grow them
after   contractions that no state depends on, with what follows from them
sums    states that only add up what a step computes: the sum over all steps in one contraction

What leaves the loop becomes `Each` over stacked operands (see ir/each.py), so weights are read once
rather than once for each step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from ..ir.each import Each
from ..ir.graph import Graph, make_node, topological
from ..ir.node import Node, Value
from ..ir.registry import registry
from ..ir.scan import Scan, variable
from .fusion.judge import weigh
from .fusion.profile import Profiles
from .manager import Fact, Pass

BUSY_ROWS = 32
"""A contraction that uses each weight so often in a step is as fast inside the loop."""

Outer = tuple[Value, "int | None"]
"""A value outside the loop and the axis of it that holds the steps, None where it has none."""


@dataclass(frozen=True)
class HoistFromLoops(Pass):
    """See the module's text."""

    name: ClassVar[str] = "hoist_from_loops"
    requires: ClassVar[Fact] = Fact.NAMED | Fact.TYPED | Fact.PRIMITIVE
    breaks: ClassVar[Fact] = Fact.CANONICAL

    def run(self, graph: Graph) -> Graph:
        profiles = Profiles()

        def change(node: Node, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
            if not isinstance(node.op, Scan):
                return None
            moved = node if inputs == node.inputs else Node(
                node.op, inputs, node.types, node.name, node.origin, node.scope, node.attributes,
                node.serial,
            )  # fmt: skip
            return _Hoist(moved, profiles).run()

        return graph.rewrite(change)


@dataclass
class _Sorted:
    """What of a body runs where.

    carried  nodes that depend on a state, or on nothing at all
    before   nodes computed for all steps ahead of the loop
    after    nodes computed for all steps when the loop is done
    needed   nodes that next states are made from
    sums     what states that only add up get at each step
    free     stacked results that need no loop
    """

    carried: set[Node] = field(default_factory=set)
    before: dict[Node, None] = field(default_factory=dict)
    after: dict[Node, None] = field(default_factory=dict)
    needed: set[Node] = field(default_factory=set)
    sums: dict[str, Value] = field(default_factory=dict)
    free: set[Value] = field(default_factory=set)

    def leaves(self, value: Value) -> bool:
        """The stacked result is not made in the loop."""
        return value.node in self.after or value in self.free


class _Hoist:
    def __init__(self, node: Node, profiles: Profiles) -> None:
        assert isinstance(node.op, Scan)
        self.node = node
        self.op = node.op
        self.body = node.op.body
        self.profiles = profiles
        self.states = {self.op.variables().get(s) for s in self.op.states}
        self.outer = self._outer_variables()
        self.made: dict[Value, Outer] = {}

    def run(self) -> tuple[Value, ...] | None:
        work = _Sorted()
        work.carried = self._carried()
        work.before = self._before(work.carried)
        work.sums = self._sums(work)
        work.needed = self._needed(work.sums)
        work.after = self._after(work)
        work.sums = {
            s: v for s, v in work.sums.items() if v.node in work.after or v.node in work.before
        }
        work.free = {
            v for v in self.op.stacked
            if v.node.inputs and self._can_stand_outside(v, work.carried)
        }  # fmt: skip
        if not work.before and not work.after and not work.free:
            return None
        return self._rebuilt(work)

    def _outer_variables(self) -> dict[Value, Outer]:
        """The values outside that the body's variables stand for, but for states."""
        given = dict(zip(self.op.names, self.node.inputs, strict=True))
        axes: dict[str, int | None] = dict(zip(self.op.sequences, self.op.axes, strict=True))
        return {
            node[0]: (given[name], axes.get(name))
            for name, node in self.op.variables().items()
            if name not in self.op.states
        }

    # -- what runs where ---------------------------------------------------------------------------

    def _carried(self) -> set[Node]:
        found: set[Node] = set()
        for node in self.body.nodes:
            if node in self.states or any(v.node in found for v in node.inputs):
                found.add(node)
        return found

    def _contracts(self, node: Node) -> bool:
        profile = self.profiles.of(node)
        return profile is not None and profile.contracts and len(node.types) == 1

    def _movable(self, node: Node) -> bool:
        """One output given by index expressions (or a view), so that `Each` can stand for it."""
        single = len(node.types) == 1 and not node.is_variable and node.op.pure
        return single and (node.op.is_view or self.profiles.of(node) is not None)

    def _before(self, carried: set[Node]) -> dict[Node, None]:
        """Contractions apart from the states, and elementwise work on their results."""
        core: dict[Node, None] = {}
        for node in self.body.nodes:
            if node in carried or node.is_variable or not self._movable(node):
                continue
            if not all(self._can_stand_outside(v, carried) for v in node.inputs):
                continue
            if self._gains(node) or self._follows(node, core):
                core[node] = None
        return core

    def _gains(self, node: Node) -> bool:
        """A contraction that is faster for all steps at once: one that uses what every step reads
        alike only a few times in a step.  Another one keeps the machine busy within a step, and its
        result is still near when the step goes on, which that of all steps is not."""
        if not self._contracts(node):
            return False
        alike = [v for v in node.inputs if not self._varies(v)]
        sizes = [v.type.nelems for v in alike]
        total = node.types[0].nelems
        reads = [v.type.nelems for v in node.inputs if v not in alike]
        if not sizes or not all(isinstance(n, int) for n in (*sizes, *reads, total)):
            return True
        # A product of matrices: (rows x columns) from (rows x depth) and (depth x columns).
        numbers = [n for n in (*sizes, *reads, total) if isinstance(n, int)]
        return rows_of(numbers[len(sizes)], max(numbers[: len(sizes)]), numbers[-1]) < BUSY_ROWS

    def _can_stand_outside(self, value: Value, carried: set[Node]) -> bool:
        """The value and all it is made from can be computed for all steps ahead of the loop."""
        stack, seen = [value.node], set[Node]()
        while stack:
            node = stack.pop()
            if node in seen:
                continue
            seen.add(node)
            if node in carried or not (node.is_variable or not node.inputs or self._movable(node)):
                return False
            stack.extend(v.node for v in node.inputs)
        return True

    def _follows(self, node: Node, core: dict[Node, None]) -> bool:
        """Elementwise on what already stands outside, and no larger than it."""
        sources = [v for v in node.inputs if v.node in core]
        profile = self.profiles.of(node)
        elementwise = node.op.is_view or (profile is not None and profile.maps)
        if not sources or not elementwise:
            return False
        return weigh(node.types[0].nbytes) <= max(weigh(v.type.nbytes) for v in sources)

    def _sums(self, work: _Sorted) -> dict[str, Value]:
        """States that only add up: what each adds at a step."""
        found: dict[str, Value] = {}
        add = registry.get("add")
        for name, after in zip(self.op.states, self.op.next_states, strict=True):
            own = self.op.variables().get(name)
            if own is None or not isinstance(after.node.op, add) or after in self.op.stacked:
                continue
            terms = [v for v in after.node.inputs if v != own[0]]
            alone = len(self.body.users.get(own[0], ())) == 1 and own[0] not in self.body.outputs
            final = [v for v in self.op.next_states if v == after]
            single = len(terms) == 1 and alone and len(final) == 1 and after not in self.body.users
            if single and terms[0].type == own[0].type and self._varies(terms[0]):
                found[name] = terms[0]
        return found

    def _varies(self, value: Value) -> bool:
        """The value is made from something that differs from step to step."""
        steps = {v.node for v, (_, axis) in self.outer.items() if axis is not None} | self.states
        return any(n in steps for n in topological([value.node]))

    def _needed(self, sums: dict[str, Value]) -> set[Node]:
        """The nodes that states which stay in the loop are made from."""
        stack = [
            v.node
            for name, v in zip(self.op.states, self.op.next_states, strict=True)
            if name not in sums
        ]
        found: set[Node] = set()
        while stack:
            node = stack.pop()
            if node not in found:
                found.add(node)
                stack.extend(v.node for v in node.inputs)
        return found

    def _adding(self, sums: dict[str, Value]) -> set[Node]:
        """The nodes that add up these states."""
        pairs = zip(self.op.states, self.op.next_states, strict=True)
        return {v.node for name, v in pairs if name in sums}

    def _after(self, work: _Sorted) -> dict[Node, None]:
        """What no state needs: contractions and what follows from them, and reductions that only
        add up."""
        added = {v.node for v in work.sums.values()}
        adding = self._adding(work.sums)
        found: dict[Node, None] = {}
        for node in self.body.nodes:
            if node in work.needed or node in work.before or node in adding:
                continue
            if not node.inputs or not self._movable(node):
                if any(v.node in found for v in node.inputs):
                    return {}
                continue
            profile = self.profiles.of(node)
            reduces = node in added and profile is not None and not profile.maps
            if self._contracts(node) or reduces or any(v.node in found for v in node.inputs):
                found[node] = None
        return found

    # -- the new graph -----------------------------------------------------------------------------

    def _rebuilt(self, work: _Sorted) -> tuple[Value, ...] | None:
        frontier = self._frontier(work)
        taken = set(self.op.names)
        streams = {v: _unique(f"{v.node.label}_t", taken) for v in frontier}
        ahead = {v: self._outside(v) for v in frontier}
        mapping = {v: variable(name, v.type)[0] for v, name in streams.items()}
        kept = self._kept(work)
        states = [s for s in self.op.states if s not in work.sums]
        nexts = [
            v for s, v in zip(self.op.states, self.op.next_states, strict=True)
            if s not in work.sums
        ]  # fmt: skip
        inside = [v for v in self.op.stacked if not work.leaves(v)]
        axes = [
            a for v, a in zip(self.op.stacked, self.op.output_axes, strict=True)
            if not work.leaves(v)
        ]  # fmt: skip
        body = Graph([*nexts, *inside, *kept]).replace(mapping)
        flowing = [v for v in frontier if ahead[v][1] is not None]
        op = replace(
            self.op,
            body=body,
            sequences=(*self.op.sequences, *(streams[v] for v in flowing)),
            axes=(*self.op.axes, *(self._axis(ahead[v]) for v in flowing)),
            states=tuple(states),
            captured=(*self.op.captured, *(streams[v] for v in frontier if v not in flowing)),
            output_axes=(*axes, *(0 for _ in kept)),
        )
        given = dict(zip(self.op.names, self.node.inputs, strict=True))
        given.update({streams[v]: ahead[v][0] for v in frontier})
        inputs = tuple(given[n] for n in op.names)
        node = make_node(op, inputs, self.node.name, self.node.origin, self.node.scope,
                         self.node.attributes)  # fmt: skip
        stacks = node.values[len(states) + len(inside) :]
        self.outer.update({v: (s, 0) for v, s in zip(kept, stacks, strict=True)})
        return self._results(work, node, states, inside)

    @staticmethod
    def _axis(outer: Outer) -> int:
        assert outer[1] is not None
        return outer[1]

    def _frontier(self, work: _Sorted) -> list[Value]:
        """What is computed ahead and read in the loop."""
        found: dict[Value, None] = {}
        adding = self._adding(work.sums)
        for node in self.body.nodes:
            if node not in work.before and node not in work.after and node not in adding:
                found.update({v: None for v in node.inputs if v.node in work.before})
        kept = [*self.op.next_states, *(v for v in self.op.stacked if not work.leaves(v))]
        found.update({v: None for v in kept if v.node in work.before})
        return list(found)

    def _kept(self, work: _Sorted) -> list[Value]:
        """What the loop must stack for what is computed after it."""
        found: dict[Value, None] = {}
        for node in work.after:
            for value in node.inputs:
                inner = value.node
                if inner in work.after or inner in work.before or value in self.outer:
                    continue
                if inner.inputs or inner in self.states:
                    found[value] = None
        return list(found)

    def _results(
        self, work: _Sorted, node: Node, states: Sequence[str], inside: Sequence[Value]
    ) -> tuple[Value, ...]:
        given = dict(zip(self.op.names, self.node.inputs, strict=True))
        last = dict(zip(states, node.values, strict=False))
        stacked = iter(node.values[len(states) : len(states) + len(inside)])
        results: list[Value] = []
        for name in self.op.states:
            if name in work.sums:
                results.append(self._summed(given[name], work.sums[name]))
            else:
                results.append(last[name])
        for value, axis in zip(self.op.stacked, self.op.output_axes, strict=True):
            results.append(self._stacked(value, axis) if work.leaves(value) else next(stacked))
        return tuple(results)

    def _summed(self, start: Value, term: Value) -> Value:
        total = self._each(term.node, 0, True)
        add: Any = registry.get("add")
        return self._node(add(), (start, total), f"{term.node.label}_sum")

    def _stacked(self, value: Value, axis: int) -> Value:
        return self._each(value.node, axis, False)

    def _outside(self, value: Value) -> Outer:
        """The value for all steps, made when first asked for; inputs first."""
        stack = [value]
        while stack:
            current = stack[-1]
            if current in self.made or current in self.outer or not current.node.inputs:
                stack.pop()
                continue
            waiting = [
                v for v in current.node.inputs
                if v not in self.made and v not in self.outer and v.node.inputs
            ]  # fmt: skip
            if waiting:
                stack.extend(waiting)
                continue
            made = self._each(current.node, 0, False)
            varies = any(self._found(v)[1] is not None for v in current.node.inputs)
            self.made[current] = (made, 0 if varies else None)
            stack.pop()
        return self._found(value)

    def _found(self, value: Value) -> Outer:
        if value in self.outer:
            return self.outer[value]
        return self.made.get(value, (value, None))

    def _each(self, node: Node, axis: int, total: bool) -> Value:
        """A node of the body for all steps; as it is where nothing it reads varies."""
        given = [self._outside(v) for v in node.inputs]
        inputs = tuple(v for v, _ in given)
        axes = tuple(a for _, a in given)
        if all(a is None for a in axes) and not total:
            return self._node(node.op, inputs, node.label)
        return self._node(Each(node.op, axes, axis, total), inputs, node.label)

    def _node(self, op: Any, inputs: tuple[Value, ...], label: str) -> Value:
        name = f"{self.node.label}_{label}"
        return make_node(op, inputs, name, self.node.origin, self.node.scope,
                         self.node.attributes)[0]  # fmt: skip


def rows_of(moving: int, alike: int, result: int) -> float:
    """Rows of a product of matrices with so many elements: rows*depth, depth*columns and
    rows*columns."""
    return math.sqrt(moving * result / alike) if alike else 0.0


def _unique(base: str, taken: set[str]) -> str:
    name, number = base, 1
    while name in taken:
        name, number = f"{base}_{number}", number + 1
    taken.add(name)
    return name
