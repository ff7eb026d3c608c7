"""Loops in shipped objects: any number of steps, the bits of Python."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg

from .c_program import build, main_text, needs_cc, run
from .test_c_programs import CPU, is_x86


def recurrent() -> tuple[sg.Symbol, dict[str, np.ndarray]]:
    """The extent N is the number of steps."""
    x = sg.var("x", ("N", 3))
    zeros = sg.zeros((1, 17))

    def step(x: sg.Symbol, h: sg.Symbol, c: sg.Symbol) -> tuple[object, sg.Symbol]:
        after = sg.lstm_cell(sg.reshape(x, (1, 3)), h, c, 17, name="cell")
        return after, sg.linear(after[0], 5, name="head")

    _, ys = sg.scan(step, x, (zeros, zeros))
    y = sg.reshape(ys, (-1, 5))
    return y, sg.init(y, seed=1)


def batch(steps: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(steps, 3)).astype(np.float32)


@pytest.mark.skipif(not is_x86(), reason="runs x86-64 Linux programs")
@needs_cc
def test_a_c_program_runs_any_number_of_steps(tmp_path):
    y, params = recurrent()
    artifact = sg.export(y, tmp_path / "net", params=params, cpu=CPU)
    expected = sg.compile(y, params=params, cpu=CPU, threads=1)
    program = build(artifact, main_text(artifact))
    for steps in (5, 1, 0, 33):
        x = batch(steps)
        want = expected(x=x)
        assert run(program, x, want.shape).tobytes() == want.tobytes()


@pytest.mark.parametrize("threads", [1, 2])
def test_a_loaded_object_serves_any_steps_and_batch(threads, tmp_path):
    x = sg.var("x", ("N", "T", 3))
    y, last = sg.lstm(x, 5, layers=2)
    network = sg.group(y, last[1][0])
    params = sg.init(network, seed=1)
    artifact = sg.export(network, tmp_path / "net", params=params, target="native")
    loaded = sg.load(artifact.files["o"], threads=threads)
    expected = sg.compile(network, params=params, threads=1)
    for n, steps in ((1, 1), (2, 5), (17, 3), (0, 4), (3, 0)):
        array = np.random.default_rng(n).normal(size=(n, steps, 3)).astype(np.float32)
        for got, want in zip(loaded(x=array), expected(x=array), strict=True):
            assert got.tobytes() == want.tobytes()


def test_a_selftest_looks_at_what_a_loop_leaves_behind(tmp_path):
    y, params = recurrent()
    artifact = sg.export(y, tmp_path / "net", params=params, target="native", selftest=True)
    assert sg.load(artifact.files["o"])(x=batch(4)).shape == (4, 5)
