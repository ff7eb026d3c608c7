"""Every registered operator on every one of its samples."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import symgraph
from symgraph.codegen.target import find_target, target_names
from symgraph.ir.op import Op
from symgraph.ir.registry import registry
from symgraph.ir.sample import Sample
from symgraph.testing.operators import (
    check_inference,
    check_open_extents,
    check_reference,
    check_sample_gradient,
    check_second_gradient,
    check_together,
)
from symgraph.testing.samples import declare, sample_arrays, sample_text

from ..support.operators import package_operators


def _samples() -> Iterator[Sample]:
    for name in package_operators():
        yield from registry.get(name).samples


def _cases(differentiable: bool = False) -> list[object]:
    chosen = [s for s in _samples() if s.gradient or not differentiable]
    return [pytest.param(s, id=f"{n}-{sample_text(s)}") for n, s in enumerate(chosen)]


@pytest.mark.parametrize("sample", _cases())
def test_inferred_types_are_the_actual_ones(sample: Sample) -> None:
    check_inference(sample)


@pytest.mark.parametrize("sample", _cases())
def test_interpreter_computes_the_reference(sample: Sample) -> None:
    check_reference(sample)


@pytest.mark.parametrize("sample", _cases(differentiable=True))
def test_gradient_is_the_derivative(sample: Sample) -> None:
    check_sample_gradient(sample)


def _shapes(sample: Sample) -> list[tuple[int, ...]]:
    return [i.shape if isinstance(i, np.ndarray) else tuple(i) for i in sample.inputs]


def _smallest() -> list[object]:
    """The smallest differentiable sample of each operator and choice of attributes."""
    chosen: dict[object, Sample] = {}
    for sample in _samples():
        size = sum(int(np.prod(s)) for s in _shapes(sample))
        if sample.gradient and 1 < size < 200:
            chosen.setdefault((type(sample.op), repr(sample.op)), sample)
    return [pytest.param(s, id=f"{n}-{sample_text(s)}") for n, s in enumerate(chosen.values())]


@pytest.mark.parametrize("sample", _smallest())
def test_gradient_is_differentiable_again(sample: Sample) -> None:
    check_second_gradient(sample)


@pytest.mark.parametrize("sample", _cases())
def test_open_extents_compute_the_same(sample: Sample) -> None:
    refusal = check_open_extents(sample)
    if refusal is not None:
        pytest.skip(refusal.splitlines()[0])


@pytest.mark.parametrize("sample", _cases())
def test_native_code_computes_the_reference(sample: Sample) -> None:
    check_reference(sample, "llvm")


OTHERS = [n for n in target_names() if n not in ("interp", "llvm")]


@pytest.fixture
def without_driver_optimiser(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver for processors optimises longer than all the rest takes; what comes of that, the
    tests of OpenCL itself try."""
    if find_target("opencl").available() is None:
        from symgraph.codegen.opencl.devices import open_device

        if open_device().description.type == "cpu":
            monkeypatch.setenv("PYOPENCL_BUILD_OPTIONS", "-cl-opt-disable")


def _together(name: str, target: str, training: bool) -> None:
    """All samples in one program: a device's compiler takes a tenth of a second to start."""
    reason = find_target(target).available()
    if reason is not None:
        pytest.skip(f"{target}: {reason}")
    check_together(registry.get(name).samples, target, training=training)


@pytest.mark.usefixtures("without_driver_optimiser")
@pytest.mark.parametrize("target", OTHERS)
@pytest.mark.parametrize("name", package_operators())
def test_other_targets_compute_the_reference(name: str, target: str) -> None:
    _together(name, target, training=True)


@pytest.mark.usefixtures("without_driver_optimiser")
@pytest.mark.parametrize("target", OTHERS)
@pytest.mark.parametrize(
    "name", [n for n in package_operators() if registry.get(n).inference != Op.inference]
)
def test_other_targets_compute_the_form_for_inference(name: str, target: str) -> None:
    _together(name, target, training=False)


def _dtypes(sample: Sample) -> set[str]:
    own = {i.dtype.name for i in sample.inputs if isinstance(i, np.ndarray)}
    return own | ({sample.dtype} if any(not isinstance(i, np.ndarray) for i in sample.inputs)
                  or not sample.inputs else set())  # fmt: skip


@pytest.mark.parametrize("name", package_operators())
def test_samples_cover_what_goes_wrong(name: str) -> None:
    """Enough samples, and among them: an empty one, an extent of 1, one that no tile divides,
    a dtype other than float32; and, where the operator takes scalars, a scalar."""
    samples = registry.get(name).samples
    assert samples, f"{name} has no samples"
    shapes = [s for sample in samples for s in (*_shapes(sample), *_result_shapes(sample))]
    assert any(0 in s for s in shapes), f"{name}: no empty sample"
    assert any(1 in s for s in shapes), f"{name}: no extent of 1"
    assert any(d % 8 and d > 16 for s in shapes for d in s), f"{name}: none that no tile divides"
    results = {_result_dtype(sample) for sample in samples if not sample.inputs}
    assert (set().union(*map(_dtypes, samples)) | results) - {"float32"}, f"{name}: only float32"
    if _takes_scalars(name):
        assert () in shapes, f"{name}: no scalar sample"


def _result_shapes(sample: Sample) -> list[tuple[int, ...]]:
    _, outputs = declare(sample.op, sample_arrays(sample))
    return [o.shape for o in outputs if o.shape is not None]  # type: ignore[misc]


def _result_dtype(sample: Sample) -> str:
    return np.asarray(sample.op.reference()).dtype.name


def _takes_scalars(name: str) -> bool:
    """Whether the operator, as its first sample has it, accepts inputs without axes."""
    from symgraph.errors import UserError

    sample = registry.get(name).samples[0]
    if not sample.inputs:
        return False
    arrays = [np.zeros((), d) for d in _input_dtypes(sample)]
    try:
        result = sample.op(*(symgraph.var(f"v{n}", (), a.dtype) for n, a in enumerate(arrays)))
    except (UserError, IndexError):
        return False
    return result is not None


def _input_dtypes(sample: Sample) -> list[str]:
    return [i.dtype.name if isinstance(i, np.ndarray) else sample.dtype for i in sample.inputs]


SQUARE = ("winograd_weights", "winograd_product", "winograd_results")
"""Operators over square tiles: the two sides of a tile have one extent, whatever the sample."""


@pytest.mark.parametrize("name", package_operators())
def test_samples_tell_axes_apart(name: str) -> None:
    """Some sample has inputs of several axes, each with pairwise different extents (but 1), so
    that exchanged axes cannot go unseen."""
    samples = registry.get(name).samples
    several = [s for s in samples if any(len(shape) > 1 for shape in _shapes(s))]
    if not several:
        pytest.skip("only vectors")
    allowed = 1 if name in SQUARE else 0
    assert any(all(_repeats(shape) <= allowed for shape in _shapes(s)) for s in several), (
        f"{name}: extents repeat"
    )


def _repeats(shape: tuple[int, ...]) -> int:
    extents = [d for d in shape if d > 1]
    return len(extents) - len(set(extents))
