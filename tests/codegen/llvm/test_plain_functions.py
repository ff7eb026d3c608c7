"""Plain functions mean the same as machine code as they do in Python."""

from __future__ import annotations

import math
import random
from typing import NamedTuple

import numpy as np
import pytest

from benchmarks.memory.hard_cases import CASES, build
from symgraph.codegen.llvm.plain_functions import module_text, native
from symgraph.codegen.native import NativeEngine
from symgraph.errors import InternalError
from symgraph.kernel.memory.evolve import Evolution, View
from symgraph.kernel.memory.grow import HELPERS, grow
from symgraph.kernel.memory.heuristics import portfolio
from symgraph.kernel.memory.problem import components
from symgraph.kernel.plain import Floats, Ints, SmallInts, interpreted

LIMIT = 7


class Pair(NamedTuple):
    count: int
    scale: float
    values: Ints


def halved(n: int) -> int:
    if n < 0:
        return -1
    return n // 2


def everything(pair: Pair, small: SmallInts, shares: Floats, flag: bool, shift: int) -> int:
    total = 0
    for i in range(pair.count):
        if i == 2 and not flag:
            continue
        if i > LIMIT or (pair.values[i] < -50 and flag):
            break
        total += pair.values[i] // 3 + pair.values[i] % 5 - abs(pair.values[i])
        small[i] = (total & 1023) ^ (i << 2) | 1
        shares[i] = math.sqrt(float(i)) * pair.scale + (total / 2 if i % 2 == 0 else -0.5)
        total = max(total, -1000) + halved(i)
    k = 0
    while True:
        k += 1
        if k >= 5 or (shares[0] > 1e9 and shares[1] > 0.0):
            break
        total -= min(k, shift) >> 1
    shares[0] = -shares[0]
    return total + int(shares[1] * 8.0)


def without_text(values: Ints) -> int:
    values[0] += values[1]
    return values[0]


@pytest.mark.parametrize("flag", [False, True])
@pytest.mark.parametrize("count", [0, 1, 5, 11])
def test_machine_code_agrees_with_python(count: int, flag: bool) -> None:
    rng = random.Random(count)
    results = []
    values = np.array([rng.randint(-40, 40) for _ in range(count)] + [-99], np.int64)
    for engine in (interpreted, NativeEngine()):
        small, shares = np.zeros(12, np.int32), np.ones(12)
        run = engine(everything, (halved,))
        result = run(Pair(count, 1.25, values.copy()), small, shares, flag, -3)
        results.append((result, small.tolist(), shares.tolist()))
    assert results[0] == results[1]


def calls_outside(n: int) -> int:
    return len([n])


def assigns_array(values: Ints) -> int:
    values = 3
    return values


def divides_floats(x: float) -> float:
    return x // 2.0


def takes_text(name: str) -> int:
    return 0


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (calls_outside, "len is not a plain function that was given"),
        (assigns_array, "an array parameter is assigned to"),
        (divides_floats, "FloorDiv is for integers"),
        (takes_text, "name: str is unknown; expected int"),
    ],
)
def test_what_is_not_plain_is_refused_with_its_place(function, message: str) -> None:
    with pytest.raises(InternalError, match=message):
        module_text(function, ())


def test_arguments_must_be_what_the_signature_says() -> None:
    run = native(everything, (halved,), None)
    pair = Pair(1, 1.0, np.zeros(3, np.int32))
    with pytest.raises(InternalError, match=r"pair.values: a contiguous array of int64"):
        run(pair, np.zeros(3, np.int32), np.zeros(3), True, 0)
    with pytest.raises(InternalError, match="1 arguments for 7 parameters"):
        run(3)


def test_the_object_is_kept_and_needs_nothing_from_outside(tmp_path) -> None:
    text = module_text(grow, HELPERS)
    assert text == module_text(grow, HELPERS)
    run = native(everything, (halved,), str(tmp_path))
    (kept,) = tmp_path.rglob("*.o")
    assert b"memcpy" not in kept.read_bytes() and b"memset" not in kept.read_bytes()
    pair = Pair(1, 1.0, np.array([-7, -99], np.int64))
    assert run(pair, np.zeros(2, np.int32), np.zeros(2), True, 0) == -3 + 3 - 7


def test_a_search_takes_the_same_steps_in_python_and_as_machine_code() -> None:
    """A case that greedy orders miss: same packings, same work, to the entry."""
    (problem,) = components(build(CASES[0]))
    found = []
    for engine in (interpreted, NativeEngine()):
        packing = portfolio(problem)
        evolution = Evolution(packing.offsets, packing.peak, problem.bound, engine, 0)
        evolution.run(problem, [View(problem, ())], 300_000, lambda: False)
        found.append((evolution.offsets.tolist(), evolution.peak, evolution.work, evolution.tries))
    assert found[0] == found[1] and found[0][2] > 300_000


def test_functions_without_their_text_are_interpreted(monkeypatch) -> None:
    def missing(function: object) -> str:
        raise OSError("could not get source code")

    monkeypatch.setattr("inspect.getsource", missing)
    run = NativeEngine()(without_text, ())
    array = np.array([3, 4], np.int64)
    assert run(array) == 7
    assert array.tolist() == [7, 4]
