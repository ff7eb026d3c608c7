"""Writing files so that nothing half-written stays behind."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from .errors import FileError


def write_atomic(path: str | os.PathLike[str], data: str | bytes) -> Path:
    """Write a whole file: to a temporary name in the same folder, then renamed over the target.

    Raises: FileError for a missing folder, OSError as open does; an old file is then untouched.
    """
    target = Path(path)
    write_together({target: data})
    return target


def write_together(files: Mapping[Path, str | bytes]) -> None:
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
            handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
            temporary[target] = name
            with os.fdopen(handle, "wb") as file:
                file.write(raw)
            os.chmod(name, 0o644)
        for target, name in temporary.items():
            os.replace(name, target)
    finally:
        for name in temporary.values():
            with contextlib.suppress(OSError):
                os.unlink(name)
