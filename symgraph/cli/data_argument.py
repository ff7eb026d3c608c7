"""The --data argument: from a word on the command line to training and test arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..data import digits, load_hdf5, load_npz, mnist
from ..errors import FileError, InputError

Arrays = dict[str, np.ndarray[Any, np.dtype[Any]]]

DATA_HELP = (
    "'digits' (scikit-learn's bundled digits as 28x28 images), a folder with MNIST's files, or an "
    ".npz or .hdf5 file whose arrays have the inputs' names"
)


def load_data(argument: str, held_back: float = 0.15) -> tuple[Arrays, Arrays]:
    """(training arrays, test arrays).

    A file without a split of its own keeps the last `held_back` of its rows for the test part.
    Raises: FileError, DataError, MissingDependencyError.
    """
    path = Path(argument)
    if argument == "digits":
        train, test = digits(size=28)
        return train.as_dict(), test.as_dict()
    if path.is_dir():
        train, test = mnist(path)
        return train.as_dict(), test.as_dict()
    if not path.exists():
        raise FileError(f"--data {argument}: there is no such file or folder; give {DATA_HELP}")
    if path.suffix not in (".npz", ".h5", ".hdf5"):
        raise InputError(f"--data {path}: not a data file; known are .npz, .h5 and .hdf5")
    arrays = load_npz(path) if path.suffix == ".npz" else load_hdf5(path)
    rows = {len(a) for a in arrays.values() if a.ndim}
    if len(rows) != 1 or any(a.ndim == 0 for a in arrays.values()):
        raise InputError(
            f"--data {argument}: every array needs the same number of rows, got "
            f"{', '.join(f'{n} {list(a.shape)}' for n, a in arrays.items()) or 'no arrays'}"
        )
    cut = rows.pop()
    kept = cut - int(cut * held_back)
    return ({n: a[:kept] for n, a in arrays.items()}, {n: a[kept:] for n, a in arrays.items()})
