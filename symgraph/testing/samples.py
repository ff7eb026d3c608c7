"""Arrays for an operator's samples, and how closely results must agree."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir.op import Op
from ..ir.printer import attribute_text
from ..ir.sample import Sample
from ..ir.symbol import Symbol, var
from ..kernel.dtypes import as_dtype

Array = np.ndarray[Any, np.dtype[Any]]

_TOLERANCE = {
    "float16": (4e-3, 4e-3),
    "bfloat16": (3e-2, 3e-2),
    "float32": (1e-5, 1e-6),
    "float64": (1e-12, 1e-13),
}


def tolerance(dtype: Any, sample: Sample | None = None) -> tuple[float, float]:
    """(relative, absolute) difference allowed between two ways to compute a value.

    float16: 4e-3 both; bfloat16: 3e-2 both; float32: 1e-5 and 1e-6; float64: 1e-12 and 1e-13;
    integers and bool: none.  A sample's own `rtol` and `atol` replace them.
    """
    rtol, atol = _TOLERANCE.get(as_dtype(dtype).name, (0.0, 0.0))
    if sample is not None and sample.rtol is not None:
        rtol = sample.rtol
    if sample is not None and sample.atol is not None:
        atol = sample.atol
    return rtol, atol


def sample_arrays(sample: Sample, dtype: str | None = None) -> list[Array]:
    """The inputs of a sample; shapes are filled from a generator seeded by the operator's name.

    `dtype` replaces the dtype of every float input.
    """
    rng = np.random.default_rng(zlib.crc32(sample.op.name.encode()))
    result = []
    for item in sample.inputs:
        array = item if isinstance(item, np.ndarray) else _filled(rng, tuple(item), sample)
        if dtype is not None and as_dtype(array.dtype).is_float:
            array = array.astype(as_dtype(dtype).numpy)
        result.append(array)
    return result


def _filled(rng: np.random.Generator, shape: tuple[int, ...], sample: Sample) -> Array:
    kind = as_dtype(sample.dtype)
    if kind.is_bool:
        return np.asarray(rng.random(shape) < 0.5)
    if kind.is_integer:
        return np.asarray(rng.integers(int(sample.low), int(sample.high), shape), kind.numpy)
    return np.asarray(rng.uniform(sample.low, sample.high, shape)).astype(kind.numpy)


def declare(
    op: Op, arrays: Sequence[Array], shapes: Sequence[Any] | None = None, prefix: str = ""
) -> tuple[list[Symbol], tuple[Symbol, ...]]:
    """Variables for the arrays, named by the operator's arguments, and its outputs."""
    names = [prefix + n for n in op.argument_names(len(arrays))]
    given = [a.shape for a in arrays] if shapes is None else shapes
    inputs = [var(n, s, as_dtype(a.dtype)) for n, s, a in zip(names, given, arrays, strict=True)]
    outputs = op(*inputs, name=f"{prefix}y")
    return inputs, outputs if isinstance(outputs, tuple) else (outputs,)


def sample_text(sample: Sample) -> str:
    """A short name of a sample, for messages and test identifiers."""
    items = [
        f"{item.dtype.name}{list(item.shape)}" if isinstance(item, np.ndarray) else str(list(item))
        for item in sample.inputs
    ]
    attributes = [f"{k}={attribute_text(v)}" for k, v in sample.op.attribute_items]
    return f"{sample.op.name}({', '.join([*items, *attributes])}) {sample.dtype}"


def as_results(result: Any) -> list[Array]:
    """What a reference or an executable returned, as a list of arrays."""
    items = result if isinstance(result, (tuple, list)) else (result,)
    return [np.asarray(item) for item in items]
