"""Random graphs: every level, every pass and every target agree with plain interpretation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import symgraph as sg
from symgraph.codegen.target import find_target, target_names
from symgraph.ir.serialize import from_json

from .graphs import Case, graphs

TARGETS = [n for n in target_names() if find_target(n).available() is None]
COMMON = settings(
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def run(case: Case, **options) -> list[np.ndarray]:
    f = sg.compile(case.outputs, **options)
    return [np.array(a) for a in f(**case.arrays(1))]


def assert_agree(case: Case, got: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5, err_msg=str(sg.group(case.outputs)))


@pytest.mark.parametrize("target", TARGETS)
@settings(COMMON, max_examples=25)
@given(case=graphs())
def test_targets_agree_with_the_interpreter_at_every_level(target: str, case: Case) -> None:
    expected = run(case, target="interp", level=0)
    for level in (0, 2):
        assert_agree(case, run(case, target=target, level=level), expected)


@settings(COMMON, max_examples=25)
@given(case=graphs())
def test_every_pass_keeps_the_numbers(case: Case) -> None:
    run(case, target="interp", verify=3)


@settings(COMMON, max_examples=50)
@given(case=graphs(size=20))
def test_inferred_shapes_are_the_actual_ones(case: Case) -> None:
    shapes = sg.group(case.outputs).infer_shape(**case.shapes).outputs
    results = run(case, target="interp", level=0)
    assert [tuple(s) for s in shapes] == [a.shape for a in results]


@settings(COMMON, max_examples=50)
@given(case=graphs(size=20))
def test_json_round_trips(case: Case) -> None:
    group = sg.group(case.outputs)
    assert sg.group(*(sg.Symbol(v) for v in from_json(group.to_json()).outputs)).to_json() == (
        group.to_json()
    )
