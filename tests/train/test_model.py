"""Models on disk, and their predictions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph import train
from symgraph.errors import FileError, FormatError, InputError

TARGET = "interp"


def model(units: int = 3, seed: int = 0, name: str = "fc2") -> train.Model:
    x, y = sg.var("x", ("N", 5)), sg.var("y", ("N",), "int32")
    h = sg.relu(sg.linear(x, 7, name="fc1"))
    logits = sg.linear(h, units, name=name)
    loss = sg.cross_entropy(logits, y)
    return train.Model.of(loss, outputs=logits, metrics=("accuracy",), seed=seed, target=TARGET)


def rows(count: int = 11) -> dict[str, Any]:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(count, 5)).astype(np.float32)
    return {"x": x, "y": rng.integers(0, 3, count).astype(np.int32)}


def test_save_and_load(tmp_path: Path) -> None:
    first, second = model(seed=0), model(seed=1)
    data = rows()
    assert not np.array_equal(first.predict(data), second.predict(data))
    path = first.save(tmp_path / "m.safetensors")
    report = second.load(path)
    assert report == train.LoadReport(tuple(first.params), (), (), ())
    assert str(report) == "4 loaded"
    np.testing.assert_array_equal(first.predict(data), second.predict(data))
    assert os.listdir(tmp_path) == ["m.safetensors"]
    assert first.evaluate(data) == second.evaluate(data)


def test_predict_in_batches_and_by_inputs_alone() -> None:
    made, data = model(), rows()
    whole = made.predict(data)
    assert whole.shape == (11, 3) and whole.dtype == np.float32
    np.testing.assert_allclose(made.predict(data["x"], batch_size=4), whole, rtol=1e-6)
    np.testing.assert_array_equal(made.predict({"x": data["x"]}), whole)
    made.params["fc2_bias"][...] += 1
    np.testing.assert_allclose(made.predict(data), whole + 1, rtol=1e-5)


def test_several_outputs() -> None:
    x, y = sg.var("x", ("N", 5)), sg.var("y", ("N",), "int32")
    h = sg.linear(x, 7, name="fc1")
    logits = sg.linear(h, 3, name="fc2")
    made = train.Model.of(sg.cross_entropy(logits, y), outputs=(h, logits), target=TARGET)
    first, second = made.predict(rows(4))
    assert first.shape == (4, 7) and second.shape == (4, 3)


def test_a_model_without_outputs_says_so() -> None:
    x = sg.var("x", ("N", 5))
    made = train.Model.of(sg.sum(sg.linear(x, 2, name="fc")), target=TARGET)
    with pytest.raises(InputError, match=r"the model has no outputs: give fit\(\.\.\., outputs="):
        made.predict(np.zeros((3, 5)))


def test_empty_data() -> None:
    with pytest.raises(InputError, match="predict: the data has no rows"):
        model().predict(np.zeros((0, 5), np.float32))
    assert np.isnan(model().evaluate(rows(0))["loss"])


def test_a_shape_that_differs_is_an_error_with_advice(tmp_path: Path) -> None:
    path = model(units=10).save(tmp_path / "m")
    other = model(units=3)
    before = {name: array.copy() for name, array in other.params.items()}
    with pytest.raises(FormatError) as error:
        other.load(path)
    assert str(error.value) == (
        f"{path}: fc2_weight has shape [10, 7], the model needs [3, 7]; to learn it from scratch "
        f"give it another name, or allow_mismatch=['fc2_weight'] to keep the model's own values"
    )
    for name, array in other.params.items():
        np.testing.assert_array_equal(array, before[name])
    with pytest.raises(FormatError, match="fc2_bias has shape"):
        other.load(path, allow_mismatch=["fc2_weight"])
    report = other.load(path, allow_mismatch=["fc2_weight", "fc2_bias"])
    assert report.loaded == ("fc1_weight", "fc1_bias")
    assert report.mismatched == ("fc2_weight", "fc2_bias")
    assert other.load(path, allow_mismatch=True) == report
    np.testing.assert_array_equal(other.params["fc2_weight"], before["fc2_weight"])
    assert not np.array_equal(other.params["fc1_weight"], before["fc1_weight"] + 1)


def test_missing_and_unused_names_are_reported(tmp_path: Path) -> None:
    path = model(name="head").save(tmp_path / "m")
    report = model().load(path)
    assert report.missing == ("fc2_weight", "fc2_bias")
    assert report.unused == ("head_bias", "head_weight")
    assert str(report) == (
        "2 loaded; 2 missing: fc2_weight, fc2_bias; 2 unused: head_bias, head_weight"
    )


def test_wrong_files(tmp_path: Path) -> None:
    made = model()
    with pytest.raises(FileNotFoundError):
        made.load(tmp_path / "nothing")
    with pytest.raises(FileError, match="does not exist"):
        made.save(tmp_path / "no" / "m")
    path = train.save_parameters(tmp_path / "m", {"other": np.zeros(2)})
    with pytest.raises(FormatError, match=r"none of its arrays \(other\) has the name"):
        made.load(path)
    whole = made.save(tmp_path / "m").read_bytes()
    (tmp_path / "m").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FormatError, match="truncated"):
        made.load(tmp_path / "m")


def test_text() -> None:
    assert repr(model()) == "<Model of 4 arrays, 66 elements, 0 epochs>"
