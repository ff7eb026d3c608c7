"""The examples in C++, Rust and on a bare Cortex-M4: built as their files say, and run.

Those in C and WebAssembly are tested beside the files that they use.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

import symgraph as sg

from .test_packaging import ROOT, example, needs, shell

ENVIRONMENT = {"PYTHONPATH": str(ROOT)}


def expected(image: np.ndarray | None = None) -> np.ndarray:
    """LeNet-5 with its initial values on one image, by default the drawn seven."""
    if image is None:
        image = np.zeros((28, 28), np.float32)
        image[6:8, 6:22] = 1
        for i in range(8, 23):
            image[i, 25 - i * 2 // 3] = 1
    logits = sg.models.lenet5()
    function = sg.compile(logits, params=sg.init(logits, seed=0))
    return np.asarray(function(x=image[None, None]))[0]


def check(out: str, image: np.ndarray | None = None) -> None:
    want = expected(image)
    numbers, digit = out.splitlines()[:2]
    np.testing.assert_allclose([float(n) for n in numbers.split()], want, atol=2e-4)
    assert digit == f"digit {want.argmax()}"


def noise(folder: Path) -> np.ndarray:
    """An image, and its bytes in a file."""
    image = np.random.default_rng(1).integers(0, 256, (28, 28), dtype=np.uint8)
    (folder / "image").write_bytes(image.tobytes())
    return image.astype(np.float32) / 255


@needs("cmake", "c++")
def test_the_example_in_cpp(tmp_path):
    folder = example("cpp", tmp_path)
    options = (f"-DPython3_EXECUTABLE={sys.executable}", "-DTARGET=native",
               "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Wpedantic -Werror")  # fmt: skip
    shell("cmake", "-S", ".", "-B", "build", *options, cwd=folder, **ENVIRONMENT)
    shell("cmake", "--build", "build", cwd=folder, **ENVIRONMENT)
    check(shell("build/digit", cwd=folder))
    image = noise(folder)
    check(shell("build/digit", "image", cwd=folder), image)


@needs("cargo", "rustc", "cc")
def test_the_example_in_rust(tmp_path):
    folder = example("rust", tmp_path)
    environment = {**ENVIRONMENT, "PYTHON": sys.executable, "MODEL_TARGET": "native",
                   "RUSTFLAGS": "-D warnings"}  # fmt: skip
    shell("cargo", "build", "--offline", cwd=folder, **environment)
    program = "target/debug/digit"
    check(shell(program, cwd=folder))
    image = noise(folder)
    check(shell(program, "image", cwd=folder), image)
    # 65 images are one more than the object takes: its own words come back.
    (folder / "many").write_bytes(bytes(65 * 784))
    with pytest.raises(AssertionError, match=r"input 'x' dim 0 \(N\): got 65, need 0 to 64"):
        shell(program, "many", cwd=folder)


@needs("make", "arm-none-eabi-gcc", "qemu-system-arm")
def test_the_example_on_a_cortex_m4(tmp_path):
    folder = example("cortex-m", tmp_path)
    flags = "-std=c11 -O2 -Wall -Wextra -Wpedantic -Werror"
    # The emulator's channel to the program is standard error.
    command = f"make -s run PYTHON='{sys.executable}' CFLAGS='{flags}' 2>&1"
    out = shell("sh", "-c", command, cwd=folder, **ENVIRONMENT)
    start = next(n for n, line in enumerate(out.splitlines()) if line.startswith(("-", "0.")))
    lines = out.splitlines()[start:]
    check("\n".join(lines))
    found = re.fullmatch(r"stack (\d+) of (\d+) bytes", lines[2])
    assert found, lines
    used, bound = (int(n) for n in found.groups())
    assert bound / 2 < used <= bound + 16  # what the calling function has below its own pointer
