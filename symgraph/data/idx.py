"""Reader of the IDX format (the format of MNIST's files), gzipped or not.

An IDX file is two zero bytes, one byte for the element type, one byte for the rank, one big-endian
uint32 per dimension, then the elements, big-endian, last dimension fastest. Owns the format only;
what the arrays mean belongs to the loaders.
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import DataError

__all__ = ["read_idx"]

_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """The array in an IDX file, in native byte order; gzip is recognised by content, not by name.

    Raises: FileNotFoundError; DataError when the file is truncated, too long or no IDX file.
    """
    content = _content(Path(path))
    dtype, shape, start = _header(content, path)
    expected = math.prod(shape) * dtype.itemsize
    got = len(content) - start
    if got != expected:
        word = "truncated" if got < expected else "too long"
        raise DataError(
            f"{path}: IDX file is {word}: {list(shape)} elements of {dtype.itemsize} bytes "
            f"need {expected} bytes after the header, got {got}"
        )
    values = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return values.astype(dtype.newbyteorder("="))


def _content(path: Path) -> bytes:
    raw = path.read_bytes()
    if not raw.startswith(_GZIP_MAGIC):
        return raw
    try:
        return gzip.decompress(raw)
    except EOFError as error:
        raise DataError(f"{path}: gzip stream is truncated after {len(raw)} bytes") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: gzip stream is damaged: {error}") from error


def _header(
    content: bytes, path: str | os.PathLike[str]
) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    if len(content) < 4:
        raise DataError(f"{path}: IDX header needs 4 bytes, got {len(content)}")
    if content[:2] != b"\0\0" or content[2] not in _DTYPES:
        raise DataError(
            f"{path}: wrong magic number: expected 0000TTRR with type TT in "
            f"{{{', '.join(f'{code:02x}' for code in _DTYPES)}}}, got {content[:4].hex()}"
        )
    rank = content[3]
    start = 4 + 4 * rank
    if len(content) < start:
        raise DataError(
            f"{path}: IDX header of rank {rank} needs {start} bytes, got {len(content)}"
        )
    shape = tuple(int(n) for n in np.frombuffer(content, ">u4", rank, 4))
    return np.dtype(_DTYPES[content[2]]), shape, start
