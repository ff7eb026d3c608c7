"""Loops on every target: any number of steps, memory inside and across them, shipped too."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.codegen.target import find_target, target_names
from symgraph.ir.live_ranges import live_ranges, loop_ranges
from symgraph.ir.program import RepeatStep
from symgraph.passes.plan_memory import check_plan

TARGETS = [
    pytest.param(n, marks=pytest.mark.skipif(
        find_target(n).available() is not None, reason=f"{n} cannot be used here"))
    for n in target_names()
]  # fmt: skip
RNG = np.random.default_rng(5)


def array(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def lstm(units: int, features: int) -> sg.Group:
    x, h, c = (
        sg.var("x", ("T", "N", features)),
        sg.var("h", ("N", units)),
        sg.var("c", ("N", units)),
    )

    def step(x: sg.Symbol, h: sg.Symbol, c: sg.Symbol) -> tuple[object, sg.Symbol]:
        after = sg.lstm_cell(x, h, c, units, name="cell")
        return after, after[0]

    (h, c), ys = sg.scan(step, x, (h, c))
    return sg.group(ys, h, c)


def reference(params: dict[str, np.ndarray], x: np.ndarray, h: np.ndarray, c: np.ndarray) -> list:
    rows = []
    for step in x:
        z = step @ params["cell_weight"].T + params["cell_bias"]
        i, f, g, o = np.split(z + h @ params["cell_recurrent_weight"].T, 4, axis=1)
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        h = np.tanh(c) / (1 + np.exp(-o))
        rows.append(h)
    return [np.stack(rows) if rows else np.zeros((0, *h.shape), np.float32), h, c]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("units", "features"), [(5, 3), (17, 33), (16, 1)])
def test_one_executable_for_any_steps_and_batch(target: str, units: int, features: int) -> None:
    network = lstm(units, features)
    params = sg.init(network, seed=1)
    f = sg.compile(network, params=params, target=target, verify=2)
    for steps, n in ((5, 2), (1, 1), (0, 3), (4, 0), (2, 33)):
        arrays = {"x": array(steps, n, features), "h": array(n, units), "c": array(n, units)}
        for got, expected in zip(f(**arrays), reference(params, **arrays), strict=True):
            np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("target", TARGETS)
def test_the_bits_do_not_depend_on_the_threads(target: str) -> None:
    network = lstm(48, 32)
    params = sg.init(network, seed=2)
    arrays = {"x": array(7, 64, 32), "h": array(64, 48), "c": array(64, 48)}
    results = [
        sg.compile(network, params=params, target=target, threads=threads)(**arrays)
        for threads in (1, 2)
    ]
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("target", TARGETS)
def test_a_counter_reaches_every_kernel(target: str) -> None:
    """Reverse, steps along the second axis, a loop in a loop."""
    x, h = sg.var("x", ("N", "T", "S", 3)), sg.var("h", ("N", 3))

    def inner(x: sg.Symbol, h: sg.Symbol) -> tuple[sg.Symbol, sg.Symbol]:
        after = h * 0.5 + x
        return after, after

    def outer(rows: sg.Symbol, h: sg.Symbol) -> tuple[sg.Symbol, sg.Symbol]:
        return sg.scan(inner, rows, h, axis=1)

    last, ys = sg.scan(outer, x, h, axis=1, reverse=True)
    f = sg.compile(sg.group(last, ys), target=target)
    xs, hs = array(2, 3, 4, 3), array(2, 3)
    state, expected = hs, np.zeros_like(xs)
    for t in (2, 1, 0):
        for s in range(4):
            state = state * np.float32(0.5) + xs[:, t, s]
            expected[:, t, s] = state
    got = f(x=xs, h=hs)
    np.testing.assert_allclose(got[0], state, rtol=1e-6)
    np.testing.assert_allclose(got[1], expected, rtol=1e-6)


def test_memory_inside_and_across_a_loop() -> None:
    """What a step keeps to itself lies over what another one does; what is carried over nothing."""
    x, h, w = sg.var("x", (5, 64, 16)), sg.var("h", (64, 16)), sg.var("w", (16, 16))

    def step(x: sg.Symbol, h: sg.Symbol) -> tuple[sg.Symbol, sg.Symbol]:
        a = sg.matmul(h, w)
        b = sg.matmul(sg.tanh(a), w)
        c = sg.matmul(sg.exp(b), w)
        return sg.tanh(sg.matmul(c, w) + x), None

    last, _ = sg.scan(step, x, h)
    f = sg.compile(sg.exp(last), target="interp", level=1, verify=2)
    program = f.program
    check_plan(program, {})
    (loop,) = [s for s in program.steps if isinstance(s, RepeatStep)]
    (place,) = loop_ranges(program)
    assert place.end - place.start == len(loop.steps)
    ranges = live_ranges(program)
    ring = [b for b in place.kept if b.name.endswith("_h")]
    assert len(ring) == 1 and ranges[ring[0]][0] < place.start and ranges[ring[0]][1] > place.end
    assert program.plan is not None and program.plan.proved
    slot = 64 * 16 * 4
    # Two slots of state and two intermediates at a time, of the seven that a step makes.
    assert program.plan.nbytes == 4 * slot


def test_profiles_show_a_loop_as_one_step() -> None:
    network = lstm(5, 3)
    f = sg.compile(network, params=sg.init(network, seed=1), target="llvm", profile=True)
    times = f.profile(x=array(4, 2, 3), h=array(2, 5), c=array(2, 5))
    (loop,) = [t for t in times if t.operators == ("scan",)]
    assert loop.time_ns > 0 and loop.flops > 4 * 2 * 5 * 4 * 5 * 2
