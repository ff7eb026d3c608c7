"""Object files of every format are read without loading them; archives too."""

from __future__ import annotations

import contextlib
import shutil
import subprocess

import pytest

import symgraph as sg
from symgraph.aot import description
from symgraph.aot.archive import members, write_archive
from symgraph.aot.object_file import leb_bytes, read_object
from symgraph.codegen.llvm.platform import PLATFORMS
from symgraph.errors import FormatError

from .models import perceptron

FORMATS = {"elf", "coff", "macho", "wasm"}


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    folder = tmp_path_factory.mktemp("platforms")
    y, params = perceptron()
    made = {}
    for name in PLATFORMS:
        made[name] = sg.export(
            y, folder / name, params=params, target=name, name="net", emit=("o", "a")
        )
    return made


@pytest.mark.parametrize("name", PLATFORMS)
def test_every_platform_gets_a_described_object(name, objects):
    data = objects[name].files["o"].read_bytes()
    found, made = description.decode(data)
    platform = PLATFORMS[name]
    assert found.format == platform.format
    assert found.architecture == platform.object_architecture
    assert found.kind == "object"
    assert found.code_nbytes > 100
    assert made["machine"]["platform"] == name
    assert description.is_intact(data)
    assert {p.format for p in PLATFORMS.values()} == FORMATS


@pytest.mark.parametrize("name", PLATFORMS)
def test_truncated_objects_are_refused(name, objects):
    data = objects[name].files["o"].read_bytes()
    for length in {1, 10, 33, 64, 100, len(data) // 3, len(data) // 2, len(data) - 1}:
        try:
            _, made = description.decode(data[:length])
        except FormatError:
            continue
        # Where only what follows the description is cut off, the hash tells.
        assert made["prefix"] == "net"
        assert not description.is_intact(data[:length])


@pytest.mark.parametrize("name", PLATFORMS)
def test_one_changed_byte_breaks_the_seal(name, objects):
    data = bytearray(objects[name].files["o"].read_bytes())
    data[len(data) // 2] ^= 1
    with contextlib.suppress(FormatError):
        assert not description.is_intact(bytes(data))


@pytest.mark.parametrize("name", PLATFORMS)
def test_libraries_hold_the_object(name, objects):
    library = objects[name].files["a"].read_bytes()
    ((label, body),) = list(members(library))
    own = objects[name].files["o"].read_bytes()
    assert label == "net.o"
    assert body[: len(own)] == own
    assert description.decode(library)[1]["machine"]["platform"] == name


@pytest.mark.skipif(shutil.which("ar") is None, reason="needs ar (binutils)")
def test_archives_as_the_usual_tool_reads_them(tmp_path):
    contents = {"a.o": b"odd", "a_name_that_is_long.o": b"even", "b.o": b""}
    symbols = {"a.o": ["f"], "a_name_that_is_long.o": ["g", "h"]}
    path = tmp_path / "x.a"
    path.write_bytes(write_archive(contents, symbols))
    listed = subprocess.run(["ar", "t", str(path)], capture_output=True, text=True, check=True)
    assert listed.stdout.split() == list(contents)
    for name, body in contents.items():
        out = subprocess.run(["ar", "p", str(path), name], capture_output=True, check=True)
        assert out.stdout == body
    index = subprocess.run(["nm", "-s", str(path)], capture_output=True, text=True, check=False)
    for line in ("f in a.o", "g in a_name_that_is_long.o", "h in a_name_that_is_long.o"):
        assert line in index.stdout
    assert dict(members(path.read_bytes())) == contents


def test_bsd_archives_are_read_back():
    contents = {"a.o": bytes(16), "a_name_that_is_long.o": bytes(range(8))}
    data = write_archive(contents, {"a.o": ["_f"]}, bsd=True)
    assert dict(members(data)) == contents
    assert data.index(b"__.SYMDEF SORTED") == 8 + 60


def test_damaged_archives():
    data = write_archive({"a.o": b"12345678"}, {"a.o": ["f"]})
    with pytest.raises(FormatError, match="truncated"):
        list(members(data[:-4]))
    with pytest.raises(FormatError, match="damaged at byte"):
        list(members(data[:8] + b"x" * 60))


def test_files_that_are_no_objects():
    for data in (b"", b"\x7fELF", b"MZ", b"\0asm", b"hello world, this is text", bytes(100)):
        with pytest.raises(FormatError):
            description.decode(data)


def test_leb128():
    assert leb_bytes(0) == b"\0"
    assert leb_bytes(127) == b"\x7f"
    assert leb_bytes(128) == b"\x80\x01"
    assert leb_bytes(624485) == b"\xe5\x8e\x26"
    assert read_object(b"\0asm\1\0\0\0" + b"\0\5\4abcd").sections[0].name == "abcd"
