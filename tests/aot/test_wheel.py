"""Wheels: the same bits with numpy alone, in a process that has no symgraph."""

from __future__ import annotations

import subprocess
import sys
import zipfile

import numpy as np
import pytest

import symgraph as sg
from symgraph.aot.shared_library import link_shared
from symgraph.errors import FormatError, InputError, MissingDependencyError, TargetError

from .models import batch, perceptron

SCRIPT = """
import sys
import numpy as np
import net
assert "symgraph" not in sys.modules
x = np.load("x.npy")
np.save("y.npy", net.run(x))
np.testing.assert_array_equal(net.run(x=x), net.run(x))
for bad, error in ((x.astype("float64"), ValueError), (x[:, :3], ValueError), (x[0], ValueError)):
    try:
        net.run(bad)
    except error as e:
        print(e)
    else:
        sys.exit("no error")
try:
    net.run()
except TypeError as e:
    print(e)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    y, params = perceptron()
    folder = tmp_path_factory.mktemp("wheel")
    artifact = sg.export(y, folder / "net", params=params, target="native")
    try:
        link_shared(artifact.files["o"].read_bytes(), "net")
    except (MissingDependencyError, TargetError) as error:
        pytest.skip(str(error))
    return sg.export(y, folder / "net", params=params, target="native", emit=("whl",)), y, params


def test_a_wheel_runs_without_symgraph(made, tmp_path):
    artifact, y, params = made
    with zipfile.ZipFile(artifact.files["whl"]) as wheel:
        assert wheel.testzip() is None
        wheel.extractall(tmp_path)
    x = batch(5, (7,))
    np.save(tmp_path / "x.npy", x)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    want = sg.compile(y, params=params, threads=1)(x)
    assert np.load(tmp_path / "y.npy").tobytes() == want.tobytes()
    for words in ("must have dtype float32", "must have shape (5, 7)", "run() lacks x"):
        assert words in done.stdout


def test_the_record_lists_every_file(made):
    artifact, _, _ = made
    assert artifact.files["whl"].name.startswith("net-1-py3-none-manylinux2014_")
    with zipfile.ZipFile(artifact.files["whl"]) as wheel:
        record = wheel.read("net-1.dist-info/RECORD").decode()
        assert [line.split(",")[0] for line in record.splitlines()] == wheel.namelist()


def test_a_wheel_is_loaded_and_checked(made, tmp_path):
    artifact, y, params = made
    x = batch(3, (7,))
    want = sg.compile(y, params=params, threads=1)(x)
    assert sg.load(artifact.files["whl"])(x).tobytes() == want.tobytes()
    data = artifact.files["whl"].read_bytes()
    short = tmp_path / "short.whl"
    short.write_bytes(data[: len(data) // 2])
    with pytest.raises(FormatError, match="not a wheel of a model, or damaged"):
        sg.load(short)


def test_the_same_bytes_each_time(made, tmp_path):
    artifact, y, params = made
    again = sg.export(y, tmp_path / "net", params=params, target="native", emit=("whl",))
    assert again.files["whl"].read_bytes() == artifact.files["whl"].read_bytes()


def test_mistakes(tmp_path):
    y, params = perceptron()
    with pytest.raises(InputError, match="a wheel carries its weights"):
        sg.export(y, tmp_path / "net", params=params, emit=("whl",), weights="file")
    with pytest.raises(TargetError, match="no shared library can be linked for wasm32"):
        sg.export(y, tmp_path / "net", params=params, emit=("whl",), target="wasm32")
