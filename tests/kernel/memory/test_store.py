"""Plans kept on disk: found again for any problem of the same form, believed only when whole."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.memory.hard_cases import CASES, build
from symgraph.codegen.native import NativeEngine
from symgraph.kernel.memory import Interval, Means, PlanStore, check, forget_plans, place
from symgraph.kernel.memory.canonical import Canonical
from symgraph.kernel.memory.store import Solution

planner = sys.modules["symgraph.kernel.memory.place"]


def pieces(step: int = 1, times: int = 1, reverse: bool = False) -> list[Interval]:
    """A rectangle cut into pieces that no greedy order puts together again, so that a plan of them
    is worth keeping; `step` stretches time, `times` sizes."""
    found = [
        Interval(f"{b.name}{step}", 7 + step * b.start, 7 + step * b.end, times * b.nbytes,
                 times * b.alignment)
        for b in build(CASES[0])
    ]  # fmt: skip
    return found[::-1] if reverse else found


@pytest.fixture
def means(tmp_path: Path) -> Means:
    forget_plans()
    return Means(NativeEngine(), PlanStore(str(tmp_path), "1"))


@pytest.fixture
def solved(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with each problem that is solved."""
    calls: list[int] = []
    original = planner._plan_parts
    monkeypatch.setattr(planner, "_plan_parts",
                        lambda *arguments: calls.append(1) or original(*arguments))  # fmt: skip
    return calls


def test_times_units_names_and_order_do_not_matter(means: Means, solved: list[int]) -> None:
    first = place(pieces(), means=means)
    assert first.ratio == 1.0 and len(solved) == 1
    for other in (pieces(step=3), pieces(times=3), pieces(reverse=True)):
        forget_plans()
        plan = place(other, means=means)
        check(other, plan.offsets, plan.total_nbytes)
        assert plan.ratio == 1.0 and plan.method == first.method
    assert len(solved) == 1
    forget_plans()
    place(pieces(), means=Means(means.engine, PlanStore(means.store.folder, "2")))
    place(pieces(), means=means, work_limit=500_000_000)
    assert len(solved) == 3, "another planner, and another limit, make their own"


def test_a_kept_plan_is_the_plan_that_is_made(means: Means) -> None:
    made = place(pieces(), means=Means(means.engine))
    assert place(pieces(), means=means) == made
    forget_plans()
    assert place(pieces(), means=means) == made


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "overlap", "short", "text"])
def test_a_damaged_plan_is_made_again(means: Means, solved: list[int], damage: str) -> None:
    expected = place(pieces(), means=means)
    store = means.store
    (path,) = Path(store.folder).rglob("*.plan")
    data = path.read_bytes()
    question = (Canonical.of(pieces()).buffers, planner.WORK_LIMIT, 0)
    kept = store.load(question)
    if damage == "cut":
        path.write_bytes(data[:-3])
    elif damage == "bit":
        path.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "overlap":
        store.save(question, Solution((0,) * len(kept.offsets), kept.peak, kept.least, "wrong"))
    elif damage == "short":
        store.save(question, Solution(kept.offsets[1:], kept.peak, kept.least, "wrong"))
    else:
        store.save(question, Solution(("x",), kept.peak, kept.least, "wrong"))
    forget_plans()
    assert place(pieces(), means=means) == expected and len(solved) == 2
    assert path.read_bytes() == data, "and kept again"


def test_what_a_greedy_order_solves_is_not_kept(means: Means) -> None:
    place([Interval(f"b{i}", i, i + 2, 64) for i in range(9)], means=means)
    assert not list(Path(means.store.folder).rglob("*"))


def test_a_folder_that_cannot_be_written_to_keeps_nothing(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("no folder")
    forget_plans()
    plan = place(pieces(), means=Means(NativeEngine(), PlanStore(str(file), "1")))
    assert plan.ratio == 1.0 and file.read_text() == "no folder"


def test_the_canonical_form_leaves_out_empty_buffers() -> None:
    form = Canonical.of((Interval("z", 0, 9, 0), Interval("b", 4, 9, 65), Interval("a", 2, 5, 1)))
    assert form.buffers == ((0, 2, 1, 1), (1, 3, 2, 1))
    assert form.places == (None, 1, 0) and form.offsets((0, 1)) == (0, 64, 0)
    assert Canonical.of(()).buffers == ()
