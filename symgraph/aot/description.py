"""The description inside an object: JSON behind a small header with a hash, in one section.

    16 bytes  "symgraph object\\0"
     4 bytes  format version         4 bytes  length of the JSON      (both little endian)
     8 bytes  zero
    32 bytes  SHA-256 of the whole file with these 32 bytes zero
    then      the JSON, UTF-8

Reading runs no code of the object and works for every architecture.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from typing import Any

from ..errors import FormatError
from .archive import is_archive, members
from .object_file import ObjectFile, leb_bytes, read_object

MAGIC = b"symgraph object\0"
FORMAT_VERSION = 1
_HEADER = struct.Struct("<16sII8s32s")
_DIGEST_OFFSET = 32
_DIGEST_NBYTES = 32
SECTION_NAMES = (".symgraph", ".symgrph", "__DATA,__symgraph", "symgraph")


def encode(description: Mapping[str, Any]) -> bytes:
    """The section's bytes, the hash still zero."""
    text = json.dumps(description, separators=(",", ":"), allow_nan=False).encode()
    return _HEADER.pack(MAGIC, FORMAT_VERSION, len(text), bytes(8), bytes(32)) + text


def with_custom_section(data: bytes, payload: bytes) -> bytes:
    """A WebAssembly module with the description as a custom section."""
    name = b"symgraph"
    body = leb_bytes(len(name)) + name + payload
    return data + b"\0" + leb_bytes(len(body)) + body


def seal(data: bytes) -> bytes:
    """The file with its hash put in.  Raises: FormatError when it holds no description."""
    start = _locate(data, read_object(data), "object") + _DIGEST_OFFSET
    before, after = _around_digest(data, start)
    return b"".join((before, _digest(before, after), after))


def is_intact(data: bytes, where: str = "object") -> bool:
    """The file is byte for byte the one that was sealed."""
    start = _locate(data, read_object(data, where), where) + _DIGEST_OFFSET
    return _digest(*_around_digest(data, start)) == data[start : start + _DIGEST_NBYTES]


def _around_digest(data: bytes, start: int) -> tuple[memoryview, memoryview]:
    """What stands before the hash of a file and behind it: files hold weights, so no copies."""
    view = memoryview(data)
    return view[:start], view[start + _DIGEST_NBYTES :]


def _digest(before: memoryview, after: memoryview) -> bytes:
    """The hash of a file with zeros in its place."""
    total = hashlib.sha256(before)
    total.update(bytes(_DIGEST_NBYTES))
    total.update(after)
    return total.digest()


def decode(data: bytes, where: str = "object") -> tuple[ObjectFile, dict[str, Any]]:
    """The sections and the description of an object, or of the first one in an archive.

    Raises: FormatError when there is none, of another format version, or damaged.
    """
    if is_archive(data):
        for name, body in members(data, where):
            if _has_description(body):
                return decode(body, f"{where}({name})")
        raise FormatError(f"{where}: no object in the archive was made by symgraph")
    found = read_object(data, where)
    start = _locate(data, found, where)
    _, version, nbytes, _, _ = _HEADER.unpack_from(data, start)
    if version != FORMAT_VERSION:
        raise FormatError(
            f"{where}: format version {version} cannot be read; this release reads version "
            f"{FORMAT_VERSION}: compile the model again"
        )
    text = data[start + _HEADER.size : start + _HEADER.size + nbytes]
    try:
        description: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise FormatError(f"{where}: the description is damaged ({error})") from None
    return found, description


def _has_description(data: bytes) -> bool:
    try:
        found = read_object(data)
    except FormatError:
        return False
    return found.section(*SECTION_NAMES) is not None


def _locate(data: bytes, found: ObjectFile, where: str) -> int:
    section = found.section(*SECTION_NAMES)
    if section is None:
        raise FormatError(
            f"{where}: a {found.format} file for {found.architecture} without the section "
            f"{SECTION_NAMES[0]}: it was not made by symgraph, or was stripped of it"
        )
    start = section.offset
    if section.nbytes < _HEADER.size or data[start : start + len(MAGIC)] != MAGIC:
        raise FormatError(f"{where}: the section {section.name} is damaged or truncated")
    if section.nbytes < _HEADER.size + struct.unpack_from("<I", data, start + 20)[0]:
        raise FormatError(f"{where}: the section {section.name} is truncated")
    return start
