"""Arrays by name in safetensors files, through the package of that name: read, written whole.

Owns what the package leaves open: which dtypes are ours, bfloat16, and errors that name the file.
The package is imported at first use, so that training itself needs none.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ..errors import FormatError, require
from ..files import write_atomic
from ..kernel.dtypes import as_dtype

Array = np.ndarray[Any, np.dtype[Any]]

_NAMES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16", "U32": "uint32",
    "I32": "int32", "U64": "uint64", "I64": "int64", "F16": "float16", "BF16": "bfloat16",
    "F32": "float32", "F64": "float64",
}  # fmt: skip
_KEY = "symgraph"


def write_tensors(
    path: str | os.PathLike[str],
    arrays: Mapping[str, Array],
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write arrays by name, and texts by key, whole or not at all.

    Raises: FormatError for a dtype that the format does not have; FileError for a missing folder;
    MissingDependencyError without the package.
    """
    package = _package()
    plain: dict[str, Array] = {}
    for name, array in arrays.items():
        if array.dtype.name not in _NAMES.values():
            raise FormatError(
                f"array {name!r} has dtype {array.dtype}; the format has "
                f"{', '.join(_NAMES.values())}"
            )
        plain[name] = np.ascontiguousarray(array).reshape(array.shape)
    # The package writes several keys in an order that changes from process to process.
    texts = {_KEY: json.dumps(dict(metadata), sort_keys=True)} if metadata else None
    return write_atomic(path, package.numpy.save(plain, texts))


def read_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays by name, in the order of the names, and the texts by key.

    Raises: FileNotFoundError; FormatError when the file is truncated, too long or no such file;
    MissingDependencyError without the package.
    """
    package = _package()
    content = Path(path).read_bytes()
    try:
        entries = dict(package.deserialize(content))
        with package.safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
    except package.SafetensorError as error:
        raise FormatError(
            f"{path}: not a safetensors file, or a truncated or damaged one ({len(content)} "
            f"bytes): {error}"
        ) from error
    arrays = {name: _array(name, entries[name], path) for name in sorted(entries)}
    return arrays, _texts(metadata, path)


def _texts(metadata: Mapping[str, str], path: str | os.PathLike[str]) -> dict[str, str]:
    own = {key: text for key, text in metadata.items() if key != _KEY}
    try:
        ours = json.loads(metadata.get(_KEY, "{}"))
    except ValueError as error:
        raise FormatError(f"{path}: damaged metadata: {_KEY!r} is no JSON") from error
    return {**own, **{str(key): str(text) for key, text in ours.items()}}


def _package() -> ModuleType:
    try:
        import safetensors
        import safetensors.numpy
    except ImportError as error:
        raise require("safetensors", "train", "a parameter file (.safetensors)") from error
    return safetensors


def _array(name: str, entry: Mapping[str, Any], path: str | os.PathLike[str]) -> Array:
    code = entry["dtype"]
    if code not in _NAMES:
        raise FormatError(f"{path}: {name!r} has dtype {code!r}; known are {', '.join(_NAMES)}")
    dtype = as_dtype(_NAMES[code]).numpy
    little = dtype if dtype.name == "bfloat16" else dtype.newbyteorder("<")
    values: Array = np.frombuffer(entry["data"], little)
    shaped: Array = values.reshape(entry["shape"]).astype(dtype)
    return shaped
