"""Compiled objects on disk, by content.

The key is the hash of everything the machine code depends on: the text, the processor and its
features, LLVM's version.  A file starts with the hash of its object, so that a damaged one is seen,
thrown away and made again.  Files are written under another name and renamed.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from ...errors import FileError
from ...files import write_atomic

MAGIC = b"symgraph object 1\n"
_HASH_BYTES = hashlib.sha256().digest_size


def object_key(text: str, machine_key: str) -> str:
    """The name under which an object is kept."""
    return hashlib.sha256(f"{machine_key}\n{text}".encode()).hexdigest()


def load_object(folder: str | None, key: str) -> bytes | None:
    """The object kept under a key, or None when there is no whole one."""
    if folder is None:
        return None
    path = _path(folder, key)
    try:
        data = path.read_bytes()
    except OSError:
        return None
    start = len(MAGIC) + _HASH_BYTES
    body = data[start:]
    if data[:start] == MAGIC + hashlib.sha256(body).digest():
        return body
    try:
        path.unlink()
    except OSError:
        return None
    return None


def store_object(folder: str | None, key: str, body: bytes) -> None:
    """Keep an object; a folder that cannot be written to keeps nothing."""
    if folder is None:
        return
    path = _path(folder, key)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, MAGIC + hashlib.sha256(body).digest() + body)
    except (OSError, FileError):
        return


def _path(folder: str, key: str) -> Path:
    return Path(folder) / "llvm" / key[:2] / f"{key}.o"
