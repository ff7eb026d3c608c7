"""Shape and dtype inference: relations stated by operators, solved in every direction.

Every value has a shape cell and a dtype cell (cells.py).  An operator relates the cells of its
inputs and returns those of its outputs (relations.py); what is learnt on one side flows to the
other because both sides share the same unknown extents (equations.py).  Nodes are visited forward,
then backward, until nothing changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from ..errors import DTypeError, ShapeError
from ..kernel.dtypes import DType, as_dtype
from .cells import DTypeView, RankUnknown, ShapeView
from .equations import value_name
from .node import Node, Value
from .relations import Relations
from .tensor_type import TensorType

if TYPE_CHECKING:
    from .graph import Graph

__all__ = ["DTypeView", "ShapeView", "Unifier", "default_dtypes", "infer_node", "value_name"]

FEW_ROUNDS = 1000
"""Visits of a small graph until an operator is taken for one that never stops to learn."""


@dataclass
class Unifier(Relations):
    """One inference: visits nodes, each of which states its relations."""

    def visit(self, node: Node) -> None:
        """State the relations of one node."""
        self.node = node
        if _infers_by_parts(node):
            self._visit_parts(node)
            return
        self._visit_dtypes(node)
        try:
            results = node.op.infer_shape(self, *(self.shape(v) for v in node.inputs))
        except RankUnknown:
            return
        self._check_count(node, results, "infer_shape")
        for value, result in zip(node.values, results, strict=True):
            view = result if isinstance(result, ShapeView) else ShapeView(self, tuple(result))
            self.same_shape(self.shape(value), view, f"{value_name(value)} must have this shape")

    def _visit_dtypes(self, node: Node) -> None:
        results = node.op.infer_dtype(self, *(self.dtype(v) for v in node.inputs))
        self._check_count(node, results, "infer_dtype")
        for value, result in zip(node.values, results, strict=True):
            fixed = result if isinstance(result, (DTypeView, DType)) else as_dtype(result)
            self.same(self.dtype(value), fixed, f"{value_name(value)} must have this dtype")

    def _check_count(self, node: Node, results: Sequence[Any], method: str) -> None:
        if len(results) != node.op.output_count:
            self.fail(
                f"{type(node.op).__name__}.{method} must return one entry for each of the "
                f"{node.op.output_count} outputs, got {len(results)}"
            )

    def own_graph(self, graph: Graph) -> Graph:
        """A copy of a graph that the current node holds, the same at every visit.

        Its nodes carry no types, so that what is known comes from this node's own inputs.
        """
        node = self._current()
        if node not in self._parts:
            self._parts[node] = _untyped(graph)
        copy: Graph = self._parts[node]
        return copy

    def visit_graph(self, graph: Graph) -> None:
        """State the relations of every node of a graph that the current node holds."""
        node = self._current()
        for part in graph.nodes:
            self.visit(part)
        self.node = node

    def _visit_parts(self, node: Node) -> None:
        """A composite operator: the relations of its parts, and a mistake in one of them is one of
        the whole."""
        try:
            self._relate_parts(node)
        except (ShapeError, DTypeError) as error:
            title = f"{node.op.name} {self._name(node)}".strip()
            message = f"{title}: in its part {error}\n  {self._describe(node)}"
            raise type(error)(message) from None

    def _relate_parts(self, node: Node) -> None:
        if node not in self._parts:
            from .apply import expand_parts

            self._parts[node] = expand_parts(node)
        inputs, inner, outputs = self._parts[node]
        for value, variable in zip(node.inputs, inputs, strict=True):
            self.same_shape(self.shape(value), self.shape(variable), "input")
            self.same(self.dtype(value), self.dtype(variable), "input")
        for part in inner:
            self.visit(part)
        self.node = node
        for value, result in zip(node.values, outputs, strict=True):
            self.same_shape(self.shape(value), self.shape(result), "output")
            self.same(self.dtype(value), self.dtype(result), "output")

    def visit_dtypes(self, node: Node) -> None:
        """State the relations of one node, those among shapes only where they cannot be told
        apart."""
        if node.op.subgraph is not None or _infers_by_parts(node):
            self.visit(node)
        else:
            self.node = node
            self._visit_dtypes(node)

    def run(self, nodes: Sequence[Node], *, shapes: bool = True) -> None:
        """Forward and backward until nothing changes; without `shapes` where only dtypes may have
        been learnt."""
        visit = self.visit if shapes else self.visit_dtypes
        last = nodes[0] if nodes else None
        for rounds in range(FEW_ROUNDS + 2 * len(nodes)):
            before = self.version
            for node in reversed(nodes) if rounds % 2 else nodes:
                learnt = self.version
                visit(node)
                if self.version != learnt:
                    last = node
            self.recheck()
            if self.version == before:
                return
        self.node = last
        self.fail(
            "states something new at every visit; let infer_shape take unknown extents from "
            "u.fresh(tag), which gives the same one at each"
        )


def _infers_by_parts(node: Node) -> bool:
    cls: Any = type(node.op)
    return node.op.is_composite and _states_no_shapes(cls)


@cache
def _states_no_shapes(cls: Any) -> bool:
    from .op import Op

    return bool(cls.infer_shape is Op.infer_shape)


def _untyped(graph: Graph) -> Graph:
    """A copy whose variables and results have no types."""
    from .graph import Graph
    from .op import Variable

    new: dict[Value, Value] = {}
    for node in graph.nodes:
        inputs = tuple(new[v] for v in node.inputs)
        types = (TensorType(None, None),) * len(node.types) if node.op.is_inferable else node.types
        op = Variable() if node.is_variable else node.op
        copy = Node(op, inputs, types, graph.names[node], node.origin, "", node.attributes,
                    node.serial)  # fmt: skip
        new.update(zip(node.values, copy.values, strict=True))
    return Graph([new[v] for v in graph.outputs])


def infer_node(node: Node) -> tuple[TensorType, ...]:
    """What the inputs' known types say of the outputs, and check them.  Raises: ShapeError."""
    unifier = Unifier(local=True)
    unifier.visit(node)
    unifier.recheck()
    return tuple(unifier.type_of(v) for v in node.values)


def default_dtypes(unifier: Unifier, nodes: Sequence[Node]) -> None:
    """Dtypes of what nobody gave one, directly or through relations: first of the variables, then,
    as far as these leave it open, of numbers standing alone."""
    sources = [n for n in nodes if n.op.default_dtype is not None]
    for chosen in (
        [n for n in sources if n.is_variable],
        [n for n in sources if not n.is_variable],
    ):
        before = unifier.version
        for node in chosen:
            if unifier.dtype(node[0]).known is None:
                unifier.node = node
                unifier.same(unifier.dtype(node[0]), as_dtype(node.op.default_dtype), "default")
        if unifier.version != before:
            unifier.run(nodes, shapes=False)
