"""Writing files so that nothing half-written stays behind."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from .errors import FileError


def write_atomic(path: str | os.PathLike[str], data: str | bytes) -> Path:
    """Write a whole file: to a temporary name in the same folder, then renamed over the target.

    Raises: FileError for a missing folder, OSError as open does; an old file is then untouched.
    """
    target = Path(path)
    write_together({target: data})
    return target


def is_device(path: Path) -> bool:
    """Something that is there and is no file: /dev/stdout, a pipe.  It is written to, and never
    replaced."""
    return path.exists() and not path.is_file() and not path.is_dir()


@contextlib.contextmanager
def _naming(target: Path) -> Iterator[None]:
    """An error while writing, such as a full disk, says of which file."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(target)
        raise


def plain_text(error: OSError) -> str:
    """An error of the operating system without its number: "lenet.npz: no such file"."""
    if error.strerror is None or error.filename is None:
        return str(error)
    name = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename
    return f"{name}: {error.strerror[:1].lower()}{error.strerror[1:]}"


def write_pieces(path: str | os.PathLike[str], pieces: Iterable[bytes | memoryview]) -> Path:
    """As `write_atomic`, from pieces one after the other: large data need not be joined first.

    Raises: as `write_atomic`.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise FileError(f"{target}: the folder {target.parent} does not exist")
    if is_device(target):
        with _naming(target), target.open("wb") as file:
            file.writelines(pieces)
        return target
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with _naming(target), os.fdopen(handle, "wb") as file:
            file.writelines(pieces)
        os.chmod(name, 0o644)
        os.replace(name, target)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(name)
    return target


Content = str | bytes | Sequence[bytes | bytearray | memoryview]
"""What a file holds; several pieces stand one after the other."""


def write_together(files: Mapping[Path, Content]) -> None:
    """Write every file under a temporary name in its folder, then rename them all.

    Raises: FileError for a missing folder, OSError as open does; when one cannot be written none
    is renamed.
    """
    temporary: dict[Path, str] = {}
    try:
        for target, data in files.items():
            if not target.parent.is_dir():
                raise FileError(f"{target}: the folder {target.parent} does not exist")
            raw = data.encode("utf-8") if isinstance(data, str) else data
            pieces = (raw,) if isinstance(raw, bytes) else raw
            if is_device(target):
                write_pieces(target, (memoryview(piece) for piece in pieces))
                continue
            handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
            temporary[target] = name
            with _naming(target), os.fdopen(handle, "wb") as file:
                for piece in pieces:
                    file.write(piece)
            os.chmod(name, 0o644)
        for target, name in temporary.items():
            os.replace(name, target)
    finally:
        for name in temporary.values():
            with contextlib.suppress(OSError):
                os.unlink(name)


def shrink_folder(folder: str | os.PathLike[str], most_bytes: int) -> int:
    """Remove the files longest unused (by time of change) until the rest has at most so many bytes.

    Files of other processes may come and go meanwhile.  Returns the bytes that are left.
    """
    known: list[tuple[int, int, Path]] = []
    for path in files_below(folder):
        with contextlib.suppress(OSError):
            state = path.stat()
            known.append((state.st_mtime_ns, state.st_size, path))
    found = sorted(known, key=lambda item: (item[0], str(item[2])))
    left = sum(size for _, size, _ in found)
    for _, size, path in found:
        if left <= most_bytes:
            break
        with contextlib.suppress(OSError):
            path.unlink()
            left -= size
    return left


def files_below(folder: str | os.PathLike[str]) -> list[Path]:
    """Every plain file in a folder and those inside it; none where there is no such folder."""
    return [Path(base, name) for base, _, names in os.walk(folder) for name in names]
