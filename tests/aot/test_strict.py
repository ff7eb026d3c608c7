"""Strict objects: the same bits on every processor, for every number of threads and batch split."""

from __future__ import annotations

import hashlib
import shutil

import numpy as np
import pytest

import symgraph as sg
from symgraph.codegen.llvm.machine import machine

from .c_program import FLAGS, build, main_text, run
from .models import batch
from .test_foreign_programs import PROCESSORS
from .web_program import webassembly

SHAPE = (2, 17, 13)


def network() -> tuple[sg.Symbol, dict[str, np.ndarray]]:
    """Convolutions, transcendental functions, normalising sums: what usually differs."""
    x = sg.var("x", ("N", *SHAPE))
    h = sg.tanh(sg.conv2d(x, 6, kernel_size=3, name="conv1"))
    h = sg.max_pool2d(h, 2)
    h = sg.exp(sg.conv2d(h, 10, kernel_size=3, name="conv2") * 0.5)
    h = sg.linear(sg.flatten(h), 33, name="fc1")
    y = sg.softmax(sg.linear(h * sg.sigmoid(h), 11, name="fc2") * 0.1)
    return y, sg.init(y, seed=9)


@pytest.fixture(scope="module")
def expected():
    y, params = network()
    function = sg.compile(y, params=params, strict=True, threads=1)
    x = batch(3, SHAPE)
    return x, function(x=x)


def digest(array: np.ndarray) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


@pytest.mark.parametrize("cpu", ["x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4", None])
def test_every_level_of_x86(cpu, expected, tmp_path):
    y, params = network()
    host = machine(None)
    if not host.triple.startswith("x86_64"):
        pytest.skip("needs an x86-64 processor")
    if cpu is not None and not set(machine(cpu).features) <= set(host.features):
        pytest.skip(f"this processor is below {cpu}")
    x, want = expected
    function = sg.compile(y, params=params, strict=True, cpu=cpu, threads=1)
    assert digest(function(x=x)) == digest(want)


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_every_number_of_threads(threads, expected):
    y, params = network()
    x, want = expected
    function = sg.compile(y, params=params, strict=True, threads=threads)
    assert digest(function(x=x)) == digest(want)


def test_every_batch_split(expected):
    y, params = network()
    function = sg.compile(y, params=params, strict=True, threads=1)
    x = np.concatenate([batch(n, SHAPE) for n in (3, 1, 5, 2)])
    whole = function(x=x)
    for size in (1, 2, 4, 7, 11):
        parts = [function(x=x[i : i + size]) for i in range(0, len(x), size)]
        assert digest(np.concatenate(parts)) == digest(whole)
    fixed = sg.compile(y, params=params, strict=True, shapes={"x": x.shape}, threads=1)
    assert digest(fixed(x=x)) == digest(whole)


@pytest.mark.parametrize("platform", PROCESSORS)
def test_other_processors(platform, expected, tmp_path):
    compiler, emulator = PROCESSORS[platform]
    for tool in (compiler, emulator):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}")
    y, params = network()
    x, want = expected
    artifact = sg.export(y, tmp_path / "net", params=params, target=platform, strict=True)
    program = build(artifact, main_text(artifact), compiler=compiler, flags=(*FLAGS, "-static"))
    assert digest(run(program, x, want.shape, emulator)) == digest(want)


def test_webassembly(expected, tmp_path):
    y, params = network()
    x, want = expected
    program = webassembly(y, params, tmp_path, strict=True)
    assert digest(program(x, want.shape)) == digest(want)


def test_denormal_numbers_too(expected, tmp_path):
    """Tiny inputs: no processor may take them for zero."""
    platform = "armv7-linux"
    compiler, emulator = PROCESSORS[platform]
    for tool in (compiler, emulator):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}")
    x = sg.var("x", ("N", 7))
    y = x * 0.5 + x * x
    function = sg.compile(y, strict=True, threads=1)
    tiny = batch(5, (7,)) * np.float32(1e-39)
    artifact = sg.export(y, tmp_path / "net", target=platform, strict=True)
    program = build(artifact, main_text(artifact), compiler=compiler, flags=(*FLAGS, "-static"))
    want = function(x=tiny)
    assert (want != 0).all()
    assert digest(run(program, tiny, want.shape, emulator)) == digest(want)
