"""Writing of artefacts: every file whole or not at all, and all files of one artefact together."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ..errors import FormatError, InputError


def write_all(files: Mapping[Path, bytes]) -> None:
    """Write every file under a temporary name in its folder, then rename them all.

    When one cannot be written none is renamed, and the temporary files are removed.

    Raises: InputError naming the folder or file that cannot be written.
    """
    temporary: dict[Path, Path] = {}
    try:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                raise InputError(f"{path} is a folder; an artefact's file would be written there")
            temporary[path] = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            temporary[path].write_bytes(content)
        for path, written in temporary.items():
            os.replace(written, path)
    except OSError as error:
        raise InputError(f"cannot write the artefact: {error}") from error
    finally:
        for written in temporary.values():
            with suppress(OSError):
                written.unlink(missing_ok=True)


def read_whole(path: Path) -> bytes:
    """The bytes of a file.  Raises: FormatError when there is none or it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise FormatError(f"{path}: {reason}") from None
