"""`Dataset` (inputs and labels) and `Splits` (training and test part): what the loaders return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .errors import DataError

__all__ = ["Dataset", "Splits"]


@dataclass(frozen=True, eq=False, slots=True)
class Dataset:
    """Samples `x` and labels `y`, one row each. Dtypes: x float32, y int32."""

    x: npt.NDArray[np.float32]
    y: npt.NDArray[np.int32]

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y):
            raise DataError(f"Dataset: x has {len(self.x)} rows, y has {len(self.y)}")

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: slice | npt.NDArray[Any]) -> Dataset:
        """The same data set with these rows only (a slice or an index array)."""
        return Dataset(self.x[rows], self.y[rows])

    def __repr__(self) -> str:
        return (
            f"Dataset(x={self.x.dtype}{list(self.x.shape)}, y={self.y.dtype}{list(self.y.shape)})"
        )

    def as_dict(self) -> dict[str, npt.NDArray[Any]]:
        """`{"x": x, "y": y}`, the names under which a model takes them."""
        return {"x": self.x, "y": self.y}


class Splits(NamedTuple):
    """`train, test = mnist(path)`."""

    train: Dataset
    test: Dataset
