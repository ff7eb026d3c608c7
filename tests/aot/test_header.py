"""The header under every compiler that is here, and what it promises before anything runs."""

from __future__ import annotations

import re
import shutil
import subprocess

import numpy as np
import pytest

import symgraph as sg
from symgraph.kernel import dims

from .c_program import CC, FLAGS, build, needs_cc
from .models import convolution, perceptron

STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wshadow", "-Wconversion", "-fsyntax-only")
COMPILERS = {
    "gcc-c99": ("gcc", "-x", "c", "-std=c99"),
    "gcc-c11": ("gcc", "-x", "c", "-std=c11"),
    "gcc-c17": ("gcc", "-x", "c", "-std=c17"),
    "g++-11": ("g++", "-x", "c++", "-std=c++11"),
    "g++-20": ("g++", "-x", "c++", "-std=c++20"),
    "clang-c11": ("clang", "-x", "c", "-std=c11"),
    "clang++-20": ("clang++", "-x", "c++", "-std=c++20"),
}


def every_dtype() -> sg.Symbol:
    """Inputs of every type, one that is a scalar and one whose sizes are formulas."""
    names = ("float16", "bfloat16", "float64", "int8", "uint8", "int16", "int64", "bool")
    x = sg.var("x", ("N", "T"))
    total = sg.sum(x)
    for name in names:
        total = total + sg.sum(sg.cast(sg.var(f"in_{name}", ("N", 3), name), "float32"))
    return sg.group(total, sg.cast(x, "float16"), sg.var("s", (), "float64") * 2.0)


@pytest.fixture(scope="module")
def headers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("headers")
    y, params = convolution()
    common = {"emit": ("o", "h", "hpp")}
    sg.export(y, folder / "limited", params=params, ranges={"N": (0, 9)}, **common)
    sg.export(y, folder / "pointer", params=params, weights="pointer", selftest=True, **common)
    sg.export(y, folder / "fat", params=params, cpu=("x86-64", "x86-64-v3"), **common)
    sg.export(y, folder / "fixed", params=params, shapes={"x": (3, 2, 17, 13)}, **common)
    sg.export(every_dtype(), folder / "dtypes", **common)
    names = ("in", "out", "context", "need", "memory", "code", "model", "line", "error", "x", "p")
    many = sg.group(*(sg.var(name, (name.upper(), 2)) * 2.0 for name in names))
    sg.export(many, folder / "names", **common)
    return folder


@pytest.mark.parametrize("name", ["limited", "pointer", "fat", "fixed", "dtypes", "names"])
@pytest.mark.parametrize("compiler", COMPILERS)
def test_no_compiler_has_anything_to_say(compiler, name, headers):
    command = COMPILERS[compiler]
    if shutil.which(command[0]) is None:
        pytest.skip(f"needs {command[0]}")
    # A tensor may be called as a member of the C++ class is.
    quiet = ("-Wno-shadow",) if name == "names" else ()
    header = "hpp" if compiler.endswith("20") else "h"
    text = f'#include "{name}.{header}"\n#include "fixed.h"\nint main(void) {{ return 0; }}\n'
    done = subprocess.run(
        [*command, *STRICT, *quiet, "-I", str(headers), "-"],
        input=text, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def macro(text: str, name: str) -> int:
    found = re.search(rf"#define {name} (?:U?INT64_C\()?(\d+)", text)
    assert found, name
    return int(found.group(1))


def test_sizes_for_static_arrays(headers):
    text = (headers / "limited.h").read_text()
    y, params = convolution()
    artifact = sg.export(y, headers / "again", params=params, ranges={"N": (0, 9)}, name="limited")
    needed = [
        dims.evaluate(artifact.signature.needed, {sg.DimVar("N"): n}) for n in range(10)
    ]  # fmt: skip
    assert macro(text, "LIMITED_WORKSPACE_MAX") == max(needed)
    assert macro(text, "LIMITED_X_ELEMENTS_MAX") == 9 * 2 * 17 * 13
    assert macro(text, "LIMITED_SOFTMAX0_ELEMENTS_MAX") == 9 * 11
    assert macro((headers / "fixed.h").read_text(), "FIXED_X_ELEMENTS_MAX") == 3 * 2 * 17 * 13
    assert "WORKSPACE_MAX" not in (headers / "fat.h").read_text()


STATIC = r"""
#include "net.h"
static _Alignas(NET_WORKSPACE_ALIGNMENT) unsigned char workspace[NET_WORKSPACE_MAX];
static float x[NET_X_ELEMENTS_MAX], y[NET_FC2_ELEMENTS_MAX];
int main(void)
{
    net_inputs in = {.x = x, .N = NET_N_MAX};
    net_outputs out = {.fc2 = y};
    sg_context context = SG_CONTEXT(sizeof workspace);
    return net_run(&in, &out, workspace, &context) == NET_OK && y[5] != 0 ? 0 : 1;
}
"""


@needs_cc
def test_a_program_with_static_arrays_alone(tmp_path):
    y, params = perceptron()
    artifact = sg.export(y, tmp_path / "net", params=params, ranges={"N": (1, 6)})
    assert subprocess.run([str(build(artifact, STATIC))], check=False).returncode == 0


@needs_cc
def test_a_header_of_another_interface_does_not_link(tmp_path):
    y, params = perceptron()
    old = sg.export(y, tmp_path / "old" / "net", params=params)
    new = sg.export(sg.group(y, y * 2.0), tmp_path / "net", params=params)
    text = "#include \"net.h\"\nint main(void) { return net_strerror(0)[0] == 's' ? 0 : 1; }\n"
    assert subprocess.run([str(build(new, text))], check=False).returncode == 0
    (tmp_path / "net.h").write_bytes(old.files["h"].read_bytes())
    done = subprocess.run(
        [CC or "cc", *FLAGS, str(tmp_path / "main.c"), str(new.files["o"]), "-o",
         str(tmp_path / "main")], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "undefined reference to `net_interface_" in done.stderr


def test_other_numbers_keep_the_interface(tmp_path):
    y, params = perceptron()
    first = sg.export(y, tmp_path / "a" / "net", params=params)
    other = {name: np.ascontiguousarray(array + 1) for name, array in params.items()}
    second = sg.export(y, tmp_path / "b" / "net", params=other)
    names = [re.findall(r"net_interface_\w{8}", a.files["h"].read_text()) for a in (first, second)]
    assert names[0] == names[1] and names[0]


LAYOUT = r"""
#include "net.h"
#include <stdio.h>

int main(void)
{
    printf("%d %d %d\n", NET_INPUTS_X_OFFSET, NET_INPUTS_N_OFFSET, NET_INPUTS_BYTES);
    printf("%d %d %d\n", NET_STATE_H_OFFSET, NET_STATE_C_OFFSET, NET_STATE_BYTES);
    printf("%d %d\n", NET_INPUTS_X_ALIGNMENT, NET_INPUTS_ALIGNMENT);
    printf("%d %d\n", SG_CONTEXT_WORKSPACE_BYTES_OFFSET, SG_CONTEXT_BYTES);
    return 0;
}
"""


@needs_cc
def test_offsets_and_alignments_as_macros(tmp_path):
    """Of every struct; the header itself asserts that they are true."""
    x = sg.var("x", ("N", 3), "float16")
    h, c = sg.var("h", ("N", 3), "float16"), sg.var("c", ("N", 3), "float16")
    y = x * h + c
    artifact = sg.export(y, tmp_path / "net", state={"h": y * 2, "c": c + 1})
    program = build(artifact, LAYOUT)
    done = subprocess.run([str(program)], capture_output=True, text=True, check=True)
    fields = [t.field for t in artifact.signature.inputs]
    x_at, n_at = 8 * fields.index("x"), 8 * len(fields)
    assert done.stdout.splitlines()[0] == f"{x_at} {n_at} {n_at + 8}"
    assert done.stdout.splitlines()[1:] == ["0 8 16", "2 8", "40 48"]


@needs_cc
def test_macros_of_32_bit_processors_are_true(tmp_path):
    """A compiler for 32 bits has nothing to say either."""
    compiler = next((c for c in ("arm-linux-gnueabihf-gcc", "arm-none-eabi-gcc")
                     if shutil.which(c)), None)  # fmt: skip
    if compiler is None:
        pytest.skip("needs a compiler for 32-bit ARM")
    y, params = perceptron()
    target = "armv7-linux" if "linux" in compiler else "thumbv7em"
    artifact = sg.export(y, tmp_path / "net", params=params, target=target)
    text = artifact.files["h"].read_text()
    assert "#define NET_INPUTS_N_OFFSET 8\n" in text and "#define NET_INPUTS_BYTES 16\n" in text
    command = [compiler, "-std=c11", "-fsyntax-only", "-Wall", "-Werror", "-x", "c"]
    done = subprocess.run([*command, str(artifact.files["h"])], capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
