"""The house: a file imports only from lower floors or its own folder."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2] / "symgraph"
FLOORS = {
    "errors": 0, "options": 0.5, "files": 0.7, "garbage": 0.7, "pages": 0.7, "kernel": 1,
    "ir": 2, "ops": 3, "passes": 4,
    "autodiff": 4, "lower": 4, "codegen": 5, "compiler": 6, "train": 7, "models": 7, "data": 6,
    "viz": 7, "onnx": 7, "aot": 7, "testing": 7,
    "progress": 0.7, "cli": 8, "__main__": 9, "__init__": 8,
}  # fmt: skip
FILES = sorted(ROOT.rglob("*.py"))


def room(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0]


def imports(path: Path) -> list[tuple[str, ...]]:
    """What a file imports of the package, as parts below it."""
    package = ("symgraph", *path.relative_to(ROOT).with_suffix("").parts[:-1])
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = (*base, *(node.module or "").split(".")) if node.module else base
            if module[:1] == ("symgraph",):
                names = [a.name for a in node.names] if len(module) == 1 else [""]
                found += [tuple(p for p in (*module[1:], name) if p) for name in names]
        elif isinstance(node, ast.Import):
            names = [a.name.split(".") for a in node.names]
            found += [tuple(n[1:]) for n in names if n[0] == "symgraph"]
    return [f for f in found if f]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    here = room(path)
    for target in imports(path):
        if target[0] == here:
            if here == "codegen" and len(path.relative_to(ROOT).parts) > 2 and len(target) > 1:
                own = path.relative_to(ROOT).parts[1]
                others = {p.name for p in (ROOT / "codegen").iterdir() if p.is_dir()} - {own}
                assert target[1] not in others, f"target {own} imports target {target[1]}"
            continue
        assert FLOORS[target[0]] < FLOORS[here], f"{path} imports {'.'.join(target)}"


def test_passes_do_not_import_ops_and_codegen_only_programs() -> None:
    for path in FILES:
        targets = imports(path)
        if room(path) == "passes":
            assert all(t[0] != "ops" for t in targets), path
        if room(path) == "codegen":
            assert all(t[0] not in ("ops", "passes", "autodiff") for t in targets), path


@pytest.mark.parametrize(("package", "folder"), [("llvmlite", "llvm"), ("pyopencl", "opencl")])
def test_one_importer_of_each_compiler(package: str, folder: str) -> None:
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [a.name.split(".")[0] for a in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [(node.module or "").split(".")[0]]
            if package in names:
                assert ROOT / "codegen" / folder in path.parents, path


def test_only_options_reads_the_environment() -> None:
    for path in FILES:
        if path.name != "options.py":
            text = path.read_text()
            assert "os.environ" not in text, path
            assert "getenv" not in text, path


def test_importing_the_package_imports_no_compiler() -> None:
    code = "import sys, symgraph; print([m for m in ('llvmlite','pyopencl') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent
    )
    assert done.stdout.strip() == "[]"
