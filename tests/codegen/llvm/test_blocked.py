"""Channel blocks and packed weights on the LLVM target, against the interpreter."""

import re
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.codegen.llvm.machine import machine
from symgraph.codegen.llvm.target import TARGET
from symgraph.kernel.printer import kernel_text
from symgraph.options import Options

LANES = machine(None).lanes(4)


def both(symbol: Any, **inputs: np.ndarray) -> Any:
    """The results agree; the program that runs."""
    shapes = {n: a.shape for n, a in inputs.items()}
    params = sg.init(symbol, 0, shapes=shapes)
    given = {"params": params, "shapes": shapes, "cache": None}
    f = sg.compile(symbol, target="llvm", **given)
    plain = sg.compile(symbol, target="interp", level=0, **given)
    np.testing.assert_allclose(f(**inputs), plain(**inputs), rtol=2e-4, atol=2e-5)
    return f.program


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


@pytest.mark.parametrize(
    ("channels", "out", "size", "kernel", "stride"),
    [(16, 32, 7, 3, 1), (32, 48, 5, 1, 1), (3, 16, 9, 3, 2), (16, 80, 4, 3, 2), (5, 33, 6, 3, 1)],
)
def test_convolutions(channels: int, out: int, size: int, kernel: int, stride: int) -> None:
    x = sg.var("x", (2, channels, size, size + 1))
    y = sg.relu(sg.conv2d(x, out, kernel_size=kernel, stride=stride, padding=kernel // 2, name="c"))
    both(sg.conv2d(y, 17, kernel_size=1, name="d"), x=numbers(2, channels, size, size + 1))


@pytest.mark.parametrize(("rows", "depth", "units"), [(33, 40, 48), (17, 9, 16), (5, 7, 32)])
def test_linear(rows: int, depth: int, units: int) -> None:
    y = sg.gelu(sg.linear(sg.var("x", (rows, depth)), units, name="fc"))
    both(y * 2.0, x=numbers(rows, depth))


@pytest.mark.skipif(LANES < 8, reason="short vectors")
def test_constant_weights_are_packed_at_compile_time() -> None:
    y = sg.linear(sg.var("x", (3, 20, 9)), 4 * LANES, name="fc")
    program = both(y, x=numbers(3, 20, 9))
    # The weight is no longer [units, inputs], and nothing packs it when the program runs.
    assert (4 * LANES, 9) not in [c.buffer.type.shape for c in program.constants]
    assert len(program.steps) == 1


def test_weights_given_at_the_call_are_not_packed() -> None:
    y = sg.linear(sg.var("x", (20, 9)), 64, name="fc")
    f = sg.compile(y, target="llvm", cache=None)
    assert len(f.program.steps) == 1


@pytest.mark.skipif(LANES < 16, reason="short vectors")
def test_tiles_span_blocks_of_channels_and_walk_along_memory() -> None:
    x = sg.var("x", (1, 32, 7, 7))
    y = sg.conv2d(x * 2.0, 64, kernel_size=3, name="c")
    y = sg.conv2d(y, 64, kernel_size=3, name="d")
    program = both(sg.relu(y), x=numbers(1, 32, 7, 7))
    text = next(kernel_text(k) for k in program.kernels if "d_weight" in kernel_text(k))
    tile = re.search(r"f32\[(\d+),(\d+),16\] in register", text)
    assert tile is not None
    assert int(tile[2]) > 1
    update = next(line for line in text.splitlines() if "add=" in line)
    before = text[: text.index(update)].splitlines()
    serial = [line.split()[1] for line in before if line.strip().startswith("serial")]
    # The channels inside a block are innermost: they lie side by side.
    assert f",{serial[-1]}] * " in update


def test_the_block_is_a_vector_of_the_machine() -> None:
    assert TARGET.channel_block(Options(cpu="x86-64-v4")) == 16
    assert TARGET.channel_block(Options(cpu="x86-64-v3")) == 8
    assert TARGET.channel_block(Options(cpu="x86-64")) is None
