"""The pages of documentation whose code runs: it prints what the page says."""

from __future__ import annotations

import contextlib
import io
import linecache
import re
import sys
import types
from pathlib import Path

import pytest

from .test_readme import BLOCK

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.mark.parametrize("page", ["loops.md", "onnx.md"])
def test_the_code_prints_what_is_stated(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if page == "onnx.md":
        pytest.importorskip("onnx")
    blocks = BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))
    assert any(kind == "python" for kind, _ in blocks)
    module = types.ModuleType("page_code")
    monkeypatch.setitem(sys.modules, "page_code", module)
    following = [*blocks[1:], ("", "")]
    for number, ((kind, code), (next_kind, stated)) in enumerate(
        zip(blocks, following, strict=True)
    ):
        if kind != "python":
            continue
        file = f"{page}#{number}"
        linecache.cache[file] = (len(code), None, code.splitlines(True), file)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, file, "exec"), module.__dict__)
        if next_kind == "text":
            lines = re.sub(rf"{re.escape(page)}#\d+:", f"{page}:", printed.getvalue())
            assert lines.strip() == stated.strip(), f"block {number}"


@pytest.mark.parametrize("page", sorted(p.name for p in DOCS.glob("*.md")))
def test_links_lead_to_files(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", (DOCS / page).read_text(encoding="utf-8")):
        if "://" not in target:
            assert (DOCS / target).exists(), target
