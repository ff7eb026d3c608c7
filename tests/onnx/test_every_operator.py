"""Every registered operator, on every one of its samples: exported, checked, run by ONNX."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.errors import UserError
from symgraph.ir.registry import registry
from symgraph.ir.sample import Sample
from symgraph.onnx import export_onnx, operator_table
from symgraph.testing.operators import difference
from symgraph.testing.samples import (
    as_results,
    declare,
    sample_arrays,
    sample_text,
    tolerance,
)

from .support import Array, checked, evaluated

NOT_NODES = {"variable": "an input", "constant": "an initialiser"}
"""What a model holds otherwise than as nodes."""

NOT_EXPORTED = {
    "host_inference": "(runs Python code)",
    "host_backward": "(runs Python code)",
}
"""What ONNX cannot express, and why."""

REFERENCE_GAPS = {
    "conv_transpose2d([1, 3, 4, 5]": "onnx.reference fails on several groups",
    "erf([7]) float64": "onnx.reference computes it in float32",
    "gelu([7], approximate=none) float64": "onnx.reference computes Erf in float32",
    "local_response_norm([2, 7, 3, 5]": "onnx.reference walks over as many channels as images",
    "softsign([]) float32": "onnx.reference fails on a scalar",
}
"""Samples that ONNX's reference evaluator gets wrong."""


def _samples() -> Iterator[Sample]:
    for name in registry.names():
        if name in NOT_NODES or not registry.get(name).__module__.startswith("symgraph."):
            continue
        yield from registry.get(name).samples


def _cases() -> list[object]:
    return [pytest.param(s, id=f"{n}-{sample_text(s)}") for n, s in enumerate(_samples())]


def _first_cases() -> list[object]:
    """Of each operator the first sample with an extent that can be named."""
    found: dict[str, Sample] = {}
    for sample in _samples():
        if any(d > 1 for a in sample_arrays(sample) for d in a.shape):
            found.setdefault(sample.op.name, sample)
    return [pytest.param(s, id=f"{n}-{sample_text(s)}") for n, s in enumerate(found.values())]


def _gap(sample: Sample) -> str | None:
    text = sample_text(sample)
    return next((why for start, why in REFERENCE_GAPS.items() if text.startswith(start)), None)


def _by_runtime(model: Any, inputs: Mapping[str, Array], why: str) -> list[Array]:
    """By ONNX Runtime, where it is installed and has the operator for the type."""
    try:
        import onnxruntime
    except ImportError:
        pytest.skip(why)
    checked(model)
    given = {info.name: inputs[info.name] for info in model.graph.input}
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString())
    except onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented:
        pytest.skip(why)
    return [np.asarray(a) for a in session.run(None, given)]


def _compare(sample: Sample, shapes: list[tuple[Any, ...]] | None) -> None:
    arrays = sample_arrays(sample)
    inputs, outputs = declare(sample.op, arrays, shapes)
    executable = sg.compile(list(outputs), target="interp")
    given = {s.name: a for s, a in zip(inputs, arrays, strict=True)}
    expected = as_results(executable(**{n: given[n] for n in executable.inputs}))
    model = export_onnx(sg.group(*outputs))
    why = _gap(sample)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's, of NaN and of numbers that overflow
        found = evaluated(model, given) if why is None else _by_runtime(model, given, why)
    for a, b in zip(found, expected, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        rtol, atol = tolerance(b.dtype, sample)
        # Sums of float32 numbers in another order.
        more = 2 if b.dtype == np.float32 else 1
        assert not difference(a, b, more * rtol, 5 * more * atol)


@pytest.mark.parametrize("sample", _cases())
def test_a_sample_computes_the_same(sample: Sample) -> None:
    _compare(sample, None)


@pytest.mark.parametrize("sample", _first_cases())
def test_open_extents_compute_the_same(sample: Sample) -> None:
    """Where the operator takes named extents at all."""
    shapes = [tuple(f"d{d}" if d > 1 else d for d in a.shape) for a in sample_arrays(sample)]
    try:
        _, outputs = declare(sample.op, sample_arrays(sample), shapes)
        sg.compile(list(outputs), target="interp")
    except UserError as error:
        pytest.skip(str(error).splitlines()[0])
    _compare(sample, shapes)


def test_the_table_has_every_operator_and_says_which_have_no_counterpart() -> None:
    table = dict(line.split(maxsplit=1) for line in operator_table().splitlines())
    assert set(table) == set(registry.names())
    assert {n: t for n, t in table.items() if t.startswith("(")} == NOT_EXPORTED
    assert {n: table[n] for n in NOT_NODES} == NOT_NODES
    assert table["hard_sigmoid"] == "HardSigmoid"
    assert table["l2_normalize"] == "Mul ReduceSum Max Sqrt Reciprocal"
    assert table["dropout"] == "an input"
