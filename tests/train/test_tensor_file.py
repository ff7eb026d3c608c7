"""safetensors files: round trips, the reference package's reading, and every kind of damage."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from symgraph.errors import FileError, FormatError, MissingDependencyError
from symgraph.train.tensor_file import read_tensors, write_tensors

ARRAYS = {
    "weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "scalar": np.float64(2.5).reshape(()),
    "empty": np.zeros((0, 7), np.int64),
    "key": np.array([1, 2, 3, 2**32 - 1], np.uint32),
    "flags": np.array([True, False, True]),
    "half": np.linspace(-1, 1, 17).astype(np.float16),
    "strided": np.arange(20, dtype=np.int16).reshape(4, 5).T,
}


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert list(found) == sorted(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array, strict=True)
        assert found[name].flags.writeable


def test_round_trip(tmp_path: Path) -> None:
    path = write_tensors(tmp_path / "a.safetensors", ARRAYS, {"note": "three words here"})
    arrays, metadata = read_tensors(path)
    assert_same(arrays, ARRAYS)
    assert metadata == {"note": "three words here"}
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_the_bytes_do_not_depend_on_the_process(tmp_path: Path) -> None:
    """With several texts too, whose order the package leaves to chance."""
    texts = {letter: letter for letter in "qwertyuiop"}
    first = write_tensors(tmp_path / "a", ARRAYS, texts).read_bytes()
    script = (
        "import sys; from symgraph.train.tensor_file import *; from pathlib import Path\n"
        f"write_tensors(sys.argv[2], read_tensors(sys.argv[1])[0], {dict(reversed(texts.items()))})"
    )
    again = tmp_path / "b"
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "a"), str(again)], check=True)
    assert again.read_bytes() == first
    assert read_tensors(again)[1] == texts


def test_round_trip_of_nothing(tmp_path: Path) -> None:
    assert read_tensors(write_tensors(tmp_path / "a", {})) == ({}, {})


def test_the_reference_package_reads_and_writes_the_same(tmp_path: Path) -> None:
    reference = pytest.importorskip("safetensors.numpy")
    path = write_tensors(tmp_path / "a", ARRAYS, {"k": "v"})
    loaded = reference.load_file(path)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(loaded[name], array)
    plain = {name: np.ascontiguousarray(a) for name, a in ARRAYS.items()}
    reference.save_file(plain, tmp_path / "b", {"k": "v"})
    arrays, metadata = read_tensors(tmp_path / "b")
    assert metadata == {"k": "v"}
    assert_same(arrays, plain)


def test_bfloat16(tmp_path: Path) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    array = np.array([1.5, -2.0, 3.0], ml_dtypes.bfloat16)
    arrays, _ = read_tensors(write_tensors(tmp_path / "a", {"w": array}))
    assert arrays["w"].dtype == array.dtype
    np.testing.assert_array_equal(arrays["w"].astype(np.float32), [1.5, -2.0, 3.0])


def test_an_old_file_survives_a_failed_write(tmp_path: Path) -> None:
    path = write_tensors(tmp_path / "a", ARRAYS)
    with pytest.raises(FormatError, match="array 'c' has dtype complex128"):
        write_tensors(path, {"c": np.zeros(3, np.complex128)})
    assert_same(read_tensors(path)[0], ARRAYS)
    with pytest.raises(FileError, match="does not exist"):
        write_tensors(tmp_path / "no" / "a", ARRAYS)


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    whole = write_tensors(tmp_path / "a", ARRAYS).read_bytes()
    for length in range(len(whole)):
        (tmp_path / "cut").write_bytes(whole[:length])
        with pytest.raises(FormatError, match="truncated|not a safetensors file"):
            read_tensors(tmp_path / "cut")


def damaged(header: object, data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"PK\3\4" + b"\0" * 60,
            "a truncated or damaged one (64 bytes)",
        ),
        (b"\x93NUMPY\1\0" + b"{" * 300, "not a safetensors file"),
        ((4).to_bytes(8, "little") + b"{abc", "not a safetensors file"),
        (damaged([1]), "not a safetensors file"),
        (damaged({"w": ENTRY}, b"\0" * 9), "not fully covered"),
        (damaged({"w": 3}), "not a safetensors file"),
        (damaged({"w": {**ENTRY, "dtype": "F7"}}, b"\0" * 8), "F7"),
        (damaged({"w": {**ENTRY, "dtype": "C64", "shape": [1]}}, b"\0" * 8), "'w' has dtype 'C64'"),
        (damaged({"w": {**ENTRY, "shape": [3]}}, b"\0" * 8), "damaged"),
        (damaged({"w": ENTRY, "v": ENTRY}, b"\0" * 8), "damaged"),
        (damaged({"w": {**ENTRY, "shape": [-1, -2]}}, b"\0" * 8), "damaged"),
        (damaged({"__metadata__": 7}), "damaged"),
    ],
)
def test_damage(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad"
    path.write_bytes(content)
    with pytest.raises(FormatError) as error:
        read_tensors(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tensors(tmp_path / "a.safetensors", ARRAYS)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'symgraph\[train\]'"):
        read_tensors(path)
    with pytest.raises(MissingDependencyError, match=r"parameter file .* needs the package"):
        write_tensors(tmp_path / "b.safetensors", ARRAYS)
    assert not (tmp_path / "b.safetensors").exists()
