"""Buffers that are parts of other buffers: every target reads and writes them where they lie."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from symgraph.codegen.target import find_target, target_names
from symgraph.errors import MemoryPlanError
from symgraph.ir.live_ranges import live_segments
from symgraph.ir.program import ConstantData, KernelStep, Port, Program, ProgramBuffer
from symgraph.ir.tensor_type import TensorType
from symgraph.ir.verify_program import check_plan
from symgraph.kernel import loops
from symgraph.kernel.compute import compute, placeholder
from symgraph.kernel.dims import DimVar
from symgraph.kernel.dtypes import as_dtype
from symgraph.options import Options
from symgraph.passes.dependences import dependences
from symgraph.passes.order_steps import best_order
from symgraph.passes.plan_memory import PlanMemory
from symgraph.passes.settle_updates import SettleUpdates

TARGETS = [n for n in target_names() if find_target(n).available() is None]
N = DimVar("N")


def buffer(name, shape, place="arena", dtype="float32", of=None, at=0):
    return ProgramBuffer(
        name, TensorType(tuple(shape), as_dtype(dtype)), place, of, name, offset_bytes=at
    )


def scaled(name, source, target, factor):
    """target = source * factor, as a step."""
    x = placeholder("x", source.type.shape, source.type.dtype)
    y = compute(x.shape, lambda *i: x[i] * factor, name="y")
    out = placeholder("y", target.type.shape, target.type.dtype)
    return KernelStep(loops.lower(name, (x,), ((out, y),), name), (source, target), name)


def joined(n, m, dtype="float32"):
    """out = [x*2, x*3, c*5] through one buffer of the arena, whose parts are written apart, then
    doubled, and cut again: first = out[:n]."""
    size = as_dtype(dtype).nbytes
    x, c = buffer("x", (n,), "input", dtype), buffer("c", (m,), "constant", dtype)
    whole = buffer("whole", (n + n + m,), dtype=dtype)
    parts = [
        buffer("p0", (n,), dtype=dtype, of=whole),
        buffer("p1", (n,), dtype=dtype, of=whole, at=n * size),
        buffer("p2", (m,), dtype=dtype, of=whole, at=(n + n) * size),
    ]
    tail = buffer("tail", (n + m,), dtype=dtype, of=whole, at=n * size)
    last = buffer("last", (m,), dtype=dtype, of=tail, at=n * size)
    out, cut = (
        buffer("out", whole.type.shape, "output", dtype),
        buffer("cut", (m,), "output", dtype),
    )
    steps = (
        scaled("a", x, parts[0], 2),
        scaled("b", x, parts[1], 3),
        scaled("c", c, parts[2], 5),
        scaled("d", whole, out, 2),
        scaled("e", last, cut, 7),
    )
    data = ConstantData(c, np.arange(1, m + 1).astype(as_dtype(dtype).numpy))
    dims = (N,) if n is N else ()
    return Program(
        "joined", (Port("x", x),), (Port("out", out), Port("cut", cut)), (data,), steps, dims
    )


def run(program, target_name, x, **sizes):
    target = find_target(target_name)
    options = Options()
    steps = tuple(replace(s, kernel=target.schedule(s.kernel, options)) for s in program.steps)
    planned = PlanMemory(target.alignment, verify=2).run(program.with_(steps=steps))
    runner = target.load(planned, target.emit(planned, options), options)
    m = program.constants[0].array.size
    outs = [np.zeros(2 * x.size + m, x.dtype), np.zeros(m, x.dtype)]
    runner.run([x], outs, sizes)
    return outs


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("n", [1, 3, 16, 17])
def test_parts_are_written_and_read_where_they_lie(target: str, n: int, dtype: str) -> None:
    program = joined(n, 5, dtype)
    x = np.arange(1, n + 1).astype(dtype)
    out, cut = run(program, target, x)
    c = program.constants[0].array
    np.testing.assert_array_equal(out, np.concatenate([x * 4, x * 6, c * 10]))
    np.testing.assert_array_equal(cut, c * 35)


@pytest.mark.parametrize("target", TARGETS)
def test_parts_may_begin_at_an_open_extent(target: str) -> None:
    program = joined(N, 5)
    for n in (1, 16, 17, 0):
        x = np.arange(1, n + 1).astype(np.float32)
        out, cut = run(program, target, x, N=n)
        c = program.constants[0].array
        np.testing.assert_array_equal(out, np.concatenate([x * 4, x * 6, c * 10]))
        np.testing.assert_array_equal(cut, c * 35)


def test_the_text_tells_parts_from_buffers() -> None:
    text = str(joined(N, 5))
    assert "  0: p0@whole[0] = a(x)" in text
    assert "  2: p2@whole[8*N] = c(c)" in text
    assert "  4: cut = e(last@whole[8*N])" in text


def test_each_part_matters_from_its_own_first_write() -> None:
    found = [(s.buffer.name, s.low, s.high, s.first, s.end) for s in live_segments(joined(16, 5))]
    assert found == [("p0", 0, 64, 0, 4), ("p1", 64, 128, 1, 4), ("p2", 128, 148, 2, 5)]
    (whole,) = live_segments(joined(N, 5))
    assert (whole.first, whole.end) == (0, 5)


def test_what_is_alive_early_uses_the_part_that_is_written_late() -> None:
    """whole = [long, late]; before `late` is written a temporary lies there."""
    x = buffer("x", (64,), "input")
    whole = buffer("whole", (128,))
    long = buffer("long", (64,), of=whole)
    late = buffer("late", (64,), of=whole, at=256)
    t1, t2 = buffer("t1", (64,)), buffer("t2", (64,))
    out, out2 = buffer("out", (128,), "output"), buffer("out2", (64,), "output")
    steps = (
        scaled("a", x, long, 2),
        scaled("b", x, t1, 3),
        scaled("c", t1, out2, 3),
        scaled("d", x, t2, 3),
        scaled("e", t2, out2, 3),
        scaled("f", x, late, 3),
        scaled("g", whole, out, 2),
    )
    program = Program(
        "corner", (Port("x", x),), (Port("out", out), Port("out2", out2)), (), steps, ()
    )
    planned = PlanMemory(verify=2).run(program)
    assert planned.plan is not None
    assert planned.plan.nbytes == 512
    assert planned.plan.lower_bound == 512 and planned.plan.proved


def test_parts_of_one_buffer_do_not_wait_for_each_other() -> None:
    assert dependences(joined(16, 5)) == (
        frozenset(), frozenset(), frozenset(), frozenset({0, 1, 2}), frozenset({2}),
    )  # fmt: skip
    # Where the places depend on an extent too, as long as they cannot meet.
    assert dependences(joined(N, 5))[4] == frozenset({2})


def test_an_order_counts_parts_apart() -> None:
    """`late` is written after the temporaries are gone, so that they fit into its place."""
    x, z = buffer("x", (64,), "input"), buffer("z", (128,), "input")
    whole, wide = buffer("whole", (128,)), buffer("wide", (128,))
    early, late = buffer("early", (64,), of=whole), buffer("late", (64,), of=whole, at=256)
    out, sums = buffer("out", (128,), "output"), buffer("sums", (128,), "output")
    steps = (
        scaled("early", x, early, 2),
        scaled("late", x, late, 3),
        scaled("wide", z, wide, 3),
        scaled("sum", wide, sums, 3),
        scaled("join", whole, out, 2),
    )
    ports = (Port("x", x), Port("z", z))
    program = Program("order", ports, (Port("out", out), Port("sums", sums)), (), steps, ())
    assert best_order(program).peak == 512
    assert best_order(program).proved


def test_every_writer_of_parts_stays_before_their_reader() -> None:
    """An update moves its readers; the reader of a joined buffer needs all who wrote parts."""
    w, x = buffer("w", (8,), "input"), buffer("x", (8,), "input")
    whole = buffer("whole", (16,))
    low, high = buffer("low", (8,), of=whole), buffer("high", (8,), of=whole, at=32)
    new, out = buffer("w_next", (8,), "output"), buffer("out", (16,), "output")
    steps = (
        scaled("update", x, new, 2),
        scaled("low", w, low, 3),
        scaled("high", x, high, 5),
        scaled("read", whole, out, 7),
    )
    outputs = (Port("out", out), Port("w_next", new, "output", "w"))
    program = SettleUpdates().run(
        Program("parts", (Port("w", w), Port("x", x)), outputs, (), steps, ())
    )
    assert [s.label for s in program.steps] == ["low", "update", "high", "read"]
    check_plan(PlanMemory().run(program), {})


@pytest.fixture
def planned() -> Program:
    return PlanMemory(verify=2).run(joined(16, 5))


def changed(program, number, **arguments):
    steps = list(program.steps)
    steps[number] = replace(steps[number], **arguments)
    return program.with_(steps=tuple(steps))


def test_a_part_outside_its_buffer_is_refused(planned: Program) -> None:
    part = replace(planned.steps[2].arguments[1], offset_bytes=132)
    wrong = changed(planned, 2, arguments=(planned.steps[2].arguments[0], part))
    with pytest.raises(MemoryPlanError, match=r"\[P1\] buffer p2 is bytes \[132, 152\) of whole"):
        check_plan(wrong, {})
    part = replace(part, offset_bytes=126)
    wrong = changed(planned, 2, arguments=(planned.steps[2].arguments[0], part))
    with pytest.raises(MemoryPlanError, match="at a multiple of 4"):
        check_plan(wrong, {})


def test_a_part_at_a_wrong_place_is_found_by_its_readers(planned: Program) -> None:
    part = replace(planned.steps[1].arguments[1], offset_bytes=0)
    wrong = changed(planned, 1, arguments=(planned.steps[1].arguments[0], part))
    with pytest.raises(MemoryPlanError, match=r"\[P4\] step 3 \(d\) needs bytes .* nobody wrote"):
        check_plan(wrong, {})


def test_an_argument_of_another_size_is_refused(planned: Program) -> None:
    source, part = planned.steps[1].arguments
    wrong = changed(
        planned, 1, arguments=(source, replace(part, type=TensorType((8,), as_dtype("float32"))))
    )
    with pytest.raises(MemoryPlanError, match=r"\[P2\] step 1 \(b\) passes p1 of 32 bytes for y"):
        check_plan(wrong, {})


def test_a_missing_step_is_found(planned: Program) -> None:
    without = planned.with_(steps=planned.steps[:2] + planned.steps[3:])
    with pytest.raises(MemoryPlanError, match="nobody wrote"):
        check_plan(without, {})
    with pytest.raises(MemoryPlanError, match=r"\[P6\] output cut needs"):
        check_plan(planned.with_(steps=planned.steps[:4]), {})


def test_writing_over_what_is_read_needs_permission(planned: Program) -> None:
    first = planned.steps[0].arguments[1]
    over = scaled("over", first, first, 3)
    wrong = planned.with_(steps=(planned.steps[0], over, *planned.steps[1:]))
    with pytest.raises(MemoryPlanError, match=r"\[P5\] buffers p0 and p0 overlap in step 1"):
        check_plan(wrong, {})
    allowed = replace(over, in_place=((0, 1),))
    check_plan(planned.with_(steps=(planned.steps[0], allowed, *planned.steps[1:])), {})
