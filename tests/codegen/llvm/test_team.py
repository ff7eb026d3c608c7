"""The threads of a call: any `parallel_for` that calls every index gives the same bits."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import symgraph as sg
from symgraph.codegen.executable import Executable
from symgraph.codegen.llvm.pool import is_supported
from symgraph.codegen.llvm.runtime import LLVMRunner
from symgraph.errors import InputError, TargetError

Member = Callable[[int], None]
TASK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
PARALLEL_FOR = ctypes.CFUNCTYPE(None, ctypes.c_void_p, TASK, ctypes.c_void_p, ctypes.c_int64)
THREADS = 4


def in_order(member: Member, count: int) -> None:
    for index in range(count):
        member(index)


def backwards(member: Member, count: int) -> None:
    for index in reversed(range(count)):
        member(index)


def at_once(member: Member, count: int) -> None:
    threads = [threading.Thread(target=member, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def one_is_late(member: Member, count: int) -> None:
    def late() -> None:
        time.sleep(0.005)
        member(0)

    thread = threading.Thread(target=late)
    thread.start()
    at_once(lambda n: member(n + 1), count - 1)
    thread.join()


def given(executable: Executable, way: Callable[[Member, int], None]) -> object:
    """Make the executable call its members in this way; the result must be kept."""
    runner = executable._runner
    assert isinstance(runner, LLVMRunner)

    def parallel_for(pool: int | None, task: object, data: int | None, count: int) -> None:
        assert callable(task)
        way(lambda index: task(data, index, 0), count)

    callback = PARALLEL_FOR(parallel_for)
    runner._context.parallel_for = ctypes.cast(callback, ctypes.c_void_p).value
    return callback


def network() -> sg.Symbol:
    """Large and small steps, some of them independent, of extents that threads do not divide."""
    x = sg.var("x", (1, 3, 37, 29))
    h = sg.relu(sg.conv2d(x, 33, kernel_size=3, name="c1"))
    left = sg.conv2d(h, 17, kernel_size=1, name="left")
    right = sg.max_pool2d(h, 3, stride=1, padding=1)
    h = sg.concat([left, right], axis=1)
    h = sg.linear(sg.flatten(sg.global_avg_pool2d(h)), 11, name="fc")
    return sg.softmax(h, axis=-1)


@pytest.fixture(name="arrays", scope="module")
def make_arrays() -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    symbol = network()
    params = sg.init(symbol, seed=3)
    x = np.random.default_rng(5).standard_normal((1, 3, 37, 29)).astype("float32")
    alone = sg.compile(symbol, params=params, threads=1, cache=None)
    return params, x, alone(x=x)


@pytest.mark.parametrize("way", [in_order, backwards, at_once, one_is_late])
def test_any_way_to_call_every_index(way: Callable[[Member, int], None], arrays: tuple) -> None:
    params, x, expected = arrays
    executable = sg.compile(network(), params=params, threads=THREADS, cache=None)
    kept = given(executable, way)
    for _ in range(3):
        np.testing.assert_array_equal(executable(x=x), expected)
    assert kept is not None


@pytest.mark.parametrize("threads", [2, 3, 7, 40])
def test_the_pool_gives_the_same_bits(threads: int, arrays: tuple) -> None:
    params, x, expected = arrays
    executable = sg.compile(network(), params=params, threads=threads, cache=None)
    for _ in range(20):
        np.testing.assert_array_equal(executable(x=x), expected)


def test_the_work_is_shared(arrays: tuple) -> None:
    """While the first thread is kept outside, the others do everything."""
    params, x, expected = arrays
    executable = sg.compile(network(), params=params, threads=2, cache=None)
    results: list[bool] = []
    out = np.zeros_like(expected)

    def second_first(member: Member, count: int) -> None:
        assert count == 2
        member(1)
        results.append(bool((out == expected).all()))
        member(0)

    kept = given(executable, second_first)
    executable(x=x, out=out)
    assert results == [True]
    assert kept is not None


@pytest.mark.parametrize("rows", [0, 1, 2, 5, 311])
def test_open_extents(rows: int) -> None:
    x = sg.var("x", ("N", 70))
    symbol = sg.softmax(sg.linear(x, 130, name="fc"), axis=-1)
    params = sg.init(symbol, seed=1)
    a = np.random.default_rng(2).standard_normal((rows, 70)).astype("float32")
    alone = sg.compile(symbol, params=params, threads=1, cache=None)
    several = sg.compile(symbol, params=params, threads=3, cache=None)
    for _ in range(5):
        np.testing.assert_array_equal(several(x=a), alone(x=a))


def test_calls_at_the_same_time_share_one_pool(arrays: tuple) -> None:
    params, x, expected = arrays
    both = [sg.compile(network(), params=params, threads=2, cache=None) for _ in range(2)]
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(30):
            if not np.array_equal(both[number % 2](x=x), expected):
                wrong.append(number)

    callers = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(120)
    assert not any(caller.is_alive() for caller in callers)
    assert wrong == []


def test_each_call_chooses_its_threads(arrays: tuple) -> None:
    params, x, expected = arrays
    executable = sg.compile(network(), params=params, threads=1, cache=None)
    for threads in (3, 1, 2, 0):
        np.testing.assert_array_equal(executable.with_threads(threads)(x=x), expected)
    mine, other = executable._runner, executable.with_threads(2)._runner
    assert isinstance(mine, LLVMRunner) and isinstance(other, LLVMRunner)
    assert (mine.threads, other.threads) == (1, 2)
    assert other._constants.address == mine._constants.address
    with pytest.raises(InputError, match="with_threads needs a number >= 0, got -1"):
        executable.with_threads(-1)
    interpreted = sg.compile(network(), params=params, target="interp", cache=None)
    with pytest.raises(TargetError, match="does not choose threads"):
        interpreted.with_threads(2)


def test_state_is_shared_among_numbers_of_threads() -> None:
    count = sg.var("count", (5,))
    x = sg.var("x", (5,))
    start = {"count": np.zeros(5, np.float32)}
    executable = sg.compile(
        count * 2.0, params=start, training=True, updates={"count": count + x}, cache=None
    )
    one = np.ones(5, np.float32)
    executable(x=one)
    executable.with_threads(2)(x=one)
    np.testing.assert_array_equal(executable.parameters["count"], np.full(5, 2.0, np.float32))


FORK = """
import os, sys
sys.path.insert(0, {folder!r})
import numpy as np
import symgraph as sg
from tests.codegen.llvm.test_team import network
symbol = network()
params = sg.init(symbol, seed=3)
x = np.ones((1, 3, 37, 29), np.float32)
f = sg.compile(symbol, params=params, threads=2, cache=None)
expected = f(x=x)
child = os.fork()
good = all((f(x=x) == expected).all() for _ in range(10))
if child == 0:
    sys.exit(0 if good else 3)
status = os.waitpid(child, 0)[1]
sys.exit(os.waitstatus_to_exitcode(status) if good else 4)
"""


@pytest.mark.skipif(not is_supported(), reason="no native threads on this system")
def test_a_forked_child_computes_alone() -> None:
    script = FORK.format(folder=str(Path(__file__).resolve().parents[3]))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        timeout=120,
        capture_output=True,
        text=True,
        env={**os.environ, "SYMGRAPH_CACHE": ""},
    )
    assert (done.returncode, done.stderr) == (0, "")
