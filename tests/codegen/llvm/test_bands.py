"""Rows in bands: what a part of a kernel's iterations computes, and when rows come first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import symgraph as sg
from symgraph.codegen.llvm import schedule
from symgraph.codegen.llvm.bands import row_bands
from symgraph.codegen.llvm.machine import machine
from symgraph.codegen.llvm.schedule import schedule_kernel
from symgraph.kernel.dims import LoopVar
from symgraph.kernel.dtypes import float32
from symgraph.kernel.ir import Buffer, For, Kernel, Load, Store, call
from symgraph.kernel.printer import kernel_text
from symgraph.kernel.verify import verify_kernel
from tests.kernel.transform.kernels import product
from tests.support.kernels import interpret, run_on

WIDE = machine("x86-64-v4")


def first_part(kernel: Kernel) -> Kernel:
    """The first half of the iterations of the outermost loop."""
    loop = kernel.body
    assert isinstance(loop, For) and isinstance(loop.extent, int)
    return replace(kernel, body=For(loop.var, loop.extent // 2, loop.kind, loop.body))


def written(kernel: Kernel, m: int, k: int, n: int) -> np.ndarray:
    """Which elements the first half of the iterations computes, of a product of ones."""
    shapes = [tuple(b.shape) for b in kernel.inputs]
    ones = [np.ones(s, np.float32) for s in shapes]
    (out,) = interpret(first_part(kernel), ones, {})
    return out.reshape(m, n) == k


@pytest.mark.parametrize("sizes", [(112, 24, 192), (84, 40, 160), (60, 33, 150)])
def test_half_of_the_iterations_are_half_of_the_rows(
    sizes: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All columns of the first rows, none of the last; the band in the middle is cut by columns."""
    m = sizes[0]
    kernel = schedule_kernel(product(*sizes), WIDE, 2, frozenset({1}))
    verify_kernel(kernel, 2)
    found = written(kernel, *sizes)
    assert found[: 2 * m // 5].all()
    assert not found[3 * m // 5 :].any()
    monkeypatch.setattr(schedule, "row_bands", lambda kernel, constants: kernel)
    plain = schedule_kernel(product(*sizes), WIDE, 2, frozenset({1}))
    assert written(plain, *sizes)[3 * m // 5 :].any(), "columns come first of themselves"


def test_large_constants_are_read_once() -> None:
    """The weights are more bytes than what moves along the rows."""
    kernel = schedule_kernel(product(28, 512, 640), WIDE, 2, frozenset({1}))
    loop = kernel.body
    assert isinstance(loop, For)
    assert written(kernel, 28, 512, 640).all(axis=0).any()


@pytest.mark.parametrize("sizes", [(84, 24, 64), (35, 17, 70), (1, 24, 64), (28, 0, 40)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bands_compute_the_same(sizes: tuple[int, int, int], dtype: str) -> None:
    kernel = product(*sizes, "nn", dtype)
    random = np.random.default_rng(0)
    inputs = [random.integers(-4, 5, tuple(b.shape)).astype(dtype) for b in kernel.inputs]
    scheduled = schedule_kernel(kernel, machine(None), 2)
    banded = row_bands(scheduled, frozenset({1}))
    verify_kernel(banded, 2)
    moved = [a.reshape(tuple(b.shape)) for a, b in zip(inputs, banded.inputs, strict=True)]
    (expected,) = interpret(kernel, inputs, {})
    (found,) = run_on("llvm", banded, moved, {})
    np.testing.assert_array_equal(found, expected)


def scaled(rows: int, columns: int) -> Kernel:
    """out[i,j] = x[i,j] * s[j], the columns outermost."""
    x, s, out = (Buffer(n, e, float32) for n, e in
                 (("x", (rows, columns)), ("s", (columns,)), ("out", (rows, columns))))  # fmt: skip
    i, j = LoopVar("i"), LoopVar("j")
    body = Store(out, (i, j), call("mul", Load(x, (i, j)), Load(s, (j,))))
    return Kernel("scaled", (x, s), (out,), (), For(j, columns, "parallel",
                  For(i, rows, "parallel", body)))  # fmt: skip


def test_what_moves_along_everything_stays_outside() -> None:
    """Nothing is summed with the constant: along the columns, all operands move."""
    kernel = scaled(28, 35)
    assert kernel_text(row_bands(kernel, frozenset({1}))) == kernel_text(kernel)


def block(channels: int, size: int) -> sg.Symbol:
    """An inverted bottleneck: channels, three times as many by themselves, channels."""
    x = sg.var("x", (1, channels, size, size + 4))
    y = sg.relu(sg.conv2d(x, 3 * channels, kernel_size=1, name="expand"))
    y = sg.relu(sg.conv2d(y, 3 * channels, kernel_size=3, padding=1, groups=3 * channels,
                          name="depth"))  # fmt: skip
    return x + sg.conv2d(y, channels, kernel_size=1, name="project")


def compiled(symbol: sg.Symbol, **options: object) -> sg.Executable:
    return sg.compile(symbol, params=sg.init(symbol, seed=0), cache=None, **options)


@pytest.mark.parametrize("size", [6, 20])
def test_equal_bits_for_any_number_of_threads(size: int) -> None:
    symbol = block(32, size)
    x = np.random.default_rng(1).uniform(-1, 1, (1, 32, size, size + 4)).astype(np.float32)
    first, *others = (compiled(symbol, threads=t)(x) for t in (1, 2, 3))
    plain = compiled(symbol, target="interp", level=0)(x)
    np.testing.assert_allclose(first, plain, rtol=1e-4, atol=1e-5)
    for other in others:
        np.testing.assert_array_equal(other, first)


@pytest.mark.skipif(WIDE.lanes(4) != machine(None).lanes(4), reason="channels are not blocked so")
def test_depthwise_rows_lie_along_lines() -> None:
    """Traffic counts the same for tiles along a line and across lines: the cheaper loads decide."""
    x = sg.var("x", (1, 24, 58, 58))
    y = sg.conv2d(x, 96, kernel_size=1, name="expand")
    symbol = sg.conv2d(y, 96, kernel_size=3, stride=2, groups=96, name="depth")
    alone = compiled(symbol, disable=("fuse_over_blocks",)).program.kernels
    texts = [kernel_text(k) for k in alone if k.name == "depth"]
    (text,) = (t for t in texts if "acc0" in t)
    load = text.split("add= ")[1]
    *_, across, along, _ = load[load.index("[") + 1 : load.index("]")].split(",")
    assert "ii" in along
    assert "ii" not in across
