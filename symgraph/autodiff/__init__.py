"""Reverse-mode differentiation: graph in, graph out.

Walks the nodes from the outputs back and asks each operator's `backward` for symbols, so a
gradient is an ordinary graph: it can be drawn, compiled, fused and differentiated again.  A
composite operator without a `backward` of its own is differentiated through its parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import GradientError, InputError
from ..ir.apply import as_values, expand_parts, stand_ins_for
from ..ir.graph import Graph, topological
from ..ir.node import Node, Value
from ..ir.op import Op
from ..ir.origin import deriving
from ..ir.registry import registry
from ..ir.scan import Scan
from ..ir.symbol import Symbol, as_symbol, group
from .loop import has_own_gradient, loop_gradients, zeros


def gradients(
    ys: Symbol | Sequence[Symbol],
    xs: Symbol | Sequence[Symbol],
    grad_ys: Symbol | Sequence[Symbol | None] | None = None,
) -> Any:
    """The gradient of the sum of `ys` with respect to each of `xs`, as symbols.

    Shapes: each gradient has its x's shape.   Dtypes: its x's, a float.
    `grad_ys` are the gradients that flow into `ys`, ones by default.
    Returns a symbol for a single symbol, else a tuple.
    Raises: GradientError when some x does not reach any y, is not a float, or an operator between
    them has no gradient; the node is named.
    """
    outputs, wanted = _symbols(ys), _symbols(xs)
    seeds = _seeds(outputs, grad_ys)
    result = _Reverse(Graph([s.value for s in outputs]), [s.value for s in wanted]).run(seeds)
    return result[0] if isinstance(xs, Symbol) else tuple(result)


def _symbols(item: Symbol | Sequence[Symbol]) -> tuple[Symbol, ...]:
    try:
        return group(item).symbols
    except InputError as error:
        raise InputError(f"gradients: {error}") from None


def _seeds(
    outputs: Sequence[Symbol], given: Symbol | Sequence[Symbol | None] | None
) -> list[Symbol]:
    if given is None:
        seeds: list[Symbol | None] = [None] * len(outputs)
    else:
        seeds = [given] if isinstance(given, Symbol) else list(given)
    if len(seeds) != len(outputs):
        raise GradientError(f"gradients: {len(outputs)} ys but {len(seeds)} grad_ys")
    return [_ones(y) if g is None else g for y, g in zip(outputs, seeds, strict=True)]


def _ones(y: Symbol) -> Symbol:
    if y.shape == ():
        return as_symbol(1.0)
    return registry.get("ones_like")()(y)  # type: ignore[no-any-return]


class _Reverse:
    """One differentiation."""

    def __init__(self, graph: Graph, wanted: list[Value]) -> None:
        self.graph = graph
        self.wanted = wanted
        self.nodes = topological([v.node for v in graph.outputs])
        self.active = self._active()
        self.sums: dict[Value, list[Symbol]] = {}

    def _active(self) -> set[Node]:
        """Nodes through which some wanted value reaches the outputs."""
        targets = set(self.wanted)
        found: set[Node] = set()
        for node in self.nodes:
            reached = any(v in targets for v in node.values)
            if reached or any(v.node in found for v in node.inputs):
                found.add(node)
        return found

    def run(self, seeds: list[Symbol]) -> list[Symbol]:
        self.propagate(seeds)
        return [self._result(value) for value in self.wanted]

    def propagate(self, seeds: Sequence[Symbol]) -> list[Symbol | None]:
        """The gradient of each wanted value, None where there is none."""
        for value, seed in zip(self.graph.outputs, seeds, strict=True):
            self.sums.setdefault(value, []).append(seed)
        sources = {v.node for v in self.wanted}
        for node in reversed(self.nodes):
            if node in self.active and node.inputs and not self._only_source(node, sources):
                self._node(node)
        return [self._total(value) for value in self.wanted]

    def _only_source(self, node: Node, sources: set[Node]) -> bool:
        """A wanted node whose inputs lead to no other wanted value."""
        return node in sources and not any(v.node in self.active for v in node.inputs)

    def _total(self, value: Value) -> Symbol | None:
        parts = self.sums.get(value)
        if not parts:
            return None
        if len(parts) > 1:
            total = parts[0]
            for part in parts[1:]:
                total = total + part
            self.sums[value] = [total]
        return self.sums[value][0]

    def _node(self, node: Node) -> None:
        label = self.graph.names[node]
        with deriving(node.origin.with_note(f"gradient of {label}")):
            grads = tuple(self._total(v) for v in node.values)
            if all(g is None for g in grads):
                return
            for value, gradient in zip(node.inputs, self._backward(node, grads), strict=True):
                if gradient is not None and value.node in self.active:
                    self._check(node, value, gradient)
                    self.sums.setdefault(value, []).append(gradient)

    def _backward(self, node: Node, grads: tuple[Symbol | None, ...]) -> Sequence[Symbol | None]:
        ins = tuple(Symbol(v) for v in node.inputs)
        outs = tuple(Symbol(v) for v in node.values)
        blocked = node.op.no_gradient
        names = node.op.argument_names(len(node.inputs))
        if isinstance(node.op, Scan):
            active = [v.node in self.active for v in node.inputs]
            found = loop_gradients(node, grads, active, _propagate)
        elif not has_own_gradient(node.op):
            found = self._through_parts(node, ins, grads)
        else:
            found = list(node.op.symbolic_backward(ins, outs, grads))
            if _has_two_forms(node.op):
                found = self._by_form(node, ins, grads, found)
        if len(found) != len(ins):
            raise GradientError(
                f"{node.op.name}: backward must return {len(ins)} gradients, one "
                f"for each of {', '.join(names)}, got {len(found)}"
            )
        return [None if n in blocked else g for n, g in zip(names, found, strict=True)]

    @staticmethod
    def _through_parts(
        node: Node, ins: tuple[Symbol, ...], grads: tuple[Symbol | None, ...]
    ) -> list[Symbol | None]:
        """Differentiate a fresh expansion of a composite node."""
        stand_ins, _, outputs = expand_parts(node)
        return _Reverse._through(node, stand_ins, outputs, ins, grads)

    @staticmethod
    def _by_form(
        node: Node,
        ins: tuple[Symbol, ...],
        grads: tuple[Symbol | None, ...],
        training: list[Symbol | None],
    ) -> list[Symbol | None]:
        """The gradient of each of the two forms of an operator where that form is compiled."""
        stand_ins = stand_ins_for(node)
        made = node.op.inference(tuple(Symbol(v) for v in stand_ins))
        if made is None:
            return training
        outputs = as_values(made, node.op)
        inference = _Reverse._through(node, stand_ins, outputs, ins, grads)
        make = registry.get("by_form")()
        found: list[Symbol | None] = []
        for a, b in zip(training, inference, strict=True):
            some = b if a is None else a
            if some is None or a is b:
                found.append(some)
            else:
                found.append(make(*(zeros(some) if g is None else g for g in (a, b))))
        return found

    @staticmethod
    def _through(
        node: Node,
        stand_ins: Sequence[Value],
        outputs: Sequence[Value],
        ins: tuple[Symbol, ...],
        grads: tuple[Symbol | None, ...],
    ) -> list[Symbol | None]:
        """The gradients of what computes the outputs of a node from stand-ins for its inputs."""
        pairs = [(v, g) for v, g in zip(outputs, grads, strict=True) if g is not None]
        floats = [v for v in stand_ins if v.type.dtype is None or v.type.dtype.is_float]
        names = node.op.argument_names(len(ins))
        wanted = [v for v in floats if names[stand_ins.index(v)] not in node.op.no_gradient]
        reverse = _Reverse(Graph([v for v, _ in pairs]), wanted)
        totals = reverse.propagate([g for _, g in pairs])
        mapping = dict(zip(stand_ins, (s.value for s in ins), strict=True))
        known = [t for t in totals if t is not None]
        moved = iter(Graph([t.value for t in known]).replace(mapping).outputs if known else ())
        by_input = {
            v: None if t is None else Symbol(next(moved))
            for v, t in zip(wanted, totals, strict=True)
        }
        return [by_input.get(v) for v in stand_ins]

    @staticmethod
    def _check(node: Node, value: Value, gradient: Symbol) -> None:
        have, need = gradient.shape, value.type.shape
        if have is None or need is None:
            return
        if len(have) != len(need) or any(
            isinstance(a, int) and isinstance(b, int) and a != b
            for a, b in zip(have, need, strict=True)
        ):
            raise GradientError(
                f"{node.op.name}: backward gives a gradient of shape {have} for an input of "
                f"shape {need} (declared at {node.origin})"
            )

    def _result(self, value: Value) -> Symbol:
        dtype = value.type.dtype
        if dtype is not None and not dtype.is_float:
            raise GradientError(
                f"{_label(self.graph, value)} is {dtype}: only floats have gradients"
            )
        total = self._total(value)
        if total is None:
            raise GradientError(
                f"{_label(self.graph, value)} does not reach the differentiated output through "
                f"differentiable operators, so it has no gradient"
            )
        return total


def _has_two_forms(op: Op) -> bool:
    """It is another operator at inference; one that calls Python knows that from its argument."""
    return not op.is_host and type(op).inference is not Op.inference


def _propagate(
    graph: Graph, wanted: Sequence[Value], seeds: Sequence[Symbol]
) -> list[Symbol | None]:
    return _Reverse(graph, list(wanted)).propagate(seeds)


def _label(graph: Graph, value: Value) -> str:
    name = graph.names.get(value.node) or value.node.label
    place = f" (declared at {value.node.origin})" if str(value.node.origin) else ""
    return f"{name}{place}"
