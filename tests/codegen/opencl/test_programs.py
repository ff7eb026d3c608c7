"""Whole programs on an OpenCL device: operators, levels, threads, host operators, errors."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.errors import HostOperatorError, TargetError
from symgraph.ir.host import HostOp
from symgraph.ir.registry import registry
from symgraph.testing.operators import check_together

from .support import assert_close, needs_device

pytestmark = [pytest.mark.opencl, needs_device]


def network() -> tuple[sg.Symbol, dict[str, np.ndarray]]:
    x = sg.var("x", ("N", 17))
    h = sg.linear(x, 33, name="fc1")
    y = sg.linear(h * h / (h * h + 1.0), 5, name="fc2")
    rng = np.random.default_rng(3)
    shapes = {"fc1_weight": (33, 17), "fc1_bias": (33,), "fc2_weight": (5, 33), "fc2_bias": (5,)}
    return y, {k: rng.standard_normal(s).astype("float32") for k, s in shapes.items()}


def batch(n: int) -> np.ndarray:
    return np.random.default_rng(n).standard_normal((n, 17)).astype("float32")


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_every_level_gives_the_same_answers_for_any_batch(level: int) -> None:
    y, params = network()
    f = sg.compile(y, params=params, target="opencl", level=level)
    g = sg.compile(y, params=params, target="interp", level=0)
    for n in (0, 1, 33, 5, 64, 2, 100, 33):
        assert_close(f(x=batch(n)), g(x=batch(n)), 64)


@pytest.mark.parametrize("name", ["softmax", "layer_norm", "sum", "matmul", "convolution", "norm"])
def test_operators_as_a_gpu_would_run_them(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Schedules, memory layout and rounding of a GPU, on whatever device there is."""
    from dataclasses import replace

    from symgraph.codegen.opencl import devices

    device = devices.open_device()
    gpu = replace(
        device, description=replace(device.description, type="gpu", local_memory=48 << 10)
    )
    assert not gpu.facts.is_cpu
    monkeypatch.setattr(devices, "open_device", lambda selector=None: gpu)
    check_together(registry.get(name).samples, "opencl", training=False)


def test_the_text_is_deterministic() -> None:
    texts = {sg.compile(network()[0], target="opencl").text for _ in range(2)}
    assert len(texts) == 1


def test_repeated_calls_give_the_same_bits() -> None:
    y, params = network()
    f = sg.compile(y, params=params, target="opencl")
    first = f(x=batch(33))
    f(x=batch(7))
    np.testing.assert_array_equal(f(x=batch(33)), first)


def test_several_executables_in_several_threads() -> None:
    y, params = network()
    executables = [sg.compile(y, params=params, target="opencl") for _ in range(2)]
    expected = {n: sg.compile(y, params=params, target="interp")(x=batch(n)) for n in (1, 9, 40)}
    failures: list[Exception] = []

    def work(number: int) -> None:
        try:
            for turn in range(6):
                n = (1, 9, 40)[(turn + number) % 3]
                assert_close(executables[number % 2](x=batch(n)), expected[n], 64)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_out_arrays_and_an_output_that_is_an_input() -> None:
    x = sg.var("x", (3, 5))
    f = sg.compile([x, x + 1.0], target="opencl")
    array, out = np.ones((3, 5), "float32"), (np.empty((3, 5), "float32"),) * 1
    first, second = f(x=array)
    np.testing.assert_array_equal(first, array)
    np.testing.assert_array_equal(second, array + 1)
    g = sg.compile(x + 1.0, target="opencl")
    g(x=array, out=out[0])
    np.testing.assert_array_equal(out[0], array + 1)


def test_updates_are_written_over_their_arrays() -> None:
    w, x = sg.var("w", (4,)), sg.var("x", (4,))
    f = sg.compile(w * x, target="opencl", updates={"w": w + x})
    state = np.ones(4, "float32")
    f(w=state, x=np.full(4, 2, "float32"))
    np.testing.assert_array_equal(state, np.full(4, 3, "float32"))


@dataclass(frozen=True, slots=True)
class Doubler(HostOp):
    """y = 2x, or an exception."""

    fail: bool = False
    name = "opencl_test_doubler"

    def infer_shape(self, u: Any, x: Any) -> tuple[Any, ...]:
        return (x,)

    def forward(self, is_train: bool, in_data: Any, out_data: Any) -> None:
        if self.fail:
            raise ValueError("no luck")
        out_data[0][...] = 2 * in_data[0]


def test_host_operators_between_kernels() -> None:
    x = sg.var("x", ("N", 3))
    f = sg.compile(Doubler()(x + 1.0) * 0.5, target="opencl")
    for n in (0, 2, 17):
        array = np.arange(3 * n, dtype="float32").reshape(n, 3)
        np.testing.assert_array_equal(f(x=array), array + 1)


def test_a_failing_host_operator_names_its_node() -> None:
    f = sg.compile(Doubler(True)(sg.var("x", (3,)), name="unlucky"), target="opencl")
    with pytest.raises(HostOperatorError, match="unlucky.*no luck"):
        f(x=np.zeros(3, "float32"))


def test_a_wrong_source_names_the_kernel_and_shows_the_log() -> None:
    from symgraph.codegen.opencl.target import TARGET
    from symgraph.options import Options

    f = sg.compile(network()[0], target="opencl")
    text = f.text.replace("b_out[", "b_typo[", 1)
    with pytest.raises(TargetError, match=r"refuses kernel k0_\w+: .*b_typo"):
        TARGET.load(f.program, text, Options())


def test_an_unknown_device_lists_the_known_ones() -> None:
    with pytest.raises(TargetError, match="no OpenCL device matches 'warp drive'; the devices are"):
        sg.compile(network()[0], target="opencl", device="warp drive")


def test_an_unwritable_cache_folder_does_no_harm(tmp_path: Any) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    code = (
        "import numpy as np, symgraph as sg\n"
        "f = sg.compile(sg.var('x', (3,)) + 1.0, target='opencl')\n"
        "print(f(x=np.zeros(3, 'float32')).sum())\n"
    )
    env = {**os.environ, "XDG_CACHE_HOME": str(blocked), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120
    )
    # A driver that cannot do without its own cache folder is refused, with its reason.
    refused = "target 'opencl' cannot be used here: " in done.stderr
    assert refused or done.stdout.strip().endswith("3.0"), done.stderr
