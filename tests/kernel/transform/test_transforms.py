"""Each building block: what it writes, that it keeps what is computed, when it refuses."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symgraph.kernel.dims import DimVar, LoopVar
from symgraph.kernel.dtypes import float32
from symgraph.kernel.ir import Alloc, Buffer, For, If, IndexValue, Kernel, Store, call
from symgraph.kernel.printer import kernel_text
from symgraph.kernel.rewrite import statements
from symgraph.kernel.transform import (
    ScheduleError,
    collapse,
    drop_unit_loops,
    find_loop,
    flatten_axes,
    jam,
    reorder,
    replace_loop,
    sink_condition,
    split,
    stage,
    unroll,
    unroll_choices,
    vectorise,
    vectorise_reduction,
)

from .kernels import assert_same, bias, choices, exponential, loop_vars, product, total

N = DimVar("N")
EXTENTS = st.sampled_from([0, 1, 2, 3, 7, 16, 17, 33])
FACTORS = st.sampled_from([1, 2, 3, 4, 8, 16])


def body_text(kernel: Kernel) -> str:
    return kernel_text(kernel).partition("\n")[2]


def test_split_text() -> None:
    kernel = exponential(3, 10)
    i, j = loop_vars(kernel)
    assert body_text(split(kernel, j, 4)) == (
        "  parallel i < 3:\n"
        "    parallel j < 3:\n"
        "      parallel j_1 < min(4, -4*j+10):\n"
        "        out[i,4*j+j_1] = exp(x[i,4*j+j_1])\n"
    )
    assert i != j


@settings(max_examples=20, deadline=None)
@given(EXTENTS, EXTENTS, FACTORS, st.booleans())
def test_split_keeps_results(m: int, n: int, factor: int, outer: bool) -> None:
    kernel = bias(m, n)
    assert_same(kernel, split(kernel, loop_vars(kernel)[0 if outer else 1], factor))


@pytest.mark.parametrize("count", [0, 1, 5, 33])
def test_split_of_an_open_extent(count: int) -> None:
    kernel = exponential(N, 3, "float64")
    assert_same(kernel, split(kernel, loop_vars(kernel)[0], 4), {"N": count})


def test_reorder() -> None:
    kernel = bias(3, 5)
    i, j = loop_vars(kernel)
    moved = reorder(kernel, (j, i))
    assert loop_vars(moved) == [j, i]
    assert_same(kernel, moved)


def test_reorder_refuses_dependent_extents() -> None:
    kernel = exponential(3, 10)
    i, j = loop_vars(kernel)
    cut = split(kernel, j, 4)
    _, outer, inner = loop_vars(cut)
    with pytest.raises(ScheduleError, match="depends on another of the loops"):
        reorder(cut, (inner, outer))
    with pytest.raises(ScheduleError, match="not directly nested"):
        reorder(kernel, (i, outer))


def test_unroll() -> None:
    kernel = total(3, 7)
    changed = unroll(kernel, loop_vars(kernel)[1])
    assert "unroll r < 7:" in body_text(changed)
    assert_same(kernel, changed)
    with pytest.raises(ScheduleError, match="cannot be written out"):
        unroll(*_open_loop())


def _open_loop() -> tuple[Kernel, LoopVar]:
    kernel = total(3, N)
    return kernel, loop_vars(kernel)[1]


def test_vectorise_text() -> None:
    kernel = exponential(3, 37)
    assert body_text(vectorise(kernel, loop_vars(kernel)[1], 16)) == (
        "  parallel i < 3:\n"
        "    parallel j < 3:\n"
        "      vector v < min(16, -16*j+37) lanes 16:\n"
        "        out[i,v+16*j] = exp(x[i,v+16*j])\n"
    )


@settings(max_examples=20, deadline=None)
@given(EXTENTS, EXTENTS, FACTORS)
def test_vectorise_keeps_results(m: int, n: int, lanes: int) -> None:
    kernel = bias(m, n)
    assert_same(kernel, vectorise(kernel, loop_vars(kernel)[1], lanes))


def test_vectorise_refuses_serial_loops() -> None:
    kernel = total(3, 7)
    with pytest.raises(ScheduleError, match="is serial"):
        vectorise(kernel, loop_vars(kernel)[1], 4)


def test_vectorise_reduction_text() -> None:
    kernel = total(2, 9, "max")
    assert body_text(vectorise_reduction(kernel, loop_vars(kernel)[1], 4)) == (
        "  parallel i < 2:\n"
        "    alloc acc0: f32[] in register\n"
        "    acc0[] = -inf\n"
        "    alloc part: f32[16] in register\n"
        "    unroll c < 4:\n"
        "      vector v < 4 lanes 4:\n"
        "        part[v+4*c] = -inf\n"
        "    vector v_1 < 4 lanes 4:\n"
        "      part[v_1] max= x[i,v_1]\n"
        "    vector v_2 < 4 lanes 4:\n"
        "      part[v_2+4] max= x[i,v_2+4]\n"
        "    vector v_3 < 1 lanes 4:\n"
        "      part[v_3+8] max= x[i,v_3+8]\n"
        "    unroll c_1 < 2:\n"
        "      vector v_4 < 4 lanes 4:\n"
        "        part[v_4+4*c_1] max= part[v_4+4*c_1+8]\n"
        "    vector v_5 < 4 lanes 4:\n"
        "      part[v_5] max= part[v_5+4]\n"
        "    alloc half: f32[2] in register\n"
        "    vector v_6 < 2 lanes 2:\n"
        "      half[v_6] = max(part[v_6], part[v_6+2])\n"
        "    acc0[] max= max(half[0], half[1])\n"
        "    out[i] = acc0[]\n"
    )


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([1, 2, 7, 16, 33, 64, 65, 200]),
    st.sampled_from([4, 8, 16]),
    st.sampled_from(["sum", "max", "min", "prod"]),
)
def test_vectorise_reduction_keeps_results(n: int, lanes: int, kind: str) -> None:
    kernel = total(3, n, kind, "int32" if kind == "prod" else "float32")
    assert_same(kernel, vectorise_reduction(kernel, loop_vars(kernel)[1], lanes))


@pytest.mark.parametrize("count", [0, 1, 63, 64, 100, 129])
def test_vectorise_reduction_of_an_open_extent(count: int) -> None:
    kernel = total(2, N, "sum", "float64")
    changed = vectorise_reduction(kernel, loop_vars(kernel)[1], 8)
    assert_same(kernel, changed, {"N": count})


def test_vectorise_reduction_refuses_independent_loops() -> None:
    kernel = exponential(2, 9)
    with pytest.raises(ScheduleError, match="does not only accumulate"):
        vectorise_reduction(kernel, loop_vars(kernel)[1], 4)


@settings(max_examples=20, deadline=None)
@given(EXTENTS, EXTENTS, st.sampled_from([1, 2, 5]), st.booleans())
def test_jam_keeps_results(m: int, n: int, rows: int, both: bool) -> None:
    kernel = product(m, 4, n)
    loops = loop_vars(kernel)[:2]
    cut = split(kernel, loops[0], rows)
    if m % rows:
        return  # blocks of unequal length are covered by the schedule, not by jam

    def sink(loop: For) -> object:
        moved = [For(loop.var, rows, "unroll", loop.body)]
        assert isinstance(loop.body, For)
        if both:
            return For(loop.body.var, n, "parallel", jam(moved, loop.body.body))
        return jam(moved, loop.body)

    inner = loop_vars(cut)[1]
    changed = replace_loop(cut, inner, sink)  # type: ignore[arg-type]
    assert_same(kernel, changed)


def test_jam_widens_what_is_kept() -> None:
    kernel = total(4, 9)
    (i, _r) = loop_vars(kernel)

    def sink(loop: For) -> object:
        return jam([For(i, 4, "unroll", loop.body)], loop.body)

    changed = replace_loop(kernel, i, sink)  # type: ignore[arg-type]
    (alloc,) = [s for s in statements(changed.body) if isinstance(s, Alloc)]
    assert alloc.buffer.shape == (4,)
    assert_same(kernel, changed)


def test_flatten_merges_whole_axes_only() -> None:
    merged = flatten_axes(exponential(3, 5))
    assert [s.extent for s in statements(merged.body) if isinstance(s, For)] == [15]
    assert_same(exponential(3, 5), merged)
    kept = bias(3, 5)
    assert flatten_axes(kept) is kept
    opened = flatten_axes(exponential(N, 5))
    assert_same(exponential(N, 5), opened, {"N": 3})


@settings(max_examples=15, deadline=None)
@given(EXTENTS, EXTENTS)
def test_collapse_keeps_results(m: int, n: int) -> None:
    kernel = bias(m, n)
    if n:
        assert_same(kernel, collapse(kernel, loop_vars(kernel)[0]))


def test_collapse_refuses_a_single_loop() -> None:
    kernel = total(3, 7)
    with pytest.raises(ScheduleError, match="no loop of its kind directly inside"):
        collapse(kernel, loop_vars(kernel)[0])


def conditional(m: int, n: int, other: int | None = None) -> Kernel:
    """out[i,j] = x[i,j] above row 2, x[i,j] + x[i,j] from there on, with a loop in each branch."""
    x, out = Buffer("x", (m, n), float32), Buffer("out", (m, n), float32)
    i, j, k = LoopVar("i"), LoopVar("j"), LoopVar("k")
    then = For(j, n, "parallel", Store(out, (i, j), x[i, j]))
    rest = n if other is None else other
    otherwise = For(k, rest, "parallel", Store(out, (i, k), x[i, k] + x[i, k]))
    body = If(call("lt", IndexValue(i), IndexValue(2)), then, otherwise)
    return Kernel("conditional", (x,), (out,), (), For(i, m, "parallel", body))


@pytest.mark.parametrize(("m", "n"), [(5, 7), (1, 3), (3, 1), (2, 0)])
def test_a_condition_sinks_into_equal_loops(m: int, n: int) -> None:
    kernel = conditional(m, n)
    sunk = sink_condition(kernel, loop_vars(kernel)[0])
    assert_same(kernel, sunk)
    assert_same(kernel, collapse(sunk, loop_vars(sunk)[0]))


def test_a_condition_does_not_sink_into_unequal_loops() -> None:
    kernel = conditional(4, 7, 6)
    with pytest.raises(ScheduleError, match="no condition with equal loops in it"):
        sink_condition(kernel, loop_vars(kernel)[0])


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from([1, 3, 17]), st.sampled_from([0, 1, 5]), st.sampled_from([1, 16, 37]),
    st.sampled_from([None, 4, 16]),
)  # fmt: skip
def test_stage_keeps_results(m: int, k: int, n: int, panel: int | None) -> None:
    kernel = product(m, k, n, "nt")
    _, j, r = loop_vars(kernel)
    assert_same(kernel, stage(kernel, kernel.inputs[1], (r, j), panel))


def test_stage_refuses_other_loops() -> None:
    kernel = product(3, 5, 7)
    i, j, _r = loop_vars(kernel)
    with pytest.raises(ScheduleError, match="is read with other loops"):
        stage(kernel, kernel.inputs[1], (i, j))


def test_drop_unit_loops() -> None:
    kernel = product(1, 1, 7)
    changed = drop_unit_loops(kernel)
    assert len(loop_vars(changed)) == 1
    assert_same(kernel, changed)


def test_an_unknown_loop_is_an_error() -> None:
    kernel, other = total(3, 7), exponential(3, 5)
    with pytest.raises(ScheduleError, match="kernel total has no loop over i"):
        find_loop(kernel, loop_vars(other)[0])


def test_scalars_of_several_stages_stand_first() -> None:
    from symgraph.kernel import loops
    from symgraph.kernel.compute import compute, placeholder, reduce, where
    from symgraph.kernel.printer import kernel_text
    from symgraph.kernel.transform import hoist_scalars

    x = placeholder("x", (5, 7), "float32")
    total = compute((5,), lambda i: reduce("sum", 7, lambda r: x[i, r]), name="s")
    twice = compute((5,), lambda i: total[i] * 2.0, name="d")
    kept = compute((5,), lambda i: where(twice[i] > 0, twice[i], 0.0), name="k")
    outs = [(placeholder(n, (5,), "float32"), c) for n, c in (("a", twice), ("b", kept))]
    kernel = hoist_scalars(loops.lower("k", (x,), outs))
    lines = [line.strip() for line in kernel_text(kernel).splitlines()]
    allocs = [n for n, line in enumerate(lines) if line.startswith("alloc")]
    assert allocs == list(range(allocs[0], allocs[0] + len(allocs)))


def test_choices_are_written_out_innermost() -> None:
    assert body_text(unroll_choices(choices(3, 8))) == (
        "  parallel j < 4:\n"
        "    unroll i < 3:\n"
        "      unroll j_1 < 2:\n"
        "        out[i,j_1+2*j] = where((i) == 0, where((j_1) == 0, x[j], neg(x[j])), "
        "where((i) == 1, x[j] + 1.0, x[j] * 2.0))\n"
    )


def test_choices_that_do_not_divide_a_loop_get_a_condition() -> None:
    assert "        if (j_1+2*j) < (7):\n" in body_text(unroll_choices(choices(3, 7)))
    assert "        if (j_1+2*j) < (N):\n" in body_text(unroll_choices(choices(3, N)))


@pytest.mark.parametrize("n", [0, 1, 2, 7, 16, 17])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_written_out_choices_keep_what_is_computed(n, dtype) -> None:
    kernel = choices(3, N, dtype)
    assert_same(kernel, unroll_choices(kernel), {"N": n})


def test_loops_without_choices_stay() -> None:
    for kernel in (bias(3, 5), total(3, 5), choices(9, 5)):
        text = kernel_text(unroll_choices(kernel))
        assert ("unroll i" in text, "unroll r" in text) == (False, False)
