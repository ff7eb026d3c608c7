"""Hashes of what programs are made from: arrays, and the sources of this package.

Arrays of networks are large, so their bytes are hashed in pieces on several threads (hashing runs
without the interpreter's lock).  `damage_sum` is no such hash: it finds what a disk or a copy does
to bytes, at the speed of memory, and nothing that somebody does on purpose.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

PIECE_BYTES = 4 << 20
MOST_THREADS = 8
BLOCK_WORDS = 8192


def array_digest(arrays: Sequence[Array]) -> bytes:
    """A hash of the types and elements of arrays, in order."""
    kinds = [(array.dtype.str, array.dtype.name, array.shape) for array in arrays]
    pieces = [piece for array in arrays for piece in _pieces(array)]
    digests: list[bytes] = [b""] * len(pieces)
    numbers = count()

    def work() -> None:
        while (number := next(numbers)) < len(pieces):
            digests[number] = hashlib.sha256(pieces[number].data).digest()

    large = sum(piece.nbytes for piece in pieces) > PIECE_BYTES
    extra = min(MOST_THREADS, os.cpu_count() or 1) - 1 if large else 0
    threads = [threading.Thread(target=work) for _ in range(extra)]
    for thread in threads:
        thread.start()
    work()
    for thread in threads:
        thread.join()
    return hashlib.sha256(b"".join([repr(kinds).encode(), *digests])).digest()


def _pieces(array: Array) -> Iterator[Array]:
    raw = raw_bytes(array)
    for start in range(0, raw.nbytes, PIECE_BYTES):
        yield raw[start : start + PIECE_BYTES]


def raw_bytes(array: Array) -> Array:
    """The elements in row-major order, as bytes; a view where they lie so already."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def damage_sum(array: Array) -> str:
    """Sums of blocks of 64 KiB, hashed: another one for any change of one word."""
    raw = raw_bytes(array)
    whole = raw.nbytes // 8 * 8
    words = raw[:whole].view(np.uint64)
    blocks = words[: words.size // BLOCK_WORDS * BLOCK_WORDS].reshape(-1, BLOCK_WORDS)
    sums = blocks.sum(axis=1, dtype=np.uint64).tobytes()
    rest = words[blocks.size :].tobytes() + raw[whole:].tobytes()
    return hashlib.sha256(sums + rest).hexdigest()


@cache
def package_digest() -> str | None:
    """A hash of Python's and numpy's versions and of this package's sources; None where they are
    not plain files."""
    root = Path(__file__).resolve().parents[1]
    total = hashlib.sha256(f"{sys.version}|{np.__version__}".encode())
    paths = sorted(root.rglob("*.py"))
    for path in paths:
        body = path.read_bytes()
        total.update(f"\n{path.relative_to(root)} {len(body)}\n".encode() + body)
    return total.hexdigest() if paths else None
