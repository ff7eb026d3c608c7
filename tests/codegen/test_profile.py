"""The time of each step, with its work and the nodes that it computes."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

import symgraph as sg
from symgraph.cli import main
from symgraph.codegen.profile import StepTime
from symgraph.errors import TargetError


def small() -> sg.Symbol:
    x = sg.var("x", ("N", 7))
    h = sg.relu(sg.linear(x, 5, name="first"), name="act")
    return sg.linear(h, 3, name="second")


@pytest.mark.parametrize("target", ["llvm", "interp"])
def test_steps_have_times_and_work(target: str) -> None:
    logits = small()
    params = sg.init(logits, 0)
    f = sg.compile(logits, params=params, target=target, cache=None, profile=True)
    x = np.linspace(-1, 1, 14, dtype=np.float32).reshape(2, 7)
    plain = sg.compile(logits, params=params, target=target, cache=None)
    np.testing.assert_array_equal(f(x=x), plain(x=x))
    steps = f.profile(x=x, repeat=2)
    assert len(steps) == len(f.program.steps)
    assert all(s.time_ns > 0 for s in steps)
    assert sum(s.flops for s in steps) >= 2 * 2 * (7 * 5 + 5 * 3)
    # Every array once: x, the weights and biases, the layer between (written, read), the result.
    # Weights that are packed for vectors are longer.
    nbytes = 4 * (14 + 35 + 5 + 10 + 10 + 15 + 3 + 6)
    found = sum(s.nbytes for s in steps)
    assert found == nbytes if target == "interp" else nbytes <= found <= 8 * nbytes
    assert [s for s in steps if "relu" in s.operators and s.name == "act"]


def test_without_the_option_there_is_nothing_to_tell() -> None:
    f = sg.compile(small(), params=sg.init(small(), 0), target="llvm", cache=None)
    with pytest.raises(TargetError, match=r"did not time its steps: compile with profile=True"):
        f.profile(x=np.zeros((1, 7), np.float32))


def test_host_operators_are_steps_too() -> None:
    @dataclass(frozen=True)
    class Half(sg.HostOp):
        name = "half_on_host"

        def infer_shape(self, u, x):
            return (x,)

        def forward(self, is_train, in_data, out_data):
            out_data[0][...] = in_data[0] / 2

    x = sg.var("x", (3,))
    f = sg.compile(Half()(x + 1.0) * 4.0, target="llvm", cache=None, profile=True)
    given = np.float32([1, 2, 3])
    np.testing.assert_array_equal(f(x=given), (given + 1) * 2)
    steps = f.profile(x=given)
    assert [s.operators[0].startswith("host") for s in steps] == [False, True, False]
    assert steps[1].time_ns > 0


def test_the_command_prints_kernels_and_writes_a_trace(tmp_path, capsys) -> None:
    trace, figures = tmp_path / "trace.json", tmp_path / "kernels.json"
    command = ["time", "lenet5", "--shape", "x=1,1,28,28", "--repeat", "2", "--threads", "1"]
    status = main([*command, "--kernels", "--trace", str(trace), "--json", str(figures)])
    text = capsys.readouterr().out
    assert status == 0
    assert "GFLOP/s" in text and "fc1" in text and "each at its least" in text
    events = json.loads(trace.read_text())["traceEvents"]
    found = json.loads(figures.read_text())
    rows = found["kernels"]
    assert len(events) == len(rows) > 4
    assert "roof" in text and "on 1 threads, measured in the same run" in text
    assert found["machine"]["threads"] == 1 and found["machine"]["gflops"] > 0.1
    assert found["total_ns"] == sum(row["time_ns"] for row in rows)
    assert sum(row["share"] for row in rows) == pytest.approx(1.0)
    least = max(
        rows[1]["flops"] / found["machine"]["gflops"],
        rows[1]["nbytes"] / found["machine"]["gbytes"],
    )
    assert rows[1]["roof"] == pytest.approx(least / rows[1]["time_ns"])
    assert events[1]["args"]["part of the roof"] == pytest.approx(rows[1]["roof"])
    assert events[1]["ts"] == pytest.approx(events[0]["dur"])
    assert {"name", "nodes", "operators", "time_ns", "flops", "nbytes", "gflops"} <= set(rows[0])


def test_targets_without_a_processor_of_their_own_show_no_roof(capsys) -> None:
    command = ["time", "mlp", "--shape", "x=2,784", "--repeat", "1", "--target", "interp"]
    assert main([*command, "--kernels"]) == 0
    assert "measured in the same run" not in capsys.readouterr().out


def test_the_part_of_the_roof_is_the_slower_of_operations_and_bytes() -> None:
    step = StepTime("s", (), (), 1000, 5000, 300)
    assert step.part_of(10e9, 1e9) == pytest.approx(0.5)
    assert step.part_of(100e9, 1e9) == pytest.approx(0.3)


def test_equal_kernels_are_compiled_once() -> None:
    """Layers of one shape share a kernel, whatever they and their weights are called."""
    h = sg.var("x", (5, 7))
    for number in range(4):
        h = sg.relu(sg.linear(h, 7, name=f"layer{number}"))
    f = sg.compile(h, params=sg.init(h, 0), target="llvm", cache=None)
    assert len(f.program.steps) == 4
    assert len(set(f.program.kernels)) == 1
