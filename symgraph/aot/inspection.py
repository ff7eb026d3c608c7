"""What a file says about itself, read without loading its code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import description as sealed
from .archive import is_archive
from .files import read_whole
from .object_file import ObjectFile


@dataclass(frozen=True)
class Inspection:
    """`is_intact` is None where a linker changed what was sealed: programs, other's libraries."""

    path: Path
    nbytes: int
    object: ObjectFile
    description: Mapping[str, Any]
    is_intact: bool | None

    def __str__(self) -> str:
        made = self.description
        machine, weights = made["machine"], made["weights"]
        state = {True: "intact", False: "CHANGED since it was made", None: "linked"}[self.is_intact]
        lines = [
            f"{self.path}: {self.nbytes:,} bytes, {self.object.format} {self.object.kind} for "
            f"{self.object.architecture}, {state}",
            f"model      {made['name']}, hash {made['model_hash'][:16]}",
            f"format     {made['version']}, interface {made['abi']}",
            f"machine    {machine['platform']}, {machine['cpu']}"
            + (f" ({', '.join(machine['features'])})" if machine["features"] else ""),
        ]
        for name, entry in made.get("entries", {"": made}).items():
            lines += [f"entry      {name}"] if name else []
            lines += _interface(entry)
        lines += [
            f"weights    {weights['nbytes']:,} bytes in {len(weights['arrays'])} arrays, "
            f"{weights['kind']}, SHA-256 {weights['sha256'][:16]}",
            f"code       {self.object.code_nbytes:,} bytes, {len(made['kernels'])} kernels",
            f"stack      {_stack(made)}",
            f"work       {made['flops']} operations, {made['nbytes_moved']} bytes moved",
            f"licence    {made['licence']}",
        ]
        return "\n".join(lines)


def _interface(made: Mapping[str, Any]) -> list[str]:
    """What one entry takes, gives and needs."""
    lines = [f"input      {_tensor(row)}" for row in made["inputs"]]
    lines += [f"output     {_tensor(row)}" for row in made["outputs"]]
    lines += [f"extent     {e['name']}: {e['low']} to {e['high']}" for e in made["extents"]]
    lines += [
        f"condition  {c['left']} {c['relation']} {c['right']}: {c['message']}"
        for c in made["conditions"]
    ]
    space = made["workspace"]
    return [*lines, f"workspace  {space['nbytes']} bytes, aligned to {space['alignment']}"]


def inspect_file(path: Path) -> Inspection:
    """Raises: FormatError for a file without a description, of another version, or damaged."""
    data = read_whole(path)
    found, made = sealed.decode(data, str(path))
    if is_archive(data):
        return Inspection(path, len(data), found, made, None)
    intact = sealed.is_intact(data, str(path))
    return Inspection(path, len(data), found, made, intact or (None, False)[found.kind == "object"])


def _stack(made: Mapping[str, Any]) -> str:
    nbytes = made.get("stack", {}).get("nbytes")
    if nbytes is None:
        return "not known"
    return f"{nbytes:,} bytes at most, a task {made['stack']['task_nbytes']:,} bytes"


def _tensor(row: Mapping[str, Any]) -> str:
    shape = ",".join(str(d) for d in row["shape"])
    updates = f", next value of {row['updates']}" if row.get("updates") else ""
    return f"{row['name']}: {row['dtype']}[{shape}]{updates}"
