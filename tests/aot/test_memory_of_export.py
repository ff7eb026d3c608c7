"""What an export holds of the weights while it makes the files: counted, not timed."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.aot import description
from symgraph.aot.weights import weights_block
from symgraph.codegen.llvm.shipped import weights_marker, with_weights
from symgraph.compiler import Build
from symgraph.ir.release import ConstantBlock, gather_constants, gathered_bytes
from symgraph.options import Options

from .models import convolution, perceptron


def program_of(y: sg.Symbol, params: dict[str, np.ndarray]) -> Any:
    from symgraph.codegen.target import find_target

    build = Build(y.graph, params, False, {}, {}, "net", Options(cache=None))
    return build.program(find_target("llvm"))


def peak_of(work: Callable[[], Any]) -> int:
    """The most bytes that are held at once because of it."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("model", [perceptron, convolution])
def test_the_block_of_a_program_is_where_its_constants_lie_already(model):
    program = gather_constants(program_of(*model()), 64)
    block = weights_block([program])
    for data in program.constants:
        assert np.shares_memory(data.array, np.frombuffer(block.data, np.uint8))
    for row, data in zip(block.arrays, program.constants, strict=True):
        raw = data.array.tobytes()
        assert bytes(block.data[row.offset : row.offset + len(raw)]) == raw


def test_constants_that_lie_apart_are_copied_once():
    program = gather_constants(program_of(*perceptron()), 64)
    gathered = weights_block([program])
    # What is the user's may change: it is not the block's own memory.
    apart = program.with_(constants=tuple(
        type(c)(c.buffer, c.array.copy(), c.packing, c.original) for c in program.constants
    ))  # fmt: skip
    copied = weights_block([apart])
    assert bytes(copied.data) == bytes(gathered.data) and copied.digest == gathered.digest
    nbytes = max(1, len(copied.data))
    assert peak_of(lambda: weights_block([apart])) < nbytes + 40_000
    assert gathered_bytes(apart, 64) is None
    assert gathered_bytes(program.with_(constants=()), 64) is None


def test_several_programs_with_the_same_weights_share_them():
    program = gather_constants(program_of(*perceptron()), 64)
    other = gather_constants(program_of(*convolution()), 64)
    block = weights_block([program, other, program])
    first, second = (len(weights_block([p]).data) for p in (program, other))
    assert block.starts == (0, first, 0) and len(block.data) == first + second


def test_between_constants_there_are_zeros():
    block = ConstantBlock([3, 0, 65, 1], 64)
    block._bytes[:] = 255
    fresh = ConstantBlock([3, 0, 65, 1], 64)
    assert len(fresh._bytes) == 64 + 128 + 64
    for start, end in ((3, 64), (129, 192), (193, 256)):
        assert not fresh._bytes[start:end].any()


def test_weights_are_put_in_and_sealed_with_one_copy_each(tmp_path):
    x = sg.var("x", (1, 700))
    y = sg.linear(x, 900, name="fc")
    params = sg.init(y, seed=1)
    artifact = sg.export(y, tmp_path / "net", params=params)
    whole = artifact.files["o"].read_bytes()
    nbytes = artifact.signature.weights_nbytes
    assert nbytes >= params["fc_weight"].nbytes
    assert peak_of(lambda: description.seal(whole)) < 1.2 * len(whole)
    assert peak_of(lambda: description.is_intact(whole)) < 0.2 * len(whole)
    assert description.seal(whole) == whole
    empty = b"before" + weights_marker("net") + bytes(nbytes - 32) + b"behind"
    weights = memoryview(bytes(range(256)) * (nbytes // 256) + bytes(nbytes % 256))
    filled = with_weights(empty, "net", weights)
    assert filled == b"before" + bytes(weights) + b"behind"
    assert peak_of(lambda: with_weights(empty, "net", weights)) < 1.2 * len(empty)
