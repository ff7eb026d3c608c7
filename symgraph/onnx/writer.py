"""Writes the nodes of a graph as nodes of an ONNX model.

A node is written by the first that can: the exporter of its operator (see `operators/`), its form
at inference time, its parts where it is a composite, its index expressions.  Every name of the
model has a known element type, so that types which an operator of ONNX does not take are converted
on the way (see `schemas.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import UnknownOperatorError
from ..ir.compose import apply_forward
from ..ir.graph import Graph
from ..ir.host import OnHost
from ..ir.node import Node, Value
from ..ir.op import Constant
from ..ir.tensor_type import TensorType
from ..kernel.dims import Dim, DimVar
from ..kernel.dtypes import DType, as_dtype, int64
from ..kernel.ir import Buffer
from ..passes.expand import expand_node, replacement
from .elements import Elements
from .index_expressions import IndexExpressions
from .schemas import NotTakenError, Schemas

OPSET = 18
Exporter = Callable[["Writer", Node, Sequence[str]], "Sequence[str] | None"]
"""The names of a node's outputs, for those of its inputs; None where ONNX's operator does not fit
this node, which is then written in the next way."""
_SMALL = 16
"""Constants of at most so many elements are shared by all that have the same."""


class Writer:
    """Collects nodes and initialisers of one model."""

    def __init__(self, onnx: Any, graph: Graph, exporters: Mapping[str, Exporter]) -> None:
        self.onnx = onnx
        self.graph = graph
        self.exporters = exporters
        self.schemas = Schemas(onnx, OPSET)
        self.nodes: list[Any] = []
        self.initialisers: list[Any] = []
        self.names: dict[Value, str] = {}
        self.dtypes: dict[str, DType] = {}
        self._constants: dict[tuple[Any, ...], str] = {}
        self._extents: dict[DimVar, str] = {}
        self._sources: dict[DimVar, tuple[str, int]] = {}
        self._taken = set(graph.names.values())
        self._count = 0

    # -- nodes of the graph ------------------------------------------------------------------------

    def write(self, node: Node) -> None:
        """A node whose inputs are written.   Raises: UnknownOperatorError naming it."""
        if node.values[0] in self.names:
            return
        if isinstance(node.op, Constant):
            self.bind(node[0], self.constant(node.op.value))
            return
        if node.op.is_host:
            raise self.unknown(node)
        ins = [self.names[v] for v in node.inputs]
        results = self._by_exporter(node, ins)
        if results is None:
            results = self._by_parts(node)
        if results is None:
            results = self._by_index_expressions(node, ins)
        for value, name in zip(node.values, results, strict=True):
            self.bind(value, name)

    def bind(self, value: Value, name: str) -> None:
        """This name holds the value."""
        self.names[value] = name
        self.dtypes[name] = as_dtype(value.type.dtype)

    def _by_exporter(self, node: Node, ins: Sequence[str]) -> Sequence[str] | None:
        exporter = self.exporters.get(node.op.name)
        if exporter is None:
            return None
        nodes, initialisers = len(self.nodes), len(self.initialisers)
        caches = dict(self._constants), dict(self._extents)
        try:
            results = exporter(self, node, ins)
        except NotTakenError:
            results = None
        if results is None:  # what was written on the way is taken back
            del self.nodes[nodes:], self.initialisers[initialisers:]
            self._constants, self._extents = caches
        return results

    def _by_parts(self, node: Node) -> Sequence[str] | None:
        form = replacement(node, node.inputs, lambda op, ins: op.inference(ins))
        values = expand_node(node, node.inputs) if form is None else form
        if values is None or any(v.node is node for v in values):
            return None
        for part in _inner_nodes(values, self.names):
            self.write(part)
        return [self.names[v] for v in values]

    def _by_index_expressions(self, node: Node, ins: Sequence[str]) -> Sequence[str]:
        if node.op.subgraph is not None:
            raise self.unknown(node)
        tensors: dict[Any, str | Elements] = {}
        for value, name in zip(node.inputs, ins, strict=True):
            assert value.type.shape is not None
            buffer = Buffer("x", value.type.shape, as_dtype(value.type.dtype))
            op = value.node.op
            literal = isinstance(op, Constant) and op.value.ndim == 0
            tensors[buffer] = Elements(op.value, (), buffer.dtype) if literal else name  # type: ignore[attr-defined]
        results = apply_forward(node, list(tensors))
        try:
            return IndexExpressions(self, tensors).run(results)
        except NotTakenError as error:
            raise self.unknown(node, f": {error}") from error

    def unknown(self, node: Node, why: str = "") -> UnknownOperatorError:
        """The error for a node that ONNX cannot say."""
        name = self.graph.names.get(node) or node.name or node.op.name
        kind, hint = node.op.name, ""
        if isinstance(node.op, OnHost):
            kind = node.op.label or type(node.op).__name__
            hint = "; it runs Python code: export the graph up to it, or declare it as an sg.Op"
        return UnknownOperatorError(
            f"{name}: operator {kind!r} has no counterpart in ONNX{why} "
            f"(declared at {node.origin}){hint}"
        )

    # -- nodes of the model ------------------------------------------------------------------------

    def emit(
        self, kind: str, inputs: Sequence[str], dtype: DType | None = None, **attributes: Any
    ) -> str:
        """Add a node of one output; its name.  `dtype` where the attributes decide it."""
        return self.emit_several(kind, inputs, 1, [dtype], **attributes)[0]

    def emit_several(
        self, kind: str, inputs: Sequence[str], count: int,
        dtypes: Sequence[DType | None] | None = None, **attributes: Any,
    ) -> list[str]:  # fmt: skip
        """Add a node of several outputs; their names.   Raises: NotTakenError."""
        plan = self.schemas.plan(kind, [self.dtypes.get(name) for name in inputs], count)
        given = [
            name if wider is None else self.cast(name, wider)
            for name, wider in zip(inputs, plan.inputs, strict=True)
        ]
        names = [self.fresh(kind) for _ in range(count)]
        self.nodes.append(self.onnx.helper.make_node(kind, given, names, **attributes))
        results = []
        for number, name in enumerate(names):
            known = plan.outputs[number] if dtypes is None else dtypes[number]
            dtype = plan.outputs[number] if known is None else known
            assert dtype is not None, kind
            self.dtypes[name] = dtype
            back = plan.restored[number]
            results.append(name if back is None else self.cast(name, back))
        return results

    def cast(self, name: str, dtype: DType) -> str:
        """Converted as ONNX does it; nothing when it is that already."""
        if self.dtypes[name] == dtype:
            return name
        return self.emit("Cast", [name], dtype, to=self.element_type(dtype))

    def constant(self, array: Any) -> str:
        """The name of an initialiser."""
        array = np.asarray(array)
        key = (array.dtype.name, array.shape, array.tobytes()) if array.size <= _SMALL else None
        if key in self._constants:
            return self._constants[key]
        name = self.initialiser(self.fresh("constant"), array)
        if key is not None:
            self._constants[key] = name
        return name

    def initialiser(self, name: str, array: Any) -> str:
        """An array of the model under a name of its own."""
        dtype = as_dtype(array.dtype)
        data = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
        tensor = self.onnx.helper.make_tensor(
            name, self.element_type(dtype), array.shape, data.tobytes(), raw=True
        )
        self.initialisers.append(tensor)
        self.dtypes[name] = dtype
        return name

    def ints(self, values: Sequence[int]) -> str:
        return self.constant(np.asarray(values, np.int64))

    def scalar(self, value: float, dtype: DType) -> str:
        """One number."""
        return self.constant(np.asarray(value, dtype.numpy))

    def fresh(self, stem: str) -> str:
        """A name that nothing has yet."""
        while True:
            self._count += 1
            name = f"{stem}_{self._count}"
            if name not in self._taken:
                return name

    def element_type(self, dtype: DType) -> int:
        """ONNX's number of an element type."""
        name = {"float32": "FLOAT", "float64": "DOUBLE"}.get(dtype.name, dtype.name.upper())
        return int(getattr(self.onnx.TensorProto, name))

    def info(self, name: str, type: TensorType) -> Any:
        """A named, typed input or output."""
        shape = [d if isinstance(d, int) else str(d) for d in type.shape or ()]
        element = self.element_type(as_dtype(type.dtype))
        return self.onnx.helper.make_tensor_value_info(name, element, shape)

    # -- extents -----------------------------------------------------------------------------------

    def measured(self, name: str, shape: Sequence[Dim]) -> None:
        """Open extents of this shape can be read off this name."""
        for axis, extent in enumerate(shape):
            if isinstance(extent, DimVar):
                self._sources.setdefault(extent, (name, axis))

    def open_extent(self, dim: DimVar) -> str:
        """A number without axes, int64: what a named extent is in a call."""
        if dim not in self._extents:
            if dim not in self._sources:
                raise UnknownOperatorError(
                    f"the extent {dim} is that of no input by itself, so that the model cannot "
                    f"tell it: declare an input with the axis {dim}, or give shapes="
                )
            name, axis = self._sources[dim]
            extent = self.emit("Shape", [name], start=axis, end=axis + 1)
            self._extents[dim] = self.emit("Squeeze", [extent, self.ints([0])])
        return self._extents[dim]

    def extent(self, dim: Dim) -> str:
        """A number without axes, int64."""
        if isinstance(dim, int):
            return self.scalar(dim, int64)
        return IndexExpressions(self, {}).extent(dim)

    def shape(self, shape: Sequence[Dim]) -> str:
        """A vector of extents, int64."""
        if all(isinstance(d, int) for d in shape):
            return self.ints([d for d in shape if isinstance(d, int)])
        parts = [
            self.ints([d]) if isinstance(d, int)
            else self.emit("Unsqueeze", [self.extent(d), self.ints([0])])
            for d in shape
        ]  # fmt: skip
        return self.emit("Concat", parts, axis=0)

    def reshape(self, name: str, shape: Sequence[Dim]) -> str:
        """The elements under another shape."""
        closed = [d for d in shape if isinstance(d, int)]
        if len(closed) + 1 == len(shape) and 0 not in closed:
            target = self.ints([d if isinstance(d, int) else -1 for d in shape])
        else:
            target = self.shape(shape)
        return self.emit("Reshape", [name, target], allowzero=int(0 in closed))

    # -- graphs inside nodes -----------------------------------------------------------------------

    def subgraph(self, graph: Graph, names: Mapping[Value, str], inputs: Sequence[Any]) -> Any:
        """A graph inside a node, whose variables have these names; initialisers stay outside."""
        saved = self.graph, self.nodes, self.names, dict(self._extents)
        self.graph, self.nodes, self.names = graph, [], {}
        for value, name in names.items():
            self.bind(value, name)
        for node in graph.nodes:
            if not node.is_variable:
                self.write(node)
        outputs = []
        for value in graph.outputs:
            outputs.append(self.info(self.emit("Identity", [self.names[value]]), value.type))
        nodes = self.nodes
        self.graph, self.nodes, self.names, self._extents = saved
        return self.onnx.helper.make_graph(nodes, self.fresh("body"), list(inputs), outputs)


def _inner_nodes(values: Sequence[Value], known: Mapping[Value, str]) -> list[Node]:
    """The nodes that the values rest on and that have no names yet, inputs first."""
    order: list[Node] = []
    seen: set[Node] = set()
    stack = [(v.node, False) for v in reversed(values) if v not in known]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((v.node, False) for v in reversed(node.inputs) if v not in known)
    return order
