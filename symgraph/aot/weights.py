"""The weights of an artefact as one aligned block, and as a file that is mapped read-only.

    16 bytes  "symgraph weight\\0"
    32 bytes  the layout's hash, which the object compares
    32 bytes  SHA-256 of the block
     8 bytes  length of the block, little endian
    then zeros up to byte 4096, where the block starts

The layout's hash covers names, types, shapes and offsets: a file of other numbers for the same
model fits the same object.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..codegen.content import raw_bytes
from ..codegen.llvm.weights_check import WEIGHTS_MAGIC
from ..errors import FormatError, TargetError
from ..ir.program import ConstantData, Program, constant_layout
from ..ir.release import gathered_bytes
from ..kernel.dtypes import as_dtype
from ..kernel.packing import Packing
from .signature import ALIGNMENT, Signature, Weight

MAGIC = WEIGHTS_MAGIC
HEADER_NBYTES = 4096
_HEADER = struct.Struct("<16s32s32sQ")


@dataclass(frozen=True, slots=True)
class Block:
    """The weights of all versions of a program; `starts` is where each version's begin, `sources`
    are the constants that `arrays` hold, `digest` is the SHA-256 of the bytes."""

    data: memoryview
    starts: tuple[int, ...]
    arrays: tuple[Weight, ...]
    sources: tuple[ConstantData, ...]
    digest: bytes


def weights_block(programs: Sequence[Program]) -> Block:
    """The weights of every version; versions with the same weights share them."""
    nbytes, starts, arrays = 0, [], []
    sources: list[ConstantData] = []
    known: dict[bytes, int] = {}
    parts: list[memoryview] = []
    for program in programs:
        own, rows = _one_block(program)
        digest = hashlib.sha256(own).digest()
        if digest not in known:
            known[digest] = nbytes
            arrays += [replace(row, offset=row.offset + nbytes) for row in rows]
            sources += program.constants
            parts.append(own)
            nbytes += len(own)
        starts.append(known[digest])
    data = parts[0] if len(parts) == 1 else memoryview(b"".join(parts))
    whole = next(iter(known)) if len(known) == 1 else hashlib.sha256(data).digest()
    return Block(data, tuple(starts), tuple(arrays), tuple(sources), whole)


MOST_EMBEDDED = (1 << 31) - (1 << 26)
"""Code reaches data up to 2 GiB away; some of that is for the code itself."""


def refuse_too_large(nbytes: int, weights: str, platform: str, pointer_bits: int) -> None:
    """Raises: TargetError for weights that the code could not address."""
    if weights == "embedded" and nbytes > MOST_EMBEDDED:
        raise TargetError(
            f"export: {nbytes:,} bytes of weights cannot be embedded in one object: code for "
            f"{platform} reaches {MOST_EMBEDDED:,} bytes of data; use weights='file' (mapped) or "
            f"weights='pointer', which have no such limit"
        )
    if pointer_bits == 32 and nbytes >= 1 << 31:
        raise TargetError(
            f"export: {nbytes:,} bytes of weights do not fit into the memory of {platform}, which "
            f"has 32-bit addresses"
        )


def _one_block(program: Program) -> tuple[memoryview, list[Weight]]:
    """Every constant of a program at its offset: the block in which they lie already, or a copy."""
    offsets, nbytes = constant_layout(program, ALIGNMENT)
    gathered = gathered_bytes(program, ALIGNMENT)
    block = memoryview(bytearray(nbytes)) if gathered is None else gathered.data
    rows = []
    for constant, offset in zip(program.constants, offsets, strict=True):
        if gathered is None:
            raw = raw_bytes(constant.array).data
            block[offset : offset + len(raw)] = raw
        name = constant.buffer.source or constant.buffer.name
        array = constant.array
        shape = array.shape if constant.packing is None else constant.original
        rows.append(Weight(name, as_dtype(array.dtype), shape, offset, constant.packing))
    return block, rows


def layout_digest(signature: Signature) -> bytes:
    """The hash of what lies where in the block."""
    rows = [[w.name, w.dtype.name, list(w.shape), w.offset, w.order] for w in signature.weights]
    return hashlib.sha256(json.dumps(rows).encode()).digest()


def weights_file(signature: Signature, block: Block) -> tuple[bytes, memoryview]:
    """The bytes of NAME.weights, in two pieces."""
    return weights_header(layout_digest(signature), block.digest, len(block.data)), block.data


def weights_header(layout: bytes, digest: bytes, nbytes: int) -> bytes:
    """What stands before the block in a file."""
    return _HEADER.pack(MAGIC, layout, digest, nbytes).ljust(HEADER_NBYTES, b"\0")


def packed_shape(row: Mapping[str, Any]) -> tuple[int, ...]:
    """The shape in memory of an array of the description."""
    if row.get("packing") is None:
        return tuple(row["shape"])
    view, order, panel = row["packing"]
    return Packing(tuple(view), tuple(order), panel).shape


def check_weights_file(data: bytes | memoryview, layout: bytes, where: str) -> None:
    """Raises: FormatError for a file of another model, damaged or truncated."""
    if len(data) < HEADER_NBYTES or bytes(data[:16]) != MAGIC:
        raise FormatError(f"{where}: not a weights file of symgraph, or truncated")
    _, found, digest, nbytes = _HEADER.unpack(data[: _HEADER.size])
    if found != layout:
        raise FormatError(f"{where}: these are the weights of another model")
    if len(data) != HEADER_NBYTES + nbytes:
        raise FormatError(
            f"{where}: truncated: {len(data)} bytes, expected {HEADER_NBYTES + nbytes}"
        )
    if hashlib.sha256(memoryview(data)[HEADER_NBYTES:]).digest() != digest:
        raise FormatError(f"{where}: damaged: the hash of the weights does not match")
