"""The LLVM target as a whole: deterministic text, one object, threads, open extents, the cache."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest

import symgraph as sg
from symgraph.codegen.executable import Executable
from symgraph.codegen.llvm import abi, objects
from symgraph.codegen.llvm.machine import machine
from symgraph.codegen.llvm.platform import X86_LEVELS
from symgraph.codegen.llvm.target import TARGET
from symgraph.compiler import compile
from symgraph.errors import TargetError
from symgraph.options import Options
from tests.support.toys import HostDouble


def two_layers(batch: object = "N") -> sg.Symbol:
    x = sg.var("x", (batch, 37))
    return sg.linear(sg.linear(x, 33, name="first"), 10, name="second")


def arrays(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    shapes = {"x": (count, 37), "first_weight": (33, 37), "first_bias": (33,),
              "second_weight": (10, 33), "second_bias": (10,)}  # fmt: skip
    return {name: random.normal(size=s).astype(np.float32) for name, s in shapes.items()}


def build(level: int = 2, threads: int = 1, cache: str | None = None) -> Executable:
    options = Options(target="llvm", cache=cache, level=level, threads=threads)
    return compile(two_layers(), options=options)


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("count", [0, 1, 2, 17, 33])
def test_one_executable_serves_every_batch(level: int, count: int) -> None:
    expected = compile(two_layers(), target="interp", options=Options(cache=None))
    given = arrays(count)
    np.testing.assert_allclose(build(level)(**given), expected(**given), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("level", [0, 2])
def test_text_is_the_same_each_time(level: int) -> None:
    assert build(level).text == build(level).text


@pytest.mark.parametrize("level", [0, 1, 2])
def test_threads_do_not_change_bits(level: int) -> None:
    given = arrays(515)
    alone, shared = build(level, threads=1), build(level, threads=2)
    many = build(level, threads=5)
    result = alone(**given)
    np.testing.assert_array_equal(shared(**given), result)
    np.testing.assert_array_equal(many(**given), result)


@pytest.mark.skipif(shutil.which("nm") is None, reason="needs nm")
@pytest.mark.parametrize("cpu", [None, *X86_LEVELS])
def test_objects_need_no_symbol(cpu: str | None, tmp_path: Path) -> None:
    options = Options(cache=None, cpu=cpu)
    executable = compile(two_layers(), options=options)
    body = TARGET.object(executable.program, executable.text, options)
    path = tmp_path / "net.o"
    path.write_bytes(body)
    shown = subprocess.run(["nm", "-u", str(path)], capture_output=True, text=True, check=True)
    assert shown.stdout == ""
    defined = subprocess.run(["nm", "-g", str(path)], capture_output=True, text=True, check=True)
    assert defined.stdout.split()[-1] == "model_run"


def test_unknown_cpu_is_an_error() -> None:
    with pytest.raises(TargetError, match="unknown cpu 'pentium'; known are host, x86-64"):
        machine("pentium")


def test_cache_is_used_and_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bool] = []
    original = objects.target_machine
    monkeypatch.setattr(objects, "target_machine",
                        lambda chosen: made.append(True) or original(chosen))  # fmt: skip
    given = arrays(3)
    first = build(cache=str(tmp_path))(**given)
    assert made == [True]
    np.testing.assert_array_equal(build(cache=str(tmp_path))(**given), first)
    assert made == [True]
    (file,) = tmp_path.rglob("*.o")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    np.testing.assert_array_equal(build(cache=str(tmp_path))(**given), first)
    assert made == [True, True]
    file.write_bytes(b"short")
    np.testing.assert_array_equal(build(cache=str(tmp_path))(**given), first)
    assert made == [True, True, True]
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == [file.name]


def test_a_cache_that_cannot_be_written_is_none(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    given = arrays(2)
    np.testing.assert_array_equal(build(cache=str(blocked))(**given), build()(**given))


def test_several_threads_at_once() -> None:
    executable = build(threads=2)
    inputs = [arrays(n + 200, seed=n) for n in range(4)]
    expected = [executable(**given) for given in inputs]
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(20):
            if not np.array_equal(executable(**inputs[number]), expected[number]):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_host_operators_run_between_segments() -> None:
    x = sg.var("x", ("N", 37))
    inner = HostDouble()(sg.linear(x, 5, name="first"))
    result = sg.linear(inner, 3, name="second")
    executable = compile(result, options=Options(cache=None, threads=2))
    expected = compile(result, target="interp", options=Options(cache=None))
    random = np.random.default_rng(0)
    shapes = {"x": (17, 37), "first_weight": (5, 37), "first_bias": (5,),
              "second_weight": (3, 5), "second_bias": (3,)}  # fmt: skip
    given = {name: random.normal(size=s).astype(np.float32) for name, s in shapes.items()}
    assert "@model_segment_1(" in executable.text
    np.testing.assert_allclose(executable(**given), expected(**given), rtol=1e-5, atol=1e-5)
    with pytest.raises(TargetError, match="node toy_host_double0 .* runs in Python"):
        TARGET.object(executable.program, executable.text, Options(cache=None))


def test_a_call_without_context_is_refused() -> None:
    """The entry checks its context before it touches anything."""
    executable = build()
    runner = executable._runner
    assert runner._entries[0](None, None, None, None) == abi.BAD_CONTEXT
    old = abi.Context(size=abi.CONTEXT_BYTES - 8)
    assert runner._entries[0](None, None, None, ctypes.addressof(old)) == abi.BAD_CONTEXT
