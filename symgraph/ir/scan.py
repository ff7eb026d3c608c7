"""A loop: a graph that runs once for each step, with state carried from step to step.

    sequences  x[0..T)  --slice-->  body(x_t, h, captured) -> (next h, y_t)  --stack-->  y[0..T)
    states     h0       --------->  ...                                      --------->  h_T

The node's inputs are the sequences, the initial states, then what the body takes from outside
(weights); its outputs are the final states, then the stacked results.  Invariants:

S1  every variable of the body is named in `sequences`, `states` or `captured`, once
S2  the body's outputs are the next states in the order of `states`, then what is stacked
S3  a state keeps its type: the next one has that of the initial one
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import AttributeValueError, ShapeError
from ..kernel import dims
from ..kernel.dims import Dim
from .graph import Graph
from .node import Node, Value
from .op import Op, Variable
from .registry import register
from .tensor_type import UNKNOWN, TensorType

if TYPE_CHECKING:
    from .infer import DTypeView, ShapeView, Unifier
    from .symbol import Symbol


@register
@dataclass(frozen=True, eq=False)
class Scan(Op):
    """`body` at every step; see the module's text and `symgraph.scan`.

    axes         which axis of each sequence holds the steps
    output_axes  the same of each stacked result
    reverse      from the last step to the first; results keep the places of their steps
    length       the number of steps where there are no sequences to tell it
    """

    body: Graph
    sequences: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    captured: tuple[str, ...] = ()
    axes: tuple[int, ...] = ()
    output_axes: tuple[int, ...] = ()
    reverse: bool = False
    length: Dim | None = None
    name: ClassVar[str] = "scan"

    # -- what it is made of ------------------------------------------------------------------------

    @property
    def subgraph(self) -> Graph:
        return self.body

    def with_subgraph(self, graph: Graph) -> Scan:
        return replace(self, body=graph)

    @property
    def names(self) -> tuple[str, ...]:
        """The variable of the body for each input."""
        return (*self.sequences, *self.states, *self.captured)

    @property
    def next_states(self) -> tuple[Value, ...]:
        return self.body.outputs[: len(self.states)]

    @property
    def stacked(self) -> tuple[Value, ...]:
        return self.body.outputs[len(self.states) :]

    def variables(self) -> dict[str, Node]:
        """The body's variables by name; those that nothing reads are missing."""
        return {self.body.names[n]: n for n in self.body.variables}

    def split(self, items: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
        """What belongs to the sequences, to the states and to what is captured."""
        first = len(self.sequences)
        second = first + len(self.states)
        return items[:first], items[first:second], items[second:]

    def steps(self, ins: Sequence[TensorType]) -> Dim:
        """The number of steps for inputs of complete types."""
        for axis, type in zip(self.axes, ins, strict=False):
            assert type.shape is not None
            return type.shape[axis]
        assert self.length is not None
        return self.length

    @property
    def output_count(self) -> int:
        return len(self.body.outputs)

    @property
    def output_names(self) -> tuple[str, ...]:
        count = len(self.stacked)
        stacked = ("output",) if count == 1 else tuple(f"output{n}" for n in range(count))
        return (*(f"last_{name}" for name in self.states), *stacked)

    def argument_names(self, count: int) -> tuple[str, ...]:
        return self.names[:count]

    @property
    def input_limits(self) -> tuple[int, int | None]:
        return len(self.names), len(self.names)

    def check_attributes(self) -> None:
        names = self.names
        known = {self.body.names[n] for n in self.body.variables}
        extra = sorted(known - set(names))
        if extra or len(set(names)) != len(names):
            what = f"the body reads {extra[0]!r}, which is not" if extra else "a name is used twice"
            raise AttributeValueError(
                f"scan: {what}: its variables must be named once each in sequences, states and "
                f"captured, got {names}"
            )
        wrong = len(self.axes) != len(self.sequences) or len(self.output_axes) != len(self.stacked)
        if wrong or len(self.states) > len(self.body.outputs):
            raise AttributeValueError(
                f"scan: {len(self.sequences)} sequences with {len(self.axes)} axes, "
                f"{len(self.states)} states, {len(self.body.outputs)} results of the body with "
                f"{len(self.output_axes)} axes do not fit together"
            )
        if min((*self.axes, *self.output_axes), default=0) < 0:
            raise AttributeValueError("scan: axes are counted from 0, got a negative one")
        if not self.sequences and self.length is None:
            raise AttributeValueError(
                "scan: without a sequence nothing tells the number of steps: give length="
            )

    # -- types -------------------------------------------------------------------------------------

    def infer_dtype(self, u: Unifier, *inputs: DTypeView) -> tuple[Any, ...]:
        body = u.own_graph(self.body)
        known = {body.names[n]: n[0] for n in body.variables}
        for name, view in zip(self.names, inputs, strict=True):
            if name in known:
                u.same(u.dtype(known[name]), view, f"{name} inside and outside the loop")
        _, states, _ = self.split(inputs)
        u.visit_graph(body)
        for name, view, value in zip(self.states, states, body.outputs, strict=False):
            u.same(u.dtype(value), view, f"the next {name} must have the dtype of {name}")
        return (*states, *(u.dtype(v) for v in body.outputs[len(states) :]))

    def infer_shape(self, u: Unifier, *inputs: ShapeView) -> tuple[Any, ...]:
        body = u.own_graph(self.body)
        known = {body.names[n]: n[0] for n in body.variables}
        sequences, states, captured = self.split(inputs)
        steps = self._steps(u, sequences)
        for name, axis, view in zip(self.sequences, self.axes, sequences, strict=True):
            if name in known:
                self._relate(u, view, u.shape(known[name]), axis, steps, name)
        for name, view in zip((*self.states, *self.captured), (*states, *captured), strict=True):
            if name in known:
                u.same_shape(view, u.shape(known[name]), f"{name} inside and outside the loop")
        u.visit_graph(body)
        for name, view, value in zip(self.states, states, body.outputs, strict=False):
            u.same_shape(u.shape(value), view, f"the next {name} must have the shape of {name}")
        results = []
        for number, (axis, value) in enumerate(
            zip(self.output_axes, body.outputs[len(states) :], strict=True)
        ):
            whole, part = u.output(len(states) + number), u.shape(value)
            self._relate(u, whole, part, axis, steps, f"output {number}")
            results.append(whole)
        return (*states, *results)

    def _steps(self, u: Unifier, sequences: Sequence[ShapeView]) -> Dim:
        steps: Dim = u.fresh("steps") if self.length is None else self.length
        for name, axis, view in zip(self.sequences, self.axes, sequences, strict=True):
            if view.rank is not None:
                extents = u.at_least(view, axis + 1, name)
                why = f"{name}.shape[{axis}] must equal the number of steps"
                u.equal(extents[axis], steps, why)
        return u.resolve(steps)

    @staticmethod
    def _relate(
        u: Unifier, whole: ShapeView, part: ShapeView, axis: int, steps: Dim, what: str
    ) -> None:
        """`whole` is `part` with an axis of steps, as far as the rank of either is known."""
        if whole.rank is not None:
            extents = u.at_least(whole, axis + 1, what)
            rest = (*extents[:axis], *extents[axis + 1 :])
            u.same_shape(part, u.view(rest), f"a step of {what} must have the shape of its slice")
        elif part.rank is not None:
            extents = u.at_least(part, axis, f"a step of {what}")
            u.same_shape(
                whole, u.view((*extents[:axis], steps, *extents[axis:])), f"{what} stacks its steps"
            )

    def input_types(self, ins: Sequence[TensorType]) -> dict[str, TensorType]:
        """The type of each variable of the body, from those of the node's inputs."""
        types = dict(zip(self.names, ins, strict=True))
        for name, axis in zip(self.sequences, self.axes, strict=True):
            shape = types[name].shape
            assert shape is not None
            types[name] = TensorType((*shape[:axis], *shape[axis + 1 :]), types[name].dtype)
        return types

    # -- forms -------------------------------------------------------------------------------------

    def only(
        self, ins: tuple[Symbol, ...], used: tuple[bool, ...]
    ) -> Sequence[Symbol | None] | None:
        """Without the results that nobody reads, the states that only served them, and inputs that
        the body does not read."""
        wanted = self._needed(used)
        narrow = self.keeping(wanted, [s.type for s in ins])
        if all(wanted) and narrow.names == self.names:
            return None
        made = _apply(narrow, self, ins)
        found = iter(made)
        kept = [next(found) if w else None for w in wanted]
        return [s if u else None for s, u in zip(kept, used, strict=True)]

    def _needed(self, used: Sequence[bool]) -> list[bool]:
        """Which of the body's outputs matter: those used, and the next states that these read."""
        wanted = list(used)
        variables = self.variables()
        while True:
            roots = [v for v, w in zip(self.body.outputs, wanted, strict=True) if w]
            reached = set(Graph(roots).nodes)
            new = [
                w or (n < len(self.states) and variables.get(self.states[n]) in reached)
                for n, w in enumerate(wanted)
            ]
            if new == wanted:
                return wanted
            wanted = new

    def keeping(self, wanted: Sequence[bool], ins: Sequence[TensorType]) -> Scan:
        """The loop with some of its outputs, and the states they belong to."""
        count = len(self.states)
        pairs = zip(self.output_axes, wanted[count:], strict=True)
        return replace(
            self,
            body=Graph([v for v, w in zip(self.body.outputs, wanted, strict=True) if w]),
            states=tuple(s for s, w in zip(self.states, wanted, strict=False) if w),
            output_axes=tuple(axis for axis, w in pairs if w),
        ).trimmed(self.steps(ins))

    def trimmed(self, steps: Dim | None) -> Scan:
        """Without the sequences and captured values that the body does not read."""
        read = set(self.variables())
        kept = [n for n, name in enumerate(self.sequences) if name in read]
        length = self.length
        if self.sequences and not kept and length is None:
            if steps is None or not dims.is_closed(steps):
                kept = [0]
            else:
                length = steps
        return replace(
            self,
            sequences=tuple(self.sequences[n] for n in kept),
            axes=tuple(self.axes[n] for n in kept),
            captured=tuple(name for name in self.captured if name in read),
            length=length,
        )

    def simplify(self, ins: tuple[Symbol, ...]) -> Sequence[Symbol] | None:
        """Numbers and values captured twice are read once, states that never change from
        outside; what the body does not read is not passed."""
        from .loop_forms import simpler

        found = simpler(self, [s.value for s in ins])
        if found is None:
            return None
        op, values = found
        from .symbol import Symbol

        return self._with_kept_states(op, ins, _apply(op, op, tuple(Symbol(v) for v in values)))

    def _with_kept_states(
        self, op: Scan, ins: tuple[Symbol, ...], made: Sequence[Symbol]
    ) -> list[Symbol]:
        """The outputs of this loop from those of one in which some states are not carried."""
        results = dict(zip((*op.states, *range(len(op.stacked))), made, strict=True))
        first = dict(zip(self.names, ins, strict=True))
        return [
            *(results[name] if name in results else first[name] for name in self.states),
            *(results[n] for n in range(len(self.stacked))),
        ]

    def flops(self, ins: Sequence[TensorType], outs: Sequence[TensorType]) -> Any:
        """The operations of the body, once for each step."""
        from .cost import node_flops

        types = self.input_types(ins)
        read = {name: types[name] for name in self.variables()}
        known = self.body.infer(
            {n: t.shape for n, t in read.items()}, {n: t.dtype for n, t in read.items()}
        ).types
        total: Dim = 0
        for node in self.body.nodes:
            part = node_flops(node, known)
            if part is None:
                return None
            total = dims.add(total, part)
        return dims.mul(total, self.steps(ins))

    def reference(self, *arrays: Any) -> Any:
        """Each inner operator's own reference, step by step."""
        sequences, states, captured = self.split(arrays)
        if self.sequences:
            count = np.shape(sequences[0])[self.axes[0]]
        elif isinstance(self.length, int):
            count = self.length
        else:
            raise NotImplementedError("scan: the number of steps is open")
        state = list(states)
        order = range(count - 1, -1, -1) if self.reverse else range(count)
        stacks: list[list[Any]] = [[] for _ in self.stacked]
        for step in order:
            slices = [np.take(x, step, axis=a) for x, a in zip(sequences, self.axes, strict=True)]
            made = evaluate(
                self.body, dict(zip(self.names, (*slices, *state, *captured), strict=True))
            )
            state = list(made[: len(state)])
            for stack, value in zip(stacks, made[len(state) :], strict=True):
                stack.append(value)
        if self.reverse:
            stacks = [s[::-1] for s in stacks]
        whole = [
            np.stack(s, axis=a) if s else self._empty(v, a)
            for s, a, v in zip(stacks, self.output_axes, self.stacked, strict=True)
        ]
        results = (*(np.asarray(s) for s in state), *whole)
        return results if len(results) > 1 else results[0]

    @staticmethod
    def _empty(value: Value, axis: int) -> Any:
        shape = value.type.shape
        if shape is None or not all(isinstance(d, int) for d in shape):
            raise NotImplementedError("scan: no steps, and the shape of a step is open")
        assert value.type.dtype is not None
        return np.zeros((*shape[:axis], 0, *shape[axis:]), value.type.dtype.numpy)


def evaluate(graph: Graph, arrays: Mapping[str, Any]) -> list[Any]:
    """A graph's outputs by its operators' references."""
    values: dict[Value, Any] = {}
    for node in graph.nodes:
        if node.is_variable:
            values[node[0]] = arrays[graph.names[node]]
            continue
        made = node.op.reference(*(values[v] for v in node.inputs))
        results = made if node.op.output_count > 1 else (made,)
        values.update(zip(node.values, results, strict=True))
    return [values[v] for v in graph.outputs]


def _apply(op: Scan, before: Scan, ins: tuple[Symbol, ...]) -> tuple[Symbol, ...]:
    """The outputs of a loop over the inputs that it still names."""
    from .apply import apply

    given = dict(zip(before.names, ins, strict=True))
    made = apply(op, *(given[name] for name in op.names))
    return made if isinstance(made, tuple) else (made,)


def variable(name: str, type: TensorType = UNKNOWN) -> Node:
    """A variable of a body."""
    return Node(Variable(type), (), (type,), name)


def renamed(graph: Graph, variables: Mapping[str, Value]) -> Graph:
    """The graph with values in place of variables, by name."""
    known = {graph.names[n]: n[0] for n in graph.variables}
    missing = sorted(set(variables) - set(known))
    if missing:
        raise ShapeError(f"scan: the body has no variable {missing[0]!r}")
    return graph.replace({known[name]: value for name, value in variables.items()})
