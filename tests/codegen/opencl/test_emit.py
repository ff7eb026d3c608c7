"""The text of one small program, and what needs no device."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.codegen.opencl import emit as emission
from symgraph.codegen.opencl.rows import group_rows
from symgraph.codegen.opencl.runtime import failing_kernel
from symgraph.codegen.opencl.target import TARGET
from symgraph.errors import TargetError
from symgraph.kernel.compute import call, compute, reduce, where
from symgraph.kernel.dims import DimVar
from symgraph.kernel.dtypes import float32, float64
from symgraph.kernel.ir import Buffer
from symgraph.options import Options

from .support import kernel_of, needs_device, program_of
from .test_schedule import GPU, check, sums

GOLDEN = Path(__file__).parent / "golden"
N = DimVar("N")


def shifted_norm():
    """y[i,j] = x[i,j-1] / sqrt(sum of squares of row i), zero before the row."""
    x = Buffer("x", (N, 5), float32)
    total = compute((N,), lambda i: reduce("sum", 5, lambda r: x[i, r] * x[i, r]), name="total")
    return kernel_of(
        [x],
        compute((N, 5), lambda i, j: where(j >= 1, x[i, j - 1], 0.0) / call("sqrt", total[i])),
    )


def body_of(text: str) -> str:
    """What follows the preamble."""
    return text[text.index("__kernel") :]


def test_golden_text_of_a_small_kernel() -> None:
    text = body_of(emission.emit(program_of(shifted_norm())))
    assert text == (GOLDEN / "shifted_norm.cl").read_text()


@pytest.mark.opencl
@needs_device
def test_the_golden_kernel_gives_the_right_numbers() -> None:
    check(shifted_norm(), GPU, {"N": 17})


def test_golden_text_of_a_group() -> None:
    kernel = group_rows(sums((3, 130)), GPU)  # type: ignore[arg-type]
    head, tree = emission.emit(program_of(kernel)).split("barrier", 1)
    assert "__attribute__((reqd_work_group_size(256, 1, 1)))" in head
    assert "__local float s_acc0_part[256];" in head
    assert "if (lane < 128) {" in tree
    assert tree.count("barrier(CLK_LOCAL_MEM_FENCE") == 8
    assert "if (lane == 0) b_out0[i_i] = s_acc0_part[0];" in tree


def test_emit_is_pure() -> None:
    kernel = shifted_norm()
    texts = {emission.emit(program_of(k)) for k in (kernel, kernel, shifted_norm())}
    assert len(texts) == 1


def test_names_of_buffers_may_be_words_of_the_language() -> None:
    x = Buffer("float", (3,), float32)
    y = Buffer("exp", (3,), float32)
    kernel = kernel_of([x, y], compute((3,), lambda i: call("exp", x[i]) + y[i]))
    text = emission.emit(program_of(kernel))
    assert "exp(b_float[i_i]) + b_exp[i_i]" in text


def test_double_is_asked_for_where_it_is_used() -> None:
    x = Buffer("x", (3,), float64)
    text = emission.emit(program_of(kernel_of([x], compute((3,), lambda i: x[i]))))
    assert "cl_khr_fp64 : enable" in text
    assert "double" not in emission.emit(program_of(shifted_norm()))


@pytest.mark.opencl
@needs_device
def test_a_device_without_double_names_the_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from symgraph.codegen.opencl import devices

    device = devices.open_device()
    poor = replace(device, description=replace(device.description, has_float64=False))
    monkeypatch.setattr(devices, "open_device", lambda selector=None: poor)
    with pytest.raises(TargetError, match=r"tensor x\w* of kernel .* is float64.*cast it"):
        sg.compile(sg.var("x", (3,), "float64") + 1.0, target="opencl")


@pytest.mark.opencl
@needs_device
def test_a_device_too_small_for_the_arrays_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from symgraph.codegen.opencl import devices

    device = devices.open_device()
    poor = replace(device, description=replace(device.description, max_allocation=1000))
    monkeypatch.setattr(devices, "open_device", lambda selector=None: poor)
    f = sg.compile(sg.var("x", ("N",)) + 1.0, target="opencl")
    assert f(x=np.zeros(9, "float32")).tolist() == [1.0] * 9
    with pytest.raises(TargetError, match="the array 'x' need 4000 bytes.*at most 1000"):
        f(x=np.zeros(1000, "float32"))


def test_without_pyopencl_the_reason_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    plain = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("pyopencl"):
            raise ImportError("No module named 'pyopencl'")
        return plain(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "symgraph.codegen.opencl.devices", raising=False)
    monkeypatch.setattr(builtins, "__import__", refuse)
    reason = TARGET.available()
    assert reason == (
        "the package 'pyopencl' cannot be imported (No module named 'pyopencl'): "
        "pip install pyopencl"
    )


def test_without_a_platform_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    cl = pytest.importorskip("pyopencl")

    def none() -> list[Any]:
        raise cl.LogicError("clGetPlatformIDs failed: PLATFORM_NOT_FOUND_KHR")

    monkeypatch.setattr(cl, "get_platforms", none)
    with pytest.raises(
        TargetError,
        match="target 'opencl' cannot be used here: no OpenCL platform "
        "is installed .*PLATFORM_NOT_FOUND_KHR.*install a driver",
    ):
        sg.compile(sg.var("x", (3,)) + 1.0, target="opencl")


def test_importing_symgraph_does_not_import_pyopencl() -> None:
    import subprocess
    import sys

    code = (
        "import symgraph, sys; from symgraph.codegen.opencl.target import TARGET; "
        "sys.exit('pyopencl' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.opencl
@needs_device
def test_devices_are_described() -> None:
    from symgraph.codegen.opencl.target import describe_devices

    found = describe_devices()
    assert found
    usable = [d for d in found if not d.usable]
    assert usable
    for d in usable:
        assert d.type in ("cpu", "gpu", "accelerator", "custom")
        assert d.max_work_group >= 1
        assert d.global_memory >= d.max_allocation > 0
        assert d.base_alignment >= 1
        assert [int(n) for n in d.selector.split(":")]
    f = sg.compile(sg.var("x", (3,)) + 1.0, target="opencl", device=usable[0].selector)
    assert f(x=np.zeros(3, "float32")).tolist() == [1.0, 1.0, 1.0]


def test_a_child_process_finds_what_a_device_bears() -> None:
    from ...support.opencl_probe import bears_width

    assert bears_width("0:0", 8, child="pass")
    assert not bears_width("0:0", 16, child="import os; os.abort()")
    assert not bears_width("0:0", 16, child="assert False")


@pytest.mark.opencl
@needs_device
def test_the_device_bears_the_vectors_that_schedules_use() -> None:
    from symgraph.codegen.opencl.devices import open_device

    from ...support.opencl_probe import bears_width

    device = open_device()
    lanes = device.facts.lanes
    assert lanes <= 8
    assert lanes == 1 or bears_width(device.description.selector, lanes)


def test_a_log_with_a_line_number_names_its_function() -> None:
    text = "\n\n__kernel void first(\n) {\n}\n__kernel void second(\n) {\n oops;\n}\n"
    assert failing_kernel(text, "x.cl:8:2: error: oops") == "second"
    assert failing_kernel(text, "x.cl:4:2: error: oops") == "first"
    assert failing_kernel(text, "no line") == "first"


def test_the_target_keeps_its_alignment_in_the_plan() -> None:
    x = sg.var("x", ("N", 3))
    y = sg.var("y", (3, 5))
    if TARGET.available() is not None:
        pytest.skip(str(TARGET.available()))
    f = sg.compile(sg.matmul(sg.matmul(x, y), sg.var("z", (5, 3))), target="opencl", level=0)
    assert f.memory is not None
    offsets = [str(offset) for _, offset in f.memory.offsets]
    assert offsets[0] == "0"
    assert "const ulong m_" in f.text
    assert TARGET.alignment % 128 == 0


def test_options_choose_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    from symgraph.options import from_environment

    monkeypatch.setenv("SYMGRAPH_DEVICE", "gpu")
    assert from_environment().device == "gpu"
    assert Options().device is None
