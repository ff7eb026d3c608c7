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


@pytest.mark.parametrize("channels", [24, 40, 20, 72, 136])
def test_channels_that_blocks_do_not_divide(channels: int) -> None:
    x = sg.var("x", (2, 3, 7, 6))
    h = sg.conv2d(x, channels, kernel_size=3, padding=1, name="a")
    y = sg.conv2d(sg.relu(h), 48, kernel_size=1, name="b")
    y = sg.conv2d(y, channels, kernel_size=3, padding=1, name="c") + h
    y = sg.conv2d(y, channels, kernel_size=3, padding=1, groups=channels, name="d")
    y = sg.concat([sg.max_pool2d(y, 2), sg.avg_pool2d(h, 2)], axis=1)
    both(sg.local_response_norm(y, 3), x=numbers(2, 3, 7, 6))


@pytest.mark.parametrize(
    ("channels", "out", "groups"),
    [(32, 64, 2), (96, 64, 2), (64, 128, 4), (12, 20, 4), (24, 48, 3), (16, 32, 16), (20, 20, 20)],
)
def test_convolutions_in_groups(channels: int, out: int, groups: int) -> None:
    x = sg.var("x", (2, channels, 6, 5))
    y = sg.conv2d(x, out, kernel_size=3, padding=1, groups=groups, name="c")
    y = sg.batch_norm(y, name="n")
    both(sg.relu(y), x=numbers(2, channels, 6, 5))


@pytest.mark.skipif(LANES < 16, reason="short vectors")
def test_groups_of_whole_blocks_run_as_one_kernel_each() -> None:
    x = sg.var("x", (1, 32, 6, 5))
    y = sg.conv2d(x, 64, kernel_size=3, padding=1, groups=2, name="c")
    y = sg.relu(sg.batch_norm(y, name="n"))
    y = sg.relu(sg.conv2d(y, 64, kernel_size=3, padding=1, groups=2, name="d"))
    program = both(y, x=numbers(1, 32, 6, 5))
    assert len(program.steps) <= 4  # the input's blocks, two convolutions, the plain result
    sums = [text for k in program.kernels if "add=" in (text := kernel_text(k))]
    assert len(sums) == 2
    assert all("ii,jj,v] add=" in text for text in sums), "tiles of pixels and blocks"


@pytest.mark.parametrize("channels", [16, 48, 17, 40])
@pytest.mark.parametrize("size", [5, 4, 1, 7])
def test_norms_over_neighbour_channels(channels: int, size: int) -> None:
    x = sg.var("x", (2, 3, 6, 7))
    y = sg.conv2d(x, channels, kernel_size=3, name="c")
    y = sg.local_response_norm(sg.relu(y), size, alpha=0.5)
    both(sg.max_pool2d(y, 2), x=numbers(2, 3, 6, 7))


@pytest.mark.skipif(LANES < 16, reason="short vectors")
def test_neighbour_channels_are_read_in_pieces_not_one_by_one() -> None:
    x = sg.var("x", (1, 3, 6, 7))
    y = sg.local_response_norm(sg.conv2d(x, 32, kernel_size=3, name="c"), 5)
    shapes = {"x": (1, 3, 6, 7)}
    f = sg.compile(y * 2.0, params=sg.init(y), shapes=shapes, target="llvm", cache=None)
    assert "masked.gather" not in f.text and "extractelement <16 x ptr>" not in f.text
    assert "masked.load.v16f32" in f.text


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
    tile = re.search(r"f32\[(?:\d+,)?(\d+),(\d+),16\] in register", text)
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


@pytest.mark.skipif(LANES < 16, reason="short vectors")
@pytest.mark.parametrize("size", [(7, 7), (5, 6), (6, 5)])
def test_tiles_of_small_images_take_several_lines(size: tuple[int, int]) -> None:
    height, width = size
    x = sg.var("x", (2, 32, height, width))
    y = sg.conv2d(x * 2.0, 64, kernel_size=3, padding=1, name="c")
    program = both(sg.relu(y), x=numbers(2, 32, height, width))
    text = next(text for k in program.kernels if "add=" in (text := kernel_text(k)))
    assert "hh" in text and "acc0[hh,ii,jj,v]" in text


@pytest.mark.skipif(LANES < 16, reason="short vectors")
@pytest.mark.parametrize(("depth", "copied"), [(1024, True), (1000, False)])
def test_rows_that_push_each_other_out_of_the_cache_are_copied(depth: int, copied: bool) -> None:
    y = sg.linear(sg.var("x", (28, depth)), 8192, name="fc")
    params, x = sg.init(y), numbers(28, depth)
    f = sg.compile(y, params=params, target="llvm", cache=None, verify=2)
    assert ("x_packed" in kernel_text(f.program.kernels[0])) == copied
    expected = x @ params["fc_weight"].T + params["fc_bias"]
    np.testing.assert_allclose(f(x=x), expected, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize(("batch", "rows", "depth", "units"), [(2, 28, 1024, 48), (3, 14, 2048, 5)])
def test_rows_side_by_side_in_batches(batch: int, rows: int, depth: int, units: int) -> None:
    a, b = sg.var("a", (batch, rows, depth)), sg.var("b", (batch, depth, units))
    both(a @ b, a=numbers(batch, rows, depth), b=numbers(batch, depth, units))
