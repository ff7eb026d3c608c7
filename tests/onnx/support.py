"""Exported models, checked and run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
from onnx.reference import ReferenceEvaluator  # noqa: E402

Array = np.ndarray[Any, np.dtype[Any]]


def checked(model: Any) -> Any:
    """The model, whose types and shapes ONNX infers as it states them."""
    onnx.checker.check_model(model, full_check=True)
    return model


def evaluated(model: Any, inputs: Mapping[str, Array]) -> list[Array]:
    """The model's outputs by ONNX's own reference evaluator."""
    given = {info.name: inputs[info.name] for info in checked(model).graph.input}
    with np.errstate(all="ignore"):
        return [np.asarray(a) for a in ReferenceEvaluator(model).run(None, given)]


def kinds(model: Any) -> list[str]:
    """The kinds of its nodes, without those that name its outputs."""
    outputs = {info.name for info in model.graph.output}
    return [n.op_type for n in model.graph.node if n.output[0] not in outputs]


def assert_agree(found: Sequence[Array], expected: Sequence[Array], tolerance: float) -> None:
    for a, b in zip(found, expected, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
