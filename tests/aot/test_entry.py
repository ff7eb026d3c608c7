"""The tests that the object itself makes before it runs: every rule, its code and its message."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.aot.object_runner import Context
from symgraph.aot.rules import rules_of
from symgraph.codegen.llvm import objects

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
        places, self.held = self.call(**changes)
        return int(self.runner._run(*places))

    def explain(self, room: int = 512, **changes: Any) -> str:
        """The text, after a look that it says the same code and writes no further."""
        places, self.held = self.call(**changes)
        text = ctypes.create_string_buffer(b"\x7f" * 600, 600)
        code = self.runner._explain(*places, text, room)
        assert code == int(self.runner._run(*places))
        assert text.raw[room:] == b"\x7f" * (600 - room)
        return text.value.decode() if room else ""

    def call(self, **changes: Any) -> tuple[list[Any], Any]:
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
        return places, (inputs, outputs, context)

    def code(self, name: str) -> int:
        return self.rules[name].code

    def message(self, name: str) -> str:
        text = self.strerror(self.code(name))
        assert text == self.rules[name].message
        return text

    def strerror(self, code: int) -> str:
        """What NAME_strerror says."""
        body = self.artifact.files["o"].read_bytes()
        loaded = objects.load(body, [f"{self.artifact.signature.prefix}_strerror"])
        text: bytes = ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_int32)(loaded.addresses[0])(code)
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
    for place, name in ((0, "INPUTS"), (1, "OUTPUTS"), (3, "CONTEXT")):
        assert raw(null=(place,)) == raw.code(name)
        assert raw.explain(null=(place,)) == (
            f"{name.lower()}: got NULL, need a pointer to the struct, not NULL"
        )
    assert raw.message("INPUTS") == "inputs: need a pointer to the struct, not NULL"


def test_the_context_must_be_initialised(raw):
    assert raw(size=0) == raw(size=raw.size - 1) == raw.code("CONTEXT_SIZE")
    assert raw(size=raw.size + 8) == 0
    assert "less than sizeof(sg_context)" in raw.message("CONTEXT_SIZE")
    text = f"context.size: got 3, need {raw.size}: less than sizeof(sg_context): initialise"
    assert raw.explain(size=3).startswith(text)


def test_threads(raw):
    assert raw(threads=-1) == raw(threads=1025) == raw.code("THREADS")
    assert raw(threads=0) == 0
    assert raw.message("THREADS") == "context.threads: need 0 to 1024"
    assert raw.explain(threads=-7) == "context.threads: got -7, need 0 to 1024"


@pytest.mark.parametrize("n", [0, 65, -1, 2**62, -(2**63), 2**63 - 1, 1000, -907])
def test_extents(raw, n):
    assert raw(n=n) == raw.code("EXTENT_N")
    assert raw.message("EXTENT_N") == "input 'x' dim 0 (N): need 1 to 64"
    assert raw.explain(n=n) == f"input 'x' dim 0 (N): got {n}, need 1 to 64"


@pytest.mark.parametrize(("pointer", "name"), [("x", "X"), ("y", "FC2")])
def test_arrays(raw, pointer, name):
    good = {"x": raw.x, "y": raw.y}[pointer].ctypes.data
    assert raw(**{pointer: 0}) == raw(**{pointer: good + 2}) == raw.code(name)
    assert raw.message(name).endswith("need a pointer, not NULL, aligned to 4 bytes")
    word = {"x": "input 'x' (float32[N,7])", "y": "output 'fc2' (float32[N,5])"}[pointer]
    assert raw.explain(**{pointer: 0}).startswith(f"{word}: got NULL, need a pointer")
    text = raw.explain(**{pointer: good + 2})
    assert text.startswith(f"{word}: got address {good + 2:#x}, need a pointer")


def test_the_workspace(raw):
    assert raw(workspace=0) == raw(workspace=raw.workspace + 32) == raw.code("WORKSPACE")
    need = raw.artifact.signature.needed
    nbytes = int(sg.kernel.dims.evaluate(need, {sg.DimVar("N"): 4}))
    assert nbytes > 0
    raw.y[...] = -1
    assert raw(nbytes=nbytes - 1) == raw.code("WORKSPACE_SIZE")
    assert (raw.y == -1).all()
    assert raw(nbytes=nbytes) == 0
    assert raw.message("WORKSPACE_SIZE").startswith("context.workspace_bytes: fewer than ")
    text = f"context.workspace_bytes: got {nbytes - 1}, need {nbytes}: fewer than "
    assert raw.explain(nbytes=nbytes - 1).startswith(text)
    assert raw.explain(workspace=0).startswith("workspace: got NULL, need a pointer aligned to 64")


def test_what_a_call_writes_lies_apart(raw):
    """One byte over is an error that names both; side by side is none."""
    need = int(sg.kernel.dims.evaluate(raw.artifact.signature.needed, {sg.DimVar("N"): 4}))
    memory = np.zeros(1 << 16, np.uint8)
    start = memory.ctypes.data + -memory.ctypes.data % 64
    x, y, workspace = start, start + 4 * 7 * 4, start + 4096
    right = {"x": x, "y": y, "workspace": workspace, "nbytes": need}
    assert raw(**right) == 0
    cases = {
        "output 'fc2' and input 'x'": {"y": y - 4},
        "output 'fc2' and the workspace": {"y": workspace + need - 4},
        "the workspace and input 'x'": {"x": workspace - 4 * 7 * 4 + 4},
    }
    for names, changes in cases.items():
        assert raw(**{**right, **changes}) == raw.code("OVERLAP")
        assert raw.explain(**{**right, **changes}) == (
            f"arrays: {names} overlap, need memory of their own: outputs and workspace must not "
            "overlap each other or inputs"
        )
    for changes in ({"y": workspace + need}, {"y": workspace - 4 * 5 * 4}):
        assert raw(**{**right, **changes}) == 0
        assert raw.explain(**{**right, **changes}) == "success"


@pytest.mark.parametrize("size", [0, 1, 2, 22, 23, 60, 512])
def test_an_explanation_fits_its_buffer(raw, size):
    whole = "input 'x' dim 0 (N): got 65, need 1 to 64"
    assert raw.explain(size, n=65) == whole[: max(0, size - 1)]


def test_codes_that_do_not_exist(raw):
    for code in (-1, len(raw.rules) + 1, 2**31 - 1):
        assert raw.strerror(code) == "unknown error code of net"
    assert raw.strerror(0) == "success"


def test_flags(raw):
    assert raw(flags=5) == raw.code("FLAGS")
    assert raw.message("FLAGS").startswith("context.flags: need 0")
    assert raw.explain(flags=6).startswith("context.flags: got 6, need 0")
    if "PROCESSOR" in raw.rules:
        assert raw(flags=1) == raw.code("PROCESSOR")
        text = "x86-64 level of the processor and its system: got 1, need level "
        assert raw.explain(flags=1).startswith(text)


def test_weights_files(tmp_path):
    y, params = perceptron()
    raw = Raw(sg.export(y, tmp_path / "net", params=params, target="native", weights="file"))
    assert raw() == 0
    assert raw(constants=None) == raw(constants=raw.constants + 64) == raw.code("WEIGHTS")
    other = np.zeros(20000, np.uint8)
    start = other.ctypes.data + -other.ctypes.data % 4096
    assert raw(constants=start) == raw.code("WEIGHTS_FILE")
    assert raw.message("WEIGHTS_FILE").endswith("need the weights file of this model, got another")
    text = raw.explain(y=raw.constants + 4096, n=1)
    assert text.startswith("arrays: output 'fc2' and the weights overlap")


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
    assert messages[code][1].startswith("T-4: need 1 or more (conv1d conv")
    text = ctypes.create_string_buffer(256)
    assert runner._explain(*places, text, 256) == code
    assert text.value.decode().startswith("T-4: got -1, need 1 or more (conv1d conv")


def test_a_multiple_is_asked_for_by_input_and_dim(tmp_path):
    x = sg.var("x", ("N", "T"))
    y = sg.reshape(x, ("N", -1, 16))
    artifact = sg.export(y, tmp_path / "net", target="native")
    runner: Any = sg.load(artifact.files["o"])._runner
    inputs = (ctypes.c_int64 * 3)(64, 2, 225)
    context = Context(size=ctypes.sizeof(Context), threads=1)
    places = ctypes.addressof(inputs), ctypes.addressof(inputs), None, ctypes.addressof(context)
    text = ctypes.create_string_buffer(256)
    code = runner._explain(*places, text, 256)
    assert code == runner._run(*places) > 0
    start = "input 'x' dim 1 (T): got 225, need a multiple of 16 (reshape reshape0"
    assert text.value.decode().startswith(start)


def test_two_extents_that_must_agree(tmp_path):
    x, z = sg.var("x", ("N", "K")), sg.var("z", ("M",))
    artifact = sg.export(x + sg.reshape(z, ("N", "K")), tmp_path / "net", target="native")
    runner: Any = sg.load(artifact.files["o"])._runner
    fields = [e.field for e in artifact.signature.extents]
    sizes = [{"N": 2, "K": 5, "M": 7}[name] for name in fields]
    inputs = (ctypes.c_int64 * 5)(64, 64, *sizes)
    context = Context(size=ctypes.sizeof(Context), threads=1)
    places = ctypes.addressof(inputs), ctypes.addressof(inputs), None, ctypes.addressof(context)
    text = ctypes.create_string_buffer(256)
    assert runner._explain(*places, text, 256) > 0
    words = text.value.decode()
    assert "input 'z' dim 0 (M)" in words and "need the same number (reshape reshape0" in words
    assert "got 7 and 10, " in words or "got 10 and 7, " in words
