"""Loading shipped objects: the interface of an executable, and refusals before any code runs."""

from __future__ import annotations

import struct
import subprocess

import numpy as np
import pytest

import symgraph as sg
from symgraph.aot import description
from symgraph.aot.shared_library import link_shared
from symgraph.errors import FormatError, InputError, MissingDependencyError

from .models import batch, convolution, perceptron


def native(folder, model=perceptron, **changes):
    y, params = model()
    artifact = sg.export(y, folder / "net", params=params, target="native", **changes)
    return artifact, sg.compile(y, params=params, threads=1), params


@pytest.mark.parametrize("model", [perceptron, convolution])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_loaded_object_gives_the_bits_of_compile(model, threads, tmp_path):
    artifact, expected, _ = native(tmp_path, model)
    loaded = sg.load(artifact.files["o"], threads=threads)
    shape = (7,) if model is perceptron else (2, 17, 13)
    for n in (1, 2, 17, 0, 33):
        x = batch(n, shape)
        assert loaded(x).tobytes() == expected(x).tobytes()
    assert loaded.inputs == expected.inputs
    assert loaded.outputs == expected.outputs


def test_a_shared_library_loads_too(tmp_path):
    artifact, expected, _ = native(tmp_path)
    try:
        link_shared(artifact.files["o"].read_bytes(), "net")
    except MissingDependencyError as error:
        pytest.skip(str(error))
    artifact, expected, _ = native(tmp_path, emit=("so",))
    x = batch(17, (7,))
    assert sg.load(artifact.files["so"])(x=x).tobytes() == expected(x=x).tobytes()


def test_calls_are_checked_as_those_of_an_executable(tmp_path):
    artifact, _, _ = native(tmp_path, ranges={"N": (1, 8)})
    loaded = sg.load(artifact.files["o"])
    with pytest.raises(InputError, match="must have dtype float32, got float64"):
        loaded(np.zeros((2, 7)))
    with pytest.raises(InputError, match="axis 1 must be 7"):
        loaded(np.zeros((2, 6), np.float32))
    with pytest.raises(InputError, match=r"'x' dim 0 \(N\): got 9, need 1 to 8 \(code \d+\)"):
        loaded(batch(9, (7,)))
    with pytest.raises(InputError, match="got 0, need 1 to 8"):
        loaded(batch(0, (7,)))
    assert loaded(batch(8, (7,))).shape == (8, 5)


def test_weights_in_a_file_are_mapped(tmp_path):
    artifact, expected, _ = native(tmp_path, weights="file")
    x = batch(5, (7,))
    assert sg.load(artifact.files["o"])(x).tobytes() == expected(x).tobytes()
    moved = artifact.files["weights"].rename(tmp_path / "elsewhere.weights")
    with pytest.raises(FormatError, match=r"net\.weights: the weights cannot be read"):
        sg.load(artifact.files["o"])
    assert sg.load(artifact.files["o"], weights=moved)(x).tobytes() == expected(x).tobytes()
    damaged = bytearray(moved.read_bytes())
    damaged[-5] ^= 1
    moved.write_bytes(damaged)
    with pytest.raises(FormatError, match="the hash of the weights does not match"):
        sg.load(artifact.files["o"], weights=moved)
    moved.write_bytes(damaged[:-100])
    with pytest.raises(FormatError, match="truncated"):
        sg.load(artifact.files["o"], weights=moved)
    y, params = convolution()
    other = sg.export(y, tmp_path / "other", params=params, weights="file")
    with pytest.raises(FormatError, match="the weights of another model"):
        sg.load(artifact.files["o"], weights=other.files["weights"])


@pytest.mark.parametrize("kind", ["file", "pointer"])
def test_weights_are_swapped_without_compiling(kind, tmp_path):
    artifact, _, params = native(tmp_path, weights=kind)
    other = {name: array * 0.5 + 0.25 for name, array in params.items()}
    y, _ = perceptron()
    expected = sg.compile(y, params=other, threads=1)
    loaded = sg.load(artifact.files["o"], weights=other)
    x = batch(6, (7,))
    assert loaded(x).tobytes() == expected(x).tobytes()
    with pytest.raises(InputError, match="weight 'fc1_weight' must be float32"):
        sg.load(artifact.files["o"], weights={**other, "fc1_weight": np.zeros(3)})
    del other["fc2_bias"]
    with pytest.raises(InputError, match="lacks 'fc2_bias'"):
        sg.load(artifact.files["o"], weights=other)


def test_objects_without_their_weights(tmp_path):
    artifact, _, _ = native(tmp_path, weights="pointer")
    with pytest.raises(InputError, match="needs weights= with the arrays fc1_weight"):
        sg.load(artifact.files["o"])
    artifact, _, params = native(tmp_path)
    with pytest.raises(InputError, match="the weights are embedded"):
        sg.load(artifact.files["o"], weights=params)


def test_every_truncation_is_refused(tmp_path):
    artifact, _, _ = native(tmp_path)
    data = artifact.files["o"].read_bytes()
    short = tmp_path / "short.o"
    for length in (0, 3, 20, 63, 64, 200, len(data) // 2, len(data) - 64, len(data) - 1):
        short.write_bytes(data[:length])
        with pytest.raises(FormatError, match=r"short\.o"):
            sg.load(short)


def test_every_damaged_byte_is_refused(tmp_path):
    artifact, _, _ = native(tmp_path)
    data = artifact.files["o"].read_bytes()
    bad = tmp_path / "bad.o"
    for position in range(70, len(data), 997):
        damaged = bytearray(data)
        damaged[position] ^= 0x40
        bad.write_bytes(damaged)
        with pytest.raises(FormatError):
            sg.load(bad)


def test_other_formats_and_machines_are_refused(tmp_path):
    artifact, _, _ = native(tmp_path)
    data = artifact.files["o"].read_bytes()
    start = data.index(description.MAGIC)
    newer = tmp_path / "newer.o"
    newer.write_bytes(data[: start + 16] + struct.pack("<I", 9) + data[start + 20 :])
    with pytest.raises(FormatError, match="format version 9 cannot be read; this release reads"):
        sg.load(newer)
    y, params = perceptron()
    foreign = sg.export(y, tmp_path / "foreign", params=params, target="riscv64-linux")
    with pytest.raises(FormatError, match="made for riscv64-linux, this machine is"):
        sg.load(foreign.files["o"])
    text = tmp_path / "text.o"
    text.write_text("no object at all")
    with pytest.raises(FormatError, match=r"text\.o: not an object file"):
        sg.load(text)
    library = sg.export(y, tmp_path / "lib", params=params, emit=("a",))
    with pytest.raises(FormatError, match="a static library cannot be loaded"):
        sg.load(library.files["a"])


def test_objects_of_other_makers_are_refused(tmp_path):
    source = tmp_path / "c.c"
    source.write_text("int f(void) { return 1; }\n")
    try:
        subprocess.run(["cc", "-c", str(source), "-o", str(tmp_path / "c.o")], check=True)
    except FileNotFoundError:
        pytest.skip("needs a C compiler (cc)")
    with pytest.raises(FormatError, match=r"without the section \.symgraph"):
        sg.load(tmp_path / "c.o")


def test_a_program_that_updates_its_parameters(tmp_path):
    x, t = sg.var("x", ("N", 4)), sg.var("t", ("N", 3))
    y = sg.linear(x, 3, name="fc")
    loss = sg.sum((y - t) * (y - t))
    weight = next(s for s in y.parameters if loss.graph.names[s.node] == "fc_weight")
    (gradient,) = sg.gradients(loss, [weight])
    updates = {"fc_weight": weight - gradient * 0.01}
    artifact = sg.export(loss, tmp_path / "step", updates=updates, target="native", training=True)
    step = sg.load(artifact.files["o"])
    expected = sg.compile(loss, updates=updates, training=True)
    params = sg.init(y, seed=1)
    mine = {k: v.copy() for k, v in params.items()}
    theirs = {k: v.copy() for k, v in params.items()}
    data = {"x": batch(6, (4,)), "t": batch(6, (3,), 1)}
    for _ in range(3):
        a, b = step(**data, **mine), expected(**data, **theirs)
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
    assert mine["fc_weight"].tobytes() == theirs["fc_weight"].tobytes()
    assert mine["fc_weight"].tobytes() != params["fc_weight"].tobytes()
    text = artifact.files["h"].read_text()
    assert (
        "    float *fc_weight; /* parameter fc_weight: float32[3,4]; holds its next value" in text
    )


@pytest.mark.parametrize("threads", [1, 3])
def test_a_loaded_object_has_the_native_call(threads, tmp_path):
    """The second call with arrays of the same types takes the short way, and gives the same."""
    artifact, expected, _ = native(tmp_path)
    loaded = sg.load(artifact.files["o"], threads=threads)
    for n in (3, 0, 17, 3):
        x = batch(n, (7,))
        first, out = loaded(x), np.empty((n, 5), np.float32)
        assert loaded._prepared is not None
        assert loaded(x=x).tobytes() == loaded(x, out=out).tobytes() == first.tobytes()
        assert first.tobytes() == out.tobytes() == expected(x).tobytes()


def test_the_native_call_updates_in_place(tmp_path):
    """Outputs that are written over inputs are not among the arrays of the native call."""
    x, total = sg.var("x", ("N", 3)), sg.var("total", (3,))
    y = x * 2.0
    artifact = sg.export(
        y, tmp_path / "sum", updates={"total": total + sg.sum(x, axis=0)}, target="native"
    )
    loaded = sg.load(artifact.files["o"], threads=1)
    value = np.zeros(3, np.float32)
    for step in range(4):
        data = batch(4, (3,), step)
        before = value.copy()
        assert (loaded(x=data, total=value) == data * 2).all()
        np.testing.assert_allclose(value, before + data.sum(0), rtol=1e-6)
    assert loaded._prepared is not None


def test_a_loaded_object_reports_its_memory(tmp_path):
    artifact, expected, _ = native(tmp_path, convolution)
    loaded = sg.load(artifact.files["o"], threads=1)
    for n in (1, 9):
        got, want = loaded.memory_report(N=n), expected.memory_report(N=n)
        assert got.data | {"program": "", "constants": 0} == want.data | {
            "program": "", "constants": 0}  # fmt: skip
        assert got.constants >= want.constants > 0
        assert got.peak_label and got.at_peak
    with pytest.raises(InputError, match="there is no open extent 'M'"):
        loaded.memory_report(M=1)
