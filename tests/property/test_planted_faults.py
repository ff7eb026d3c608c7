"""A buffer moved over one that is still needed is always found."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings

import symgraph as sg
from symgraph.errors import MemoryPlanError
from symgraph.ir.live_ranges import live_segments
from symgraph.ir.verify_program import check_plan

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
