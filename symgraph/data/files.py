"""Loaders of arrays by name from NumPy (.npz) and HDF5 files."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import require
from .errors import DataError

__all__ = ["load_hdf5", "load_npz"]


def load_npz(
    path: str | os.PathLike[str], names: Sequence[str] | None = None
) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an .npz file: all of them, or those in `names`, in that order.

    Raises: FileNotFoundError; DataError for another format, pickled objects or an unknown name.
    """
    if not zipfile.is_zipfile(path) and os.path.exists(path):
        raise DataError(f"{path}: not an .npz file (it is not a zip archive)")
    with np.load(path, allow_pickle=False) as archive:
        chosen = _choose(archive.files, names, path)
        try:
            return {name: archive[name] for name in chosen}
        except (ValueError, zipfile.BadZipFile) as error:
            raise DataError(f"{path}: cannot read the arrays: {error}") from error


def load_hdf5(
    path: str | os.PathLike[str], names: Sequence[str] | None = None
) -> dict[str, npt.NDArray[Any]]:
    """The data sets of an HDF5 file, named by their path in it ("train/x"), in sorted order.

    Raises: MissingDependencyError without h5py; FileNotFoundError; DataError for another format
    or an unknown name.
    """
    try:
        import h5py
    except ImportError as error:
        raise require("h5py", "hdf5", "load_hdf5()") from error
    if os.path.exists(path) and not h5py.is_hdf5(path):
        raise DataError(f"{path}: not an HDF5 file")
    found: list[str] = []
    with h5py.File(path, "r") as file:
        file.visititems(lambda name, item: _note(found, name, isinstance(item, h5py.Dataset)))
        return {name: file[name][()] for name in _choose(sorted(found), names, path)}


def _note(found: list[str], name: str, is_array: bool) -> None:
    if is_array:
        found.append(name)


def _choose(
    found: Sequence[str], names: Sequence[str] | None, path: str | os.PathLike[str]
) -> Sequence[str]:
    if names is None:
        return found
    missing = [name for name in names if name not in found]
    if missing:
        raise DataError(f"{path}: no array named {', '.join(missing)}; it holds {', '.join(found)}")
    return names
