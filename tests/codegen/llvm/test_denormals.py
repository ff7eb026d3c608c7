"""Numbers below the normal ones: kept by default, taken for zero where that is asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import symgraph as sg
from symgraph.codegen.llvm.builder import ModuleBuilder
from symgraph.codegen.llvm.denormals import in_mode
from symgraph.codegen.llvm.machine import machine
from symgraph.errors import AttributeValueError

LEAST = np.finfo(np.float32).smallest_normal
needs_mode = pytest.mark.skipif(
    not machine(None).triple.startswith(("x86_64", "aarch64", "arm64")),
    reason="this processor has no such mode",
)


def _masked(denormals: str, threads: int = 1, **options) -> np.ndarray:
    """Products of a softmax over scores of which half are masked with -100."""
    x, m = sg.var("x", ("N", 33, 17)), sg.var("m", (33,))
    scores = sg.softmax(sg.matmul(x, x, transpose_y=True) * 0.01 + m)
    f = sg.compile(scores, denormals=denormals, threads=threads, **options)
    mask = np.where(np.arange(33) % 2, -100, 0).astype(np.float32)
    rows = np.random.default_rng(0).random((65, 33, 17)).astype(np.float32)
    return np.array(f(x=rows, m=mask))


@needs_mode
@pytest.mark.parametrize("threads", [1, 2])
def test_they_are_zero_where_that_is_asked_for(threads: int, tmp_path: Path) -> None:
    kept = _masked("keep", threads, cache=str(tmp_path))
    zero = _masked("zero", threads, cache=str(tmp_path))
    small = (kept > 0) & (kept < LEAST)
    assert small.any()
    assert not zero[small].any()
    np.testing.assert_array_equal(zero[~small], kept[~small])


@needs_mode
def test_the_calling_thread_keeps_its_own_mode() -> None:
    f = sg.compile(sg.var("x", (3,)) * 0.5, denormals="zero")
    x = np.array([LEAST, 1, 2 * LEAST], np.float32)
    np.testing.assert_array_equal(f(x), [0, 0.5, LEAST])
    assert (x * np.float32(0.5))[0] > 0


def test_strict_programs_keep_them() -> None:
    f = sg.compile(sg.var("x", (3,)) * 0.5, denormals="zero", strict=True)
    assert f(np.full(3, LEAST, np.float32)).min() > 0
    assert "_flushed" not in f.text


@pytest.mark.parametrize(
    ("platform", "mode"),
    [("x86_64-linux", "llvm.x86.sse.ldmxcsr"), ("aarch64-linux", "llvm.aarch64.set.fpcr"),
     ("wasm32", "")],
)  # fmt: skip
def test_shipped_objects_too(platform: str, mode: str, tmp_path: Path) -> None:
    module = ModuleBuilder()
    made = replace(machine(None, platform), flushes=True)
    name = in_mode(module, made, "f_body", "ptr %x")
    assert name == ("f_body_flushed" if mode else "f_body")
    assert [mode in text for text in module.functions] == ([True] if mode else [])
    y = sg.softmax(sg.var("x", ("N", 5)))
    both = [
        Path(sg.export(y, tmp_path / d / "net", target=platform, denormals=d).files["o"])
        for d in ("keep", "zero")
    ]
    assert (both[0].read_bytes() != both[1].read_bytes()) == bool(mode)


def test_another_word_is_refused() -> None:
    with pytest.raises(AttributeValueError, match="denormals must be keep or zero, got 'flush'"):
        sg.compile(sg.var("x", (3,)) * 0.5, denormals="flush")


def test_kept_bodies_are_called_as_they_are() -> None:
    module = ModuleBuilder()
    assert in_mode(module, machine(None), "f_body", "ptr %x") == "f_body"
    assert not module.functions
