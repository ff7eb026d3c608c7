"""What an export leaves: the files, and what is known about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .signature import Signature


@dataclass(frozen=True)
class Artifact:
    """`files` are the written files by kind ("o", "h", "json", ...)."""

    name: str
    folder: Path
    files: Mapping[str, Path]
    description: Mapping[str, Any]
    signature: Signature

    @property
    def nbytes(self) -> int:
        """The size of all files."""
        return sum(path.stat().st_size for path in self.files.values())

    def __str__(self) -> str:
        """The closing table: files, bytes, workspace, operations, kernels, processor."""
        made = self.description
        rows = [(str(path), f"{path.stat().st_size:,} bytes") for path in self.files.values()]
        rows += [
            ("code", f"{made['object']['code_nbytes']:,} bytes"),
            ("weights", f"{self.signature.weights_nbytes:,} bytes, {made['weights']['kind']}"),
            ("workspace", f"{made['workspace']['nbytes']} bytes"),
            ("stack", _stack(made["stack"]["nbytes"])),
            ("operations", "not known" if made["flops"] is None else f"{made['flops']}"),
            ("kernels", f"{len(made['kernels'])}"),
            ("machine", f"{made['machine']['platform']}, {', '.join(made['machine']['versions'])}"),
        ]
        width = max(len(left) for left, _ in rows)
        return "\n".join(f"{left:<{width}}  {right}" for left, right in rows)


def _stack(nbytes: int | None) -> str:
    return "not known" if nbytes is None else f"{nbytes:,} bytes at most"
