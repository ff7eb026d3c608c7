"""The README: its code runs, and prints what the README says."""

from __future__ import annotations

import contextlib
import io
import linecache
import re
import sys
import types
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[1] / "README.md"
BLOCK = re.compile(r"```(python|text|sh)\n(.*?)```", re.S)


def pairs() -> list[tuple[str, str | None]]:
    """Each block of Python code with the output stated right after it."""
    blocks = BLOCK.findall(README.read_text(encoding="utf-8"))
    found: list[tuple[str, str | None]] = []
    for (kind, text), following in zip(blocks, [*blocks[1:], ("", "")], strict=True):
        if kind == "python":
            found.append((text, following[1] if following[0] == "text" else None))
    return found


def test_the_code_prints_what_is_stated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "build").mkdir()
    module = types.ModuleType("readme_code")
    monkeypatch.setitem(sys.modules, "readme_code", module)
    for number, (code, stated) in enumerate(pairs()):
        file = f"README.md#{number}"
        linecache.cache[file] = (len(code), None, code.splitlines(True), file)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, file, "exec"), module.__dict__)
        if stated is not None:
            lines = re.sub(r"README\.md#\d+:", "README.md:", printed.getvalue())
            assert lines.strip() == stated.strip(), f"block {number}"


def test_there_are_two_commands_for_a_fresh_machine() -> None:
    shell = [text for kind, text in BLOCK.findall(README.read_text()) if kind == "sh"]
    assert len(shell) == 2
    assert shell[0].strip().endswith("symgraph demo")
    assert "pytest" in shell[1]


def test_links_lead_to_files() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README.read_text(encoding="utf-8")):
        assert (README.parent / target).exists(), target
