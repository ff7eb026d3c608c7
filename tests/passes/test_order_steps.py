"""Order of steps: the lowest peak, proved on small programs by trying every order."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import symgraph as sg
from symgraph.ir.verify_program import check_plan
from symgraph.passes.dependences import dependences
from symgraph.passes.order_problem import OrderProblem
from symgraph.passes.order_steps import OrderSteps, best_order
from symgraph.passes.plan_memory import PlanMemory
from tests.property.graphs import Case, graphs
from tests.support.toys import Exp, HostDouble, RowSum, SubtractRow


def compiled(*symbols, **options):
    return sg.compile(symbols, target="interp", level=0, verify=2, **options)


def orders(program):
    """Every order that the dependences allow."""
    before = dependences(program)
    for order in itertools.permutations(range(len(before))):
        at = {step: n for n, step in enumerate(order)}
        if all(at[b] < at[n] for n, needed in enumerate(before) for b in needed):
            yield order


def two_branches():
    """Two reductions: one after the other needs one large value alive, not two."""
    x, z = sg.var("x", (17, 33)), sg.var("z", (17, 33))
    a, b = Exp()(x), Exp()(z)
    return RowSum()(a) + RowSum()(b)


def wide(program):
    """The program with all exponentials first: as many values alive as can be."""
    steps = program.steps
    order = sorted(range(len(steps)), key=lambda n: (steps[n].writes[0].type.shape != (17, 33), n))
    return program.with_(steps=tuple(steps[n] for n in order), plan=None)


def test_a_branch_is_finished_before_the_next_one_begins() -> None:
    program = wide(compiled(two_branches()).program)
    large, small = 2304, 128
    assert OrderProblem.of(program, 64).peak(range(len(program.steps))) == 2 * large + small
    found = best_order(program)
    # While the second large value is reduced, both sums are alive.
    assert (found.peak, found.proved) == (large + 2 * small, True)
    planned = PlanMemory().run(OrderSteps().run(program))
    assert planned.plan.nbytes == found.peak
    check_plan(planned, {})


def test_the_pass_runs_in_the_default_pipeline() -> None:
    x, z = sg.var("x", (17, 33)), sg.var("z", (17, 33))
    y = SubtractRow()(Exp()(x), RowSum()(Exp()(z)))
    given = compiled(y, disable=("order_steps",)).memory.nbytes
    # The large operand of the subtraction comes last: no other large value waits beside it.
    assert (compiled(y).memory.nbytes, given) == (2304 + 128, 2 * 2304 + 128)


def test_a_chain_is_left_alone() -> None:
    y = sg.var("x", (33,))
    for _ in range(10):
        y = Exp()(y)
    f = compiled(y)
    assert OrderSteps().run(f.program) is f.program


def test_an_empty_program_has_an_order() -> None:
    program = compiled(Exp()(sg.var("x", ()))).program.with_(steps=())
    assert best_order(program).order == ()


def test_updates_stay_behind_the_readers_of_the_old_value() -> None:
    w, x = sg.var("w", (5,)), sg.var("x", (5,))
    f = sg.compile([w * x, Exp()(w)], updates={"w": w - x}, target="interp", level=0)
    before = dependences(f.program)
    steps = f.program.steps
    writer = next(n for n, s in enumerate(steps) if f.program.outputs[-1].buffer.root in s.writes)
    readers = {n for n, s in enumerate(steps) if f.program.inputs[0].buffer in s.reads} - {writer}
    assert before[writer] >= {n for n in readers if n < writer}
    state = {"w": np.arange(5, dtype=np.float32), "x": np.ones(5, np.float32)}
    product, exponential = f(**state)
    np.testing.assert_array_equal(product, np.arange(5))
    np.testing.assert_allclose(exponential, np.exp(np.arange(5, dtype=np.float32)), rtol=1e-6)
    np.testing.assert_array_equal(state["w"], np.arange(5) - 1)


def test_host_calls_keep_their_order() -> None:
    x = sg.var("x", (3,))
    f = compiled(HostDouble()(x), HostDouble()(Exp()(x)))
    hosts = [n for n, s in enumerate(f.program.steps) if not hasattr(s, "kernel")]
    before = dependences(f.program)
    assert len(hosts) == 2 and hosts[0] in before[hosts[1]]


@settings(max_examples=30, deadline=None, derandomize=True,
          suppress_health_check=list(HealthCheck))  # fmt: skip
@given(case=graphs(size=6))
def test_no_order_of_a_small_program_is_better(case: Case) -> None:
    program = compiled(*case.outputs).program.with_(plan=None)
    if len(program.steps) > 7:
        return
    problem = OrderProblem.of(program, 64)
    best = min(problem.peak(order) for order in orders(program))
    worst = max(orders(program), key=problem.peak)
    shuffled = program.with_(steps=tuple(program.steps[n] for n in worst))
    for start in (program, shuffled):
        found = best_order(start)
        assert (found.peak, found.proved, found.bound) == (best, True, best)
        assert problem.least <= best


@settings(max_examples=25, deadline=None, derandomize=True,
          suppress_health_check=list(HealthCheck))  # fmt: skip
@given(case=graphs(size=20))
def test_reordered_programs_give_the_same_bits(case: Case) -> None:
    f = compiled(*case.outputs)
    disabled = compiled(*case.outputs, disable=("order_steps",))
    for a, b in zip(f(**case.arrays(1)), disabled(**case.arrays(1)), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("limit", [0, 50])
def test_without_time_the_order_is_still_valid_and_no_worse(limit: int) -> None:
    rng = np.random.default_rng(0)
    values = [sg.var("x", (17, 33))]
    for n in range(40):
        a, b = (values[i] for i in rng.integers(max(0, n - 6), len(values), 2))
        values.append(Exp()(a) if n % 3 else sg.concat([RowSum()(a), RowSum()(b)], axis=0)
                      if a.ndim == 2 and b.ndim == 2 else Exp()(b))  # fmt: skip
    program = compiled(*values[-3:]).program
    found = best_order(program, work_limit=limit)
    at = {step: n for n, step in enumerate(found.order)}
    assert all(at[b] < at[n] for n, s in enumerate(dependences(program)) for b in s)
    assert found.bound <= found.peak <= OrderProblem.of(program, 64).peak(range(len(program.steps)))
    assert found.proved == (found.bound == found.peak)


def test_what_waits_for_the_way_back_counts_in_every_order() -> None:
    """The largest step alone needs three values; in any order all values wait at the turn."""
    values = [sg.var("x", (17, 33))]
    for _ in range(6):
        values.append(Exp()(values[-1]))
    y = values[-1]
    for value in reversed(values[1:-1]):
        y = y * value
    program = compiled(y, sg.var("z", (3,)) + 1.0, disable=("fuse",)).program
    found = best_order(program)
    assert found.proved and found.bound == found.peak >= 5 * 2304
    assert OrderProblem.of(program, 64).least >= 5 * 2304


def test_sources_come_right_before_the_first_that_needs_them() -> None:
    """Thirty sums of inputs that nobody orders: each waits for its product, none costs a state."""
    y = sg.var("x", (17, 33))
    for n in range(30):
        y = Exp()(y) * RowSum()(sg.var(f"z{n}", (17, 33))).reshape((17, 1))
    program = compiled(y, disable=("fuse", "order_steps")).program.with_(plan=None)
    rank = {n: len(s.reads) and s.reads[0] not in [p.buffer for p in program.inputs]
            for n, s in enumerate(program.steps)}  # fmt: skip
    early = sorted(range(len(program.steps)), key=lambda n: (bool(rank[n]), n))
    before = dependences(program)
    assert all(early.index(b) < early.index(n) for n, s in enumerate(before) for b in s)
    found = best_order(program.with_(steps=tuple(program.steps[n] for n in early)), work_limit=500)
    assert found.proved
    assert found.peak < OrderProblem.of(program, 64).peak(early)


def test_the_limit_leaves_a_bound_that_holds() -> None:
    """A bound proved in part lies between the first guess and the optimum."""
    x = [sg.var(f"x{n}", (n + 3, 17)) for n in range(9)]
    a = [Exp()(v) for v in x]
    pairs = [RowSum()(sg.concat([a[i], a[(i * 4 + 1) % 9]], axis=0)) for i in range(9)]
    total = sg.concat([*pairs, *(RowSum()(v) for v in a)], axis=0)
    program = compiled(total, disable=("fuse", "order_steps")).program.with_(plan=None)
    best = best_order(program, work_limit=10**6)
    assert best.proved
    bounds = [best_order(program, work_limit=limit) for limit in (0, 30, 300, 3000)]
    assert all(b.bound <= best.peak <= b.peak for b in bounds)
    assert [b.bound for b in bounds] == sorted(b.bound for b in bounds)
