"""Arrays for a model's inputs on the command line: from files, or made up from a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..codegen.executable import Executable
from ..compiler import compile
from ..data import load_npz
from ..errors import FileError, InputError
from ..ir.initial_values import init
from ..ir.program import Port
from ..ir.symbol import Group
from ..kernel.dtypes import as_dtype
from ..train import fill_parameters, load_parameters

Array = np.ndarray[Any, np.dtype[Any]]


def compiled(
    model: Group, params: str | None, shapes: Mapping[str, Any], seed: int, options: dict[str, Any]
) -> Executable:
    """The model with parameters from a file, or from its initialisers."""
    arrays = parameters(model, params, shapes, seed)
    return compile(model, params=arrays, shapes=shapes, **options)


def parameters(
    model: Group, params: str | None, shapes: Mapping[str, Any], seed: int
) -> dict[str, Array]:
    """Parameters from a file, or from the initialisers.  Raises: InputError when some lack."""
    arrays = init(model, seed, shapes=shapes)
    if params is not None:
        report = fill_parameters(arrays, load_parameters(params), params)
        if report.missing:
            raise InputError(f"--params {params}: {report}")
    return arrays


def given_arrays(items: Sequence[str]) -> dict[str, Array]:
    """`["x=a.npy", "batch.npz"]` as arrays by name.  Raises: InputError, FileError."""
    found: dict[str, Array] = {}
    for item in items:
        name, _, place = item.rpartition("=")
        path = Path(place)
        if not path.is_file():
            raise FileError(f"--input {item}: there is no file {path}")
        if path.suffix == ".npz" and not name:
            found |= load_npz(path)
        elif path.suffix == ".npy" and name:
            try:
                found[name] = np.load(path, allow_pickle=False)
            except ValueError as error:
                raise InputError(f"--input {item}: {error}") from error
        else:
            raise InputError(f"--input: need NAME=FILE.npy or FILE.npz, got {item!r}")
    return found


def made_up(executable: Executable, given: Mapping[str, Array], seed: int) -> dict[str, Array]:
    """The given arrays, and for the other inputs numbers from a seed (open extents are 1)."""
    rng = np.random.default_rng(seed)
    free = [p for p in executable.program.inputs if p.name in executable.inputs]
    return {p.name: given[p.name] if p.name in given else _random(p, rng) for p in free}


def _random(port: Port, rng: np.random.Generator) -> Array:
    assert port.type.shape is not None
    shape = tuple(d if isinstance(d, int) else 1 for d in port.type.shape)
    dtype = as_dtype(port.type.dtype)
    if dtype.is_float:
        return rng.standard_normal(shape).astype(dtype.numpy)
    return rng.integers(0, 2, shape).astype(dtype.numpy)
