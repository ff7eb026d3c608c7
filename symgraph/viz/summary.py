"""`summary`: a network as a table: what each operator gives, owns and costs, with totals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..ir.cost import node_flops
from ..ir.graph import Graph
from ..ir.node import Node, Value
from ..ir.op import Variable
from ..ir.symbol import Expression
from ..ir.tensor_type import TensorType
from ..kernel import dims
from ..kernel.dims import Dim
from .model import as_graph
from .text import count_text, nbytes_text

__all__ = ["Summary", "SummaryRow", "summary"]

_HEADER = ("name", "operator", "output", "parameters", "FLOP", "bytes")


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """One input or operator. None: unknown. Counts may hold open extents such as N."""

    name: str
    op: str
    output: str
    parameters: Dim | None
    flops: Dim | None
    nbytes: Dim | None


@dataclass(frozen=True, slots=True)
class Summary:
    """The table; prints itself, and shows itself in notebooks.

    A parameter counts where it is used first; `nbytes` are those of outputs. Totals say "at
    least" where something is unknown.
    """

    rows: tuple[SummaryRow, ...]
    parameters: Dim
    parameter_nbytes: Dim
    auxiliary: Dim
    flops: Dim
    nbytes: Dim

    @property
    def text(self) -> str:
        """The table for terminals."""
        table = [_HEADER, *(_cells(row) for row in self.rows)]
        widths = [max(len(row[i]) for row in table) for i in range(len(_HEADER))]
        lines = [_aligned(row, widths) for row in table]
        rule = "-" * len(lines[0].rstrip().ljust(sum(widths) + 2 * (len(widths) - 1)))
        return "\n".join([lines[0], rule, *lines[1:], rule, *self._totals()]) + "\n"

    @property
    def markdown(self) -> str:
        """The table for documents."""
        align = "|---|---|---|--:|--:|--:|"
        rows = [_HEADER, *(_cells(row) for row in self.rows)]
        lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
        return (
            "\n".join([lines[0], align, *lines[1:], "", *(f"* {t}" for t in self._totals())]) + "\n"
        )

    def _totals(self) -> list[str]:
        owned = f"{_exact(self.parameters)} ({_nbytes(self.parameter_nbytes)})"
        outputs = [row.nbytes for row in self.rows if row.op != "input"]
        totals = [
            f"parameters: {_total(self.parameters, owned, [r.parameters for r in self.rows])}",
            f"work: {_total(self.flops, _count(self.flops, 'FLOP'), [r.flops for r in self.rows])}",
            f"outputs of operators: {_total(self.nbytes, _nbytes(self.nbytes), outputs)}",
        ]
        if self.auxiliary != 0:
            totals.insert(1, f"auxiliary state: {_exact(self.auxiliary)}")
        return totals

    def __str__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return self.markdown


def summary(
    what: Expression | Graph, given: Mapping[str, Any] | None = None, **shapes: Any
) -> Summary:
    """The table of a symbol, a group or a graph; shapes of variables may be given by name.

    Raises: ShapeError when the shapes contradict the graph.
    """
    graph = as_graph(what)
    chosen = {**(given or {}), **shapes}
    types = graph.infer(chosen).types if chosen else graph.types
    owned = _first_users(graph)
    rows = tuple(
        _row(graph, node, types, owned.get(node, ())) for node in graph.nodes if _is_shown(node)
    )
    parameters = [types[n[0]] for n in graph.variables_of("parameter")]
    operators = [types[v] for n in graph.nodes if n.inputs for v in n.values]
    return Summary(
        rows,
        _known(_nelems(t) for t in parameters),
        _known(_bytes([t]) for t in parameters),
        _known(_nelems(types[n[0]]) for n in graph.variables_of("auxiliary")),
        _known(row.flops for row in rows),
        _known(_bytes([t]) for t in operators),
    )


def _is_shown(node: Node) -> bool:
    if isinstance(node.op, Variable):
        return node.op.role == "input"
    return bool(node.inputs)


def _first_users(graph: Graph) -> dict[Node, list[Value]]:
    """The parameters of each operator, each with the operator that uses it first."""
    owned: dict[Node, list[Value]] = {}
    seen: set[Value] = set()
    for node in graph.nodes:
        for value in node.inputs:
            op = value.node.op
            if isinstance(op, Variable) and op.role == "parameter" and value not in seen:
                seen.add(value)
                owned.setdefault(node, []).append(value)
    return owned


def _row(
    graph: Graph, node: Node, types: Mapping[Value, TensorType], owned: Sequence[Value]
) -> SummaryRow:
    counts = [_nelems(types[v]) for v in owned]
    outs = [types[v] for v in node.values]
    return SummaryRow(
        graph.names[node],
        "input" if node.is_variable else node.op.name,
        ", ".join(str(t) for t in outs),
        None if None in counts else _known(counts),
        node_flops(node, types),
        _bytes(outs),
    )


def _nelems(type_: TensorType) -> Dim | None:
    return type_.nelems if type_.is_complete else None


def _bytes(types: Sequence[TensorType]) -> Dim | None:
    return _known(t.nbytes for t in types) if all(t.is_complete for t in types) else None


def _known(counts: Any) -> Dim:
    total: Dim = 0
    for count in counts:
        if count is not None:
            total = dims.add(total, count)
    return total


def _cells(row: SummaryRow) -> tuple[str, ...]:
    parameters = "" if row.parameters == 0 else _exact(row.parameters)
    flops = "" if row.flops == 0 else _count(row.flops)
    return (row.name, row.op, row.output, parameters, flops, _nbytes(row.nbytes))


def _count(count: Dim | None, unit: str = "") -> str:
    if count is None:
        return "?"
    return count_text(count, unit) if isinstance(count, int) else f"{count} {unit}".rstrip()


def _exact(count: Dim | None) -> str:
    if count is None:
        return "?"
    return f"{count:,}" if isinstance(count, int) else str(count)


def _nbytes(count: Dim | None) -> str:
    if count is None:
        return "?"
    return nbytes_text(count) if isinstance(count, int) else f"{count} B"


def _total(total: Dim, text: str, parts: Sequence[Dim | None]) -> str:
    """A total that does not pretend to know what it leaves out."""
    if None not in parts:
        return text
    return "unknown" if total == 0 else f"at least {text}"


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        cell.ljust(width) if i < 3 else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()
