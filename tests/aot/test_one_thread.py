"""Objects for the calling thread alone: less code, stack and workspace, the same bits."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg

from .models import batch, convolution


@pytest.mark.parametrize("weights", ["embedded", "pointer"])
def test_nothing_shares_work(weights, tmp_path):
    y, params = convolution()
    common = {"params": params, "target": "native", "weights": weights}
    many = sg.export(y, tmp_path / "many", **common)
    one = sg.export(y, tmp_path / "one", threads=1, **common)
    before, after = many.description, one.description
    assert after["object"]["code_nbytes"] < before["object"]["code_nbytes"] - 1000
    assert after["stack"]["nbytes"] < before["stack"]["nbytes"]
    assert after["stack"]["task_nbytes"] == 0
    assert after["workspace"]["per_thread"] == 0 < before["workspace"]["per_thread"]
    assert "not used" in one.files["h"].read_text()
    x = batch(64, (2, 17, 13))
    given = params if weights == "pointer" else None
    found = [
        sg.load(a.files["o"], weights=given, threads=n)(x) for a in (many, one) for n in (1, 3)
    ]
    assert len({np.asarray(a).tobytes() for a in found}) == 1


def test_the_environment_says_nothing_about_objects(tmp_path, monkeypatch):
    y, params = convolution()
    first = sg.export(y, tmp_path / "a", params=params, name="net").files["o"].read_bytes()
    monkeypatch.setenv("SYMGRAPH_THREADS", "1")
    again = sg.export(y, tmp_path / "b", params=params, name="net").files["o"].read_bytes()
    assert first == again
