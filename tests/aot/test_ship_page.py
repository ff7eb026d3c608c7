"""docs/ship.md does what it says: its commands run in order, its program is compiled, and what
stands below a command is what it prints, figures aside."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .test_c_programs import is_x86
from .test_packaging import ROOT, needs

PAGE = ROOT / "docs" / "ship.md"
BLOCK = re.compile(r"(?:`([\w.]+)`:\n\n)?```(\w+)\n(.*?)```", re.DOTALL)
PROGRESS = re.compile(r"^(compiling .* \.\.\.|done in .* s|  \[\d+ s\] .*)$")


def blocks() -> Iterator[tuple[str, str, str, str]]:
    """File name or nothing, language, text, and the output that stands below it."""
    found = list(BLOCK.finditer(PAGE.read_text()))
    for block, below in zip(found, [*found[1:], None], strict=True):
        output = below[3] if below is not None and below[2] == "text" else ""
        yield block[1] or "", block[2], block[3], output


def label(line: str) -> str:
    """What a line says before its first figure."""
    return re.split(r"[\d:]|\s{2,}", line.strip())[0].strip()


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "symgraph").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m symgraph "$@"\n')
    (tools / "symgraph").chmod(0o755)
    return tmp_path


def command(text: str, folder: Path) -> list[str]:
    """The lines that the commands of a block print."""
    lines = [line for line in text.splitlines() if not line.startswith("pip install")]
    script = "set -eu\n" + "\n".join(lines)
    environment = {**os.environ, "PYTHONPATH": str(ROOT),
                   "PATH": f"{folder / 'tools'}:{os.environ['PATH']}"}  # fmt: skip
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{text}\n{done.stdout}"
    return [line for line in done.stdout.splitlines() if not PROGRESS.match(line)]


@needs("cc", "nm", "bash")
@pytest.mark.skipif(not is_x86(), reason="runs x86-64 Linux programs")
def test_the_page_from_top_to_bottom(workplace, monkeypatch):
    monkeypatch.chdir(workplace)
    names: dict[str, object] = {}
    ran = 0
    for file, language, text, output in blocks():
        if file:
            (workplace / file).write_text(text)
        elif language == "sh":
            printed = command(text, workplace)
            ran += 1
            for wanted in output.splitlines():
                exact = "got" in wanted or not re.search(r"\d", wanted)
                seen = printed if exact else [label(line) for line in printed]
                assert (wanted if exact else label(wanted)) in seen, (text, wanted, printed)
        elif language == "python" and ("import symgraph" in text or "sg.load(" in text):
            exec(text, names)
    assert ran == 6
    assert "model" in names
