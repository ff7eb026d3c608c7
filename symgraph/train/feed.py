"""Batches for a compiled program: arrays by the names and in the dtypes that it takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..codegen.executable import Executable
from ..data import Batches, Dataset
from ..errors import InputError
from ..kernel.dtypes import as_dtype

Array = np.ndarray[Any, np.dtype[Any]]
Data = Any
"""A dict of arrays, a Dataset, Batches, an array, or a tuple of arrays in the inputs' order."""


def as_batches(
    data: Data,
    names: Sequence[str],
    batch_size: int,
    *,
    shuffle: bool = False,
    seed: int = 0,
    drop_last: bool = False,
    spare: Sequence[str] = (),
) -> Batches:
    """Batches that hold the arrays `names`; those in `spare` may come with them and are left out.

    Raises: InputError naming what is missing or superfluous.
    """
    if isinstance(data, Batches):
        _check_names(data.arrays, names, spare)
        return data
    arrays = named_arrays(data, names)
    _check_names(arrays, names, spare)
    chosen = {name: arrays[name] for name in names}
    return Batches(chosen, batch_size, shuffle=shuffle, seed=seed, drop_last=drop_last)


def named_arrays(data: Data, names: Sequence[str]) -> dict[str, Array]:
    """The arrays of a data set by name; a tuple's are named in the order of `names`."""
    if isinstance(data, Dataset):
        return data.as_dict()
    if isinstance(data, Mapping):
        return {name: np.asarray(values) for name, values in data.items()}
    items = list(data) if isinstance(data, (tuple, list)) else [np.asarray(data)]
    if len(items) > len(names):
        raise InputError(
            f"data: got {len(items)} arrays for {len(names)} inputs ({', '.join(names)}); give a "
            f"dict {{name: array}}"
        )
    return {name: np.asarray(item) for name, item in zip(names, items, strict=False)}


def _check_names(arrays: Mapping[str, Array], names: Sequence[str], spare: Sequence[str]) -> None:
    missing = [n for n in names if n not in arrays]
    unknown = [n for n in arrays if n not in names and n not in spare]
    if missing or unknown:
        problem = f"nothing for {', '.join(missing)}" if missing else f"{unknown[0]!r} too many"
        raise InputError(
            f"data: {problem}: the inputs are {', '.join(names) or 'none'}, the data has "
            f"{', '.join(arrays)}; rename with a dict {{input: array}}"
        )


class Converter:
    """Arrays in the dtypes of a program's inputs, converted where that keeps their kind."""

    def __init__(self, executable: Executable) -> None:
        ports = executable.program.inputs
        self.dtypes = {p.name: as_dtype(p.type.dtype).numpy for p in ports}

    def __call__(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        return {name: self._one(name, a) for name, a in batch.items() if name in self.dtypes}

    def _one(self, name: str, array: Array) -> Array:
        wanted = self.dtypes[name]
        if array.dtype == wanted or not np.can_cast(array.dtype, wanted, casting="same_kind"):
            return array  # what does not fit is the executable's to refuse, with its own message
        return array.astype(wanted)


def sized(batches: Iterator[dict[str, Array]]) -> Iterator[tuple[dict[str, Array], int]]:
    """Each batch with its number of rows."""
    for batch in batches:
        yield batch, len(next(iter(batch.values())))
