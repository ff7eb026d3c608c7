"""Graphs as ONNX models (opset 17), so that other tools can read them.

Each operator that has an ONNX counterpart has one entry in `EXPORTERS`; a composite operator
without an entry is exported as its parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UnknownOperatorError, require
from ..files import write_atomic
from ..ir.graph import Graph
from ..ir.node import Node, Value
from ..ir.op import Constant
from ..ir.symbol import Expression, output_names
from ..ir.tensor_type import TensorType
from ..kernel.dtypes import as_dtype
from ..passes.infer_types import InferTypes
from ..passes.inference_form import InferenceForm
from ..passes.manager import run_inside

OPSET = 17
Exporter = Callable[["Writer", Node, Sequence[str]], Sequence[str]]
EXPORTERS: dict[str, Exporter] = {}


def export_onnx(
    expression: Expression,
    path: str | Path | None = None,
    *,
    params: Mapping[str, Any] | None = None,
    shapes: Mapping[str, Any] | None = None,
) -> Any:
    """The inference form of a graph as an ONNX model, written to `path` when given.

    Open extents become named dimensions.
    Raises: MissingDependencyError without onnx; UnknownOperatorError naming the node for an
    operator that ONNX has no counterpart of.
    """
    try:
        import onnx
    except ImportError as error:
        raise require("onnx", "onnx", "exporting to ONNX") from error
    graph = InferTypes(shapes or {}).run(expression.graph)
    graph = InferTypes().run(run_inside(InferenceForm(keep=frozenset(EXPORTERS)), graph))
    model = Writer(onnx, graph, dict(params or {}), output_names(expression.graph)).run()
    if path is not None:
        write_atomic(path, model.SerializeToString())
    return model


class Writer:
    """Collects nodes and initialisers of one model."""

    def __init__(
        self, onnx: Any, graph: Graph, params: dict[str, Any], labels: Sequence[str]
    ) -> None:
        self.onnx = onnx
        self.graph = graph
        self.params = params
        self.labels = labels
        self.nodes: list[Any] = []
        self.initialisers: list[Any] = []
        self.names: dict[Value, str] = {}
        self.count = 0

    def run(self) -> Any:
        inputs = [info for n in self.graph.variables if (info := self._variable(n))]
        for node in self.graph.nodes:
            if not node.is_variable:
                self._node(node)
        outputs = []
        for value, label in zip(self.graph.outputs, self.labels, strict=True):
            self.nodes.append(self._make("Identity", [self.names[value]], [f"out_{label}"]))
            outputs.append(self.info(f"out_{label}", value.type))
        helper = self.onnx.helper
        body = helper.make_graph(self.nodes, "symgraph", inputs, outputs, self.initialisers)
        opset = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(body, opset_imports=opset, producer_name="symgraph")
        model.ir_version = 8
        return model

    def info(self, name: str, type: TensorType) -> Any:
        """A named, typed input or output."""
        shape = [d if isinstance(d, int) else str(d) for d in type.shape or ()]
        element = self.onnx.helper.np_dtype_to_tensor_dtype(as_dtype(type.dtype).numpy)
        return self.onnx.helper.make_tensor_value_info(name, element, shape)

    def _variable(self, node: Node) -> Any:
        name = self.graph.names[node]
        self.names[node[0]] = name
        if name not in self.params:
            return self.info(name, node.types[0])
        array = np.asarray(self.params[name], as_dtype(node.types[0].dtype).numpy)
        self.initialisers.append(self.onnx.numpy_helper.from_array(array, name))
        return None

    def _node(self, node: Node) -> None:
        if isinstance(node.op, Constant):
            self.names[node[0]] = self.constant(node.op.value)
            return
        if node.op.name not in EXPORTERS:
            raise self.unknown(node)
        results = EXPORTERS[node.op.name](self, node, [self.names[v] for v in node.inputs])
        self.names.update(zip(node.values, results, strict=True))

    def subgraph(self, graph: Graph, names: Mapping[Value, str], inputs: Sequence[Any]) -> Any:
        """A graph inside a node, whose variables have these names; initialisers stay outside."""
        saved = self.graph, self.nodes, self.names
        self.graph, self.nodes, self.names = graph, [], dict(names)
        for node in graph.nodes:
            if not node.is_variable:
                self._node(node)
        outputs = []
        for value in graph.outputs:
            outputs.append(self.info(self.emit("Identity", [self.names[value]]), value.type))
        nodes = self.nodes
        self.graph, self.nodes, self.names = saved
        return self.onnx.helper.make_graph(nodes, self.fresh("body"), list(inputs), outputs)

    def unknown(self, node: Node) -> UnknownOperatorError:
        """The error for a node that ONNX cannot say."""
        return UnknownOperatorError(
            f"{self.graph.names[node]}: operator {node.op.name!r} has no counterpart in ONNX "
            f"(declared at {node.origin})"
        )

    def constant(self, array: Any) -> str:
        """The name of an initialiser."""
        name = self.fresh("constant")
        self.initialisers.append(self.onnx.numpy_helper.from_array(np.asarray(array), name))
        return name

    def ints(self, values: Sequence[int]) -> str:
        return self.constant(np.asarray(values, np.int64))

    def emit(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Add a node of one output; its name."""
        name = self.fresh(kind)
        self.nodes.append(self._make(kind, inputs, [name], **attributes))
        return name

    def emit_several(
        self, kind: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any
    ) -> None:
        """Add a node whose outputs have names made with `fresh`."""
        self.nodes.append(self._make(kind, inputs, outputs, **attributes))

    def fresh(self, stem: str) -> str:
        self.count += 1
        return f"{stem}_{self.count}"

    def _make(self, kind: str, ins: Sequence[str], outs: Sequence[str], **attributes: Any) -> Any:
        return self.onnx.helper.make_node(kind, list(ins), list(outs), **attributes)


def exports(*names: str) -> Callable[[Exporter], Exporter]:
    """Decorator: the function exports the operators of these names."""

    def add(function: Exporter) -> Exporter:
        EXPORTERS.update(dict.fromkeys(names, function))
        return function

    return add


def _same(kind: str, **attributes: Any) -> Exporter:
    return lambda w, node, ins: [w.emit(kind, ins, **attributes)]


_SAME = {
    "add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div", "negative": "Neg",
    "maximum": "Max", "minimum": "Min", "power": "Pow", "relu": "Relu", "sigmoid": "Sigmoid",
    "tanh": "Tanh", "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "abs": "Abs", "erf": "Erf",
    "floor": "Floor", "ceil": "Ceil", "round": "Round", "sin": "Sin", "cos": "Cos",
    "where": "Where", "identity": "Identity", "stop_gradient": "Identity", "sign": "Sign",
    "reciprocal": "Reciprocal", "softplus": "Softplus", "equal": "Equal", "less": "Less",
    "less_equal": "LessOrEqual", "greater": "Greater", "greater_equal": "GreaterOrEqual",
    "logical_and": "And", "logical_or": "Or", "logical_not": "Not",
    "global_avg_pool2d": "GlobalAveragePool", "global_max_pool2d": "GlobalMaxPool",
}  # fmt: skip
EXPORTERS.update({name: _same(kind) for name, kind in _SAME.items()})


def _pads(padding: Sequence[tuple[int, int]]) -> list[int]:
    return [p[0] for p in padding] + [p[1] for p in padding]


@exports("conv1d", "conv2d", "conv3d")
def _convolution(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    op: Any = node.op
    shape = node.inputs[1].type.shape
    assert shape is not None
    return [
        w.emit(
            "Conv",
            ins,
            kernel_shape=[d for d in shape[2:] if isinstance(d, int)],
            strides=list(op.stride),
            pads=_pads(op.padding),
            dilations=list(op.dilation),
            group=op.groups,
        )
    ]


@exports("max_pool1d", "max_pool2d", "max_pool3d")
def _max_pool(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    return [w.emit("MaxPool", ins, **_window(node.op))]


@exports("avg_pool1d", "avg_pool2d", "avg_pool3d")
def _avg_pool(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    op: Any = node.op
    include = int(op.count_include_pad)
    return [w.emit("AveragePool", ins, **_window(op), count_include_pad=include)]


def _window(op: Any) -> dict[str, Any]:
    return {
        "kernel_shape": list(op.kernel_size),
        "strides": list(op.stride),
        "pads": _pads(op.padding),
        "ceil_mode": int(op.ceil_mode),
    }


@exports("linear")
def _linear(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    if node.inputs[0].type.shape is not None and len(node.inputs[0].type.shape) == 2:
        return [w.emit("Gemm", ins, transB=1)]
    transposed = w.emit("Transpose", [ins[1]], perm=[1, 0])
    product = w.emit("MatMul", [ins[0], transposed])
    return [product if len(ins) == 2 else w.emit("Add", [product, ins[2]])]


@exports("matmul")
def _matmul(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    op: Any = node.op
    sides = []
    flags = (op.transpose_x, op.transpose_y)
    for name, value, flip in zip(ins, node.inputs, flags, strict=True):
        rank = len(value.type.shape or ())
        perm = [*range(rank - 2), rank - 1, rank - 2]
        sides.append(w.emit("Transpose", [name], perm=perm) if flip and rank > 1 else name)
    return [w.emit("MatMul", sides)]


@exports("softmax", "log_softmax")
def _softmax(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    op: Any = node.op
    kind = "Softmax" if node.op.name == "softmax" else "LogSoftmax"
    return [w.emit(kind, ins, axis=op.axis)]


@exports("reshape", "flatten", "squeeze", "expand_dims")
def _reshape(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    """Static extents as they are, one open extent as -1 where that is unambiguous."""
    shape = node.types[0].shape or ()
    source = node.inputs[0].type.shape or ()
    target: list[int] = []
    for axis, extent in enumerate(shape):
        if isinstance(extent, int):
            target.append(extent)
        else:
            target.append(0 if axis < len(source) and source[axis] == extent else -1)
    return [w.emit("Reshape", [ins[0], w.ints(target)])]


@exports("transpose")
def _transpose(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    op: Any = node.op
    rank = len(node.types[0].shape or ())
    axes = list(reversed(range(rank))) if op.axes is None else [a % rank for a in op.axes]
    return [w.emit("Transpose", ins, perm=axes)]


@exports("concat")
def _concat(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    op: Any = node.op
    return [w.emit("Concat", ins, axis=op.axis)]


@exports("sum", "mean", "max", "min", "prod")
def _reduction(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    op: Any = node.op
    kind = {"sum": "ReduceSum", "mean": "ReduceMean", "max": "ReduceMax", "min": "ReduceMin",
            "prod": "ReduceProd"}[op.name]  # fmt: skip
    axes = op.axis if op.axis is None or isinstance(op.axis, tuple) else (op.axis,)
    keep = int(op.keepdims)
    if kind == "ReduceSum":
        more = [] if axes is None else [w.ints(axes)]
        return [w.emit(kind, [*ins, *more], keepdims=keep)]
    attributes = {} if axes is None else {"axes": list(axes)}
    return [w.emit(kind, ins, keepdims=keep, **attributes)]


@exports("embedding", "take")
def _gather(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    order = [ins[1], ins[0]] if node.op.name == "embedding" else list(ins)
    return [w.emit("Gather", order, axis=getattr(node.op, "axis", 0) or 0)]
