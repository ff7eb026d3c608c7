"""A buffer moved over one that is still needed is always found."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings

import symgraph as sg
from symgraph.errors import MemoryPlanError
from symgraph.ir.live_ranges import live_segments
from symgraph.ir.verify_program import check_plan
from symgraph.kernel import dims
from symgraph.kernel.dims import DimVar

from .graphs import Case, graphs

COUNTED: list[int] = []


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(case=graphs(size=14))
def find_planted_faults(case: Case) -> None:
    shapes = {name: case.shapes[name] for name in ("x",) if name in case.shapes}
    program = sg.compile(case.outputs, target="interp", level=1, shapes=shapes).program
    check_plan(program, {})
    segments = [s for s in live_segments(program) if s.nbytes > 0]
    for old in segments:
        for new in segments:
            # `old` is written before `new` and read after it: its bytes must not be touched.
            if new.root is old.root or not old.first < new.first < old.end - 1:
                continue
            at = program.plan.offset_of(old.root) + old.low - new.low
            moved = tuple((b, at if b is new.root else o) for b, o in program.plan.offsets)
            plan = replace(program.plan, offsets=moved, nbytes=program.plan.nbytes + 2**20)
            with pytest.raises(MemoryPlanError):
                check_plan(program.with_(plan=plan), {}, alignment=1)
            COUNTED.append(1)


def test_every_planted_fault_is_found() -> None:
    COUNTED.clear()
    find_planted_faults()
    assert len(COUNTED) > 20


def open_program():
    """Products and what follows them, over open rows: values in place and beside each other."""
    x = sg.var("x", ("N", 5))
    h = sg.linear(x, 7, sg.var("v", (7, 5)), use_bias=False, name="h")
    g = sg.linear(sg.tanh(h), 17, sg.var("w", (17, 7)), use_bias=False, name="g")
    y = sg.linear(sg.tanh(g), 3, sg.var("u", (3, 17)), use_bias=False, name="y")
    return sg.compile(y * sg.sum(h), target="interp", level=0).program


def moved(program, buffer, offset):
    offsets = tuple((b, offset if b is buffer else o) for b, o in program.plan.offsets)
    return program.with_(plan=replace(program.plan, offsets=offsets))


def test_a_buffer_outside_the_arena_or_between_two_places_is_found() -> None:
    program = open_program()
    sizes = {"N": 3}
    total = 64 * (10_000 // 64)
    for buffer, offset in program.plan.offsets:
        for wrong in (dims.add(offset, 4), -64, total):
            with pytest.raises(MemoryPlanError, match=rf"\[P3\] buffer {buffer.name} holds"):
                check_plan(moved(program, buffer, wrong), sizes)


def test_a_plan_that_is_wrong_at_large_sizes_only_is_found_there() -> None:
    """Offsets as they are for one row: more rows reach into each other."""
    program = open_program()
    alone = {DimVar("N"): 1}
    offsets = tuple((b, int(dims.evaluate(o, alone))) for b, o in program.plan.offsets)
    wrong = program.with_(plan=replace(program.plan, offsets=offsets))
    check_plan(wrong, {"N": 1})
    with pytest.raises(MemoryPlanError, match=r"\[P[45]\] buffers \w+ and \w+ overlap"):
        check_plan(wrong, {"N": 17})
    small = program.with_(plan=replace(program.plan, nbytes=128))
    check_plan(program, {"N": 17})
    with pytest.raises(MemoryPlanError, match=r"\[P3\]"):
        check_plan(small, {"N": 17})


def test_a_value_that_lies_partly_over_what_it_is_made_from_is_found() -> None:
    """In place means exactly over it; a granule beside it is not."""
    program = open_program()
    found = 0
    for step in program.steps:
        for source, target in step.in_place:
            old, new = step.arguments[source], step.arguments[target]
            if old.root.place == new.root.place == "arena" and old.type.nbytes == new.type.nbytes:
                offset = dims.add(program.plan.offset_of(old), 64)
                wrong = moved(program, new.root, offset)
                wide = wrong.with_(plan=replace(wrong.plan, nbytes=2**20))
                with pytest.raises(MemoryPlanError, match=r"\[P5\]"):
                    check_plan(wide, {"N": 17})
                found += 1
    assert found >= 2
