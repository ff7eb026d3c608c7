"""Loaders of small image classification sets: `mnist` from a folder, `digits` from scikit-learn.

Both give float32 images [n, 1, height, width] in 0..1, int32 labels [n] and a split in file order,
so that results can be repeated. Nothing is downloaded.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import require
from .dataset import Dataset, Splits
from .errors import DataError
from .idx import read_idx

__all__ = ["digits", "mnist"]


def mnist(path: str | os.PathLike[str], train_size: int = 8500) -> Splits:
    """MNIST, or any set with the same file names, from a folder of IDX files (gzipped or not).

    With the training files the two parts are the files' own. With the `t10k` files alone the first
    `train_size` samples train and the rest test, in file order.

    Shapes: x [n, 1, height, width], y [n].   Dtypes: x float32 in 0..1, y int32.
    Raises: FileNotFoundError when the folder holds no set; DataError when a file is damaged.
    """
    folder = Path(path)
    test = _read_part(folder, "t10k")
    train = _read_part(folder, "train")
    if test is None:
        raise FileNotFoundError(
            f"{folder}: no t10k-images-idx3-ubyte[.gz] here (MNIST's file names are expected)"
        )
    if train is not None:
        return Splits(train, test)
    return _cut(test, train_size, f"{folder}: mnist")


def digits(train_size: int = 1500, size: Literal[8, 28] = 8) -> Splits:
    """The 1,797 handwritten digits of 8x8 pixels that come with scikit-learn, split in file order.

    `size=28` interpolates to 24x24 and adds a border of 2, so that networks for MNIST take them.

    Shapes: x [n, 1, size, size], y [n].   Dtypes: x float32 in 0..1, y int32.
    Raises: MissingDependencyError without scikit-learn.
    """
    if size not in (8, 28):
        raise DataError(f"digits: size must be 8 or 28, got {size}")
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise require("scikit-learn", "demo", "digits()") from error
    bunch = load_digits()
    x = np.asarray(bunch.images, np.float32)[:, None] / np.float32(16)
    x = x if size == 8 else _upsample(x)
    return _cut(Dataset(x, np.asarray(bunch.target, np.int32)), train_size, "digits")


def _read_part(folder: Path, part: str) -> Dataset | None:
    images, labels = (
        _find(folder, f"{part}-{what}") for what in ("images-idx3-ubyte", "labels-idx1-ubyte")
    )
    if images is None and labels is None:
        return None
    if images is None or labels is None:
        kind = "images-idx3" if images is None else "labels-idx1"
        raise FileNotFoundError(
            f"{folder}: {part}-{kind}-ubyte[.gz] is missing, its partner is here"
        )
    x, y = read_idx(images), read_idx(labels)
    _expect_rank(x, 3, images)
    _expect_rank(y, 1, labels)
    if len(x) != len(y):
        raise DataError(
            f"{folder}: {images.name} holds {len(x)} images, {labels.name} {len(y)} labels"
        )
    return Dataset(x[:, None].astype(np.float32) * np.float32(1 / 255), y.astype(np.int32))


def _find(folder: Path, name: str) -> Path | None:
    # Some copies of MNIST spell "t10k-images.idx3-ubyte".
    for candidate in (name, name.replace("-idx", ".idx")):
        for suffix in ("", ".gz"):
            path = folder / (candidate + suffix)
            if path.is_file():
                return path
    return None


def _expect_rank(values: npt.NDArray[Any], rank: int, path: Path) -> None:
    if values.ndim != rank or values.dtype != np.uint8:
        raise DataError(
            f"{path}: expected uint8 of rank {rank}, got {values.dtype} {list(values.shape)}"
        )


def _cut(data: Dataset, train_size: int, what: str) -> Splits:
    if not 0 < train_size < len(data):
        raise DataError(f"{what}: train_size must lie in 1..{len(data) - 1}, got {train_size}")
    return Splits(data[:train_size], data[train_size:])


def _upsample(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Bilinear 8 -> 24 (pixel centres at 1/3, 1, 5/3, ...), then a border of 2."""
    centres = np.clip((np.arange(24) + 0.5) / 3 - 0.5, 0, 7)
    weights = np.maximum(0, 1 - np.abs(centres[:, None] - np.arange(8))).astype(np.float32)
    wide = weights @ x @ weights.T
    return np.pad(wide, ((0, 0), (0, 0), (2, 2), (2, 2)))
