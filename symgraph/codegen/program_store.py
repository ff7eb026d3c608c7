"""Finished programs on disk, by the content of what they are made from.

The key hashes the graph (operators, attributes, types, names; not the lines that declare them), the
bound arrays, the options, this package's sources and the machine.  A file holds the planned program
as records, its machine code and its constants as they are run from: these are mapped, not read, so
that a program starts without packing a weight, and processes share the memory.

A file is written whole or not at all and checked when it is opened; a damaged one is removed with a
warning and made again.  It holds machine code: the folder must be as trusted as the programs that
you run.  Files used last stay when the folder has grown past `Options.cache_bytes`.

What cannot be recorded is not kept, and costs nothing but this module's look: operators, passes
and targets from outside this package (their meaning may change without their text), host operators.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import mmap
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DTypeError, FileError, FormatError
from ..files import shrink_folder, write_pieces
from ..ir.graph import Graph
from ..ir.program import Program
from ..ir.records import NotRecordable, Places, Records, decode, encode
from ..kernel.dims import align
from ..kernel.dtypes import as_dtype
from ..options import Options
from .content import array_digest, damage_sum, package_digest, raw_bytes
from .target import Built, StorableTarget

Array = np.ndarray[Any, np.dtype[Any]]

MAGIC = b"symgraph program 1\n"
PAGE_BYTES = 4096
ALIGNMENT = 64
KEEP_FROM_SECONDS = 0.25
"""Programs that are made faster than this are not kept: reading them would gain little.  Infinite
where nothing is to be kept or looked for, as in tests that change the compiler itself."""


@dataclass(frozen=True)
class ProgramStore:
    """The programs in a folder, for one question: what `key` was asked about."""

    folder: Path
    key: str
    places: Places
    most_bytes: int

    @property
    def path(self) -> Path:
        return self.folder / "programs" / self.key[:2] / f"{self.key}.program"

    def load(self) -> tuple[Program, Built] | None:
        """The program, told in terms of the lines of the graph asked about; None where there is no
        whole one."""
        try:
            with self.path.open("rb") as file:
                mapped: mmap.mmap | bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            with contextlib.suppress(OSError):
                os.utime(self.path)  # it is the last one used
        except OSError:
            return None
        except ValueError:  # an empty file
            mapped = b""
        try:
            return _read(mapped, self.places)
        except (FormatError, ValueError, KeyError, TypeError) as error:
            warnings.warn(
                f"{self.path}: a damaged program in the cache ({error}); it is made again",
                RuntimeWarning,
                stacklevel=2,
            )
            self._remove()
            return None

    def save(self, program: Program, built: Built, seconds: float) -> None:
        """Keep a program that took so long to make; one that cannot be kept is not."""
        if seconds < KEEP_FROM_SECONDS:
            return
        try:
            records = encode((program, built.layout), self.places)
            if sum(a.nbytes for a in records.arrays) > self.most_bytes:
                return
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_pieces(self.path, _pieces(records, built.body))
            shrink_folder(self.folder, self.most_bytes)
        except (NotRecordable, DTypeError, OSError, FileError):
            return

    def _remove(self) -> None:
        try:
            self.path.unlink()
        except OSError:
            return


def store_for(
    graph: Graph,
    arrays: Mapping[str, Array],
    settings: Sequence[Any],
    target: object,
    options: Options,
) -> ProgramStore | None:
    """Where the program of a graph with these arrays bound would be; None where none is kept.

    `settings` are what else the caller's answer depends on, as frozen data.
    """
    sources = package_digest()
    watched = options.dump or options.stop_after or options.timing or options.verify >= 3
    if options.cache is None or watched or sources is None or math.isinf(KEEP_FROM_SECONDS):
        return None
    if not isinstance(target, StorableTarget):
        return None
    places = Places()
    names = tuple(graph.names[n] for n in graph.nodes)
    try:
        question = encode((graph, names, tuple(settings)), places, grow=True)
        bound = array_digest([*question.arrays, *arrays.values()])
    except NotRecordable:
        return None
    same = options.with_(cache=None, threads=0, keep_sources=False, cache_bytes=0)
    parts = (sources, target.code_key(options), repr(same), tuple(arrays), question.text)
    key = hashlib.sha256(repr(parts).encode() + bound).hexdigest()
    return ProgramStore(Path(options.cache), key, places, options.cache_bytes)


# -- files -----------------------------------------------------------------------------------------


def _pieces(records: Records, body: bytes) -> Iterator[bytes | memoryview]:
    """A file: what it is, a hash of the head, the head's size, the head, code, then constants."""
    listed, position = [], 0
    for array in records.arrays:
        listed.append([as_dtype(array.dtype).name, array.shape, position, damage_sum(array)])
        position = _aligned(position + array.nbytes, ALIGNMENT)
    head = {
        "records": records.text,
        "arrays": listed,
        "code": [len(body), hashlib.sha256(body).hexdigest()],
        "data": position,
    }
    text = json.dumps(head).encode()
    start = b"".join([MAGIC, hashlib.sha256(text).digest(), len(text).to_bytes(8, "little"), text])
    yield start
    yield body
    yield bytes(-(len(start) + len(body)) % PAGE_BYTES)
    for array in records.arrays:
        yield raw_bytes(array).data
        yield bytes(-array.nbytes % ALIGNMENT)


def _read(mapped: mmap.mmap | bytes, places: Places) -> tuple[Program, Built]:
    """Raises: FormatError and what damaged JSON may."""
    place = len(MAGIC) + hashlib.sha256().digest_size
    start = place + 8
    stop = start + int.from_bytes(mapped[place:start], "little")
    text = mapped[start:stop]
    _require(mapped[:place] == MAGIC + hashlib.sha256(text).digest(), "its head")
    head = json.loads(text)
    size, digest = head["code"]
    body = mapped[stop : stop + size]
    _require(hashlib.sha256(body).hexdigest() == digest, "its code")
    data = _aligned(stop + size, PAGE_BYTES)
    _require(len(mapped) == data + head["data"], "its size")
    arrays = tuple(_array(mapped, data, *entry) for entry in head["arrays"])
    program, layout = decode(Records(head["records"], arrays), places)
    return program, Built(body, layout)


def _array(
    mapped: mmap.mmap | bytes, data: int, dtype: str, shape: list[int], at: int, total: str
) -> Array:
    kind = as_dtype(dtype).numpy
    count = int(np.prod(shape, dtype=np.int64))
    array = np.frombuffer(mapped, kind, count, data + at).reshape(shape)
    _require(damage_sum(array) == total, "a constant")
    return array


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise FormatError(f"{what} is not as it was written")


def _aligned(position: int, alignment: int) -> int:
    found = align(position, alignment)
    assert isinstance(found, int)
    return found
