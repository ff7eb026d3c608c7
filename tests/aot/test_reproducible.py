"""The same input gives the same bytes, in every kind of file."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from symgraph.aot.kinds import KINDS

ROOT = Path(__file__).parents[2]
NET = """
import symgraph as sg

def model():
    x = sg.var("x", ("N", 2, 9, 7))
    h = sg.relu(sg.conv2d(x, 6, kernel_size=3, name="conv"))
    return sg.softmax(sg.linear(sg.flatten(h), 5, name="fc"))
"""


def hashes(folder: Path, seed: str, *options: str, script: bool) -> dict[str, str]:
    """What a process of its own writes, by file name."""
    folder.mkdir()
    (folder / "net.py").write_text(NET)
    start = [sys.executable, "-m", "symgraph"]
    if script:  # as the installed command starts
        (folder / "symgraph").write_text(
            "import sys\nfrom symgraph.cli import main\nsys.exit(main())\n"
        )
        start = [sys.executable, str(folder / "symgraph")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed,
                   "SYMGRAPH_CACHE": "", "TZ": f"UTC+{seed}"}  # fmt: skip
    done = subprocess.run(
        [*start, "compile", *options, "-o", "out"], cwd=folder, env=environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((folder / "out").iterdir())
    }


def compare(tmp_path: Path, *options: str) -> dict[str, str]:
    first = hashes(tmp_path / "first", "1", *options, script=False)
    second = hashes(tmp_path / "another_folder", "4242", *options, script=True)
    assert first == second
    return first


def test_every_kind_of_file(tmp_path):
    kinds = [kind for kind in KINDS if shutil.which("ld") or kind not in ("so", "whl")]
    options = ("--emit", ",".join(kinds), "--selftest", "--cpu", "x86-64,x86-64-v3",
               "--specialise", "N=1,4")  # fmt: skip
    found = compare(tmp_path, "net.py:model", *options)
    assert len(found) == len(kinds) + 1  # pthreads has two files


@pytest.mark.parametrize("target", ["thumbv7em", "wasm32", "x86_64-windows", "aarch64-macos"])
def test_other_platforms(target, tmp_path):
    found = compare(tmp_path, "net.py:model", "--target", target, "--emit", "o,a,h,json",
                    "--weights", "file")  # fmt: skip
    assert len(found) == 5


def test_a_known_network_and_its_training_step(tmp_path):
    assert len(compare(tmp_path, "lenet5", "--emit", "train-step,o,h,json")) == 4
