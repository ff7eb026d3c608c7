"""Writing files so that nothing half-written stays behind."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from .errors import FileError


def write_atomic(path: str | os.PathLike[str], data: str | bytes) -> Path:
    """Write a whole file: to a temporary name in the same folder, then renamed over the target.

    Raises: FileError for a missing folder, OSError as open does; an old file is then untouched.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise FileError(f"{target}: the folder {target.parent} does not exist")
    raw = data.encode("utf-8") if isinstance(data, str) else data
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    return target
