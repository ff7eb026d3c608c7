"""The commands that ship: compile, inspect, verify."""

from __future__ import annotations

import json

import numpy as np
import pytest

from symgraph.cli import main

NET = """
import symgraph as sg

def model():
    x = sg.var("x", ("N", 7))
    return sg.linear(sg.tanh(sg.linear(x, 5, name="fc1")), 3, name="fc2")
"""


@pytest.fixture
def net(tmp_path):
    file = tmp_path / "net.py"
    file.write_text(NET)
    return f"{file}:model"


def test_compile_inspect_verify(net, tmp_path, capsys):
    out = tmp_path / "build"
    assert main(["compile", net, "-o", str(out), "--target", "native", "--dim", "N=1..8"]) == 0
    shown = capsys.readouterr()
    assert sorted(p.name for p in out.iterdir()) == ["model.h", "model.json", "model.o"]
    assert "model.o" in shown.out and "workspace" in shown.out
    assert "compiling model for native" in shown.err
    assert main(["inspect", str(out / "model.o")]) == 0
    text = capsys.readouterr().out
    assert "intact" in text and "extent     N: 1 to 8" in text
    assert main(["inspect", str(out / "model.o"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["prefix"] == "model"
    assert main(["verify", net, str(out / "model.o")]) == 0
    assert capsys.readouterr().out.count("ok ") == 4


def test_inspect_of_a_changed_object(net, tmp_path, capsys):
    assert main(["compile", net, "-o", str(tmp_path), "--name", "a"]) == 0
    data = bytearray((tmp_path / "a.o").read_bytes())
    data[0x45] ^= 1
    (tmp_path / "a.o").write_bytes(data)
    capsys.readouterr()
    assert main(["inspect", str(tmp_path / "a.o")]) == 1
    assert "CHANGED since it was made" in capsys.readouterr().out


def test_verify_finds_other_weights(net, tmp_path, capsys):
    assert main(["compile", net, "-o", str(tmp_path), "--target", "native"]) == 0
    assert main(["verify", net, str(tmp_path / "model.o"), "--seed", "1"]) == 1
    assert "WRONG" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compile", "NET", "--dim", "N"], "--dim: need NAME=LOW..HIGH such as N=1..32, got 'N'"),
        (["compile", "NET", "--dim", "T=1..2"], "there is no open extent 'T'"),
        (["compile", "NET", "--emit", "exe"], "emit must be some of"),
        (["compile", "NET", "--target", "vax"], "unknown platform 'vax'"),
        (["inspect", "none.o"], "there is no such file"),
    ],
)
def test_mistakes_are_explained(arguments, message, net, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([net if word == "NET" else word for word in arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "build").exists()


def test_a_shipped_object_runs_as_its_network_does(net, tmp_path, capsys):
    assert main(["compile", net, "-o", str(tmp_path), "--target", "native"]) == 0
    file = str(tmp_path / "model.o")
    capsys.readouterr()
    assert main(["run", file, "-o", str(tmp_path / "shipped.npz")]) == 0
    assert main(["run", net, "-o", str(tmp_path / "compiled.npz")]) == 0
    shipped, compiled = (np.load(tmp_path / f"{n}.npz") for n in ("shipped", "compiled"))
    np.testing.assert_array_equal(shipped["fc2"], compiled["fc2"])
    capsys.readouterr()
    assert main(["run", file, "--shape", "x=2,7"]) == 2
    assert "--shape has no meaning here" in capsys.readouterr().err
    (tmp_path / "cut.o").write_bytes((tmp_path / "model.o").read_bytes()[:999])
    assert main(["run", str(tmp_path / "cut.o")]) == 2
    assert "damaged or truncated" in capsys.readouterr().err
