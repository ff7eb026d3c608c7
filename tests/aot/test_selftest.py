"""The self-test inside an object: right everywhere, and it names the operator that is wrong."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.aot.object_runner import Context
from symgraph.codegen.llvm import objects
from symgraph.codegen.llvm.platform import PLATFORMS
from symgraph.errors import TargetError

from .c_program import FLAGS, build, needs_cc
from .models import convolution, perceptron
from .test_foreign_programs import PROCESSORS


class Checker:
    """The self-test of an object, callable."""

    def __init__(self, artifact: Any) -> None:
        data = artifact.files["o"].read_bytes()
        prefix = artifact.signature.prefix
        self.loaded = objects.load(data, [f"{prefix}_selftest", f"{prefix}_selftest_name"])
        run, name = self.loaded.addresses
        self._run = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p)(run)
        self._name = ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_int32)(name)
        self.nbytes = artifact.description["selftest_nbytes"]
        self.memory = np.zeros(self.nbytes + 64, np.uint8)
        self.workspace = self.memory.ctypes.data + -self.memory.ctypes.data % 64

    def __call__(self, weights: int | None = None, nbytes: int | None = None, skew: int = 0) -> int:
        context = Context(
            size=ctypes.sizeof(Context),
            threads=1,
            constants=weights,
            workspace_bytes=self.nbytes if nbytes is None else nbytes,
        )
        return int(self._run(self.workspace + skew, ctypes.addressof(context)))

    def name(self, code: int) -> str:
        text: bytes = self._name(code)
        return text.decode()


@pytest.mark.parametrize("model", [perceptron, convolution])
@pytest.mark.parametrize("strict", [False, True])
def test_every_operator_is_right(model, strict, tmp_path):
    y, params = model()
    artifact = sg.export(
        y, tmp_path / "net", params=params, target="native", selftest=True, strict=strict
    )
    tested = Checker(artifact)
    assert tested() == 0
    assert tested(nbytes=tested.nbytes - 1) == -1
    assert tested(skew=32) == -1
    assert tested.name(0) == tested.name(-1) == tested.name(1000) == "no operator"
    assert "net_selftest(void *workspace" in artifact.files["h"].read_text()


def in_order(weight, array):
    """The bytes of an array in the order that the object reads."""
    return (array if weight.packing is None else weight.packing.apply(array)).tobytes()


@pytest.mark.parametrize("sizes", [{}, {"N": (1, 8)}])
def test_weights_in_a_file(sizes, tmp_path):
    """The test is right for the weights of the export alone, and says so for others."""
    y, params = convolution()
    artifact = sg.export(
        y, tmp_path / "net", params=params, target="native", selftest=True, weights="file",
        specialise=sizes,
    )  # fmt: skip
    tested, data = Checker(artifact), artifact.files["weights"].read_bytes()
    memory = np.zeros(len(data) + 4096, np.uint8)
    start = -memory.ctypes.data % 4096
    address = memory.ctypes.data + start
    memory[start : start + len(data)] = np.frombuffer(data, np.uint8)
    assert tested(address) == 0
    assert tested() == -2
    assert tested(address + 64) == -2
    other = sg.export(
        y, tmp_path / "other", params={k: v * 2 for k, v in params.items()}, target="native",
        weights="file", specialise=sizes,
    )  # fmt: skip
    data = other.files["weights"].read_bytes()
    memory[start : start + len(data)] = np.frombuffer(data, np.uint8)
    assert tested(address) == -2
    model = sg.load(artifact.files["o"], weights=other.files["weights"])
    assert model(np.ones((1, 2, 17, 13), np.float32)).shape == (1, 11)


def test_the_first_wrong_operator_is_named(tmp_path):
    y, params = convolution()
    artifact = sg.export(
        y, tmp_path / "net", params=params, target="native", selftest=True, weights="pointer"
    )
    tested = Checker(artifact)
    rows = {w.name: w for w in artifact.signature.weights}
    right = bytearray(artifact.signature.weights_nbytes)
    for name, row in rows.items():
        raw = in_order(row, params[name])
        right[row.offset : row.offset + len(raw)] = raw

    def outcome(wrong: str | None) -> str:
        block = bytearray(right)
        if wrong is not None:
            row = rows[wrong]
            raw = in_order(row, params[wrong] * np.float32(1.5))
            block[row.offset : row.offset + len(raw)] = raw
        memory = np.zeros(len(block) + 64, np.uint8)
        start = -memory.ctypes.data % 64
        memory[start : start + len(block)] = np.frombuffer(bytes(block), np.uint8)
        code = tested(memory.ctypes.data + start)
        return tested.name(code) if code else "right"

    assert outcome(None) == "right"
    assert outcome("conv1_weight").startswith("conv1")
    assert outcome("conv2_weight").startswith("conv2")
    assert outcome("fc_weight").startswith("fc")


def test_integers_updates_and_extents(tmp_path):
    x, t = sg.var("x", ("N", 4)), sg.var("t", ("N",), "int32")
    loss = sg.cross_entropy(sg.linear(x, 3, name="fc"), t)
    params = sg.init(loss, seed=0)
    step = sg.train.build_step(loss, params, sg.train.SGD(momentum=0.9))
    artifact = sg.export(
        path=tmp_path / "step", target="native", selftest=True, **step.arguments(params)
    )
    assert Checker(artifact)() == 0
    y, params = perceptron()
    limited = sg.export(
        y, tmp_path / "net", params=params, target="native", selftest=True, ranges={"N": (5, 6)}
    )
    assert Checker(limited)() == 0


PROGRAM = """
#include "net.h"
static _Alignas(64) unsigned char workspace[NET_SELFTEST_BYTES];
int main(void)
{
    sg_context context = SG_CONTEXT(sizeof workspace);
    return net_selftest(workspace, &context);
}
"""


@pytest.mark.parametrize("platform", PROCESSORS)
def test_on_other_processors(platform, tmp_path):
    compiler, emulator = PROCESSORS[platform]
    for tool in (compiler, emulator):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}")
    y, params = convolution()
    artifact = sg.export(y, tmp_path / "net", params=params, target=platform, selftest=True)
    program = build(artifact, PROGRAM, compiler=compiler, flags=(*FLAGS, "-static"))
    assert subprocess.run([emulator, str(program)], check=False).returncode == 0


@needs_cc
def test_together_with_levels_and_sizes(tmp_path):
    y, params = perceptron()
    artifact = sg.export(
        y, tmp_path / "net", params=params, target="native", selftest=True, specialise={"N": (1,)}
    )
    assert Checker(artifact)() == 0
    assert sg.load(artifact.files["o"])(np.ones((1, 7), np.float32)).shape == (1, 5)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_objects_of_every_platform(platform, tmp_path):
    y, params = perceptron()
    sg.export(y, tmp_path / "net", params=params, target=platform, selftest=True)


def test_mistakes(tmp_path):
    x = sg.var("x", ("N", "N"))
    with pytest.raises(TargetError, match="unknown cpu"):
        sg.export(x + 1.0, tmp_path / "net", selftest=True, cpu="none")
