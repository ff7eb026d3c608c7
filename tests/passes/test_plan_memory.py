"""Offsets in one arena: sharing over time, in place, open extents, and a judge of its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import symgraph as sg
from symgraph.errors import AttributeValueError, MemoryPlanError
from symgraph.ir.live_ranges import live_ranges
from symgraph.ir.verify_program import check_plan
from symgraph.passes import plan_memory
from symgraph.passes.plan_memory import PlanMemory
from tests.support.toys import Dense, Exp, HostDouble, RowSum, SubtractRow


def compiled(*symbols, level=0, **options):
    return sg.compile(symbols, target="interp", level=level, verify=2, **options)


def chain(length, shape=(1024,)):
    y = sg.var("x", shape)
    for _ in range(length):
        y = Exp()(y)
    return y


def test_a_chain_of_elementwise_kernels_lives_in_one_place() -> None:
    plan = compiled(chain(10)).memory
    assert plan.nbytes == 4096  # nine intermediates, all over each other; the tenth is the output
    assert plan.naive == 9 * 4096
    assert plan.lower_bound == 4096
    assert plan.proved
    assert len(plan.shared) == 8


def test_rows_do_not_share_with_what_they_still_read() -> None:
    x = sg.var("x", (17, 33))
    e = Exp()(x)
    f = compiled(Exp()(SubtractRow()(e, RowSum()(e))))
    plan = f.memory
    # exp lies under the subtraction, the row sums beside them.
    assert plan.nbytes == 64 * ((17 * 33 * 4 + 63) // 64) + 64 * ((17 * 4 + 63) // 64)
    assert plan.proved


def test_a_contraction_is_not_computed_over_its_operand() -> None:
    w, b = sg.var("w", (5, 5)), sg.var("b", (5,))
    plan = compiled(Exp()(Dense()(Exp()(sg.var("x", (7, 5))), w, b))).memory
    assert plan.nbytes == 2 * 192
    assert plan.shared == ()


def test_values_of_one_size_and_another_dtype_share_too() -> None:
    y = sg.cast(sg.cast(Exp()(sg.var("x", (64,))), "int32"), "float32")
    assert compiled(Exp()(y)).memory.nbytes == 256


def test_a_value_used_twice_by_one_kernel_may_be_written_over() -> None:
    e = Exp()(sg.var("x", (33,)))
    plan = compiled(Exp()(e + e)).memory
    assert plan.nbytes == 192


def test_a_value_that_is_read_later_is_not_written_over() -> None:
    e = Exp()(sg.var("x", (16,)))
    f = Exp()(e)
    plan = compiled(Exp()(Exp()(f) + e)).memory
    assert plan.nbytes == 2 * 64


def test_open_extents_give_closed_forms_that_hold_for_every_size() -> None:
    x = sg.var("x", ("N", "M"))
    e = Exp()(x)
    f = compiled(Exp()(SubtractRow()(Exp()(e), RowSum()(e))), e)
    for n, m in ((1, 1), (3, 17), (33, 2), (0, 5)):
        check_plan(f.program, {"N": n, "M": m})
    a = np.random.default_rng(0).uniform(-1, 1, (3, 17)).astype(np.float32)
    e = np.exp(a)
    expected = np.exp(np.exp(e) - e.sum(1)[:, None], dtype=np.float64)
    np.testing.assert_allclose(f(a)[0], expected, rtol=1e-4)


def test_a_symbolic_chain_is_as_good_as_a_fixed_one() -> None:
    plan = compiled(chain(10, ("N",))).memory
    assert str(plan.nbytes) == "64*((N+15)//16)"


def test_views_are_their_source() -> None:
    y = Exp()(sg.reshape(Exp()(sg.var("x", (4, 8))), (32,)))
    assert compiled(Exp()(y)).memory.nbytes == 128


def test_scalars_empty_values_and_host_operators() -> None:
    assert compiled(Exp()(Exp()(sg.var("x", ())))).memory.nbytes == 64
    assert compiled(Exp()(Exp()(sg.var("x", (0, 3))))).memory.nbytes == 0
    assert compiled(Exp()(HostDouble()(Exp()(sg.var("x", (16,)))))).memory.nbytes == 128
    assert compiled(Exp()(sg.var("x", (3,)))).memory.nbytes == 0


def test_a_plan_in_which_live_buffers_overlap_is_refused() -> None:
    x = sg.var("x", (7, 5))
    e = Exp()(x)
    program = compiled(Exp()(Dense()(e, Exp()(sg.var("w", (5, 5))), sg.var("b", (5,))))).program
    plan = program.plan
    wrong = replace(plan, offsets=tuple((b, 0) for b, _ in plan.offsets))
    with pytest.raises(
        MemoryPlanError,
        match=r"buffers toy_exp0 and toy_exp1 overlap: step 2 .* wrote last bytes \[0, 100\)",
    ):
        check_plan(program.with_(plan=wrong), {})
    shifted = replace(plan, offsets=tuple((b, 4) for b, _ in plan.offsets))
    with pytest.raises(MemoryPlanError, match="must begin at a multiple of 64"):
        check_plan(program.with_(plan=shifted), {})
    with pytest.raises(MemoryPlanError, match="inside the 64 bytes"):
        check_plan(program.with_(plan=replace(plan, nbytes=64)), {})
    with pytest.raises(MemoryPlanError, match="has no memory plan"):
        check_plan(program.with_(plan=None), {})


def test_numbers_are_right_when_everything_is_in_place() -> None:
    x = sg.var("x", (17,))
    y = x
    expected = a = np.random.default_rng(1).uniform(0.1, 1, 17).astype(np.float32)
    for n in range(12):
        y = y * 1.5 if n % 2 else sg.sqrt(y)
        expected = expected * np.float32(1.5) if n % 2 else np.sqrt(expected)
    np.testing.assert_allclose(compiled(y)(a), expected, rtol=1e-5)


def test_very_many_buffers_take_linear_time() -> None:
    y = sg.var("x", (3,))
    for _ in range(4100):
        y = HostDouble()(y)
    f = compiled(y)
    assert f.memory.method == "slots of equal size"
    assert f.memory.nbytes == 128
    assert len(live_ranges(f.program)) == 4099


def test_it_is_deterministic_and_idempotent() -> None:
    program = compiled(chain(5)).program
    again = PlanMemory(64, verify=2).run(program)
    assert [o for _, o in again.plan.offsets] == [o for _, o in program.plan.offsets]
    assert str(again) == str(program)


def test_effort_bounds_the_search_and_never_the_clock() -> None:
    """No effort takes what quick methods find; equal effort gives equal plans."""
    x = sg.var("x", (17, 33))
    y = SubtractRow()(Exp()(x), RowSum()(Exp()(Exp()(x))))
    quick, again = (compiled(y, planning_effort=0.0).memory for _ in range(2))
    thorough = compiled(y, planning_effort=4.0).memory
    assert quick.nbytes == again.nbytes >= thorough.nbytes
    assert [o for _, o in quick.offsets] == [o for _, o in again.offsets]
    with pytest.raises(AttributeValueError, match=r"planning_effort must be a factor >= 0, got -1"):
        compiled(y, planning_effort=-1)


def test_effort_reaches_the_solver() -> None:
    program = compiled(chain(3)).program
    seen = []
    for effort in (0.0, 2.0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                plan_memory, "place", lambda _, work_limit, means: seen.append(work_limit)
            )
            with pytest.raises(AttributeError):  # nothing was placed
                PlanMemory(effort=effort).run(program)
    assert seen == [0, 2 * plan_memory.WORK_LIMIT]
