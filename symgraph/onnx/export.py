"""Graphs as ONNX models (opset 18), so that other tools can read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError, InputError, UnknownOperatorError, require
from ..files import write_atomic
from ..ir.graph import Graph
from ..ir.op import Opaque, Variable
from ..ir.symbol import Expression, output_names
from ..passes.bind_parameters import checked_array
from ..passes.infer_types import InferTypes
from .operators import EXPORTERS
from .writer import OPSET, Writer

_IR_VERSION = 8
"""The version of the file's format that came with the operator set (ONNX 1.13)."""
_MOST_BYTES = 2**31 - 1
"""A protocol buffer holds no more."""


def export_onnx(
    expression: Expression,
    path: str | Path | None = None,
    *,
    params: Mapping[str, Any] | None = None,
    shapes: Mapping[str, Any] | None = None,
) -> Any:
    """The inference form of a graph as an ONNX model, written to `path` when given.

    Inputs keep their names; outputs are `out_` and theirs.  Variables of `params` become
    initialisers of the model, open extents named dimensions; `shapes` states extents as for
    `symgraph.compile`.
    Raises: MissingDependencyError without onnx; UnknownOperatorError naming the node for an
    operator that ONNX cannot say; InputError, ShapeError, DTypeError for parameters that do not
    fit; FormatError for a model of 2 GiB or more.
    """
    try:
        import onnx
    except ImportError as error:
        raise require("onnx", "onnx", "exporting to ONNX") from error
    _refuse_opaque(expression.graph)
    arrays = dict(params or {})
    _refuse_unknown(expression.graph, arrays)
    graph = InferTypes(shapes or {}, arrays=arrays).run(expression.graph)
    model = _model(onnx, graph, output_names(expression.graph), arrays)
    if path is not None:
        if model.ByteSize() > _MOST_BYTES:
            raise FormatError(
                f"export_onnx: the model has {model.ByteSize()} bytes, an ONNX file holds at most "
                f"{_MOST_BYTES}: call it without a path, and save the model with "
                f"onnx.save(model, path, save_as_external_data=True)"
            )
        write_atomic(path, model.SerializeToString())
    return model


def _refuse_opaque(graph: Graph) -> None:
    """What nobody registered has no types either, which would be said first."""
    for node in graph.nodes:
        if isinstance(node.op, Opaque):
            raise UnknownOperatorError(
                f"{graph.names[node]}: operator {node.op.name!r} is not registered, so that "
                f"nothing tells what it computes; import the module that defines it before "
                f"loading the graph"
            )


def _refuse_unknown(graph: Graph, params: Mapping[str, Any]) -> None:
    variables = [graph.names[n] for n in graph.variables]
    for name in params:
        if name not in variables:
            raise InputError(
                f"export_onnx: params has {name!r}, but the graph has no such variable; it has "
                f"{', '.join(variables) or 'none'}"
            )


def _model(onnx: Any, graph: Graph, labels: tuple[str, ...], params: Mapping[str, Any]) -> Any:
    writer = Writer(onnx, graph, EXPORTERS)
    for node in graph.variables:
        name = graph.names[node]
        writer.bind(node[0], name)
        writer.measured(name, node.types[0].shape or ())
    for node in graph.nodes:
        if not node.is_variable:
            writer.write(node)
    outputs = []
    for value, label in zip(graph.outputs, labels, strict=True):
        name = f"out_{label}"
        writer.nodes.append(onnx.helper.make_node("Identity", [writer.names[value]], [name]))
        outputs.append(writer.info(name, value.type))
    inputs = _declared(writer, params)
    body = onnx.helper.make_graph(writer.nodes, "symgraph", inputs, outputs, writer.initialisers)
    opset = [onnx.helper.make_opsetid("", OPSET)]
    model = onnx.helper.make_model(body, opset_imports=opset, producer_name="symgraph")
    model.ir_version = _IR_VERSION
    return model


def _declared(writer: Writer, params: Mapping[str, Any]) -> list[Any]:
    """The inputs of a model, and its initialisers for `params`.  Parameters and state that only
    training reads, such as that of dropout, are left out."""
    read = _read_names(writer.nodes)
    inputs = []
    for node in writer.graph.variables:
        name, op = writer.graph.names[node], node.op
        assert isinstance(op, Variable)
        if name not in read and op.role != "input":
            continue
        if name in params:
            writer.initialiser(name, checked_array(node, name, np.asarray(params[name])))
        else:
            inputs.append(writer.info(name, node.types[0]))
    return inputs


def _read_names(nodes: Iterable[Any]) -> set[str]:
    """What the nodes read, and those of the graphs inside them."""
    found: set[str] = set()
    for node in nodes:
        found.update(node.input)
        for attribute in node.attribute:
            found |= _read_names(attribute.g.node)
    return found
