"""Files for other languages and build systems, used as they are meant to be; the examples too."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import symgraph as sg
from symgraph.errors import InputError

from .c_program import CC, needs_cc
from .models import perceptron

ROOT = Path(__file__).parents[2]


def needs(*tools: str) -> pytest.MarkDecorator:
    missing = [tool for tool in tools if shutil.which(tool) is None]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}")


def shell(*command: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


CPP = r"""
#include "net.hpp"
#include <cstdio>
#include <vector>

static_assert(net::model::workspace_bytes(4) > 0);

int main()
{
    net::model model;
    for (int n : {1, 4, 0, 17}) {
        std::vector<float> x(7 * n, 0.5f), y(5 * n);
        model(n, x, y);
        if (n && !(y[0] == y[5 * (n - 1)]))
            return 1;
    }
    std::vector<float> x(7), y(5);
    try {
        model(2, x, y);
        return 2;
    } catch (const std::invalid_argument &e) {
        std::puts(e.what());
    }
    try {
        model(-1, {}, {});
        return 3;
    } catch (const std::exception &e) {
        std::puts(e.what());
    }
    try {
        std::vector<float> many(70 * 7), out(70 * 5);
        model(70, many, out);
        return 4;
    } catch (const net::error &e) {
        std::puts(e.what());
    }
    return 0;
}
"""


@needs("c++")
def test_a_cpp20_program(tmp_path):
    y, params = perceptron()
    sg.export(y, tmp_path / "net", params=params, emit=("o", "h", "hpp"), ranges={"N": (0, 64)})
    (tmp_path / "main.cpp").write_text(CPP)
    probe = subprocess.run(
        ["c++", "-std=c++20", "-fsyntax-only", "-include", "span", "-x", "c++", "/dev/null"],
        capture_output=True, check=False,
    )  # fmt: skip
    if probe.returncode:
        pytest.skip("needs a C++20 compiler")
    shell("c++", "-std=c++20", "-Wall", "-Wextra", "-Werror", "main.cpp", "net.o", "-o", "main",
          cwd=tmp_path)  # fmt: skip
    out = shell("./main", cwd=tmp_path)
    assert "net: input 'x': got 7 elements, need 14" in out
    assert "input 'x' dim 0 (N): got 70, need 0 to 64" in out


C = "#include \"net.h\"\nint main(void) { return net_strerror(0)[0] == 's' ? 0 : 1; }\n"


@needs_cc
@needs("pkg-config")
@pytest.mark.parametrize("library", ["o", "a"])
def test_pkg_config(library, tmp_path):
    y, params = perceptron()
    sg.export(y, tmp_path / "net", params=params, emit=(library, "h", "pc"))
    (tmp_path / "main.c").write_text(C)
    flags = shell("pkg-config", "--cflags", "--libs", "net", cwd=tmp_path,
                  PKG_CONFIG_PATH=str(tmp_path)).split()  # fmt: skip
    shell(CC or "cc", "main.c", *flags, "-o", "main", cwd=tmp_path)
    shell("./main", cwd=tmp_path)


@needs_cc
@needs("cmake")
@pytest.mark.parametrize("library", ["o", "a"])
def test_cmake(library, tmp_path):
    y, params = perceptron()
    sg.export(y, tmp_path / "lib" / "net", params=params, emit=(library, "h", "cmake"))
    (tmp_path / "main.c").write_text(C)
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(p C)\n"
        "find_package(net CONFIG REQUIRED)\nadd_executable(main main.c)\n"
        "target_link_libraries(main net::net)\n"
    )
    shell("cmake", "-S", ".", "-B", "out", f"-Dnet_DIR={tmp_path / 'lib'}", cwd=tmp_path)
    shell("cmake", "--build", "out", cwd=tmp_path)
    shell("out/main", cwd=tmp_path)


@needs_cc
def test_adapters_are_written_on_demand(tmp_path):
    y, params = perceptron()
    artifact = sg.export(
        y, tmp_path / "net", params=params, emit=("o", "pthreads", "openmp", "tbb")
    )
    names = {path.name for path in artifact.files.values()}
    assert names == {"net.o", "sg_pthreads.c", "sg_pthreads.h", "sg_openmp.c", "sg_tbb.cpp"}
    shell(CC or "cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-pthread", "-c",
          "sg_pthreads.c", cwd=tmp_path)  # fmt: skip


def example(name: str, tmp_path: Path) -> Path:
    folder = tmp_path / name
    shutil.copytree(ROOT / "examples" / name, folder, ignore=shutil.ignore_patterns("build"))
    return folder


@needs_cc
@needs("make")
def test_the_example_in_c(tmp_path):
    folder = example("c", tmp_path)
    environment = {"PYTHONPATH": str(ROOT), "CFLAGS": "-std=c11 -O1 -Wall -Wextra -Werror"}
    shell("make", f"PYTHON={sys.executable}", "TARGET=native", cwd=folder, **environment)
    images = np.random.default_rng(0).integers(0, 256, (70, 28, 28), dtype=np.uint8)
    (folder / "images").write_bytes(struct.pack(">IIII", 0x803, 70, 28, 28) + images.tobytes())
    out = shell("build/digits", "images", cwd=folder).split()
    loaded = sg.load(folder / "build" / "lenet5.o", threads=1)
    x = (images.astype(np.float32) / 255)[:, None]
    want = np.concatenate([loaded(x[i : i + 32]).argmax(1) for i in (0, 32, 64)])
    assert [int(line) for line in out] == want.tolist()
    assert len(shell("build/digits", "images", "3", cwd=folder).split()) == 3


@needs("make", "node", "wasm-ld")
def test_the_example_in_webassembly(tmp_path):
    folder = example("wasm", tmp_path)
    shell("make", f"PYTHON={sys.executable}", cwd=folder, PYTHONPATH=str(ROOT))
    image = np.random.default_rng(1).integers(0, 256, (28, 28), dtype=np.uint8)
    (folder / "image").write_bytes(image.tobytes())
    numbers, _ = shell("node", "main.js", "image", cwd=folder).splitlines()
    logits = sg.models.lenet5()
    function = sg.compile(logits, params=sg.init(logits, seed=0))
    want = function(x=(image.astype(np.float32) / 255)[None, None])[0]
    np.testing.assert_allclose([float(n) for n in numbers.split()], want, atol=2e-4)


def test_unknown_kinds(tmp_path):
    y, params = perceptron()
    with pytest.raises(InputError, match="emit must be some of o, h, json, a, so, hpp"):
        sg.export(y, tmp_path / "net", params=params, emit=("rs",))
