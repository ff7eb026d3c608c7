"""C programs around artefacts: written, compiled with the machine's compiler, run."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import symgraph as sg

CC = shutil.which("cc")
needs_cc = pytest.mark.skipif(CC is None, reason="needs a C compiler (cc)")
needs_nm = pytest.mark.skipif(shutil.which("nm") is None, reason="needs nm (binutils)")
FLAGS = ("-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-pedantic", "-D_GNU_SOURCE")

MAIN = r"""
#include "@NAME@.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void *between_guards(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (bytes + page - 1) / page * page;
    char *start = mmap(NULL, room + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED || (room && mprotect(start + page, room, PROT_READ | PROT_WRITE)))
        abort();
    memset(start + page, 0xff, room);
    /* the last byte lies right before a page that must not be touched */
    return start + page + (room - bytes);
}

int main(int argc, char **argv)
{
    int64_t n = strtoll(argv[1], NULL, 10);
    (void)argc;
    size_t in_bytes = @NAME@_x_elements(n) * sizeof(float);
    size_t out_bytes = @NAME@_@OUT@_elements(n) * sizeof(float);
    float *x = between_guards(in_bytes), *y = between_guards(out_bytes);
    FILE *file = fopen(argv[2], "rb");
    if (file == NULL || fread(x, 1, in_bytes, file) != in_bytes)
        return 10;
    fclose(file);
    size_t bytes = @NAME@_workspace_bytes(n);
    void *workspace = between_guards(bytes);
    @NAME@_inputs in = {.x = x, .N = n};
    @NAME@_outputs out = {.@OUT@ = y};
    if (@NAME@_workspace_needed(&in, 1) != (int64_t)bytes)
        return 14;
    sg_context context = SG_CONTEXT(bytes);
    if (bytes > 0) {
        context.workspace_bytes = bytes - 1;
        if (@NAME@_run(&in, &out, workspace, &context) != @UPPER@_ERROR_WORKSPACE_SIZE)
            return 11;
        context.workspace_bytes = bytes;
    }
    int32_t code = @NAME@_run(&in, &out, workspace, &context);
    if (code != @UPPER@_OK) {
        fprintf(stderr, "%s\n", @NAME@_strerror(code));
        return 12;
    }
    file = fopen(argv[3], "wb");
    if (file == NULL || fwrite(y, 1, out_bytes, file) != out_bytes || fclose(file))
        return 13;
    return 0;
}
"""


def main_text(artifact: sg.aot.Artifact) -> str:
    """A program `main N INPUT OUTPUT` for a model with input x[N,...] and one output."""
    prefix = artifact.signature.prefix
    text = MAIN.replace("@NAME@", prefix).replace("@UPPER@", prefix.upper())
    return text.replace("@OUT@", artifact.signature.results[0].field)


def build(
    artifact: sg.aot.Artifact,
    text: str,
    *extra: str | Path,
    compiler: str | None = None,
    suffix: str = "c",
    flags: tuple[str, ...] = FLAGS,
    library: str = "o",
) -> Path:
    """Compile and link a program with the artefact's object."""
    folder = artifact.folder
    source, program = folder / f"main.{suffix}", folder / "main"
    source.write_text(text)
    command = [compiler or CC or "cc", *flags, "-I", str(folder), str(source),
               str(artifact.files[library]), *map(str, extra), "-o", str(program)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return program


def run(program: Path, x: np.ndarray, shape: tuple[int, ...], *launcher: str) -> np.ndarray:
    """The program's output for one batch."""
    folder = program.parent
    (folder / "x.bin").write_bytes(x.tobytes())
    arguments = [str(len(x)), str(folder / "x.bin"), str(folder / "y.bin")]
    done = subprocess.run(
        [*launcher, str(program), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (done.returncode, done.stderr)
    return np.frombuffer((folder / "y.bin").read_bytes(), np.float32).reshape(shape)
