"""Writing of artefacts: every file whole or not at all, and all files of one artefact together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..errors import FormatError, InputError
from ..files import Content, plain_text, write_together


def write_all(files: Mapping[Path, Content]) -> None:
    """Write all files, or none when one cannot be written; folders are made.

    Raises: InputError naming the folder or file that cannot be written.
    """
    try:
        for path in files:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                raise InputError(f"{path} is a folder; an artefact's file would be written there")
        write_together(files)
    except OSError as error:
        raise InputError(
            f"cannot write the artefact: {plain_text(error)}; choose another place for it"
        ) from error


def read_whole(path: Path) -> bytes:
    """The bytes of a file.  Raises: FormatError when there is none or it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise FormatError(f"{path}: {reason}") from None
