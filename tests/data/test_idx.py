"""The IDX reader: what it reads, and what it says about files that are not IDX."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
import pytest

from symgraph.data import DataError, read_idx

CODES = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}


def idx_bytes(values: np.ndarray) -> bytes:
    code = CODES[values.dtype.str[1:]]
    shape = np.array(values.shape, ">u4").tobytes()
    return (
        bytes([0, 0, code, values.ndim])
        + shape
        + values.astype(values.dtype.newbyteorder(">")).tobytes()
    )


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("shape", [(), (3,), (0, 2), (2, 3, 5)])
def test_round_trip_of_every_type(tmp_path: Path, code: str, shape: tuple[int, ...]) -> None:
    values = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(code)
    (tmp_path / "a").write_bytes(idx_bytes(values))
    got = read_idx(tmp_path / "a")
    assert got.dtype == values.dtype
    assert got.dtype.isnative
    np.testing.assert_array_equal(got, values)


def test_gzip_is_recognised_by_content(tmp_path: Path) -> None:
    (tmp_path / "plain_name").write_bytes(gzip.compress(idx_bytes(np.arange(5, dtype=np.uint8))))
    np.testing.assert_array_equal(read_idx(tmp_path / "plain_name"), np.arange(5))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\0\0", "IDX header needs 4 bytes, got 2"),
        (b"\0\0\x08\x02\0\0", "IDX header of rank 2 needs 12 bytes, got 6"),
        (
            b"PNG!1234",
            "wrong magic number: expected 0000TTRR with type TT in {08, 09, 0b, 0c, 0d, 0e}, "
            "got 504e4721",
        ),
        (
            idx_bytes(np.zeros((2, 3), np.int16))[:-1],
            "IDX file is truncated: [2, 3] elements of 2 bytes need 12 bytes after the header, "
            "got 11",
        ),
        (
            idx_bytes(np.zeros(3, np.uint8)) + b"?",
            "IDX file is too long: [3] elements of 1 bytes need 3 bytes after the header, got 4",
        ),
    ],
)
def test_damaged_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"^{re.escape(f'{path}: {message}')}$"):
        read_idx(path)


def test_truncated_and_damaged_gzip(tmp_path: Path) -> None:
    packed = gzip.compress(idx_bytes(np.arange(200, dtype=np.uint8)))
    (tmp_path / "cut").write_bytes(packed[:-20])
    with pytest.raises(DataError, match="gzip stream is truncated after"):
        read_idx(tmp_path / "cut")
    (tmp_path / "crc").write_bytes(packed[:-8] + b"\0\0\0\0" + packed[-4:])
    with pytest.raises(DataError, match="gzip stream is damaged"):
        read_idx(tmp_path / "crc")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing_here"):
        read_idx(tmp_path / "nothing_here")
