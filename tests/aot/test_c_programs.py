"""Artefacts linked into C programs: the bits of Python, nothing undefined, exact workspaces."""

from __future__ import annotations

import importlib.resources
import shutil
import subprocess
from pathlib import Path

import pytest

import symgraph as sg
from symgraph.aot.header import interface_symbol

from .c_program import CC, FLAGS, build, main_text, needs_cc, needs_nm, run
from .models import batch, convolution, perceptron

CPU = "x86-64-v3"


def is_x86() -> bool:
    import platform

    return platform.machine() == "x86_64" and platform.system() == "Linux"


pytestmark = pytest.mark.skipif(not is_x86(), reason="runs x86-64 Linux programs")


@needs_cc
@pytest.mark.parametrize("model", [perceptron, convolution])
def test_a_c_program_computes_the_bits_of_python(model, tmp_path):
    y, params = model()
    artifact = sg.export(y, tmp_path / "net", params=params, cpu=CPU)
    expected = sg.compile(y, params=params, cpu=CPU, threads=1)
    program = build(artifact, main_text(artifact))
    shape = tuple(y.graph.variables[0].types[0].shape[1:])
    for n in (1, 2, 17, 0, 33):
        x = batch(n, shape)
        want = expected(x=x)
        got = run(program, x, want.shape)
        assert got.tobytes() == want.tobytes(), n


@needs_nm
@pytest.mark.parametrize("model", [perceptron, convolution])
def test_nothing_is_undefined(model, tmp_path):
    y, params = model()
    artifact = sg.export(y, tmp_path / "net", params=params)
    done = subprocess.run(
        ["nm", "-u", str(artifact.files["o"])], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
    done = subprocess.run(
        ["nm", "-g", "--defined-only", str(artifact.files["o"])],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert sorted(line.split()[-1] for line in done.stdout.splitlines()) == [
        "net_explain",
        interface_symbol(artifact.signature),
        "net_isa",
        "net_run",
        "net_strerror",
        "net_workspace_needed",
    ]


FREESTANDING = r"""
#include "net.h"

static float x[2 * 7], y[2 * 5];
static _Alignas(NET_WORKSPACE_ALIGNMENT) unsigned char workspace[4096];

static void leave(long code)
{
    __asm__ volatile("syscall" : : "a"(60L), "D"(code) : "rcx", "r11", "memory");
    __builtin_unreachable();
}

__attribute__((force_align_arg_pointer)) void _start(void)
{
    net_inputs in = {x, 2};
    net_outputs out = {y};
    sg_context context = SG_CONTEXT(sizeof workspace);
    for (int i = 0; i < 14; i++)
        x[i] = (float)i / 8;
    leave(net_run(&in, &out, workspace, &context) == NET_OK && y[0] != 0 ? 42 : 1);
}
"""


@needs_cc
def test_a_program_without_any_library(tmp_path):
    y, params = perceptron()
    artifact = sg.export(y, tmp_path / "net", params=params)
    flags = ("-std=c11", "-O1", "-nostdlib", "-ffreestanding", "-static", "-fno-stack-protector")
    program = build(artifact, FREESTANDING, flags=flags)
    assert subprocess.run([str(program)], check=False).returncode == 42


THREADS = r"""
#include "net.h"
#include "sg_pthreads.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CALLERS = 5, ROUNDS = 20 };
static sg_pthreads *pool;
static float x[33 * 7];

static void *caller(void *argument)
{
    int64_t n = 33, threads = 3;
    float *y = malloc(net_fc2_elements(n) * sizeof *y);
    size_t bytes = net_workspace_bytes_threads(n, threads);
    void *workspace = aligned_alloc(64, bytes + 64);
    for (int round = 0; round < ROUNDS; round++) {
        net_inputs in = {x, n};
        net_outputs out = {y};
        sg_context context = SG_CONTEXT(bytes);
        context.parallel_for = sg_pthreads_for;
        context.pool = pool;
        context.threads = threads;
        memset(y, 0xff, net_fc2_elements(n) * sizeof *y);
        if (net_run(&in, &out, workspace, &context) != NET_OK)
            abort();
        if (round == 0)
            memcpy(argument, y, net_fc2_elements(n) * sizeof *y);
        else if (memcmp(argument, y, net_fc2_elements(n) * sizeof *y) != 0)
            abort();
    }
    free(workspace);
    free(y);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[CALLERS];
    static float results[CALLERS][33 * 5];
    FILE *file = fopen(argv[argc - 2], "rb");
    if (file == NULL || fread(x, sizeof x, 1, file) != 1)
        return 10;
    pool = sg_pthreads_create(3);
    for (int i = 0; i < CALLERS; i++)
        pthread_create(&threads[i], NULL, caller, results[i]);
    for (int i = 0; i < CALLERS; i++)
        pthread_join(threads[i], NULL);
    sg_pthreads_destroy(pool);
    for (int i = 1; i < CALLERS; i++)
        if (memcmp(results[0], results[i], sizeof results[0]) != 0)
            return 11;
    file = fopen(argv[argc - 1], "wb");
    fwrite(results[0], sizeof results[0], 1, file);
    return fclose(file);
}
"""


def shipped_c(name: str) -> Path:
    return Path(str(importlib.resources.files("symgraph.aot"))) / "c" / name


@needs_cc
def test_many_threads_with_their_own_workspaces_and_a_pool(tmp_path):
    y, params = perceptron()
    artifact = sg.export(y, tmp_path / "net", params=params, cpu=CPU)
    folder = shipped_c("sg_pthreads.c").parent
    flags = (*FLAGS, "-I", str(folder), "-pthread")
    program = build(artifact, THREADS, folder / "sg_pthreads.c", flags=flags)
    x = batch(33, (7,))
    want = sg.compile(y, params=params, cpu=CPU, threads=1)(x=x)
    assert run(program, x, want.shape).tobytes() == want.tobytes()


@needs_cc
def test_the_openmp_adapter_calls_each_index_once(tmp_path):
    main = tmp_path / "main.c"
    main.write_text(
        "#include <stdint.h>\n"
        "void sg_openmp_for(void *, void (*)(void *, int64_t, int64_t), void *, int64_t);\n"
        "static void task(void *data, int64_t i, int64_t t) { (void)t; ((char *)data)[i]++; }\n"
        "int main(void) { char seen[101] = {0}; sg_openmp_for(0, task, seen, 100);\n"
        "  for (int i = 0; i < 100; i++) if (seen[i] != 1) return 1;\n"
        "  return seen[100]; }\n"
    )
    command = [CC or "cc", "-fopenmp", "-Wall", "-Werror", str(main),
               str(shipped_c("sg_openmp.c")), "-o", str(tmp_path / "main")]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "gomp" in done.stderr or "omp.h" in done.stderr:
        pytest.skip("no OpenMP runtime")
    assert done.returncode == 0, done.stderr
    assert subprocess.run([str(tmp_path / "main")], check=False).returncode == 0


@pytest.mark.skipif(shutil.which("c++") is None, reason="needs a C++ compiler (c++)")
def test_the_tbb_adapter_calls_each_index_once(tmp_path):
    (tmp_path / "main.cpp").write_text(
        "#include <cstdint>\n"
        'extern "C" void sg_tbb_for(void *, void (*)(void *, std::int64_t, std::int64_t),\n'
        "    void *, std::int64_t);\n"
        "int main() { static char seen[101];\n"
        "  sg_tbb_for(nullptr, [](void *d, std::int64_t i, std::int64_t) {\n"
        "    static_cast<char *>(d)[i]++; }, seen, 100);\n"
        "  for (int i = 0; i < 100; i++) if (seen[i] != 1) return 1;\n"
        "  return seen[100]; }\n"
    )
    command = ["c++", "-std=c++17", "-Wall", "-Werror", "main.cpp", str(shipped_c("sg_tbb.cpp")),
               "-ltbb", "-o", "main"]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    if "tbb/parallel_for.h" in done.stderr:
        pytest.skip("needs oneTBB")
    assert done.returncode == 0, done.stderr
    assert subprocess.run([str(tmp_path / "main")], check=False).returncode == 0


@pytest.mark.skipif(shutil.which("c++") is None, reason="needs a C++ compiler (c++)")
def test_the_header_is_c_plus_plus(tmp_path):
    y, params = perceptron()
    artifact = sg.export(y, tmp_path / "net", params=params)
    source = tmp_path / "check.cpp"
    source.write_text(
        '#include "net.h"\n'
        'static_assert(net_workspace_bytes(3) > 0, "known at compile time");\n'
        "int main() { return net_strerror(0)[0] == 's' ? 0 : 1; }\n"
    )
    command = ["c++", "-std=c++14", "-Wall", "-Wextra", "-Werror", str(source),
               str(artifact.files["o"]), "-o", str(tmp_path / "check")]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert subprocess.run([str(tmp_path / "check")], check=False).returncode == 0
