"""Weights in a file: other numbers for the same object, and pages that processes share."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import symgraph as sg
from symgraph.errors import FormatError, InputError
from symgraph.kernel.dtypes import as_dtype

from .models import batch, perceptron


def network() -> tuple[sg.Symbol, tuple[int, ...]]:
    """Blocks of channels, scales of batch statistics that are folded, panels, equal biases."""
    x = sg.var("x", ("N", 3, 9, 7))
    h = sg.relu(sg.batch_norm(sg.conv2d(x, 32, kernel_size=3, name="conv1"), name="bn1"))
    h = sg.relu(sg.conv2d(h, 32, kernel_size=3, name="conv2"))
    return sg.linear(sg.flatten(h), 21, name="fc"), (3, 9, 7)


def numbers(y: sg.Symbol, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {
        name: (random.random(array.shape) + 0.5).astype(array.dtype)
        for name, array in sg.init(y, seed=0).items()
    }


@pytest.mark.parametrize("cpu", [None, ("x86-64", "x86-64-v3")])
def test_other_weights_by_their_declared_names(cpu, tmp_path):
    y, shape = network()
    target = "native" if cpu is None else "x86_64-linux"
    artifact = sg.export(y, tmp_path / "net", params=numbers(y, 1), weights="file", cpu=cpu,
                         target=target)  # fmt: skip
    code = artifact.files["o"].read_bytes()
    x = batch(3, shape)
    for seed in (1, 2):
        params = numbers(y, seed)
        file = artifact.write_weights(tmp_path / f"{seed}.weights", params)
        level = cpu if cpu is None else cpu[0]
        loaded = sg.load(artifact.files["o"], weights=file, threads=1, cpu=level)
        expected = sg.compile(y, params=params, threads=1, cpu=level)
        assert loaded(x).tobytes() == expected(x).tobytes()
    assert (tmp_path / "1.weights").read_bytes() == artifact.files["weights"].read_bytes()
    assert artifact.files["o"].read_bytes() == code


def test_equal_biases_stay_apart(tmp_path):
    """Two biases that begin as zeros are two arrays: others may be put in their places."""
    x = sg.var("x", ("N", 6))
    y = sg.linear(sg.tanh(sg.linear(x, 6, name="one")), 6, name="two")
    params = sg.init(y, seed=0)
    assert params["one_bias"].tobytes() == params["two_bias"].tobytes()
    artifact = sg.export(y, tmp_path / "net", params=params, weights="file", target="native")
    other = numbers(y, 3)
    x = batch(4, (6,))
    expected = sg.compile(y, params=other, threads=1)(x).tobytes()
    file = artifact.write_weights(tmp_path / "other.weights", other)
    assert sg.load(artifact.files["o"], weights=file, threads=1)(x).tobytes() == expected
    assert sg.load(artifact.files["o"], weights=other, threads=1)(x).tobytes() == expected


def test_mistakes(tmp_path):
    y, params = perceptron()
    artifact = sg.export(y, tmp_path / "net", params=params, weights="file", target="native")
    with pytest.raises(InputError, match="params lacks fc1_bias"):
        artifact.write_weights(tmp_path / "a.weights", {"fc1_weight": params["fc1_weight"]})
    embedded = sg.export(y, tmp_path / "own", params=params, target="native")
    with pytest.raises(InputError, match="exported with weights='embedded', not 'file'"):
        embedded.write_weights(tmp_path / "a.weights", params)
    assert not (tmp_path / "a.weights").exists()
    z, _ = network()
    other = sg.export(z, tmp_path / "z", params=numbers(z, 0), weights="file", target="native")
    with pytest.raises(FormatError, match="the weights of another model"):
        sg.load(artifact.files["o"], weights=other.files["weights"])


READER = r"""
import re, sys
import numpy as np
import symgraph as sg
f = sg.load(sys.argv[1], threads=1)
f(np.ones((1, 700), np.float32))
print("ready", flush=True)
sys.stdin.readline()
text = open("/proc/self/smaps").read()
part = re.search(r"net\.weights\n((?:\w+:.*\n)+)", text).group(1)
rows = dict(re.findall(r"(\w+): +(\d+) kB", part))
print(rows["Rss"], rows["Pss"], rows["Private_Dirty"], flush=True)
"""


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux")
def test_two_processes_share_the_pages(tmp_path):
    x = sg.var("x", ("N", 700))
    y = sg.linear(x, 900, name="fc")
    params = sg.init(y, seed=0)
    artifact = sg.export(y, tmp_path / "net", params=params, weights="file", target="native")
    command = [sys.executable, "-c", READER, str(artifact.files["o"])]
    readers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for reader in readers:
        assert reader.stdout.readline().strip() == "ready"
    for reader in readers:
        rows, _ = reader.communicate("go\n", timeout=60)
        resident, proportional, dirty = map(int, rows.split())
        assert resident >= params["fc_weight"].nbytes // 1024
        assert dirty == 0
        if reader is readers[0]:  # the other one is still there
            assert proportional <= resident * 0.6


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_strict_levels_of_narrow_floats(dtype, tmp_path):
    """The same bits at every level of x86-64, of types that some processors convert by hand."""
    from .test_share_weights import CPUS, has

    x = sg.var("x", ("N", 19), dtype)
    h = sg.tanh(sg.linear(x, 23, name="fc"))
    y = sg.softmax(sg.exp(h) * sg.sigmoid(h))
    params = sg.init(y, seed=1)
    data = batch(5, (19,)).astype(as_dtype(dtype).numpy)
    found = {
        sg.compile(y, params=params, strict=True, cpu=cpu, threads=n)(data).tobytes()
        for cpu in (c for c in CPUS if has(c))
        for n in (1, 3)
    }
    assert len(found) == 1
