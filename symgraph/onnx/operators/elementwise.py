"""Functions of each element, activations among them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ...ir.node import Node
from ...kernel.dtypes import as_dtype
from ..elements import Elements, ElementWriter
from ..scalar_functions import converted
from ..writer import Exporter, Writer
from .attributes import are_exact, dtype_of

_SAME = {
    "add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div", "negative": "Neg",
    "maximum": "Max", "minimum": "Min", "relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh",
    "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "abs": "Abs", "erf": "Erf", "floor": "Floor",
    "ceil": "Ceil", "round": "Round", "sin": "Sin", "cos": "Cos", "tan": "Tan", "asin": "Asin",
    "acos": "Acos", "atan": "Atan", "sinh": "Sinh", "cosh": "Cosh", "asinh": "Asinh",
    "acosh": "Acosh", "atanh": "Atanh", "where": "Where", "sign": "Sign",
    "reciprocal": "Reciprocal", "softplus": "Softplus", "softsign": "Softsign", "mish": "Mish",
    "isnan": "IsNaN", "isinf": "IsInf", "equal": "Equal", "less": "Less",
    "less_equal": "LessOrEqual", "greater": "Greater", "greater_equal": "GreaterOrEqual",
    "logical_and": "And", "logical_or": "Or", "logical_xor": "Xor", "logical_not": "Not",
}  # fmt: skip

_SELU: dict[str, Any] = {"alpha": 1.6732632423543772, "gamma": 1.0507009873554805}


def _same(kind: str) -> Exporter:
    return lambda w, node, ins: [w.emit(kind, ins)]


def _with(kind: str, **attributes: str) -> Exporter:
    """With attributes of the operator, by the names they have there."""

    def export(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str] | None:
        values: dict[str, Any] = {
            name: float(getattr(node.op, own)) for name, own in attributes.items()
        }
        return [w.emit(kind, ins, **values)] if are_exact(node, *values.values()) else None

    return export


def _itself(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    return ins


def _selu(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str] | None:
    return [w.emit("Selu", ins, **_SELU)] if are_exact(node, *_SELU.values()) else None


def _hard_swish(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str] | None:
    """ONNX fixes its slope of 1/6 as a float32 number."""
    return [w.emit("HardSwish", ins)] if are_exact(node, 1 / 6) else None


def _power(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str] | None:
    """Of floats: what ONNX makes of negative exponents of integers is left open."""
    return [w.emit("Pow", ins)] if dtype_of(node.inputs[0]).is_float else None


def _prelu(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    """ONNX broadcasts slopes from the last axis."""
    rank = len(node.inputs[0].type.shape or ())
    axes = w.ints(range(1, rank - 1))
    return [w.emit("PRelu", [ins[0], w.emit("Unsqueeze", [ins[1], axes]) if rank > 2 else ins[1]])]


def _gelu(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    """As the operators that importers recognise as one."""
    op: Any = node.op
    dtype = dtype_of(node.inputs[0])
    x, half, one = ins[0], w.scalar(0.5, dtype), w.scalar(1.0, dtype)
    if op.approximate == "none":
        inner = w.emit("Erf", [w.emit("Div", [x, w.scalar(math.sqrt(2), dtype)])])
        return [w.emit("Mul", [w.emit("Mul", [x, w.emit("Add", [inner, one])]), half])]
    cube = w.emit("Pow", [x, w.scalar(3.0, dtype)])
    bent = w.emit("Add", [x, w.emit("Mul", [cube, w.scalar(0.044715, dtype)])])
    inner = w.emit("Tanh", [w.emit("Mul", [bent, w.scalar(math.sqrt(2 / math.pi), dtype)])])
    return [w.emit("Mul", [w.emit("Mul", [x, w.emit("Add", [inner, one])]), half])]


def _silu(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    return [w.emit("Mul", [ins[0], w.emit("Sigmoid", ins)])]


def _log_sigmoid(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    return [w.emit("Neg", [w.emit("Softplus", [w.emit("Neg", ins)])])]


def _relu6(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    dtype = dtype_of(node.inputs[0])
    return [w.emit("Clip", [*ins, w.scalar(0.0, dtype), w.scalar(6.0, dtype)])]


def _clip(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    op: Any = node.op
    dtype = dtype_of(node.inputs[0])
    bounds = ["" if b is None else w.scalar(b, dtype) for b in (op.min, op.max)]
    return [w.emit("Clip", [*ins, *bounds])]


def _square(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    return [w.emit("Mul", [ins[0], ins[0]])]


def _rsqrt(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    return [w.emit("Reciprocal", [w.emit("Sqrt", ins)])]


def _not_equal(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    return [w.emit("Not", [w.emit("Equal", ins)])]


def _cast(w: Writer, node: Node, ins: Sequence[str]) -> Sequence[str]:
    dtype = as_dtype(node.types[0].dtype)
    writer = ElementWriter(w)
    made = converted(writer, Elements(ins[0], (), dtype_of(node.inputs[0])), dtype)
    return [writer.name(made)]


EXPORTERS: dict[str, Exporter] = {
    **{name: _same(kind) for name, kind in _SAME.items()},
    **dict.fromkeys(("identity", "stop_gradient"), _itself),
    "elu": _with("Elu", alpha="alpha"),
    "celu": _with("Celu", alpha="alpha"),
    "leaky_relu": _with("LeakyRelu", alpha="slope"),
    "hard_sigmoid": _with("HardSigmoid", alpha="slope", beta="offset"),
    "selu": _selu,
    "hard_swish": _hard_swish,
    "power": _power,
    "prelu": _prelu,
    "gelu": _gelu,
    "silu": _silu,
    "log_sigmoid": _log_sigmoid,
    "relu6": _relu6,
    "clip": _clip,
    "square": _square,
    "rsqrt": _rsqrt,
    "not_equal": _not_equal,
    "cast": _cast,
    "cast_like": _cast,
}
