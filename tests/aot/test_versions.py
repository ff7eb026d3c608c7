"""Several levels of x86-64 in one object, chosen when it runs."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from typing import Any

import pytest

import symgraph as sg
from symgraph.codegen.llvm.machine import machine
from symgraph.codegen.llvm.objects import compile_object, load
from symgraph.codegen.llvm.platform import X86_LEVELS
from symgraph.codegen.llvm.versions import LEVEL_CODE, LEVEL_SOURCE, level_text
from symgraph.errors import InputError, TargetError

from .c_program import build, main_text, needs_cc, run
from .models import batch, convolution

CPUS = ("x86-64", "x86-64-v3", "x86-64-v4")

pytestmark = pytest.mark.skipif(
    not machine(None).triple.startswith("x86_64"), reason="needs an x86-64 processor"
)


def has(cpu: str) -> bool:
    return set(X86_LEVELS[cpu]) <= set(machine(None).features)


@pytest.fixture(scope="module")
def fat(tmp_path_factory):
    y, params = convolution()
    folder = tmp_path_factory.mktemp("fat")
    return sg.export(y, folder / "net", params=params, cpu=CPUS), y, params


@pytest.mark.skipif(shutil.which("as") is None, reason="needs as (binutils)")
def test_the_machine_code_is_its_source(tmp_path):
    (tmp_path / "level.s").write_text(f".intel_syntax noprefix\n.text\n{LEVEL_SOURCE}")
    subprocess.run(["as", "--64", "level.s", "-o", "level.o"], cwd=tmp_path, check=True)
    subprocess.run(
        ["objcopy", "-O", "binary", "-j", ".text", "level.o", "level.bin"], cwd=tmp_path, check=True
    )
    assert (tmp_path / "level.bin").read_bytes() == LEVEL_CODE


def test_the_level_of_this_processor():
    host = machine(None)
    body = compile_object(f'target triple = "{host.triple}"\n{level_text("net")}', host)
    loaded = load(body, ["net_isa"])
    level = ctypes.CFUNCTYPE(ctypes.c_int32)(loaded.addresses[0])()
    assert level == max(n for n, cpu in enumerate(X86_LEVELS, 1) if has(cpu))


@pytest.mark.parametrize("cpu", CPUS)
def test_each_version_gives_the_bits_of_its_own_object(cpu, fat):
    if not has(cpu):
        pytest.skip(f"this processor is below {cpu}")
    artifact, y, params = fat
    forced = sg.load(artifact.files["o"], cpu=cpu, threads=1)
    alone = sg.compile(y, params=params, cpu=cpu, threads=1)
    for n in (1, 17, 0):
        x = batch(n, (2, 17, 13))
        assert forced(x).tobytes() == alone(x).tobytes()


def test_the_best_version_is_chosen(fat):
    artifact, y, params = fat
    best = max((c for c in CPUS if has(c)), key=CPUS.index)
    x = batch(5, (2, 17, 13))
    want = sg.compile(y, params=params, cpu=best, threads=1)(x)
    assert sg.load(artifact.files["o"])(x).tobytes() == want.tobytes()


@needs_cc
def test_a_c_program_chooses_too(fat):
    artifact, y, params = fat
    best = max((c for c in CPUS if has(c)), key=CPUS.index)
    x = batch(3, (2, 17, 13))
    want = sg.compile(y, params=params, cpu=best, threads=1)(x)
    assert run(build(artifact, main_text(artifact)), x, want.shape).tobytes() == want.tobytes()
    undefined = subprocess.run(
        ["nm", "-u", str(artifact.files["o"])], capture_output=True, text=True, check=True
    )
    assert undefined.stdout.strip() == ""
    assert "int32_t net_isa(void);" in artifact.files["h"].read_text()


def test_weights_are_shared_between_versions(fat):
    artifact, _, params = fat
    names = [w.name for w in artifact.signature.weights]
    # One may also be read along its summed axis, where vectors of another version cannot lie.
    assert sorted(set(names)) == sorted(params)
    assert len(names) <= len(params) + 1
    assert artifact.description["machine"]["versions"] == ["x86-64-v4", "x86-64-v3", "x86-64"]


def test_strict_versions_give_the_same_bits(tmp_path):
    y, params = convolution()
    artifact = sg.export(y, tmp_path / "net", params=params, cpu=CPUS, strict=True)
    x = batch(4, (2, 17, 13))
    results = {sg.load(artifact.files["o"], cpu=c, threads=1)(x).tobytes() for c in CPUS if has(c)}
    assert len(results) == 1


def test_mistakes(fat, tmp_path):
    artifact, y, params = fat
    with pytest.raises(InputError, match="no version for 'x86-64-v2', only: x86-64-v4"):
        sg.load(artifact.files["o"], cpu="x86-64-v2")
    for cpus, target in ((("x86-64", "znver4"), "x86_64-linux"), (CPUS, "aarch64-linux")):
        with pytest.raises(TargetError, match="one object can hold versions for x86-64"):
            sg.export(y, tmp_path / "net", params=params, cpu=cpus, target=target)


@pytest.mark.parametrize("target", ["x86_64-windows", "x86_64-macos"])
def test_other_systems(target, tmp_path):
    y, params = convolution()
    artifact: Any = sg.export(y, tmp_path / "net", params=params, cpu=CPUS, target=target)
    assert artifact.files["o"].stat().st_size > 10000
