"""Every scalar function on every dtype, as scalars and as vectors, against numpy's meaning."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from symgraph.codegen.llvm.platform import X86_LEVELS
from symgraph.codegen.llvm.target import TARGET
from symgraph.kernel.dims import LoopVar
from symgraph.kernel.dtypes import ALL, DType, as_dtype
from symgraph.kernel.functions import FUNCTIONS
from symgraph.kernel.ir import Buffer, Cast, For, Kernel, Load, Store, block, call, cast
from symgraph.options import Options
from tests.support.kernels import interpret, program_of, run_on

COUNT = 96


def values(dtype: DType, seed: int) -> np.ndarray:
    """Random numbers, with the special ones of the dtype in front."""
    random = np.random.default_rng(seed)
    if dtype.is_bool:
        return random.random(COUNT) < 0.5
    if dtype.is_float:
        special = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.5, -2.5, np.nan, np.inf, -np.inf, 3.0]
        numbers = random.normal(0, 3, COUNT)
    else:
        low, high = int(dtype.lowest), int(dtype.highest)
        special = [0, 1, 2, 3, high, low, high - 1, low + 1, 7, 8]
        numbers = random.integers(max(low, -20), min(high, 20), COUNT, dtype=dtype.numpy)
    result = numbers.astype(dtype.numpy)
    result[: len(special)] = [dtype.numpy.type(s) for s in special]
    random.shuffle(result)
    return result


def elementwise(functions: list[str], dtype: DType, lanes: int) -> Kernel:
    """One output for each function, in one loop."""
    arity = FUNCTIONS[functions[0]].arity
    inputs = [Buffer(f"x{n}", (COUNT,), dtype) for n in range(arity)]
    outer, inner = LoopVar("i"), LoopVar("v")
    index = (outer * lanes + inner,)
    stores, outputs = [], []
    for name in functions:
        value = call(name, *(Load(b, index) for b in inputs))
        out = Buffer(f"y_{name}", (COUNT,), value.dtype)
        outputs.append(out)
        stores.append(Store(out, index, value))
    body = For(inner, lanes, "vector", block(*stores), lanes)
    loop = For(outer, COUNT // lanes, "parallel", body)
    return Kernel("functions", tuple(inputs), tuple(outputs), (), loop)


def check(kernel: Kernel, inputs: list[np.ndarray], dtype: DType, cpu: str | None) -> None:
    expected = interpret(kernel, inputs, {})
    found = run_on("llvm", kernel, inputs, {}, Options(cache=None, threads=1, cpu=cpu))
    tolerance = {"float16": 2e-3, "bfloat16": 2e-2, "float32": 2e-6, "float64": 1e-14}
    for buffer, a, b in zip(kernel.outputs, expected, found, strict=True):
        if a.dtype.kind in "iub":
            np.testing.assert_array_equal(b, a, err_msg=buffer.name)
        else:
            rtol = tolerance[dtype.name]
            np.testing.assert_allclose(b.astype(float), a.astype(float), rtol=rtol, atol=1e-30,
                                       err_msg=buffer.name)  # fmt: skip


def names(arity: int, dtype: DType) -> list[str]:
    found = []
    for f in FUNCTIONS.values():
        fits = f.domain == "any" or (f.domain == "float" and dtype.is_float)
        fits |= f.domain == "integer" and dtype.is_integer
        if dtype.is_bool and f.name in ("neg", "abs", "sub", "pow", "floordiv", "mod"):
            continue  # numpy has no meaning for them
        if dtype.is_float and f.name in ("and", "or", "xor", "not"):
            continue
        if f.arity == arity and fits:
            found.append(f.name)
    return found


@pytest.mark.parametrize("lanes", [1, 16])
@pytest.mark.parametrize("arity", [1, 2])
@pytest.mark.parametrize("dtype", ALL, ids=lambda d: d.name)
def test_every_function_agrees_with_numpy(dtype: DType, arity: int, lanes: int) -> None:
    functions = names(arity, dtype)
    kernel = elementwise(functions, dtype, lanes)
    inputs = [values(dtype, seed) for seed in range(arity)]
    check(kernel, inputs, dtype, None)


@pytest.mark.parametrize("cpu", ["x86-64", "x86-64-v3"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "int8", "uint64"])
def test_older_machines_give_the_same(dtype: str, cpu: str) -> None:
    kind = as_dtype(dtype)
    kernel = elementwise(names(2, kind), kind, 4)
    check(kernel, [values(kind, seed) for seed in range(2)], kind, cpu)


@pytest.mark.skipif(shutil.which("nm") is None, reason="needs nm")
@pytest.mark.parametrize("cpu", [None, *X86_LEVELS])
@pytest.mark.parametrize("dtype", ALL, ids=lambda d: d.name)
def test_no_function_needs_a_library(dtype: DType, cpu: str | None, tmp_path: Path) -> None:
    paths = []
    for arity in (1, 2):
        for lanes in (1, 8):
            program = program_of(elementwise(names(arity, dtype), dtype, lanes))
            options = Options(cache=None, cpu=cpu)
            paths.append(tmp_path / f"functions-{arity}-{lanes}.o")
            paths[-1].write_bytes(TARGET.object(program, TARGET.emit(program, options), options))
    # One symbol a line, with the file that needs it.
    shown = subprocess.run(["nm", "-A", "-u", *paths], capture_output=True, text=True, check=True)
    assert shown.stdout == ""


@pytest.mark.parametrize("lanes", [1, 8])
@pytest.mark.parametrize("source", ALL, ids=lambda d: d.name)
def test_every_cast_agrees_with_the_interpreter(source: DType, lanes: int) -> None:
    x = Buffer("x", (COUNT,), source)
    outer, inner = LoopVar("i"), LoopVar("v")
    index = (outer * lanes + inner,)
    outputs = [Buffer(f"y_{d.name}", (COUNT,), d) for d in ALL]
    stores = [Store(b, index, cast(Load(x, index), b.dtype)) for b in outputs]
    body = For(inner, lanes, "vector", block(*stores), lanes)
    loop = For(outer, COUNT // lanes, "parallel", body)
    kernel = Kernel("casts", (x,), tuple(outputs), (), loop)
    data = values(source, 5)
    if source.is_float:
        spread = np.random.default_rng(9).normal(0, 1, 20) * 10.0 ** np.arange(20)
        with np.errstate(over="ignore"):
            data[20:40] = spread.astype(data.dtype)
    expected, found = interpret(kernel, [data], {}), run_on("llvm", kernel, [data], {})
    for buffer, a, b in zip(outputs, expected, found, strict=True):
        a, b = a.copy(), b.copy()
        if a.dtype.kind not in "iub":
            nan = np.isnan(a.astype(float))
            assert (np.isnan(b.astype(float)) == nan).all(), buffer.name
            a[nan], b[nan] = 0, 0
        np.testing.assert_array_equal(b, a, err_msg=f"{source.name} to {buffer.name}")
    assert isinstance(stores[0].value, (Load, Cast))
