"""Invariants of the graph IR.

G1  every input of a node is an output of a node that comes before it
G2  a node has as many types as its operator has outputs
G3  a node has a number of inputs that its operator takes
G4  no two variables have one name
G5  (level 2) inferring the types again from the inputs gives the same types
"""

from __future__ import annotations

from ..errors import NameConflictError, UserError, VerifyError
from .graph import Graph
from .infer import infer_node
from .node import Node


def verify_graph(graph: Graph, level: int = 1) -> None:
    """Check the invariants.  Raises: VerifyError with the rule's number and the graph around."""
    if level == 0:
        return
    seen: set[Node] = set()
    for node in graph.nodes:
        _structure(graph, node, seen)
        seen.add(node)
        if node.op.subgraph is not None:
            verify_graph(node.op.subgraph, level)
    try:
        graph.variables  # noqa: B018
    except NameConflictError as error:
        raise VerifyError("G4", str(error), _context(graph, graph.nodes[-1])) from error
    if level >= 2:
        for node in graph.nodes:
            _types(graph, node)


def _structure(graph: Graph, node: Node, seen: set[Node]) -> None:
    for value in node.inputs:
        if value.node not in seen:
            raise VerifyError(
                "G1", f"{node!r} reads {value!r}, which comes after it", _context(graph, node)
            )
        if not 0 <= value.index < value.node.op.output_count:
            raise VerifyError(
                "G1",
                f"{node!r} reads output {value.index} of {value.node!r}, "
                f"which has {value.node.op.output_count}",
                _context(graph, node),
            )
    if len(node.types) != node.op.output_count:
        raise VerifyError(
            "G2",
            f"{node!r} has {len(node.types)} types for {node.op.output_count} outputs",
            _context(graph, node),
        )
    least, most = node.op.input_limits
    if len(node.inputs) < least or (most is not None and len(node.inputs) > most):
        raise VerifyError(
            "G3",
            f"{node!r} has {len(node.inputs)} inputs, needs {least} to "
            f"{'any' if most is None else most}",
            _context(graph, node),
        )


def _types(graph: Graph, node: Node) -> None:
    if node.is_variable:
        return
    try:
        again = infer_node(node)
    except UserError as error:
        raise VerifyError(
            "G5", f"{node!r} does not type-check: {error}", _context(graph, node)
        ) from error
    for known, new in zip(node.types, again, strict=True):
        if known.is_complete and new.is_complete and known != new:
            raise VerifyError(
                "G5", f"{node!r} is typed {known} but infers {new}", _context(graph, node)
            )


def _context(graph: Graph, node: Node) -> str:
    """Ten nodes around the culprit."""
    nodes = list(graph.nodes)
    at = nodes.index(node)
    lines = []
    for other in nodes[max(0, at - 5) : at + 6]:
        inputs = ", ".join(repr(v) for v in other.inputs)
        mark = ">" if other is node else " "
        lines.append(f"{mark} {other!r}({inputs}): {', '.join(str(t) for t in other.types)}")
    return "\n".join(lines)
