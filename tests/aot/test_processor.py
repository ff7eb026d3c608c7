"""An object for one level of x86-64 refuses processors below it: no illegal instruction."""

from __future__ import annotations

import shutil
import subprocess

import pytest

import symgraph as sg
from symgraph.codegen.llvm.machine import machine
from symgraph.codegen.llvm.platform import X86_LEVELS
from symgraph.codegen.llvm.versions import LEVELS, level_of

from .c_program import FLAGS, build, needs_cc
from .models import batch, perceptron

pytestmark = pytest.mark.skipif(
    not machine(None).triple.startswith("x86_64"), reason="needs an x86-64 processor"
)

MAIN = r"""
#include "net.h"
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    static float x[3 * 7], y[3 * 5];
    net_inputs in = {.x = x, .N = 3};
    net_outputs out = {.fc2 = y};
    sg_context context = SG_CONTEXT(net_workspace_bytes(3));
    context.flags = argc > 1 ? (uint32_t)atoi(argv[1]) : 0;
    int32_t code = net_run(&in, &out, aligned_alloc(64, 65536), &context);
    printf("%s|%d", net_strerror(code), code == NET_ERROR_PROCESSOR);
#ifdef NET_SELFTEST_BYTES
    context.workspace_bytes = NET_SELFTEST_BYTES;
    printf("|%d", net_selftest(aligned_alloc(64, NET_SELFTEST_BYTES + 64), &context));
#endif
    return 0;
}
"""


def said(command: list[str]) -> list[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.returncode, done.stderr)
    return done.stdout.split("|")


@needs_cc
@pytest.mark.parametrize("cpu", ["x86-64-v2", "x86-64-v3", "x86-64-v4"])
def test_an_older_processor_is_refused(cpu, tmp_path):
    """Nehalem is level 2, Westmere too; what is said by flags is believed."""
    y, params = perceptron()
    artifact = sg.export(y, tmp_path / "net", params=params, cpu=cpu, selftest=True)
    program = build(artifact, MAIN, flags=(*FLAGS, "-static"))
    if LEVELS[cpu] <= level_of(machine(None)):
        assert said([str(program)]) == ["success", "0", "0"]
    below = f"x86-64 level of the processor and its system: need level {LEVELS[cpu]}, {cpu}"
    message, is_code, test = said([str(program), str(LEVELS[cpu] - 1)])
    assert message.startswith(below)
    assert (is_code, test) == ("1", "-3")
    if shutil.which("qemu-x86_64") is None:
        pytest.skip("needs qemu-x86_64")
    old = "core2duo" if cpu == "x86-64-v2" else "Nehalem"
    message, is_code, test = said(["qemu-x86_64", "-cpu", old, str(program)])
    assert message.startswith(below)
    assert (is_code, test) == ("1", "-3")


def test_the_baseline_asks_nothing(tmp_path):
    y, params = perceptron()
    artifact = sg.export(y, tmp_path / "net", params=params, cpu="x86-64")
    assert "isa" not in artifact.description["symbols"]
    assert "PROCESSOR" not in artifact.files["h"].read_text()


def test_the_code_is_that_of_its_processor(tmp_path):
    """The entry runs anywhere; the program behind it is compiled for its own level."""
    y, params = perceptron()
    for cpu in (c for c in ("x86-64-v3", "x86-64-v4") if LEVELS[c] <= level_of(machine(None))):
        artifact = sg.export(y, tmp_path / "net", params=params, cpu=cpu)
        expected = sg.compile(y, params=params, cpu=cpu, threads=1)
        x = batch(17, (7,))
        assert sg.load(artifact.files["o"], threads=1)(x).tobytes() == expected(x).tobytes()


def test_the_level_of_a_named_machine():
    assert [level_of(machine(name)) for name in X86_LEVELS] == [1, 2, 3, 4]
    assert level_of(machine(None, "aarch64-linux")) == 0
