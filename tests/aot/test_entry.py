"""The tests that the object itself makes before it runs: every rule, its code and its message."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.aot.object_runner import Context
from symgraph.aot.rules import rules_of

from .models import batch, perceptron


class Raw:
    """A shipped object called as a C program would."""

    def __init__(self, artifact: sg.aot.Artifact, weights: Any = None) -> None:
        self.artifact = artifact
        runner = sg.load(artifact.files["o"], weights=weights)._runner
        self.runner: Any = runner
        self.rules = {
            r.name: r for r in rules_of(artifact.signature, artifact.description["weights"]["kind"])
        }
        self.n = 4
        self.x, self.y = batch(4, (7,)), np.full((4, 5), -1, np.float32)
        self.memory = np.zeros(1 << 16, np.uint8)
        self.workspace = self.memory.ctypes.data + -self.memory.ctypes.data % 64
        self.size = ctypes.sizeof(Context)
        self.threads = 1
        self.constants = runner._constants or None
        self.nbytes = runner._nbytes({"N": 4}) if runner.threads == 1 else 1 << 15

    def __call__(self, **changes: Any) -> int:
        v = {
            "x": self.x.ctypes.data, "y": self.y.ctypes.data, "n": self.n,
            "workspace": self.workspace, "size": self.size, "threads": self.threads,
            "nbytes": self.nbytes, "constants": self.constants, "flags": 0, "null": (), **changes,
        }  # fmt: skip
        inputs = (ctypes.c_int64 * 2)(v["x"], v["n"])
        outputs = (ctypes.c_int64 * 1)(v["y"])
        context = Context(
            size=v["size"], flags=v["flags"], threads=v["threads"], constants=v["constants"],
            workspace_bytes=v["nbytes"],
        )  # fmt: skip
        places = [ctypes.addressof(inputs), ctypes.addressof(outputs), v["workspace"],
                  ctypes.addressof(context)]  # fmt: skip
        for place in v["null"]:
            places[place] = None
        return int(self.runner._run(*places))

    def code(self, name: str) -> int:
        return self.rules[name].code

    def message(self, name: str) -> str:
        text: bytes = self.runner._strerror(self.code(name))
        assert text.decode() == self.rules[name].message
        return text.decode()


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    y, params = perceptron()
    folder = tmp_path_factory.mktemp("entry")
    return Raw(sg.export(y, folder / "net", params=params, target="native", ranges={"N": (1, 64)}))


def test_a_right_call(raw):
    assert raw() == 0
    assert (raw.y != -1).all()


def test_structs_must_be_given(raw):
    for place in (0, 1, 3):
        assert raw(null=(place,)) == raw.code("STRUCTS")
    assert "must not be NULL" in raw.message("STRUCTS")


def test_the_context_must_be_initialised(raw):
    assert raw(size=0) == raw(size=raw.size - 1) == raw.code("CONTEXT")
    assert raw(size=raw.size + 8) == 0
    assert "sizeof(sg_context)" in raw.message("CONTEXT")


def test_threads(raw):
    assert raw(threads=-1) == raw(threads=1025) == raw.code("THREADS")
    assert raw(threads=0) == 0
    assert raw.message("THREADS") == "context.threads must be 0 to 1024"


@pytest.mark.parametrize("n", [0, 65, -1, 2**62, -(2**63)])
def test_extents(raw, n):
    assert raw(n=n) == raw.code("EXTENT_N")
    assert raw.message("EXTENT_N") == "extent N must be 1 to 64"


@pytest.mark.parametrize(("pointer", "name"), [("x", "X"), ("y", "FC2")])
def test_arrays(raw, pointer, name):
    good = {"x": raw.x, "y": raw.y}[pointer].ctypes.data
    assert raw(**{pointer: 0}) == raw(**{pointer: good + 2}) == raw.code(name)
    assert (
        "must not be NULL, unless it has no elements, and must be aligned to 4 bytes"
        in raw.message(name)
    )


def test_the_workspace(raw):
    assert raw(workspace=0) == raw(workspace=raw.workspace + 32) == raw.code("WORKSPACE")
    need = raw.artifact.signature.needed
    nbytes = int(sg.kernel.dims.evaluate(need, {sg.DimVar("N"): 4}))
    assert nbytes > 0
    raw.y[...] = -1
    assert raw(nbytes=nbytes - 1) == raw.code("WORKSPACE_SIZE")
    assert (raw.y == -1).all()
    assert raw(nbytes=nbytes) == 0
    assert "need " in raw.message("WORKSPACE_SIZE")


def test_codes_that_do_not_exist(raw):
    for code in (-1, len(raw.rules) + 1, 2**31 - 1):
        assert raw.runner._strerror(code) == b"unknown error code of net"
    assert raw.runner._strerror(0) == b"success"


def test_flags(raw):
    assert raw(flags=5) == raw.code("FLAGS")
    assert "context.flags must be 0" in raw.message("FLAGS")
    if "PROCESSOR" in raw.rules:
        assert raw(flags=1) == raw.code("PROCESSOR")


def test_weights_files(tmp_path):
    y, params = perceptron()
    raw = Raw(sg.export(y, tmp_path / "net", params=params, target="native", weights="file"))
    assert raw() == 0
    assert raw(constants=None) == raw(constants=raw.constants + 64) == raw.code("WEIGHTS")
    other = np.zeros(20000, np.uint8)
    start = other.ctypes.data + -other.ctypes.data % 4096
    assert raw(constants=start) == raw.code("WEIGHTS_FILE")
    assert raw.message("WEIGHTS_FILE").endswith("is not the weights file of this model")


def test_pointers_to_weights(tmp_path):
    y, params = perceptron()
    artifact = sg.export(y, tmp_path / "net", params=params, target="native", weights="pointer")
    raw = Raw(artifact, params)
    assert raw() == 0
    assert raw(constants=None) == raw(constants=raw.constants + 4) == raw.code("WEIGHTS")


def test_conditions_and_empty_batches(tmp_path):
    x = sg.var("x", ("N", 2, "T"))
    y = sg.conv1d(x, 3, kernel_size=5, name="conv")
    artifact = sg.export(y, tmp_path / "net", params=sg.init(y, seed=0), target="native")
    loaded = sg.load(artifact.files["o"])
    assert loaded(np.zeros((0, 2, 9), np.float32)).shape == (0, 3, 5)
    assert loaded(np.zeros((2, 2, 5), np.float32)).shape == (2, 3, 1)
    runner: Any = loaded._runner
    inputs = (ctypes.c_int64 * 3)(0, 2, 3)
    context = Context(size=ctypes.sizeof(Context), threads=1)
    places = ctypes.addressof(inputs), ctypes.addressof(inputs), None, ctypes.addressof(context)
    code = runner._run(*places)
    messages = {r["code"]: (r["name"], r["message"]) for r in artifact.description["errors"]}
    assert messages[code][0].startswith("CONDITION")
    assert "need T-4 >= 1" in messages[code][1]
