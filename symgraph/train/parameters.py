"""Parameters on disk: saved by name, loaded by name, with every difference reported.

A shape that does not match is an error that says what to do: going on silently would hide bugs.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError
from .tensor_file import read_tensors, write_tensors

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class LoadReport:
    """Names of what was loaded, what the model has and the file has not, what only the file has,
    and what was left as it was because its shape differs and that was allowed."""

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]
    mismatched: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"{len(self.loaded)} loaded"]
        for label in ("missing", "unused", "mismatched"):
            names = getattr(self, label)
            if names:
                parts.append(f"{len(names)} {label}: {', '.join(names)}")
        return "; ".join(parts)


def save_parameters(path: str | os.PathLike[str], params: Mapping[str, Any]) -> Path:
    """Write arrays by name to a safetensors file, whole or not at all."""
    arrays = {name: np.asarray(value) for name, value in params.items()}
    return write_tensors(path, arrays, {"format": "symgraph.parameters"})


def load_parameters(path: str | os.PathLike[str]) -> dict[str, Array]:
    """The arrays of a safetensors file by name; of a checkpoint, the model's parameters.

    Raises: FileNotFoundError; FormatError when the file is truncated or no such file.
    """
    arrays, metadata = read_tensors(path)
    if metadata.get("format") != "symgraph.checkpoint":
        return arrays
    head = "model/"
    return {name[len(head) :]: a for name, a in arrays.items() if name.startswith(head)}


def fill_parameters(
    params: Mapping[str, Array],
    given: Mapping[str, Any],
    source: str,
    allow_mismatch: Collection[str] | bool = (),
) -> LoadReport:
    """Write the given arrays over those of `params` with the same names.

    `allow_mismatch`: names whose shape may differ, which then keep their values; True for all.
    Raises: FormatError naming the parameter, both shapes and what to do, before anything changes.
    """
    differing = [n for n in params if n in given and np.shape(given[n]) != params[n].shape]
    if allow_mismatch is not True:
        allowed = () if allow_mismatch is False else allow_mismatch
        for name in differing:
            if name not in allowed:
                raise FormatError(
                    f"{source}: {name} has shape {list(np.shape(given[name]))}, the model needs "
                    f"{list(params[name].shape)}; to learn it from scratch give it another name, "
                    f"or allow_mismatch=[{name!r}] to keep the model's own values"
                )
    loaded = tuple(n for n in params if n in given and n not in differing)
    if params and not loaded and not differing:
        raise FormatError(
            f"{source}: none of its arrays ({', '.join(list(given)[:8]) or 'none'}) has the name "
            f"of a parameter of the model ({', '.join(list(params)[:8])})"
        )
    for name in loaded:
        params[name][...] = given[name]
    missing = tuple(n for n in params if n not in given)
    unused = tuple(n for n in given if n not in params)
    return LoadReport(loaded, missing, unused, tuple(differing))
