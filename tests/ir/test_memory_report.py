"""Reports of memory plans: the numbers, the names and lines, JSON, and the chart."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import symgraph as sg
from symgraph.errors import InputError
from symgraph.ir.program import Program
from symgraph.viz import draw_memory
from tests.support.toys import Dense, Exp, RowSum, SubtractRow


def rows(*shape):
    """exp -> row sums -> difference -> exp: exp and its sums are alive together."""
    x = sg.var("x", shape)
    large = Exp()(x, name="large")
    return Exp()(SubtractRow()(large, RowSum()(large, name="sums"), name="centred"))


def compiled(symbol, **options):
    return sg.compile(symbol, target="interp", level=0, **options)


def test_the_numbers_of_a_fixed_program() -> None:
    report = compiled(rows(17, 33)).memory_report()
    large, small = 2304, 128
    assert (report.planned, report.lower_bound) == (large + small, large + small)
    assert report.naive == 2 * large + small
    assert report.proved and report.ratio == 1.0
    assert report.inputs == report.outputs == 17 * 33 * 4
    assert report.scratch == 0
    assert [t.name for t in report.at_peak] == ["large", "sums"]


def test_tensors_carry_names_and_lines() -> None:
    report = compiled(rows(17, 33)).memory_report()
    large = report.at_peak[0]
    assert large.origin.startswith("test_memory_report.py:")
    assert (large.first, large.last, large.type) == (0, 2, "f32[17,33]")
    centred = next(t for t in report.tensors if t.name == "centred")
    assert centred.over == "large"
    text = str(report)
    assert "proved minimal" in text and large.origin in text and "what would lower it" in text


def test_open_extents_are_read_off_or_given() -> None:
    f = compiled(rows("N", 33))
    for n in (0, 1, 16, 33):
        at_n = f.memory_report(N=n)
        alone = compiled(rows(n, 33)).memory_report()
        assert (at_n.planned, at_n.lower_bound, at_n.naive) == (
            alone.planned, alone.lower_bound, alone.naive,
        )  # fmt: skip
    assert f.memory_report().extents == {"N": 32}
    with pytest.raises(InputError, match=r"there is no open extent 'M'; there is N"):
        f.memory_report(M=3)
    with pytest.raises(InputError, match="must not be negative, got -1"):
        f.memory_report(N=-1)


def test_json_holds_the_same() -> None:
    report = compiled(rows(17, 33)).memory_report()
    data = json.loads(report.to_json())
    assert data["planned"] == report.planned
    assert data["at_peak"][0]["name"] == "large"
    assert data["ratio"] == 1.0


def test_a_program_without_intermediates() -> None:
    report = compiled(Exp()(sg.var("x", (3,)))).memory_report()
    assert (report.planned, report.lower_bound, report.ratio) == (0, 0, 1.0)
    assert report.at_peak == () and report.advice == ()


def test_what_waits_at_the_peak_is_named() -> None:
    x = sg.var("x", (17, 33))
    early = Exp()(x, name="early")
    w, b = sg.var("w", (33, 33)), sg.var("b", (33,))
    h = Dense()(Dense()(Exp()(early), w, b), w, b)
    report = compiled(Exp()(h + early)).memory_report()
    assert any("only wait for a later step (early)" in a for a in report.advice)


def test_scratch_of_kernels_is_counted() -> None:
    f = sg.compile(rows(17, 33), target="llvm", threads=2)
    report = f.memory_report()
    workspace = f._runner.layout.workspace
    assert report.scratch == workspace.shared + 2 * workspace.own
    np.testing.assert_array_equal(f(np.zeros((17, 33), np.float32)).shape, (17, 33))


def test_symbols_and_executables_are_reported_on() -> None:
    y = rows("N", 33)
    f = sg.compile(y)
    assert sg.memory_report(f, N=5).data == sg.memory_report(y, N=5).data


def test_sharing_is_no_clash_in_the_chart() -> None:
    program: Program = compiled(rows(17, 33)).program
    assert program.plan is not None and program.plan.shared
    assert "OVERLAPS" not in draw_memory(program).svg
    without = program.with_(plan=type(program.plan)(program.plan.offsets, program.plan.nbytes))
    assert "OVERLAPS" in draw_memory(without).svg


def test_waiting_is_blamed_only_where_another_order_or_recomputation_would_help() -> None:
    """`early` waits while one large value is made from another."""
    early = Exp()(sg.var("x", (16, 64)), name="early")
    large = sg.linear(early, 256, sg.var("v", (256, 64)), use_bias=False)
    larger = sg.linear(large, 257, sg.var("w", (257, 256)), use_bias=False)
    waiting = SubtractRow()(early, RowSum()(larger, name="sums"), name="last")
    report = compiled(Exp()(waiting)).memory_report()
    (advice,) = [a for a in report.advice if "only wait" in a]
    assert advice.startswith("4,096 bytes only wait for a later step (early)")
    least = max(
        sum(t.nbytes + -t.nbytes % 64 for t in report.tensors
            if t.first <= step <= t.last and not (t.name == "early" and t.first < step < t.last)
            and not (t.over and t.first == step))
        for step in range(report.steps)
    )  # fmt: skip
    assert f"a peak of {least:,} bytes at best" in advice
    x = sg.var("x", (16, 64))
    needed = SubtractRow()(Exp()(x, name="large"), RowSum()(x, name="sums"), name="last")
    assert not [a for a in compiled(Exp()(needed)).memory_report().advice if "only wait" in a]


def test_tensors_named_alike_are_told_by_the_step_that_makes_them() -> None:
    x = sg.var("x", (16, 64))
    report = compiled(Exp()(RowSum()(Exp()(x, name="large"), name="sums"))).memory_report()
    assert [t.made_by for t in report.tensors] == [t.name for t in report.tensors]
    first, second = (replace(report.tensors[0], name="pad", made_by=m) for m in ("a + pad", "b"))
    assert [t.title((first, second)) for t in (first, second)] == ["a + pad", "b"]
    assert first.title((first,)) == "pad"
