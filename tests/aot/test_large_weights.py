"""Weights beyond 2 GiB: really written, mapped, packed and read to their last row."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import symgraph as sg
from symgraph.aot.weights import MOST_EMBEDDED, refuse_too_large
from symgraph.errors import TargetError

from .c_program import build, needs_cc

ROWS, WIDTH = (1 << 31) // 4096 + 1025, 1024


def memory_available() -> int:
    """Bytes; 0 where nothing tells."""
    place = Path("/proc/meminfo")
    rows = (
        dict(line.split(":") for line in place.read_text().splitlines()) if place.exists() else {}
    )
    return int(rows.get("MemAvailable", "0 kB").split()[0]) * 1024


MAIN = r"""
#include "net.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

int main(int argc, char **argv)
{
    int file = open(argv[1], O_RDONLY);
    size_t bytes = (size_t)NET_PACKED_BYTES;
    void *weights = mmap(NULL, bytes, PROT_READ, MAP_SHARED, file, 0);
    int64_t rows[4];
    float y[4];
    (void)argc;
    if (weights == MAP_FAILED)
        return 10;
    for (int i = 0; i < 4; i++)
        rows[i] = strtoll(argv[2 + i], NULL, 10);
    net_inputs in = {.ids = rows, .N = 4};
    net_outputs out = {.@OUT@ = y};
    static _Alignas(64) unsigned char workspace[1 << 16];
    sg_context context = SG_CONTEXT(sizeof workspace);
    context.constants = weights;
    if (net_run(&in, &out, workspace, &context))
        return 11;
    if (net_check_weights(weights, bytes) || !net_check_weights(weights, bytes - 4096))
        return 12;
    for (int i = 0; i < 4; i++)
        printf("%g\n", (double)y[i]);
    return 0;
}
"""


@pytest.mark.slow
@needs_cc
@pytest.mark.skipif(
    int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) > 1, reason="needs the machine to itself"
)
@pytest.mark.skipif(memory_available() < 14 << 30, reason="needs 14 GiB of free memory")
def test_a_table_of_more_than_2_gib(tmp_path):
    if shutil.disk_usage(tmp_path).free < 4 << 30:
        pytest.skip("needs 4 GiB of disk")
    ids = sg.var("ids", ("N",), "int64")
    table = sg.var("table", (ROWS, WIDTH), init=sg.initializers.Constant(0.0))
    y = sg.sum(sg.take(table, ids, axis=0) * 2.0, axis=-1)
    numbers = np.zeros((ROWS, WIDTH), np.float32)
    rows = np.array([0, 1 << 19, (1 << 19) + 1, ROWS - 1])
    numbers[rows] = np.array([[1], [2], [3], [4]])
    artifact = sg.export(y, tmp_path / "net", params={"table": numbers}, weights="file",
                         target="native")  # fmt: skip
    try:
        assert artifact.files["weights"].stat().st_size == numbers.nbytes + 4096
        want = [2048.0, 4096.0, 6144.0, 8192.0]
        mapped = sg.load(artifact.files["o"], threads=1)
        assert mapped(ids=rows).tolist() == want
        program = build(artifact, MAIN.replace("@OUT@", artifact.signature.results[0].field))
        command = [str(program), str(artifact.files["weights"]), *map(str, rows)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.returncode
        assert [float(line) for line in done.stdout.split()] == want
        # The same object with a table that its own entry packs.
        numbers[rows] *= 3
        packed = sg.load(artifact.files["o"], weights={"table": numbers}, threads=1)
        assert packed(ids=rows).tolist() == [3 * n for n in want]
    finally:
        artifact.files["weights"].unlink()


def test_what_cannot_be_addressed_is_refused_by_name():
    refuse_too_large(MOST_EMBEDDED, "embedded", "x86_64-linux", 64)
    refuse_too_large(1 << 40, "file", "x86_64-linux", 64)
    with pytest.raises(TargetError, match=r"2,080,374,785 bytes of weights cannot be embedded"):
        refuse_too_large(MOST_EMBEDDED + 1, "embedded", "x86_64-linux", 64)
    with pytest.raises(TargetError, match="memory of wasm32, which has 32-bit addresses"):
        refuse_too_large(1 << 31, "pointer", "wasm32", 32)
