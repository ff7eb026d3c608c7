"""Loaders of image sets: the real files where they are, synthetic ones otherwise."""

from __future__ import annotations

import builtins
import gzip
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from symgraph.data import DataError, digits, mnist
from symgraph.errors import MissingDependencyError

MNIST = Path(__file__).resolve().parents[3] / "shared" / "data" / "mnist"


def write_part(
    folder: Path, part: str, n: int, packed: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    x = (np.arange(n * 6) % 256).astype(np.uint8).reshape(n, 2, 3)
    y = (np.arange(n) % 10).astype(np.uint8)
    for name, values in ((f"{part}-images-idx3-ubyte", x), (f"{part}-labels-idx1-ubyte", y)):
        content = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
        content += values.tobytes()
        path = folder / (name + (".gz" if packed else ""))
        path.write_bytes(gzip.compress(content) if packed else content)
    return x, y


@pytest.mark.skipif(not MNIST.is_dir(), reason=f"no MNIST files at {MNIST}")
def test_real_mnist() -> None:
    train, test = mnist(MNIST)
    assert train.x.shape == (8500, 1, 28, 28)
    assert test.x.shape == (1500, 1, 28, 28)
    assert (train.x.dtype, train.y.dtype) == (np.float32, np.int32)
    assert (train.x.min(), train.x.max()) == (0.0, 1.0)
    assert train.y[:10].tolist() == [
        7,
        2,
        1,
        0,
        4,
        1,
        4,
        9,
        5,
        9,
    ]  # the first labels of the test split
    assert set(test.y.tolist()) == set(range(10))


@pytest.mark.parametrize("packed", [True, False])
def test_test_files_alone_are_cut_in_file_order(tmp_path: Path, packed: bool) -> None:
    x, y = write_part(tmp_path, "t10k", 7, packed)
    train, test = mnist(tmp_path, train_size=5)
    assert (len(train), len(test)) == (5, 2)
    np.testing.assert_allclose(train.x[:, 0], x[:5] / 255, rtol=1e-6)
    np.testing.assert_array_equal(test.y, y[5:])


def test_training_files_are_used_when_present(tmp_path: Path) -> None:
    write_part(tmp_path, "t10k", 3)
    write_part(tmp_path, "train", 11)
    train, test = mnist(tmp_path)
    assert (len(train), len(test)) == (11, 3)


def test_mnist_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no t10k-images-idx3-ubyte"):
        mnist(tmp_path)
    write_part(tmp_path, "t10k", 3)
    with pytest.raises(DataError, match=re.escape("train_size must lie in 1..2, got 8500")):
        mnist(tmp_path)
    write_part(tmp_path, "train", 3)
    (tmp_path / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"train-labels-idx1-ubyte\[\.gz\] is missing"):
        mnist(tmp_path)


def test_images_and_labels_must_agree(tmp_path: Path) -> None:
    write_part(tmp_path, "t10k", 3)
    (tmp_path / "other").mkdir()
    write_part(tmp_path / "other", "t10k", 4)
    name = "t10k-labels-idx1-ubyte.gz"
    (tmp_path / "other" / name).replace(tmp_path / name)
    with pytest.raises(DataError, match=r"holds 3 images, t10k-labels-idx1-ubyte\.gz 4 labels$"):
        mnist(tmp_path, 2)


def test_digits_and_their_upsampling() -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    train, test = digits()
    assert train.x.shape == (1500, 1, 8, 8)
    assert test.x.shape == (297, 1, 8, 8)
    assert (train.x.dtype, train.y.dtype, train.x.max()) == (np.float32, np.int32, 1.0)
    large, _ = digits(size=28)
    assert large.x.shape == (1500, 1, 28, 28)
    assert large.x.dtype == np.float32
    assert not large.x[:, :, :2].any()
    # The centre of each 3x3 block is the old pixel.
    np.testing.assert_allclose(large.x[:, :, 3:27:3, 3:27:3], train.x, atol=1e-6)


def test_digits_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("sklearn"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingDependencyError, match=r"pip install 'symgraph\[demo\]'"):
        digits()
