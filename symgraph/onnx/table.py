"""Which operators of ONNX each operator becomes, asked of the registry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import MissingDependencyError, UserError
from ..ir.host import OnHost
from ..ir.op import Constant, Op, Variable
from ..ir.registry import registry
from ..ir.sample import Sample
from ..ir.symbol import Group, Symbol, var
from ..ir.tensor_type import TensorType
from ..kernel.dtypes import as_dtype
from .export import export_onnx

INPUT = "an input"
INITIALISER = "an initialiser"


def operator_table() -> str:
    """A line for each registered operator: its name and the kinds of nodes that it becomes in ONNX,
    or in brackets why it becomes none.

        hard_sigmoid            HardSigmoid
        l2_normalize            Mul ReduceSum Max Sqrt Reciprocal
        host_inference          (runs Python code)
    """
    rows = [(name, _becomes(registry.get(name))) for name in registry.names()]
    width = max(len(name) for name, _ in rows) + 2
    return "\n".join(f"{name:<{width}}{text}" for name, text in rows)


def _becomes(cls: type[Op]) -> str:
    if issubclass(cls, OnHost):
        return "(runs Python code)"
    if issubclass(cls, Variable):
        return INPUT
    if issubclass(cls, Constant):
        return INITIALISER
    try:
        return _of_sample(_plainest(cls.samples))
    except MissingDependencyError:
        raise
    except UserError as error:
        return f"({error})"


def _plainest(samples: Sequence[Sample]) -> Sample:
    """The first sample of more than nothing."""
    return next(
        (s for s in samples if all(0 not in (t.shape or ()) for t in _types(s))), samples[0]
    )


def _types(sample: Sample) -> list[TensorType]:
    return [
        TensorType(item.shape, as_dtype(item.dtype)) if isinstance(item, np.ndarray)
        else TensorType(tuple(item), as_dtype(sample.dtype))
        for item in sample.inputs
    ]  # fmt: skip


def _of_sample(sample: Sample) -> str:
    types = _types(sample)
    names = sample.op.argument_names(len(types))
    inputs = [var(name, type.shape, type.dtype) for name, type in zip(names, types, strict=True)]
    outputs = sample.op(*inputs, name="y")
    model = export_onnx(outputs if isinstance(outputs, Symbol) else Group(list(outputs)))
    nothing = INITIALISER if len(model.graph.initializer) else INPUT
    return " ".join(dict.fromkeys(_kinds(model))) or nothing


def _kinds(model: Any) -> list[str]:
    """The kinds of a model's nodes, without those that name its outputs."""
    outputs = {info.name for info in model.graph.output}
    return [n.op_type for n in model.graph.node if n.output[0] not in outputs]
