"""The thread pool: every index once, whoever calls, however often, also after a fork."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from symgraph.codegen.llvm.pool import ThreadPool, get_pool, is_supported

TASK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
PARALLEL_FOR = ctypes.CFUNCTYPE(None, ctypes.c_void_p, TASK, ctypes.c_void_p, ctypes.c_int64)
THREADS = 3
threaded = pytest.mark.skipif(not is_supported(), reason="no native threads on this system")


@pytest.fixture(name="pool")
def open_pool() -> Iterator[ThreadPool]:
    pool = ThreadPool(THREADS)
    yield pool
    pool.close()


def run(pool: ThreadPool, count: int) -> tuple[np.ndarray, np.ndarray]:
    """How often each index ran, and on which thread."""
    hits = np.zeros(count, "int64")
    threads = np.full(count, -1, "int64")

    def task(data: int | None, index: int, thread: int) -> None:
        hits[index] += 1
        threads[index] = thread

    PARALLEL_FOR(pool.parallel_for_pointer)(pool.pool_pointer, TASK(task), None, count)
    return hits, threads


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 1000])
def test_every_index_runs_once(pool: ThreadPool, count: int) -> None:
    for _ in range(20):
        hits, threads = run(pool, count)
        assert (hits == 1).all()
        assert (threads >= 0).all()
        assert (threads < pool.threads).all()


def test_negative_count_runs_nothing(pool: ThreadPool) -> None:
    called: list[int] = []
    task = TASK(lambda data, index, thread: called.append(index))
    PARALLEL_FOR(pool.parallel_for_pointer)(pool.pool_pointer, task, None, -5)
    assert called == []


def run_at_once(pool: ThreadPool, count: int) -> list[int]:
    """The thread of each index, when none returns before all have begun."""
    threads = [-1] * count
    everybody = threading.Barrier(count)

    def task(data: int | None, index: int, thread: int) -> None:
        threads[index] = thread
        everybody.wait(60)

    PARALLEL_FOR(pool.parallel_for_pointer)(pool.pool_pointer, TASK(task), None, count)
    return threads


@threaded
def test_all_threads_work_at_once_and_the_first_index_is_the_callers(pool: ThreadPool) -> None:
    for _ in range(5):
        threads = run_at_once(pool, THREADS)
        assert threads[0] == 0
        assert sorted(threads) == [0, 1, 2]


@threaded
def test_two_callers_share_the_workers(pool: ThreadPool) -> None:
    """Each gets one of the two workers: four threads are at work at once."""
    everybody = threading.Barrier(4)
    seen: list[int] = []

    def task(data: int | None, index: int, thread: int) -> None:
        seen.append(thread)
        everybody.wait(60)

    def call() -> None:
        PARALLEL_FOR(pool.parallel_for_pointer)(pool.pool_pointer, TASK(task), None, 2)

    callers = [threading.Thread(target=call) for _ in range(2)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert not any(caller.is_alive() for caller in callers)
    assert sorted(seen) == [0, 0, 1, 2]


@threaded
def test_workers_that_went_to_sleep_come_back(pool: ThreadPool) -> None:
    for _ in range(3):
        time.sleep(0.02)  # longer than any spinning
        assert sorted(run_at_once(pool, THREADS)) == [0, 1, 2]


@threaded
def test_data_reaches_the_task(pool: ThreadPool) -> None:
    seen: list[int | None] = []
    task = TASK(lambda data, index, thread: seen.append(data))
    PARALLEL_FOR(pool.parallel_for_pointer)(pool.pool_pointer, task, 4096, 5)
    assert seen == [4096] * 5


def test_several_callers_at_once(pool: ThreadPool) -> None:
    failures: list[int] = []

    def call() -> None:
        for count in (1, 7, 100) * 20:
            hits, _ = run(pool, count)
            if not (hits == 1).all():
                failures.append(count)

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert not any(caller.is_alive() for caller in callers)
    assert failures == []


def test_nested_calls_run_every_index(pool: ThreadPool) -> None:
    hits = np.zeros((5, 7), "int64")

    def outer(data: int | None, row: int, thread: int) -> None:
        def inner(data: int | None, column: int, thread: int) -> None:
            hits[row, column] += 1

        PARALLEL_FOR(pool.parallel_for_pointer)(pool.pool_pointer, TASK(inner), None, 7)

    PARALLEL_FOR(pool.parallel_for_pointer)(pool.pool_pointer, TASK(outer), None, 5)
    assert (hits == 1).all()


@threaded
def test_growing_keeps_the_pointers(pool: ThreadPool) -> None:
    pointer = pool.pool_pointer
    pool.grow(5)
    pool.grow(2)
    assert (pool.threads, pool.pool_pointer) == (5, pointer)
    assert sorted(run_at_once(pool, 5)) == [0, 1, 2, 3, 4]


def test_a_closed_pool_runs_inline(pool: ThreadPool) -> None:
    pool.close()
    pool.close()
    pool.grow(4)
    hits, threads = run(pool, 9)
    assert (hits == 1).all()
    assert (threads == 0).all()
    assert pool.threads == 1


def test_no_threads_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one thread, not 0"):
        ThreadPool(0)


def test_the_shared_pool_is_one() -> None:
    assert get_pool(1) is get_pool(1)
    assert get_pool(2).threads >= (2 if is_supported() else 1)


FORK = """
import ctypes, os, sys
sys.path.insert(0, {folder!r})
from tests.codegen.llvm.test_thread_pool import run
from symgraph.codegen.llvm.pool import ThreadPool, get_pool, is_supported
pool, shared = ThreadPool(3), get_pool(2)
assert (run(pool, 50)[0] == 1).all()
child = os.fork()
if child == 0:
    hits, threads = run(pool, 50)
    good = (hits == 1).all() and (threads == 0).all() and pool.threads == 1
    fresh = get_pool(2)
    good = good and fresh is not shared and (run(fresh, 50)[0] == 1).all()
    good = good and fresh.threads == (2 if is_supported() else 1)
    pool.close()
    sys.exit(0 if good else 3)
status = os.waitpid(child, 0)[1]
assert (run(pool, 50)[0] == 1).all()
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_goes_on() -> None:
    # In a process of its own: pytest may hold other threads, and this ends interpreters that have
    # live workers, which must neither hang nor crash.
    script = FORK.format(folder=str(Path(__file__).resolve().parents[3]))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], timeout=60, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
