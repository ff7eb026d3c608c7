"""The gradient of a loop: a loop the other way round.

    forward   h' = f(x_t, h, w);  y_t = h'              kept: what the backward body reads, stacked
    backward  dh, dx_t, dw_t = f's gradient(kept_t, dh' + dy_t);  dw = sum of dw_t

The forward body is taken apart into operators that have gradients of their own, and differentiated
as any graph is.  Values of it that the gradient reads become further stacked results of the forward
loop, so that nothing is computed twice; the loop with them and the loop without are merged by a
pass.  Gradients of what the body captures are carried as sums.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ..ir.apply import apply, expand_parts
from ..ir.graph import Graph, topological, with_inputs
from ..ir.node import Node, Value
from ..ir.op import CompositeOp, Op
from ..ir.registry import registry
from ..ir.scan import Scan, variable
from ..ir.symbol import Symbol
from ..ir.tensor_type import TensorType

Propagate = Callable[[Graph, Sequence[Value], Sequence[Symbol]], "list[Symbol | None]"]
"""(graph, wanted values, gradients of its outputs) -> the gradient of each, None for none."""


def loop_gradients(
    node: Node, grads: Sequence[Symbol | None], active: Sequence[bool], propagate: Propagate
) -> list[Symbol | None]:
    """The gradient for each input of a loop; `active` tells for which of them it is wanted."""
    return _Backward(node, grads, active, propagate).run()


def has_own_gradient(op: Op) -> bool:
    """The operator states its gradient; otherwise it follows from the operator's parts."""
    return not op.is_composite or type(op).backward not in (Op.backward, CompositeOp.backward)


def primitive(graph: Graph) -> Graph:
    """The graph with composites that have no gradient of their own replaced by their parts."""

    def change(node: Node, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
        if has_own_gradient(node.op):
            return None
        stand_ins, _, outputs = expand_parts(with_inputs(node, inputs))
        return Graph(outputs).replace(dict(zip(stand_ins, inputs, strict=True))).outputs

    while True:
        new = graph.rewrite(change)
        if new is graph:
            return graph
        graph = new


class _Backward:
    """One differentiation of one loop."""

    def __init__(
        self,
        node: Node,
        grads: Sequence[Symbol | None],
        active: Sequence[bool],
        propagate: Propagate,
    ) -> None:
        assert isinstance(node.op, Scan)
        self.node = node
        self.ins = [Symbol(v) for v in node.inputs]
        self.op = node.op.with_subgraph(primitive(node.op.body))
        self.grads = grads
        self.active = dict(zip(self.op.names, active, strict=True))
        self.propagate = propagate
        self.variables = self.op.variables()
        self.taken = set(self.op.names)
        self.carried = self._carried()

    def run(self) -> list[Symbol | None]:
        seeds, wanted = self._seeds(), self._wanted()
        results = [v for v, _ in seeds]
        totals = self.propagate(
            Graph(results), [self.variables[n][0] for n in wanted],
            [Symbol(d[0]) for _, d in seeds],
        )  # fmt: skip
        return self._loop(seeds, dict(zip(wanted, totals, strict=True)))

    def _name(self, base: str) -> str:
        name = base
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name

    # -- what flows --------------------------------------------------------------------------------

    def _carried(self) -> list[int]:
        """The states through which some gradient reaches an earlier step."""
        first = len(self.op.states)
        found = {n for n in range(first) if self.grads[n] is not None and self._is_float_state(n)}
        results = [
            v for v, g in zip(self.op.stacked, self.grads[first:], strict=True) if g is not None
        ]
        while True:
            roots = [*results, *(self.op.next_states[n] for n in found)]
            reached = set(topological(v.node for v in roots))
            new = found | {
                n
                for n, name in enumerate(self.op.states)
                if self.variables.get(name) in reached and self._is_float_state(n)
            }
            if new == found:
                return sorted(found)
            found = new

    def _is_float_state(self, number: int) -> bool:
        return _is_float(self.ins[len(self.op.sequences) + number].type)

    def _seeds(self) -> list[tuple[Value, Node]]:
        """(result of the body, variable for its gradient): carried states, then stacked results."""
        first = len(self.op.states)
        found = []
        for n in self.carried:
            value = self.op.next_states[n]
            name = self._name(f"d_{self.op.states[n]}")
            found.append((value, variable(name, self.ins[len(self.op.sequences) + n].type)))
        for number, value in enumerate(self.op.stacked):
            if self.grads[first + number] is not None:
                found.append((value, variable(self._name(f"d_output{number}"), value.type)))
        return found

    def _wanted(self) -> list[str]:
        """The variables of the body whose gradients are needed."""
        states = {self.op.states[n] for n in self.carried}
        types = dict(zip(self.op.names, (s.type for s in self.ins), strict=True))
        return [
            name
            for name in self.op.names
            if name in self.variables
            and (name in states or name not in self.op.states)
            and (name in states or self.active[name])
            and _is_float(types[name])
        ]

    # -- the loop ----------------------------------------------------------------------------------

    def _loop(
        self, seeds: Sequence[tuple[Value, Node]], totals: dict[str, Symbol | None]
    ) -> list[Symbol | None]:
        states = [d for _, d in seeds[: len(self.carried)]]
        incoming = [d for _, d in seeds[len(self.carried) :]]
        sums = [n for n in self.op.captured if totals.get(n) is not None]
        slices = [n for n in self.op.sequences if totals.get(n) is not None]
        sum_states = [
            variable(self._name(f"d_{n}"), self.variables[n].types[0]) for n in sums
        ]  # fmt: skip
        nexts = [
            self._next_state(totals.get(self.op.states[n]), d)
            for n, d in zip(self.carried, states, strict=True)
        ]
        nexts += [_value(Symbol(d[0]) + totals[n]) for n, d in zip(sums, sum_states, strict=True)]
        stacked = [_value(totals[n]) for n in slices]
        reading = _Reading(self, Graph([*nexts, *stacked]))
        body = reading.body()
        made = self._apply(body, reading, incoming, [*states, *sum_states], sums, slices)
        return self._in_order(made, sums, slices)

    @staticmethod
    def _next_state(total: Symbol | None, seed: Node) -> Value:
        if total is not None:
            return total.value
        return zeros(Symbol(seed[0])).value

    def _apply(
        self,
        body: Graph,
        reading: _Reading,
        incoming: Sequence[Node],
        states: Sequence[Node],
        sums: Sequence[str],
        slices: Sequence[str],
    ) -> tuple[Symbol, ...]:
        given = dict(zip(self.op.names, self.ins, strict=True))
        first = len(self.op.states)
        flows = [
            (d.name or "", g, axis)
            for d, g, axis in zip(
                incoming,
                [g for g in self.grads[first:] if g is not None],
                [
                    a
                    for a, g in zip(self.op.output_axes, self.grads[first:], strict=True)
                    if g is not None
                ],
                strict=True,
            )
        ]
        axes = dict(zip(self.op.sequences, self.op.axes, strict=True))
        flows += [(n, given[n], axes[n]) for n in reading.sequences]
        flows += reading.kept
        if not flows and self.op.sequences:
            # Nothing is read of them, but they tell the number of steps.
            name = self.op.sequences[0]
            flows = [(name, given[name], axes[name])]
        initial = [self.grads[n] for n in self.carried]
        begun = [
            zeros(given[self.op.states[n]]) if g is None else g
            for n, g in zip(self.carried, initial, strict=True)
        ]
        begun += [zeros(given[n]) for n in sums]
        op = Scan(
            body,
            tuple(name for name, _, _ in flows),
            tuple(s.name or "" for s in states),
            tuple(reading.captured),
            tuple(axis for _, _, axis in flows),
            tuple(axes[n] for n in slices),
            not self.op.reverse,
            self.op.length,
        )
        inputs = [*(s for _, s, _ in flows), *begun, *(given[n] for n in reading.captured)]
        made = apply(op, *inputs)
        return made if isinstance(made, tuple) else (made,)

    def _in_order(
        self, made: Sequence[Symbol], sums: Sequence[str], slices: Sequence[str]
    ) -> list[Symbol | None]:
        names = [*(self.op.states[n] for n in self.carried), *sums, *slices]
        found = dict(zip(names, made, strict=True))
        return [found.get(name) for name in self.op.names]


class _Reading:
    """What a backward body reads of the forward one, and how it gets it.

    sequences  forward sequences it reads again
    captured   forward values from outside it reads again
    kept       (name, stack, axis) of forward values that the forward loop keeps for it
    """

    def __init__(self, backward: _Backward, graph: Graph) -> None:
        self.backward = backward
        self.graph = graph
        self.forward = set(backward.op.body.nodes)
        self.sequences: list[str] = []
        self.captured: list[str] = []
        self.kept: list[tuple[str, Symbol, int]] = []

    def body(self) -> Graph:
        """The graph with variables in place of what is kept."""
        op = self.backward.op
        stored = self._stored()
        names = [self.backward._name(f"kept_{v.node.label}") for v in stored]
        stand_ins = {v: variable(n, v.type)[0] for v, n in zip(stored, names, strict=True)}
        new = self.graph.replace(stand_ins)
        read = {new.names[n] for n in new.variables}
        self.sequences = [n for n in op.sequences if n in read]
        self.captured = [n for n in op.captured if n in read]
        stacks = self._stacks(stored)
        self.kept = [(name, stack, axis) for name, (stack, axis) in zip(names, stacks, strict=True)]
        return new

    def _stored(self) -> list[Value]:
        """The forward values that the gradient reads; views and numbers are made again."""
        states = {self.backward.variables.get(s) for s in self.backward.op.states}
        found: dict[Value, None] = {}
        stack = list(reversed(self.graph.outputs))
        seen: set[Value] = set()
        while stack:
            value = stack.pop()
            if value in seen:
                continue
            seen.add(value)
            node = value.node
            again = node.op.is_view or not node.inputs
            if node in states or (node in self.forward and not again):
                found[value] = None
            else:
                stack.extend(reversed(node.inputs))
        return list(found)

    def _stacks(self, stored: Sequence[Value]) -> list[tuple[Symbol, int]]:
        """Each stored value stacked over the steps: a result of the loop already, or of the same
        loop with more results."""
        op, node = self.backward.op, self.backward.node
        first = len(op.states)
        known = {v: n for n, v in reversed(list(enumerate(op.stacked)))}
        more = [v for v in stored if v not in known]
        if more:
            longer = replace(
                op,
                body=Graph([*op.body.outputs, *more]),
                output_axes=(*op.output_axes, *(0 for _ in more)),
            )
            made = apply(longer, *self.backward.ins)
            outs = made if isinstance(made, tuple) else (made,)
            extra = dict(zip(more, outs[first + len(op.stacked) :], strict=True))
        return [
            (Symbol(node[first + known[v]]), op.output_axes[known[v]])
            if v in known
            else (extra[v], 0)
            for v in stored
        ]


def _is_float(type: TensorType) -> bool:
    return type.dtype is None or type.dtype.is_float


def zeros(like: Symbol) -> Symbol:
    """Zeros of the shape and dtype of another symbol."""
    return registry.get("full_like")(0)(like)  # type: ignore[no-any-return]


def _value(symbol: Symbol | None) -> Value:
    assert symbol is not None
    return symbol.value
