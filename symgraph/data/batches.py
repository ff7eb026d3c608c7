"""`Batches`: arrays cut into batches, in an order that depends on (seed, epoch) alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .dataset import Dataset
from .errors import DataError

__all__ = ["Batches"]

Arrays = Mapping[str, npt.ArrayLike] | Dataset | Sequence[npt.NDArray[Any]] | npt.NDArray[Any]


class Batches:
    """An iterable of `{name: array}`; every new iteration is the next epoch, in a new order.

    `arrays` is a dict, a `Dataset`, one array ("x") or a pair of arrays ("x", "y"). The order of
    epoch `e` is a function of `seed`, `e` and the number of rows, on every machine and for every
    release of numpy; `epoch(e)` gives it again, for resumed training.

    Raises: DataError when lengths differ, there are no arrays, or `batch_size` is not positive.
    """

    def __init__(
        self,
        arrays: Arrays,
        batch_size: int,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        if batch_size < 1:
            raise DataError(f"Batches: batch_size must be at least 1, got {batch_size}")
        self.arrays = _named(arrays)
        self.rows = _common_length(self.arrays)
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.drop_last = drop_last
        self.next_epoch = 0

    def __len__(self) -> int:
        """The number of batches in one epoch."""
        whole, rest = divmod(self.rows, self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[dict[str, npt.NDArray[Any]]]:
        epoch = self.next_epoch
        self.next_epoch = epoch + 1
        return self.epoch(epoch)

    def epoch(self, epoch: int) -> Iterator[dict[str, npt.NDArray[Any]]]:
        """The batches of one given epoch; does not change which one `iter` gives next."""
        order = self.order(epoch)
        for i in range(len(self)):
            rows = order[i * self.batch_size : (i + 1) * self.batch_size]
            yield {name: values[rows] for name, values in self.arrays.items()}

    def order(self, epoch: int) -> npt.NDArray[np.intp]:
        """The row numbers of an epoch in the order in which they are visited."""
        if not self.shuffle:
            return np.arange(self.rows)
        # numpy keeps the raw stream of a bit generator for ever, but not that of `permutation`.
        key = np.array([self.seed % 2**64, epoch], np.uint64)
        return np.argsort(np.random.Philox(key=key).random_raw(self.rows), kind="stable")


def _named(arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
    if isinstance(arrays, Dataset):
        return arrays.as_dict()
    if isinstance(arrays, np.ndarray):
        return {"x": arrays}
    if isinstance(arrays, Mapping):
        return {name: np.asarray(values) for name, values in arrays.items()}
    if len(arrays) > 2:
        raise DataError(
            f"Batches: {len(arrays)} arrays have no obvious names, give a dict {{name: array}}"
        )
    return {name: np.asarray(values) for name, values in zip("xy", arrays, strict=False)}


def _common_length(arrays: Mapping[str, npt.NDArray[Any]]) -> int:
    if not arrays:
        raise DataError("Batches: no arrays were given")
    scalars = [name for name, values in arrays.items() if values.ndim == 0]
    if scalars:
        raise DataError(f"Batches: {', '.join(scalars)} is a scalar, it has no rows to cut")
    lengths = {name: len(values) for name, values in arrays.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} has {n}" for name, n in lengths.items())
        raise DataError(f"Batches: every array needs the same number of rows: {listed}")
    return next(iter(lengths.values()))
