"""The `symgraph` command, in process and as a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import symgraph as sg
from symgraph.cli import COMMANDS, main
from symgraph.cli.command import given_shapes
from symgraph.codegen import program_store
from symgraph.errors import InputError
from symgraph.files import write_atomic

ROOT = Path(__file__).resolve().parents[2]

NET = """
import symgraph as sg


def small():
    x = sg.var("x", ("N", 6))
    h = sg.relu(sg.linear(x, 9, name="fc1"))
    return sg.linear(h, 3, name="fc2")


def with_loss():
    logits = small()
    y = sg.var("y", ("N",), "int32")
    return sg.cross_entropy(logits, y, name="loss"), logits


def wrong():
    return 3


ready = small()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.py").write_text(NET)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 6)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x, y=x[:, :3].argmax(1).astype(np.int32))
    np.save(tmp_path / "x.npy", x[:5])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SYMGRAPH_TARGET", "llvm")
    return tmp_path


def process(*arguments: str, cwd: Path, **more: object) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "symgraph", *arguments],
        capture_output=True, text=True, cwd=cwd, env=env, timeout=120, check=False,
    )  # fmt: skip


def test_help_lists_every_command_and_the_first_step(folder: Path) -> None:
    done = process("--help", cwd=folder)
    assert done.returncode == 0 and done.stderr == ""
    assert "`symgraph demo` tells the whole story" in done.stdout
    for command in COMMANDS:
        assert f"  {command.name} " in done.stdout
        assert command.help[:30] in done.stdout


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c.name)
def test_each_command_has_help_with_an_example(
    command: object, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command.name, "--help"])  # type: ignore[attr-defined]
    assert stop.value.code == 0
    assert f"\n  symgraph {command.name}" in capsys.readouterr().out  # type: ignore[attr-defined]


def test_the_command_line_imports_no_compiler_for_help(folder: Path) -> None:
    code = (
        "import sys\nfrom symgraph.cli import make_parser\nmake_parser().format_help()\n"
        "print([m for m in ('llvmlite', 'pyopencl', 'tqdm', 'sklearn') if m in sys.modules])"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True
    )
    assert done.stdout.strip() == "[]"


def test_an_unknown_option_is_told_beside_those_of_the_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["memory", "lenet5", "--chart", "a.svg"])
    assert stopped.value.code == 2
    text = capsys.readouterr().err
    assert text.startswith("usage: symgraph memory [-h]")
    assert "symgraph memory: error: unrecognized arguments: --chart a.svg" in text


def test_summary(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["summary", "lenet5", "--shape", "x=64,1,28,28"]) == 0
    shown = capsys.readouterr().out
    assert "f32[64,50,8,8]" in shown and "parameters: 431,080" in shown


@pytest.mark.parametrize("model", ["net.py:small", "net.py:ready", "net:small", "graph.json"])
def test_every_kind_of_model(folder: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    x = sg.var("x", ("N", 6))
    (folder / "graph.json").write_text(sg.linear(x, 3, name="fc2").to_json())
    assert main(["summary", model]) == 0
    assert "fc2" in capsys.readouterr().out
    sys.modules.pop("net", None)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("lenet6", "did you mean 'lenet5'?"),
        ("nothing.json", "nothing.json: there is no such graph file"),
        ("nothing.py:f", "nothing.py: there is no such file"),
        ("no_such_module:f", "there is no module 'no_such_module'"),
        ("net.py:other", "net.py has no 'other'; it has small, with_loss, wrong"),
        ("net.py:wrong", "expected a symbol or a tuple of symbols, got int"),
        ("broken.json", "not a graph: the text is no valid JSON"),
    ],
)
def test_a_wrong_model_is_one_clear_message(
    folder: Path, model: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "broken.json").write_text("{")
    assert main(["summary", model]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("symgraph summary: error: ") and message in shown.err
    assert "Traceback" not in shown.err


def test_debug_shows_the_traceback(folder: Path) -> None:
    done = process("summary", "lenet6", "--debug", cwd=folder)
    assert done.returncode == 1 and "Traceback" in done.stderr
    assert process("summary", "lenet6", cwd=folder).returncode == 2


def test_draw(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["draw", "net.py:small", "-o", "net.svg", "--shape", "x=7,6"]) == 0
    assert capsys.readouterr().out == "wrote net.svg\n"
    text = (folder / "net.svg").read_text()
    assert text.startswith("<svg") and "f32[7,9]" in text
    assert main(["draw", "net.py:small", "-o", "net.html", "--parameters"]) == 0
    assert "fc1_weight" in (folder / "net.html").read_text()
    assert main(["draw", "net.py:small", "-o", "full.svg", "--parameters"]) == 0
    assert len((folder / "full.svg").read_text()) > 1.3 * len(text)
    assert main(["draw", "net.py:small", "-o", "net.xyz"]) == 2
    assert "cannot draw a file with the suffix '.xyz'" in capsys.readouterr().err
    assert main(["draw", "net.py:small", "-o", "no/net.svg"]) == 2
    assert not (folder / "no").exists()


def test_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "net.py:small", "--input", "x=x.npy", "-o", "out.npz"]) == 0
    shown = capsys.readouterr().out
    assert "input  x: float32[5, 6]\n" in shown and "output fc2: float32[5, 3]" in shown
    params = sg.init(_small(), 0)
    x = np.load("x.npy")
    h = np.maximum(x @ params["fc1_weight"].T + params["fc1_bias"], 0)
    expected = h @ params["fc2_weight"].T + params["fc2_bias"]
    np.testing.assert_allclose(np.load("out.npz")["fc2"], expected, rtol=1e-4, atol=1e-5)
    assert main(["run", "net.py:small", "--shape", "x=17,6"]) == 0
    assert "input  x: float32[17, 6]  (made up)" in capsys.readouterr().out


def _small() -> sg.Symbol:
    x = sg.var("x", ("N", 6))
    return sg.linear(sg.relu(sg.linear(x, 9, name="fc1")), 3, name="fc2")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input", "z=x.npy"], "--input: there is no input 'z'; the inputs are x"),
        (["--input", "x=none.npy"], "--input x=none.npy: there is no file none.npy"),
        (["--input", "x.npy"], "--input: need NAME=FILE.npy or FILE.npz, got 'x.npy'"),
        (["--shape", "x"], "--shape: need NAME=EXTENTS such as x=64,1,28,28"),
        (["--shape", "x=2,7"], "w: fc1_weight has shape [9, 6], the model needs [9, 7]"),
        (["--params", "none.safetensors"], "none.safetensors"),
        (["--target", "cuda"], "unknown target 'cuda'; known are"),
    ],
)
def test_run_mistakes(
    folder: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    params = ["--params", "w"] if arguments == ["--shape", "x=2,7"] else []
    sg.train.save_parameters(folder / "w", sg.init(_small(), 0))
    assert main(["run", "net.py:small", *params, *arguments]) == 2
    assert message in capsys.readouterr().err


def test_shapes() -> None:
    assert given_shapes(["x=64,1,28", "y=N", "z="]) == {"x": (64, 1, 28), "y": ("N",), "z": ()}
    for bad in ("x", "=3", "x=-1", "x=1.5"):
        with pytest.raises(InputError):
            given_shapes([bad])


def test_time(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["time", "net.py:small", "--shape", "x=4,6", "--repeat", "3"]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "compiled for llvm" in shown and "3 calls with x [4, 6]: min " in shown
    assert main([*arguments[:-1], "0"]) == 2
    assert main([*arguments, "--strict"]) == 0
    assert re.search(r"strict: min [\d.]+ us, [\d.]+ times as long as", capsys.readouterr().out)


def test_time_tells_the_algorithm_of_each_kernel(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "image.py").write_text(
        "import symgraph as sg\n"
        "def image():\n"
        "    return sg.conv2d(sg.var('x', (1, 64, 56, 56)), 64, kernel_size=3, name='conv')\n"
    )
    arguments = ["time", "image.py:image", "--repeat", "1", "--kernels", "--algorithms"]
    for algorithms, form in (("direct", None), ("accurate", "F(2x2,3x3)"), ("fast", "F(4x4,3x3)")):
        assert main([*arguments, algorithms]) == 0
        shown = capsys.readouterr().out
        if form is None:
            assert " by " not in shown
        else:
            table = shown.split("vector registers kept on the stack")[0]
            lines = [x for x in table.splitlines() if "winograd_product" in x]
            assert lines and all(x.endswith(f" by winograd {form}") for x in lines)
    with pytest.raises(SystemExit):
        main([*arguments, "quick"])
    assert "invalid choice: 'quick'" in capsys.readouterr().err


def test_devices(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices"]) == 0
    shown = capsys.readouterr().out
    assert "interp: ready" in shown and "llvm: ready" in shown and "opencl: " in shown
    assert main(["devices", "interp"]) == 0
    assert main(["devices", "cuda"]) == 2


TRAIN = ["train", "net.py:small", "--data", "data.npz", "--batch-size", "8", "--quiet"]


def test_train_and_test(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*TRAIN, "--epochs", "12", "--learning-rate", "0.02", "--save", "w"]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "training on 51 samples, 9 held back" in shown
    assert "epoch 12: loss" in shown and "wrote w" in shown
    last = next(n for n in shown.splitlines() if n.startswith("epoch 12"))
    expected = last.split("validation_accuracy ")[1].split(",")[0]
    assert main(["test", "net.py:small", "--params", "w", "--data", "data.npz"]) == 0
    tested = capsys.readouterr().out
    assert tested.startswith("9 samples\nloss ")
    assert float(tested.split("accuracy ")[1]) == pytest.approx(float(expected), rel=1e-3)


def test_a_model_with_its_own_loss(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = ["train", "net.py:with_loss", "--data", "data.npz", "--quiet", "--metrics", "accuracy"]
    assert main(train) == 0
    assert "validation_accuracy" in capsys.readouterr().out
    assert main([*train, "--loss", "mse"]) == 2
    assert "the model's first output is a loss already" in capsys.readouterr().err


def test_resumed_training_equals_one_without_a_break(folder: Path) -> None:
    sgd = ["--optimizer", "sgd", "--momentum", "0.9", "--learning-rate", "0.05"]
    assert main([*TRAIN, *sgd, "--epochs", "3", "--save", "whole"]) == 0
    assert main([*TRAIN, *sgd, "--epochs", "1", "--checkpoint", "run.ckpt"]) == 0
    more = ["--epochs", "3", "--checkpoint", "run.ckpt", "--resume", "run.ckpt", "--save", "parts"]
    assert main([*TRAIN, *sgd, *more]) == 0
    assert (folder / "whole").read_bytes() == (folder / "parts").read_bytes()


def test_weights_to_start_from(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    params = sg.init(_small(), 5)
    sg.train.save_parameters("w", {**params, "fc2_bias": np.zeros(4, np.float32)})
    assert main([*TRAIN, "--weights", "w"]) == 2
    assert "fc2_bias has shape [4], the model needs [3]; to learn it" in capsys.readouterr().err
    assert main([*TRAIN, "--weights", "w", "--allow-mismatch", "fc2_bias"]) == 0
    assert "w: 3 loaded; 1 mismatched: fc2_bias" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([*TRAIN, "--weights", "w", "--resume", "w"])
    assert "not allowed with argument" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nothing"], "--data nothing: there is no such file or folder"),
        (["--data", "net.py"], "--data net.py: not a data file; known are .npz, .h5 and .hdf5"),
        (["--momentum", "0.9"], "--momentum: the optimizer adam has no such option"),
        (["--learning-rate", "-1"], "Adam: learning_rate must lie in [0, inf), got -1.0"),
        (["--resume", "data.npz"], "data.npz"),
        (["--metrics", "f1"], "unknown metric 'f1'"),
    ],
)
def test_train_mistakes(
    folder: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*TRAIN, *arguments]) == 2
    assert message in capsys.readouterr().err
    assert sorted(p.name for p in folder.iterdir() if p.suffix == ".ckpt") == []


def test_interrupt_stops_after_the_step_and_keeps_a_checkpoint(folder: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    arguments = [*TRAIN, "--epochs", "100000", "--checkpoint", "run.ckpt"]
    command = [sys.executable, "-m", "symgraph", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=folder, env=env, text=True) as run:
        assert run.stdout is not None
        for line in run.stdout:
            if line.startswith("epoch 2"):
                break
        run.send_signal(signal.SIGINT)
        deadline = time.monotonic() + 60
        rest = run.stdout.read()
        assert time.monotonic() < deadline
    assert run.returncode == 130
    assert "stopped after step" in rest and "go on with --resume run.ckpt" in rest
    assert main([*TRAIN, "--epochs", "1", "--resume", "run.ckpt", "--checkpoint", "b"]) == 0


def test_output_that_is_cut_short_is_no_error(folder: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        f"{sys.executable} -m symgraph summary lenet5 | head -n 1; exit ${{PIPESTATUS[0]}}",
        shell=True, executable="/bin/bash", capture_output=True, text=True, env=env, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr


@pytest.mark.slow
def test_demo(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    done = process("demo", "--epochs", "1", "--out", str(tmp_path / "demo"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for part in ("1. Declare LeNet-5", "conv2_weight  f32[50,20,5,5]", "1500 images to train on",
                 "microseconds an image at batch 1", "lenet.svg"):  # fmt: skip
        assert part in done.stdout
    accuracy = float(done.stdout.split("\naccuracy ")[1].split()[0])
    assert accuracy > 0.7
    written = {p.name for p in (tmp_path / "demo").iterdir()}
    assert {"lenet.o", "lenet.h", "lenet.json", "lenet.safetensors", "lenet.svg"} <= written


def test_memory_prints_the_plan_and_draws_the_arena(folder: Path, capsys) -> None:
    assert main(["memory", "net.py:small", "--at", "N=8", "-o", "arena.svg"]) == 0
    text = capsys.readouterr().out
    assert "planned" in text and "lower bound" in text and "alive at the peak" in text
    assert "net.py:" in text
    assert (folder / "arena.svg").read_text().startswith("<svg")


def test_memory_of_a_file_elsewhere(folder: Path, capsys) -> None:
    assert main(["memory", f"{folder / 'net.py'}:small", "--at", "N=8"]) == 0
    assert capsys.readouterr().out.startswith("small: ")


def test_memory_is_planned_with_more_effort(folder: Path, capsys) -> None:
    command = ["memory", "net.py:small", "--at", "N=8", "--json"]
    assert main(command) == 0
    plain = json.loads(capsys.readouterr().out)
    assert main([*command, "--planning-effort", "3.5"]) == 0
    assert json.loads(capsys.readouterr().out) == plain  # what is proved needs no more
    assert main([*command, "--planning-effort", "-1"]) != 0
    assert "planning_effort must be a factor >= 0, got -1.0" in capsys.readouterr().err


def test_memory_of_a_training_step(folder: Path, capsys) -> None:
    assert main(["memory", "net.py:small", "--shape", "x=8,6", "--training"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("training_step: ")
    assert "alive at the peak" in text and "constants 0)" in text


def test_memory_as_json(folder: Path, capsys) -> None:
    assert main(["memory", "net.py:small", "--at", "N=8", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["extents"] == {"N": 8}
    assert data["planned"] == data["lower_bound"] == 320
    assert main(["memory", "net.py:small", "--at", "N"]) == 2
    assert "need NAME=EXTENT such as N=8, got 'N'" in capsys.readouterr().err


def test_cache_tells_and_clears(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program_store, "KEEP_FROM_SECONDS", 0.0)
    monkeypatch.setenv("SYMGRAPH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SYMGRAPH_CACHE_BYTES", "2500000")
    assert main(["cache"]) == 0
    assert "0 programs, 0.0 MB" in capsys.readouterr().out
    x = sg.var("x", (3, 5))
    sg.compile(sg.exp(x))
    assert main(["cache"]) == 0
    told = capsys.readouterr().out
    assert "at most 2.5 MB" in told
    assert "1 programs" in told
    assert "1 objects" in told
    assert main(["cache", "--clear"]) == 0
    assert "0 programs, 0.0 MB\n  0 objects, 0.0 MB" in capsys.readouterr().out
    monkeypatch.setenv("SYMGRAPH_CACHE", "")
    assert main(["cache"]) == 0
    assert "SYMGRAPH_CACHE is empty" in capsys.readouterr().out


def test_nothing_is_left_beside_a_users_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    assert main(["summary", "net.py:small", "--shape", "x=4,6"]) == 0
    assert not (folder / "__pycache__").exists()
    assert sys.dont_write_bytecode is False
    assert capsys.readouterr().out


def test_what_is_no_file_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE)
    try:
        assert main(["draw", "mlp", "-o", str(pipe) + ".dot"]) == 0
        write_atomic(pipe, "text")
        assert reader.communicate(timeout=20)[0] == b"text"
    finally:
        reader.kill()
    assert pipe.is_fifo()


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="needs /dev/full")
def test_a_full_disk_is_told_with_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        write_atomic("/dev/full", "text")
    pytest.importorskip("onnx")
    assert main(["onnx", "mlp", "-o", "/dev/full"]) == 2
    assert "error: /dev/full: no space left on device" in capsys.readouterr().err
    assert Path("/dev/full").is_char_device()


def test_errors_name_the_file_and_the_line_of_the_users(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.json").write_text('{"a": 1}')
    assert main(["summary", str(tmp_path / "bad.json")]) == 2
    assert f"error: {tmp_path / 'bad.json'}: not a graph" in capsys.readouterr().err
    source = tmp_path / "net.py"
    source.write_text("def model():\n    return 1 / 0\n")
    assert main(["summary", f"{source}:model"]) == 2
    message = capsys.readouterr().err
    assert "its own code raised ZeroDivisionError: division by zero (net.py:2)" in message
    source.write_text("import symgraph as sg\n\nx = undefined\n")
    assert main(["summary", f"{source}:model"]) == 2
    assert "NameError: name 'undefined' is not defined (net.py:3)" in capsys.readouterr().err
    missing = tmp_path / "missing.safetensors"
    assert main(["compile", "mlp", "--params", str(missing), "-o", str(tmp_path)]) == 2
    assert f"error: {missing}: no such file or directory" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(["compile", "mlp", "-o", str(tmp_path / "file")]) == 2
    assert "file: file exists; choose another place" in capsys.readouterr().err
