"""Everything that must hold for an operator, checked on its samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autodiff import gradients
from ..codegen.target import find_target, target_names
from ..compiler import compile
from ..errors import AttributeValueError, UserError
from ..ir.op import Op
from ..ir.sample import Sample
from ..ir.symbol import Symbol
from ..kernel.dtypes import as_dtype
from .gradients import check_gradients
from .samples import Array, as_results, declare, sample_arrays, sample_text, tolerance


def check_operator(
    op: Op | type[Op],
    samples: Sequence[Sample] | None = None,
    targets: Sequence[str] | None = None,
) -> None:
    """Shape, dtype, reference, gradient, and every target, on every sample.

    samples  those of the operator's class by default
    targets  names; by default every target that can be used on this machine
    Raises: AssertionError saying which check fails on which sample, GradientCheckError.
    """
    cases = tuple(op.samples if samples is None else samples)
    if not cases:
        raise AttributeValueError(f"operator {op.name} has no samples: give some")
    usable = _usable() if targets is None else tuple(targets)
    for sample in cases:
        check_inference(sample)
        check_reference(sample)
        if sample.gradient:
            check_sample_gradient(sample)
        for target in usable:
            if target != "interp":
                check_target(sample, target)


def _usable() -> tuple[str, ...]:
    return tuple(n for n in target_names() if find_target(n).available() is None)


def _reference(sample: Sample, arrays: Sequence[Array]) -> list[Array]:
    with np.errstate(all="ignore"):
        return as_results(sample.op.reference(*arrays))


def check_inference(sample: Sample) -> None:
    """Inferred shapes and dtypes are those of the reference's results."""
    arrays = sample_arrays(sample)
    _, outputs = declare(sample.op, arrays)
    types = outputs[0].graph.infer().types
    expected = _reference(sample, arrays)
    assert len(outputs) == len(expected), (
        f"{sample_text(sample)}: {len(outputs)} outputs, the reference gives {len(expected)}"
    )
    for number, (output, array) in enumerate(zip(outputs, expected, strict=True)):
        type = types[output.value]
        where = f"{sample_text(sample)}, output {number}"
        assert type.shape == array.shape, f"{where}: inferred {type}, actual {array.shape}"
        assert type.dtype == as_dtype(array.dtype), f"{where}: inferred {type}, got {array.dtype}"


def check_reference(sample: Sample, target: str = "interp") -> None:
    """The interpreter, or another target, computes what the reference computes."""
    arrays = sample_arrays(sample)
    _compare(sample, run(sample, arrays, target), _reference(sample, arrays),
             f"the reference, on {target}")  # fmt: skip


def check_target(sample: Sample, target: str, level: int = 2) -> None:
    """A target computes what the interpreter computes, at an optimisation level."""
    arrays = sample_arrays(sample)
    expected = run(sample, arrays, "interp")
    _compare(sample, run(sample, arrays, target, level), expected,
             f"the interpreter, on {target}")  # fmt: skip


def check_together(
    samples: Sequence[Sample], target: str, level: int = 2, training: bool = True
) -> None:
    """A target computes what the reference computes, and in the form for inference what the
    interpreter computes without optimisation.

    All samples are one program: for a target whose compiler takes long to start, however short its
    input.
    """
    outputs: list[Symbol] = []
    given: dict[str, Array] = {}
    expected: list[Array] = []
    labels: list[Sample] = []
    for number, sample in enumerate(samples):
        arrays = sample_arrays(sample)
        inputs, results = declare(sample.op, arrays, prefix=f"sample{number}_")
        given.update((s.name, a) for s, a in zip(inputs, arrays, strict=True))
        outputs += results
        expected += _reference(sample, arrays)
        labels += [sample] * len(results)

    def run_on(target: str, level: int) -> list[Array]:
        executable = compile(outputs, target=target, training=training, verify=2, level=level)
        return as_results(executable(**{n: given[n] for n in executable.inputs}))

    if not training:
        expected = run_on("interp", 0)
    against = "the reference" if training else "the interpreter"
    for sample, a, b in zip(labels, run_on(target, level), expected, strict=True):
        _compare(sample, [a], [b], f"{against}, on {target}")


def check_sample_gradient(sample: Sample) -> None:
    """The symbolic gradient is the derivative of what the interpreter computes."""
    arrays = sample_arrays(sample, "float64")
    op = sample.op
    names = op.argument_names(len(arrays))
    blocked = op.no_gradient
    wrt = [n for n, a in zip(names, arrays, strict=True)
           if as_dtype(a.dtype).is_float and n not in blocked]  # fmt: skip
    assert wrt, f"{sample_text(sample)}: nothing to differentiate by; say gradient=False"
    check_gradients(
        lambda **symbols: op(*symbols.values()),
        dict(zip(names, arrays, strict=True)),
        wrt=wrt,
        directions=2,
        elements=2,
    )


def check_second_gradient(sample: Sample) -> None:
    """The symbolic gradient is itself differentiated correctly."""
    arrays = sample_arrays(sample, "float64")
    op = sample.op
    names = op.argument_names(len(arrays))
    floats = [n for n, a in zip(names, arrays, strict=True)
              if as_dtype(a.dtype).is_float and n not in op.no_gradient]  # fmt: skip
    results = _reference(sample, arrays)
    seeds = {f"seed{n}": np.random.default_rng(n).uniform(0.5, 1.5, r.shape)
             for n, r in enumerate(results)}  # fmt: skip

    def gradient(**symbols: Symbol) -> Sequence[Symbol]:
        outputs = op(*(symbols[n] for n in names))
        ys = outputs if isinstance(outputs, tuple) else (outputs,)
        return tuple(gradients(ys, [symbols[n] for n in floats], [symbols[n] for n in seeds]))

    check_gradients(
        gradient,
        {**dict(zip(names, arrays, strict=True)), **seeds},
        wrt=[*floats, *seeds],
        directions=2,
        elements=0,
        rtol=1e-5,
        missing_is_zero=True,
    )


def check_open_extents(sample: Sample) -> str | None:
    """One executable compiled with named extents computes the same as one with numbers.

    Equal extents get one name.  Returns why the operator refuses names there, None if it does not:
    extents that are related otherwise than by equality cannot be told apart by names.
    """
    arrays = sample_arrays(sample)
    shapes = [tuple(f"d{d}" if d > 1 else d for d in a.shape) for a in arrays]
    try:
        inputs, outputs = declare(sample.op, arrays, shapes)
        executable = compile(list(outputs), target="interp", training=True, verify=2)
    except UserError as error:
        return str(error)
    given = {s.name: a for s, a in zip(inputs, arrays, strict=True)}
    actual = as_results(executable(**{n: given[n] for n in executable.inputs}))
    _compare(sample, actual, _reference(sample, arrays), "the reference, with open extents")
    return None


def run(sample: Sample, arrays: Sequence[Array], target: str, level: int = 2) -> list[Array]:
    """The outputs of a sample's operator in training form on a target, with indices checked."""
    inputs, outputs = declare(sample.op, arrays)
    executable = compile(list(outputs), target=target, training=True, verify=2, level=level)
    given = {s.name: a for s, a in zip(inputs, arrays, strict=True)}
    return as_results(executable(**{n: given[n] for n in executable.inputs}))


def _compare(
    sample: Sample, actual: Sequence[Array], expected: Sequence[Array], against: str
) -> None:
    for number, (a, b) in enumerate(zip(actual, expected, strict=True)):
        where = f"{sample_text(sample)}, output {number}, against {against}"
        assert a.shape == b.shape, f"{where}: shape {a.shape}, expected {b.shape}"
        assert a.dtype == b.dtype, f"{where}: dtype {a.dtype}, expected {b.dtype}"
        rtol, atol = tolerance(a.dtype, sample)
        message = difference(a, b, rtol, atol)
        assert not message, f"{where}: {message}"


def difference(a: Array, b: Array, rtol: float, atol: float) -> str:
    """Where and by how much two arrays differ; empty when they agree."""
    if a.dtype.kind in "biu":
        wrong = np.argwhere(a != b)
    else:
        x, y = a.astype(np.float64), b.astype(np.float64)
        wrong = np.argwhere(~np.isclose(x, y, rtol=rtol, atol=atol, equal_nan=True))
    if not len(wrong):
        return ""
    place = tuple(int(i) for i in wrong[0])
    return (
        f"{len(wrong)} of {a.size} elements differ (rtol {rtol:g}, atol {atol:g}); first at "
        f"{list(place)}: {_text(a[place])}, expected {_text(b[place])}"
    )


def _text(value: Any) -> str:
    return repr(value.item())
