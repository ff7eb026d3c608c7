"""Steps that only one other waits for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import symgraph as sg
from symgraph.ir.program import KernelStep, Program
from symgraph.passes.bring_together import BringTogether

SIZE = 160


def large(name: str) -> sg.Symbol:
    return sg.var(name, (SIZE, SIZE), "float32")


def naive(net: sg.Symbol) -> Program:
    """One kernel for each operator, in the order of declaration."""
    return sg.compile(net, target="interp", level=0).program


def order(program: Program) -> list[str]:
    return [s.label for s in program.steps if isinstance(s, KernelStep)]


def between() -> sg.Symbol:
    scores = sg.matmul(large("a"), large("b"), name="scores")
    narrow = sg.var("c", (SIZE, 120), "float32")
    values = sg.exp(narrow, name="values")
    return sg.matmul(scores, values, name="mixed")


def test_the_larger_of_two_operands_is_made_last() -> None:
    program = naive(between())
    assert order(program) == ["scores", "values", "mixed"]
    assert order(BringTogether().run(program)) == ["values", "scores", "mixed"]


def test_a_chain_moves_as_a_whole() -> None:
    scores = sg.exp(sg.matmul(large("a"), large("b"), name="scores"), name="powers")
    values = sg.tanh(sg.var("c", (SIZE, 110), "float32"), name="values")
    program = BringTogether().run(naive(sg.matmul(scores, values, name="mixed")))
    assert order(program) == ["values", "scores", "powers", "mixed"]


def test_what_two_steps_read_stays() -> None:
    scores = sg.matmul(large("a"), large("b"), name="scores")
    values = sg.exp(scores, name="values")
    program = naive(sg.matmul(scores, values, name="mixed"))
    assert order(BringTogether().run(program)) == ["scores", "values", "mixed"]


@pytest.mark.parametrize("extent", [0, 1, 3])
def test_small_ones_stay(extent: int) -> None:
    a, b, c = (sg.var(n, (extent, extent)) for n in "abc")
    program = naive(sg.matmul(sg.matmul(a, b), sg.exp(c)))
    assert BringTogether().run(program) is program


def test_what_a_step_in_between_changes_does_not_wait() -> None:
    """The second step writes into what the first one reads."""
    program = naive(between())
    first, second, third = program.steps
    (a, _) = first.reads
    second = replace(
        second, arguments=tuple(a if b in second.writes else b for b in second.arguments)
    )
    program = program.with_(steps=(first, second, third))
    assert order(BringTogether().run(program)) == ["scores", "values", "mixed"]


def test_the_results_are_the_same() -> None:
    f = sg.compile(between(), verify=2)
    g = sg.compile(between(), target="interp")
    rng = np.random.default_rng(2)
    given = [rng.normal(size=s).astype(np.float32) for s in ((SIZE, SIZE),) * 2 + ((SIZE, 120),)]
    np.testing.assert_allclose(f(*given), g(*given), rtol=1e-4, atol=1e-3)
