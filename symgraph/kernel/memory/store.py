"""Plans kept on disk, by the canonical form of what was planned.

Owns the files. A plan that took work is worth keeping: the same network is planned again for
another target, another level, or after a change that leaves its lifetimes alone. A file is written
whole or not at all, starts with a hash of its text, and is not believed: whoever reads a plan
checks it. A damaged one is removed and the plan made again; a folder that cannot be written to
keeps nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import FileError
from ...files import write_atomic

MAGIC = b"symgraph plan 1\n"


@dataclass(frozen=True, slots=True)
class Solution:
    """Offsets in granules in the canonical order, the peak, and one that no plan can beat."""

    offsets: tuple[int, ...]
    peak: int
    least: int
    method: str


@dataclass(frozen=True, slots=True)
class PlanStore:
    """The plans in a folder; `version` names the planner that made them."""

    folder: str
    version: str

    def load(self, question: tuple[Any, ...]) -> Solution | None:
        """The plan kept for a question, or None where there is no whole one."""
        path = self.path(question)
        try:
            data = path.read_bytes()
            with contextlib.suppress(OSError):
                os.utime(path)  # it is the last one used
        except OSError:
            return None
        found = _read(data)
        if found is None:
            self.remove(question)
        return found

    def save(self, question: tuple[Any, ...], found: Solution) -> None:
        """Keep a plan."""
        text = json.dumps([found.offsets, found.peak, found.least, found.method]).encode()
        path = self.path(question)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, MAGIC + hashlib.sha256(text).digest() + text)
        except (OSError, FileError):
            return

    def remove(self, question: tuple[Any, ...]) -> None:
        """Forget a plan."""
        with contextlib.suppress(OSError):
            self.path(question).unlink()

    def path(self, question: tuple[Any, ...]) -> Path:
        """The file of a question."""
        key = hashlib.sha256(repr((self.version, question)).encode()).hexdigest()
        return Path(self.folder) / "plans" / key[:2] / f"{key}.plan"


def _read(data: bytes) -> Solution | None:
    start = len(MAGIC) + hashlib.sha256().digest_size
    text = data[start:]
    if data[:start] != MAGIC + hashlib.sha256(text).digest():
        return None
    try:
        offsets, peak, least, method = json.loads(text)
        return Solution(tuple(int(o) for o in offsets), int(peak), int(least), str(method))
    except (ValueError, TypeError):
        return None
