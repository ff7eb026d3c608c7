"""Objects for other processors, really run: under qemu where a cross compiler is, and in Node."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest

import symgraph as sg

from .c_program import FLAGS, build, main_text, run
from .models import batch, convolution, perceptron
from .web_program import webassembly

PROCESSORS = {
    "aarch64-linux": ("aarch64-linux-gnu-gcc", "qemu-aarch64"),
    "riscv64-linux": ("riscv64-linux-gnu-gcc", "qemu-riscv64"),
    "armv7-linux": ("arm-linux-gnueabihf-gcc", "qemu-arm"),
}
SHAPES = {perceptron: (7,), convolution: (2, 17, 13)}


@pytest.mark.parametrize("model", [perceptron, convolution])
@pytest.mark.parametrize("platform", PROCESSORS)
def test_a_c_program_on_another_processor(platform, model, tmp_path):
    compiler, emulator = PROCESSORS[platform]
    for tool in (compiler, emulator):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}")
    y, params = model()
    artifact = sg.export(y, tmp_path / "net", params=params, target=platform)
    undefined = subprocess.run(
        ["nm", "-u", str(artifact.files["o"])], capture_output=True, text=True, check=False
    )
    assert undefined.stdout.strip() == ""
    program = build(artifact, main_text(artifact), compiler=compiler, flags=(*FLAGS, "-static"))
    expected = sg.compile(y, params=params, threads=1)
    for n in (1, 3, 0):
        x = batch(n, SHAPES[model])
        want = expected(x=x)
        got = run(program, x, want.shape, emulator)
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("cpu", ["generic", "mvp"])
@pytest.mark.parametrize("model", [perceptron, convolution])
def test_webassembly_in_node(model, cpu, tmp_path):
    y, params = model()
    program = webassembly(y, params, tmp_path, cpu=cpu)
    expected = sg.compile(y, params=params, threads=1)
    for n in (1, 3):
        x = batch(n, SHAPES[model])
        want = expected(x=x)
        np.testing.assert_allclose(program(x, want.shape), want, rtol=2e-5, atol=1e-6)
