"""A graph is its outputs; order, users and names follow from them and are cached."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..errors import AttributeValueError, NameConflictError, ShapeError
from ..kernel import dims
from ..kernel.dims import Dim, DimVar
from ..kernel.dtypes import as_dtype
from .infer import Unifier, default_dtypes, infer_node
from .node import Node, Value
from .op import Op, Variable
from .tensor_type import Shape, TensorType, as_shape


class Graph:
    """A directed acyclic graph of nodes, given by its output values.

    `updates` maps a variable's name to the value that is its next state; these values are outputs
    too, after the plain ones.
    """

    def __init__(self, outputs: Sequence[Value], updates: Sequence[tuple[str, Value]] = ()) -> None:
        self.outputs: tuple[Value, ...] = tuple(outputs)
        self.updates: tuple[tuple[str, Value], ...] = tuple(updates)

    @cached_property
    def results(self) -> tuple[Value, ...]:
        """The outputs, then the updates."""
        return (*self.outputs, *(v for _, v in self.updates))

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """Every node once, inputs before users, in depth-first order from the outputs."""
        return topological(v.node for v in self.results)

    @cached_property
    def users(self) -> Mapping[Value, tuple[tuple[Node, int], ...]]:
        """For each value, the (node, input number) pairs that read it."""
        found: dict[Value, list[tuple[Node, int]]] = {}
        for node in self.nodes:
            for position, value in enumerate(node.inputs):
                found.setdefault(value, []).append((node, position))
        return {value: tuple(uses) for value, uses in found.items()}

    @cached_property
    def variables(self) -> tuple[Node, ...]:
        """The variables in order of first use.  Raises: NameConflictError."""
        found = tuple(n for n in self.nodes if n.is_variable)
        seen: dict[str, Node] = {}
        for node in found:
            name = self.names[node]
            if name in seen:
                raise NameConflictError(
                    f"two different variables are named {name!r}: one declared at "
                    f"{seen[name].origin}, the other at {node.origin}; give one another name, or "
                    f"pass the same symbol to share it"
                )
            seen[name] = node
        return found

    def variables_of(self, role: str) -> tuple[Node, ...]:
        """The variables whose role is "input", "parameter" or "auxiliary"."""
        return tuple(n for n in self.variables if _role(n) == role)

    @cached_property
    def names(self) -> Mapping[Node, str]:
        """A name for every node, unique but for variables (which `variables` checks).

        A node without a name gets its operator's with a number; the numbers follow the order of
        creation within this graph, whatever else was built before.
        """
        return _assign_names(self.nodes, self.users)

    @cached_property
    def types(self) -> Mapping[Value, TensorType]:
        """The best knowledge of every value, with the variables as declared."""
        own = {v: v.type for n in self.nodes for v in n.values}
        if all(type.is_complete for type in own.values()):
            return own
        return self.infer().types

    def infer(
        self, shapes: Mapping[str, Any] | None = None, dtypes: Mapping[str, Any] | None = None
    ) -> Inference:
        """Shapes and dtypes from the variables' own and those given here, in every direction.

        Raises: ShapeError or DTypeError on a contradiction, with the node and its place.
        """
        return infer_graph(self, dict(shapes or {}), dict(dtypes or {}))

    def rewrite(self, change: Callable[[Node, tuple[Value, ...]], Sequence[Value] | None]) -> Graph:
        """Rebuild in order: `change(node, new inputs)` returns the values that replace the node's
        outputs, or None to keep it (with its new inputs).  What did not change is shared."""
        # Only what changed is looked up: most passes leave most nodes alone.
        new: dict[Value, Value] = {}
        for node in self.nodes:
            inputs = node.inputs
            if new:
                inputs = tuple([new.get(v, v) for v in inputs])
            replacement = change(node, inputs)
            if replacement is None:
                if inputs == node.inputs:
                    continue
                replacement = with_inputs(node, inputs).values
            for old, value in zip(node.values, replacement, strict=True):
                if old != value:
                    new[old] = value
        if not any(v in new for v in self.results):
            return self
        updates = [(name, new.get(v, v)) for name, v in self.updates]
        return Graph([new.get(v, v) for v in self.outputs], updates)

    def replace(self, mapping: Mapping[Value, Value]) -> Graph:
        """Substitute values, rebuilding their users."""

        def change(node: Node, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
            if not any(v in mapping for v in node.values):
                return None
            kept = with_inputs(node, inputs)
            return [mapping.get(v, kept[v.index]) for v in node.values]

        return self.rewrite(change)

    def __len__(self) -> int:
        return len(self.nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __str__(self) -> str:
        from .printer import graph_text

        return graph_text(self)


def topological(roots: Iterable[Node]) -> tuple[Node, ...]:
    """Inputs before users, depth first, without recursion.  Raises: ShapeError on a cycle."""
    order: list[Node] = []
    state: dict[Node, bool] = {}
    for root in roots:
        stack: list[tuple[Node, bool]] = [(root, False)]
        while stack:
            node, done = stack.pop()
            if done:
                state[node] = True
                order.append(node)
            elif node not in state:
                state[node] = False
                stack.append((node, True))
                for value in reversed(node.inputs):
                    if value.node not in state:
                        stack.append((value.node, False))
                    elif not state[value.node] and value.node is node:
                        raise ShapeError(f"{node!r} is its own input: a graph has no cycles")
    return tuple(order)


def _role(node: Node) -> str:
    assert isinstance(node.op, Variable)
    return node.op.role


def _assign_names(
    nodes: Sequence[Node], users: Mapping[Value, tuple[tuple[Node, int], ...]]
) -> Mapping[Node, str]:
    names: dict[Node, str] = {}
    taken = {_scoped(n, n.name) for n in nodes if n.name is not None}
    counters: dict[str, int] = {}
    for node in sorted(nodes, key=lambda n: n.serial):
        if node.name is not None:
            names[node] = _scoped(node, node.name)
        elif not (isinstance(node.op, Variable) and node.op.hint):
            names[node] = _numbered(_scoped(node, node.op.name), counters, taken)
    # Variables that an operator made are named after it, so they wait for the operator's name.
    for node in nodes:
        if node not in names:
            assert isinstance(node.op, Variable)
            owners = [u for u, _ in users.get(node[0], ()) if u in names]
            prefix = f"{names[min(owners, key=lambda n: n.serial)]}_" if owners else ""
            names[node] = prefix + node.op.hint
    return names


def _scoped(node: Node, name: str) -> str:
    return f"{node.scope}/{name}" if node.scope else name


def _numbered(base: str, counters: dict[str, int], taken: set[str]) -> str:
    while True:
        number = counters.get(base, 0)
        counters[base] = number + 1
        name = f"{base}{number}"
        if name not in taken:
            taken.add(name)
            return name


def with_inputs(node: Node, inputs: tuple[Value, ...]) -> Node:
    """The node with other inputs, its types inferred again; itself when nothing changed.

    Inputs of the same types leave the node's own types as they are.
    """
    if inputs == node.inputs:
        return node
    if all(a.type == b.type for a, b in zip(inputs, node.inputs, strict=True)):
        return Node(node.op, inputs, node.types, node.name, node.origin, node.scope,
                    node.attributes, node.serial)  # fmt: skip
    return make_node(
        node.op, inputs, node.name, node.origin, node.scope, node.attributes, node.serial
    )


def make_node(
    op: Op,
    inputs: tuple[Value, ...],
    name: str | None,
    origin: Any,
    scope: str = "",
    attributes: tuple[tuple[str, Any], ...] = (),
    serial: int | None = None,
) -> Node:
    """A node whose types are inferred from its inputs'.

    Raises: ShapeError, DTypeError, AttributeValueError for a name that is none.
    """
    if not (name is None or isinstance(name, str)):
        raise AttributeValueError(f"{op.name}: name must be a string, got {name!r}")
    blank = (TensorType(None, None),) * op.output_count
    more = {} if serial is None else {"serial": serial}
    node = Node(op, inputs, blank, name, origin, scope, attributes, **more)
    return Node(op, inputs, infer_node(node), name, origin, scope, attributes, node.serial)


@dataclass(frozen=True)
class Inference:
    """The result of inference: types of every value, and whether nothing is left unknown."""

    graph: Graph
    types: Mapping[Value, TensorType]
    bindings: Mapping[DimVar, Dim]
    constraints: tuple[tuple[Dim, str, Dim, str], ...] = ()
    """Conditions on named extents that only a call can decide: left, "==" or ">=", right, why."""

    @property
    def complete(self) -> bool:
        return all(t.is_complete for t in self.types.values())

    @property
    def unknown(self) -> tuple[str, ...]:
        """Names of the nodes with something unknown, variables first."""
        found = [v.node for v, t in self.types.items() if not t.is_complete]
        ordered = sorted(dict.fromkeys(found), key=lambda n: not n.is_variable)
        return tuple(self.graph.names[n] for n in ordered)


def infer_graph(graph: Graph, shapes: dict[str, Any], dtypes: dict[str, Any]) -> Inference:
    """See Graph.infer."""
    unifier = Unifier(names=graph.names)
    by_name = {graph.names[n]: n for n in graph.variables}
    for name in (*shapes, *dtypes):
        if name not in by_name:
            known = ", ".join(by_name) or "none"
            raise ShapeError(f"no variable is named {name!r}; the variables are {known}")
    for name, value in shapes.items():
        _seed_shape(unifier, by_name[name], as_shape(value, name))
    for name, value in dtypes.items():
        node = by_name[name]
        unifier.node = node
        unifier.same(unifier.dtype(node[0]), as_dtype(value), f"{name}'s dtype")
    unifier.run(graph.nodes)
    default_dtypes(unifier, graph.nodes)
    types = {v: unifier.type_of(v) for n in graph.nodes for v in n.values}
    named = {k: unifier.resolve(v) for k, v in unifier.bindings.items() if isinstance(k, DimVar)}
    return Inference(graph, types, named, tuple(unifier.constraints()))


def _seed_shape(unifier: Unifier, node: Node, given: Shape) -> None:
    """A shape given at the call overrides the variable's own, and binds its named extents."""
    declared = node.types[0].shape
    if given is None:
        return
    merged = list(given)
    if declared is not None and len(declared) == len(given):
        for axis, (own, new) in enumerate(zip(declared, given, strict=True)):
            if not dims.is_closed(new):
                merged[axis] = own
            elif isinstance(own, DimVar) and own != new:
                unifier.bindings.setdefault(own, new)
    unifier.override(node, tuple(merged))
