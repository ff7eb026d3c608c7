"""The batch iterator and the array files."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from symgraph.data import Batches, DataError, Dataset, load_hdf5, load_npz


def rows(batches: Batches, epoch: int) -> list[int]:
    return [int(v) for batch in batches.epoch(epoch) for v in batch["x"]]


def test_every_row_once_and_rows_stay_together() -> None:
    data = {"x": np.arange(11), "y": np.arange(11) * 10}
    batches = Batches(data, 3)
    assert len(batches) == len(list(batches)) == 4
    for batch in batches:
        np.testing.assert_array_equal(batch["y"], batch["x"] * 10)
    assert sorted(rows(batches, 0)) == list(range(11))


def test_order_depends_on_seed_and_epoch_alone() -> None:
    a, b = Batches(np.arange(50), 7, seed=3), Batches(np.arange(50), 5, seed=3)
    assert rows(a, 4) == rows(b, 4)
    assert rows(a, 0) != rows(a, 1)
    assert rows(a, 0) != rows(Batches(np.arange(50), 7, seed=4), 0)
    first = [batch["x"].tolist() for batch in a]
    second = [batch["x"].tolist() for batch in a]
    assert first == [batch["x"].tolist() for batch in a.epoch(0)]
    assert second == [batch["x"].tolist() for batch in a.epoch(1)]


def test_the_order_never_changes_between_releases() -> None:
    assert rows(Batches(np.arange(8), 8, seed=0), 0) == [0, 2, 1, 5, 4, 3, 6, 7]


@pytest.mark.parametrize(("drop_last", "sizes"), [(False, [4, 4, 2]), (True, [4, 4])])
def test_last_batch(drop_last: bool, sizes: list[int]) -> None:
    batches = Batches(np.arange(10), 4, shuffle=False, drop_last=drop_last)
    assert len(batches) == len(sizes)
    assert [len(batch["x"]) for batch in batches] == sizes
    assert rows(batches, 0) == list(range(sum(sizes)))


def test_what_may_be_given() -> None:
    x, y = np.zeros((4, 2), np.float32), np.zeros(4, np.int32)
    for arrays in (Dataset(x, y), (x, y), {"x": x, "y": y}):
        assert list(next(iter(Batches(arrays, 2)))) == ["x", "y"]
    assert len(Batches(np.zeros((0, 3)), 2)) == 0
    assert list(Batches(np.zeros((0, 3)), 2)) == []


@pytest.mark.parametrize(
    ("arrays", "size", "message"),
    [
        (
            {"x": np.zeros(3), "y": np.zeros(2)},
            1,
            "Batches: every array needs the same number of rows: x has 3, y has 2",
        ),
        ({}, 1, "Batches: no arrays were given"),
        ({"s": np.float32(1)}, 1, "Batches: s is a scalar, it has no rows to cut"),
        (np.zeros(3), 0, "Batches: batch_size must be at least 1, got 0"),
        (
            [np.zeros(3)] * 3,
            1,
            "Batches: 3 arrays have no obvious names, give a dict {name: array}",
        ),
    ],
)
def test_errors(arrays: object, size: int, message: str) -> None:
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        Batches(arrays, size)  # type: ignore[arg-type]


def test_npz(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(3), y=np.ones((2, 2)))
    assert list(load_npz(path)) == ["x", "y"]
    assert list(load_npz(path, ["y"])) == ["y"]
    with pytest.raises(DataError, match=r"no array named z; it holds x, y$"):
        load_npz(path, ["z"])
    (tmp_path / "b.npz").write_text("text")
    with pytest.raises(DataError, match=r"not an \.npz file"):
        load_npz(tmp_path / "b.npz")
    np.savez(path, o=np.array([{}], object))
    with pytest.raises(DataError, match="cannot read the arrays"):
        load_npz(path)
    with pytest.raises(FileNotFoundError):
        load_npz(tmp_path / "nothing.npz")


def test_hdf5(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["train/x"] = np.arange(3)
        file["a"] = np.float32(2)
    assert list(load_hdf5(path)) == ["a", "train/x"]
    np.testing.assert_array_equal(load_hdf5(path, ["train/x"])["train/x"], np.arange(3))
    with pytest.raises(DataError, match="no array named z"):
        load_hdf5(path, ["z"])
    (tmp_path / "b.h5").write_text("text")
    with pytest.raises(DataError, match="not an HDF5 file"):
        load_hdf5(tmp_path / "b.h5")
