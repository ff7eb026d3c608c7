"""Python's collector while the compiler works."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import symgraph as sg
from symgraph import garbage
from symgraph.garbage import SELDOM, seldom_collected


@pytest.fixture
def thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_the_setting_comes_back_after_the_last(thresholds: None) -> None:
    gc.set_threshold(701, 11, 12)
    first, second = seldom_collected(), seldom_collected()
    first.__enter__()
    assert gc.get_threshold() == (SELDOM, 11, 12)
    second.__enter__()
    first.__exit__(None, None, None)
    assert gc.get_threshold() == (SELDOM, 11, 12)
    second.__exit__(None, None, None)
    assert gc.get_threshold() == (701, 11, 12)


@pytest.mark.parametrize("own", [0, SELDOM + 7])
def test_a_user_who_collects_less_often_is_left_alone(thresholds: None, own: int) -> None:
    gc.set_threshold(own, 11, 12)
    with seldom_collected():
        assert gc.get_threshold() == (own, 11, 12)
    assert gc.get_threshold() == (own, 11, 12)


def test_compiling_leaves_the_setting_alone_also_where_it_fails(thresholds: None) -> None:
    gc.set_threshold(701, 11, 12)
    x = sg.var("x", (3, 5))
    sg.compile(sg.relu(x), target="interp")
    assert gc.get_threshold() == (701, 11, 12)
    with pytest.raises(sg.errors.InputError):
        sg.compile(sg.relu(x), params={"weigth": 1.0}, target="interp")
    assert gc.get_threshold() == (701, 11, 12)


def test_simplifying_an_index_leaves_no_cycle() -> None:
    from symgraph.kernel import dims

    i = dims.LoopVar("i")
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for n in range(2, 9):
            dims.simplify((i + 13) // n + (i % n), {i: (0, 40)})
        gc.collect()
        # Other threads of the process may leave garbage of their own.
        assert not [x for x in gc.garbage if type(x).__module__.startswith("symgraph")]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def test_pages_go_back_once_enough_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(garbage, "give_back", lambda: calls.append(1))
    freed = garbage.GivenBack()
    freed.freed(garbage.WORTH_GIVING_BACK - 1)
    assert not calls
    freed.freed(1)
    assert len(calls) == 1
    freed.freed(1)
    assert len(calls) == 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_pages_between_others_go_back() -> None:
    """What lies freed among memory in use is the system's again."""

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    if garbage._trim() is None:
        pytest.skip("another C library than glibc")
    arrays = [np.ones(96 << 10, np.uint8) for _ in range(1200)]
    kept = arrays[::2]
    del arrays
    before = resident()
    garbage.give_back()
    assert before - resident() > 20 << 20
    assert len(kept) == 600
