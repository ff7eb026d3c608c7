"""The commands that ship: compile, inspect, verify."""

from __future__ import annotations

import json

import numpy as np
import pytest

import symgraph as sg
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


def test_a_training_step_from_the_command_line(net, tmp_path, capsys):
    """The object trains as Python does, from the parameters that are written beside it."""
    out = tmp_path / "build"
    command = ["compile", net, "-o", str(out), "--emit", "train-step", "--target", "native"]
    assert main([*command, "--optimizer", "sgd", "--momentum", "0.9", "--clip-norm", "1"]) == 0
    names = ["h", "json", "o", "safetensors"]
    assert sorted(p.name for p in out.iterdir()) == [f"model_train_step.{n}" for n in names]
    assert "parameters and optimizer state to start from" in capsys.readouterr().out
    step = sg.load(out / "model_train_step.o")
    start = sg.train.load_parameters(out / "model_train_step.safetensors")
    assert "fc1_weight" in start and "fc1_weight.momentum" in start
    random = np.random.default_rng(0)
    x = random.normal(size=(16, 7)).astype(np.float32)
    data = {"x": x, "y": x[:, :3].argmax(1).astype(np.int32), "learning_rate": np.float32(0.05)}
    arrays = {name: np.array(array) for name, array in start.items()}
    losses = [float(np.asarray(step(**data, **arrays))) for _ in range(60)]
    assert losses[-1] < losses[0] / 2
    assert not np.array_equal(arrays["fc1_weight"], start["fc1_weight"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--momentum", "0.9"], "--momentum: only a training step has one: add --emit train-step"),
        (["--loss", "mse"], "--loss: only a training step has one"),
        (["--emit", "train-step", "--weights", "file"], "the parameters of a training step are"),
        (["--emit", "train-step,whl"], "a wheel holds a network, not a training step"),
        (["--emit", "train-step", "--nesterov"], "--nesterov: the optimizer adam has no such"),
        (["--emit", "whl", "--weights", "pointer"], "a wheel carries its weights"),
        (["--emit", "so", "--target", "wasm32"], "no shared library can be linked for wasm32"),
        (["--cpu", "x86-64,znver4"], "one object can hold versions for"),
        (["--specialise", "N"], "--specialise: need NAME=SIZES such as N=1,32, got 'N'"),
        (["--specialise", "T=3"], "there is no open extent 'T' to specialise"),
        (["--shape", "x"], "--shape: need NAME=EXTENTS"),
        (["--max-stack", "1.5K"], "--max-stack: need a number such as 4096 or 256K, got '1.5K'"),
        (["--max-workspace", "1M"], "workspace grows with the extent N, which has no limit"),
        (["--params", "none.safetensors"], "none.safetensors"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message, net, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert main(["compile", net, *options]) == 2
    assert message in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


def test_operations_are_counted_in_thousands_bytes_in_kibibytes(net, tmp_path, capsys):
    common = ["compile", net, "-o", str(tmp_path / "build"), "--dim", "N=1"]
    assert main([*common, "--max-flops", "1K"]) == 0  # 157 of 1,000
    assert main([*common, "--max-flops", "0K", "--max-text", "1M"]) == 2
    assert "the limit is 0." in capsys.readouterr().err
    assert main([*common, "--max-text", "2K"]) == 2
    assert "the limit is 2,048." in capsys.readouterr().err


MULTIPLE = """
import symgraph as sg

def model():
    return sg.reshape(sg.var("x", ("N", "T")), ("N", -1, 16)) * 2.0
"""


def test_verify_takes_extents_that_the_object_allows(tmp_path, capsys):
    (tmp_path / "net.py").write_text(MULTIPLE)
    net, out = f"{tmp_path / 'net.py'}:model", str(tmp_path / "build")
    common = ["compile", net, "-o", out, "--target", "native"]
    assert main([*common, "--dim", "N=5..40"]) == 0
    assert main(["verify", net, f"{out}/model.o"]) == 0
    assert "T=16" in capsys.readouterr().out
    assert main([*common, "--dim", "N=500..600"]) == 0
    assert main(["verify", net, f"{out}/model.o"]) == 2
    assert "no extents up to 128 are legal" in capsys.readouterr().err


def test_long_compiles_say_what_they_do(net, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("symgraph.cli.progress.Progress.PATIENCE", 0.0)
    assert main(["compile", net, "-o", str(tmp_path), "--selftest", "--specialise", "N=3"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "compiling model for x86_64-linux ..."
    stages = [line.split("] ")[1] for line in lines[1:-1]]
    kernels = "graph to kernels for the processor"
    assert stages == [f"{kernels} at N=3", kernels, "self-test", "machine code"]
    assert lines[-1].startswith("done in ")


def test_the_closing_table(net, tmp_path, capsys):
    cpus = "x86-64,x86-64-v3"
    assert main(["compile", net, "-o", str(tmp_path), "--dim", "N=2..8", "--cpu", cpus]) == 0
    table = capsys.readouterr().out
    for words in ("bytes at N=2: ", "operations", "a call at N=2: ", "bytes at most",
                  "instructions", "x86-64-v3, x86-64", "platform", "kernels"):  # fmt: skip
        assert words in table


def test_a_wheel_is_run_and_verified(net, tmp_path, capsys):
    assert main(["compile", net, "-o", str(tmp_path), "--target", "native", "--emit", "whl"]) == 0
    (wheel,) = tmp_path.glob("*.whl")
    assert main(["run", str(wheel)]) == 0
    assert main(["verify", net, str(wheel)]) == 0
    assert capsys.readouterr().out.count("ok ") == 4


ENTRIES = """
import symgraph as sg

def parts(length):
    x = sg.var("x", ("N", length, 6))
    h, c = sg.var("h", ("N", 9)), sg.var("c", ("N", 9))
    init = sg.initializers.Normal()
    weights = [sg.parameter(n, s, init=init) for n, s in
               (("w", (36, 6)), ("r", (36, 9)), ("b", (36,)))]
    u, v = h, c
    for t in range(length):
        u, v = sg.lstm_cell(x[:, t], u, v, 9, *weights)
    named = [sg.identity(s, name=n) for s, n in ((u, "h_next"), (v, "c_next"))]
    return sg.linear(u, 4, name="out"), *named

def prefill():
    return parts(3)

def step():
    return parts(1)
"""


def test_several_entries_with_state(tmp_path, capsys):
    """`--entry` and `--state`: the object is that of `sg.export` with the same arguments."""
    file = tmp_path / "net.py"
    file.write_text(ENTRIES)
    command = ["compile", str(file), "-o", str(tmp_path / "cli"), "--entry", "prefill=prefill",
               "--entry", f"step={file}:step", "--state", "h=h_next", "--state", "c=c_next",
               "--target", "native", "--dim", "N=1..8"]  # fmt: skip
    assert main(command) == 0
    header = (tmp_path / "cli" / "net.h").read_text()
    for text in ("net_prefill_run", "net_step_run", "net_state_place", "net_reset"):
        assert text in header
    found = sg.aot.load_entries(tmp_path / "cli" / "net.o", threads=1)
    assert list(found) == ["prefill", "step"]
    x = np.random.default_rng(0).normal(size=(2, 3, 6)).astype(np.float32)
    h, c = np.zeros((2, 9), np.float32), np.zeros((2, 9), np.float32)
    whole = found["prefill"](x=x, h=h.copy(), c=c.copy())
    last = None
    for t in range(3):
        last = found["step"](x=np.ascontiguousarray(x[:, t : t + 1]), h=h, c=c)
    np.testing.assert_allclose(whole[0], last[0], rtol=1e-5, atol=1e-6)
    capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--entry", "prefill"], "need NAME=FUNCTION such as encode=encode, got 'prefill'"),
        (["--entry", "a=prefill", "--entry", "a=step"], "there are two entries 'a'"),
        (["--entry", "a=nothing"], "has no 'nothing'; it has parts, prefill, step"),
        (["--entry", "a=step", "--state", "h"], "need INPUT=OUTPUT such as h=h_next, got 'h'"),
        (["--entry", "a=step", "--state", "z=h_next"], "updates or state has 'z'"),
        (["--entry", "a=step", "--shape", "z=3"], "no entry has a variable 'z'"),
        (["--entry", "a=step", "--emit", "train-step"], "--entry has no meaning for a training"),
    ],
)
def test_mistakes_in_entries(arguments, message, tmp_path, capsys):
    file = tmp_path / "net.py"
    file.write_text(ENTRIES)
    assert main(["compile", str(file), "-o", str(tmp_path / "out"), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_run_packs_parameters_from_a_file(net, tmp_path, capsys):
    """An object with `--weights pointer` runs with what training saved."""
    command = ["compile", net, "-o", str(tmp_path), "--target", "native", "--weights", "pointer"]
    assert main(command) == 0
    x = sg.var("x", ("N", 7))
    y = sg.linear(sg.tanh(sg.linear(x, 5, name="fc1")), 3, name="fc2")
    params = sg.init(y, seed=4)
    sg.train.save_parameters(tmp_path / "net.safetensors", params)
    data = np.random.default_rng(0).normal(size=(2, 7)).astype(np.float32)
    np.save(tmp_path / "x.npy", data)
    command = ["run", str(tmp_path / "model.o"), "--input", f"x={tmp_path / 'x.npy'}", "-o",
               str(tmp_path / "y.npz")]  # fmt: skip
    assert main([*command, "--params", str(tmp_path / "net.safetensors")]) == 0
    got = next(iter(np.load(tmp_path / "y.npz").values()))
    assert got.tobytes() == sg.compile(y, params=params, threads=1)(data).tobytes()
    capsys.readouterr()
    assert main(command) == 2
    assert "needs weights= with the arrays fc1_weight" in capsys.readouterr().err
