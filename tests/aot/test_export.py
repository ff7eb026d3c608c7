"""What export writes and refuses."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

import symgraph as sg
from symgraph.aot import description
from symgraph.aot.header import header_text
from symgraph.aot.object_file import read_object
from symgraph.errors import FormatError, InputError, TargetError

from ..support.toys import HostDouble
from .models import batch, perceptron


def exported(folder, **changes):
    y, params = perceptron()
    return sg.export(y, folder / "net", params=params, **changes)


def test_the_description_in_the_object_and_in_json_say_the_same(tmp_path):
    artifact = exported(tmp_path)
    file = json.loads(artifact.files["json"].read_text())
    found, inside = description.decode(artifact.files["o"].read_bytes())
    assert file.pop("object")["code_nbytes"] == found.code_nbytes > 0
    assert file == inside
    assert inside["inputs"][0]["shape"] == ["N", 7]
    assert inside["workspace"]["nbytes"] == str(artifact.signature.needed)
    assert inside["flops"] is not None
    assert inside["machine"]["platform"] == "x86_64-linux"
    assert "Apache-2.0" in inside["licence"]


def test_the_same_input_gives_the_same_bytes(tmp_path):
    first = exported(tmp_path / "a", emit=("o", "h", "json", "a"))
    second = exported(tmp_path / "b", emit=("o", "h", "json", "a"))
    for kind, path in first.files.items():
        assert path.read_bytes() == second.files[kind].read_bytes(), kind
    third = exported(tmp_path / "c", name="other")
    assert third.files["o"].read_bytes() != first.files["o"].read_bytes()
    assert third.description["model_hash"] == first.description["model_hash"]


def test_other_weights_are_another_model(tmp_path):
    y, params = perceptron()
    first = sg.export(y, tmp_path / "a", params=params, name="net")
    params["fc1_bias"] = params["fc1_bias"] + 1
    second = sg.export(y, tmp_path / "b", params=params, name="net")
    assert first.description["model_hash"] != second.description["model_hash"]


def test_weights_lie_page_aligned_in_read_only_memory(tmp_path):
    artifact = exported(tmp_path)
    data = artifact.files["o"].read_bytes()
    section = read_object(data).section(".rodata.symgraph.weights")
    assert section is not None
    assert section.offset % 4096 == 0
    assert section.nbytes == artifact.signature.weights_nbytes
    row = next(w for w in artifact.signature.weights if w.shape == (33, 7))
    _, params = perceptron()
    expected = params["fc1_weight"] if row.packing is None else row.packing.apply(
        params["fc1_weight"])  # fmt: skip
    array = np.frombuffer(data, np.float32, expected.size, section.offset + row.offset)
    assert (array == expected.reshape(-1)).all()


def test_a_closing_table(tmp_path):
    text = str(exported(tmp_path))
    for word in ("net.o", "net.h", "workspace", "operations", "kernels", "x86-64-v3"):
        assert word in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": "none"}, "weights must be one of embedded, file, pointer, got 'none'"),
        ({"emit": ("o", "exe")}, "emit must be some of"),
        ({"emit": ()}, "emit must be some of"),
        ({"target": "pdp11"}, "unknown platform 'pdp11'; known are native, x86_64-linux"),
        ({"cpu": "pentium"}, "unknown cpu 'pentium'; known are"),
        ({"ranges": {"T": (1, 2)}}, "no open extent 'T' to limit; the open ones are N"),
        ({"ranges": {"N": (3, 2)}}, "extent N needs 0 <= low <= high, got 3..2"),
        ({"target": "wasm32", "emit": ("so",)}, "no shared library can be linked for wasm32"),
    ],
)
def test_bad_requests_leave_nothing_behind(changes, message, tmp_path):
    with pytest.raises((InputError, TargetError), match=message.replace("(", "\\(")):
        exported(tmp_path, **changes)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_written_leaves_nothing_half_written(tmp_path):
    (tmp_path / "net.json").mkdir()
    with pytest.raises(InputError, match=r"net\.json is a folder"):
        exported(tmp_path)
    assert os.listdir(tmp_path) == ["net.json"]


def test_host_operators_are_refused_by_name(tmp_path):
    x = sg.var("x", (3,))
    y = HostDouble()(x, name="twice")
    with pytest.raises(TargetError, match=r"node 'twice' \(declared at test_export.py:\d+\)"):
        sg.export(y, tmp_path / "net")
    assert os.listdir(tmp_path) == []


def test_names_that_c_does_not_allow(tmp_path):
    x = sg.var("block/x", ("int", 3))
    y = sg.linear(x, 2, name="class")
    artifact = sg.export(y, tmp_path / "3-net", params=sg.init(y, seed=0))
    assert artifact.signature.prefix == "model3_net"
    assert [t.field for t in artifact.signature.inputs] == ["block_x"]
    assert [e.field for e in artifact.signature.extents] == ["int_"]
    assert [t.field for t in artifact.signature.outputs] == ["class_"]
    text = artifact.files["h"].read_text()
    assert "const float *block_x; /* input block/x: float32[int,3]" in text


def test_comments_cannot_be_closed_by_names():
    from symgraph.aot.signature import Signature, Tensor
    from symgraph.kernel.dtypes import float32

    tensor = Tensor("a*/b", "a_b", float32, (2,), "input", origin="evil*/.py:3")
    signature = Signature("net", (tensor,), (), (), (), 0, 0, 64, (), 0)
    text = header_text(signature, [], model_hash="0" * 64, weights="embedded")
    assert "a*/b" not in text and "evil*/" not in text


def test_unreadable_files(tmp_path):
    with pytest.raises(FormatError, match="there is no such file"):
        sg.load(tmp_path / "none.o")
    assert batch(2, (3,)).shape == (2, 3)


def test_a_value_written_over_through_a_view_of_it(tmp_path):
    x = sg.var("x", ("N", "T", 48))
    o = sg.matmul(sg.reshape(x, (0, 0, 3, 16)), sg.var("w", (16, 16)))
    y = sg.linear(sg.reshape(o, (0, 0, -3)) * sg.silu(sg.linear(x, 48, name="g")), 5, name="o")
    artifact = sg.export(y, tmp_path / "net", params=sg.init(y, seed=0))
    memory = json.loads(artifact.files["json"].read_text())["memory"]
    assert memory["shared"]
    assert all(0 <= n < len(memory["buffers"]) for pair in memory["shared"] for n in pair)


def test_the_platform_is_the_target(tmp_path):
    """As an option of the compiler it would be overruled, and the object silently be native."""
    y = sg.relu(sg.var("x", (3,)))
    with pytest.raises(InputError, match="give target='wasm32'"):
        sg.export(y, tmp_path / "net", platform="wasm32")
    assert not list(tmp_path.iterdir())
