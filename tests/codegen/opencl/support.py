"""Runs single kernels through the OpenCL target and the interpreter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from symgraph.codegen.interp.evaluate import Evaluator
from symgraph.codegen.opencl.target import TARGET
from symgraph.ir.program import KernelStep, Port, Program, ProgramBuffer
from symgraph.ir.tensor_type import TensorType
from symgraph.kernel import dims, loops
from symgraph.kernel.compute import Compute
from symgraph.kernel.dims import DimVar
from symgraph.kernel.ir import Buffer, Kernel
from symgraph.options import Options
from symgraph.passes.plan_memory import PlanMemory

REASON = TARGET.available()
needs_device = pytest.mark.skipif(REASON is not None, reason=f"OpenCL: {REASON}")

Array = np.ndarray[Any, np.dtype[Any]]


def program_of(kernel: Kernel, name: str = "test") -> Program:
    """A program that runs one kernel between arrays."""
    ins = [ProgramBuffer(b.name, TensorType(b.shape, b.dtype), "input") for b in kernel.inputs]
    outs = [ProgramBuffer(b.name, TensorType(b.shape, b.dtype), "output") for b in kernel.outputs]
    step = KernelStep(kernel, (*ins, *outs))
    program = Program(
        name,
        tuple(Port(b.name, b) for b in ins),
        tuple(Port(b.name, b, "output") for b in outs),
        (),
        (step,),
        kernel.dims,
    )
    return PlanMemory(TARGET.alignment).run(program)


def kernel_of(inputs: Sequence[Buffer], *outputs: Compute) -> Kernel:
    """The naive kernel of computations."""
    pairs = [(Buffer(f"out{n}", c.shape, c.dtype), c) for n, c in enumerate(outputs)]
    return loops.lower("kernel", tuple(inputs), pairs)


def empty_outputs(kernel: Kernel, env: Mapping[str, int]) -> list[Array]:
    values = {DimVar(k): v for k, v in env.items()}
    return [
        np.zeros([int(dims.evaluate(d, values)) for d in b.shape], b.dtype.numpy)
        for b in kernel.outputs
    ]


def interpret(kernel: Kernel, arrays: Sequence[Array], env: Mapping[str, int]) -> list[Array]:
    outputs = empty_outputs(kernel, env)
    buffers = dict(zip((*kernel.inputs, *kernel.outputs), (*arrays, *outputs), strict=True))
    Evaluator(kernel, buffers, env).run()
    return outputs


def execute(kernel: Kernel, arrays: Sequence[Array], env: Mapping[str, int]) -> list[Array]:
    """Run a kernel, as it is, on the OpenCL device."""
    program = program_of(kernel)
    options = Options(target="opencl")
    runner = TARGET.load(program, TARGET.emit(program, options), options)
    outputs = empty_outputs(kernel, env)
    runner.run(arrays, outputs, env)
    return outputs


def check(
    kernel: Kernel, arrays: Sequence[Array], env: Mapping[str, int] | None = None, ulps: int = 4
) -> None:
    """Both ways give the same arrays within `ulps` units in the last place."""
    found, expected = execute(kernel, arrays, env or {}), interpret(kernel, arrays, env or {})
    for a, b in zip(found, expected, strict=True):
        assert_close(a, b, ulps)


def assert_close(found: Array, expected: Array, ulps: int) -> None:
    assert found.dtype == expected.dtype
    if found.dtype.kind in "iub":
        np.testing.assert_array_equal(found, expected)
        return
    eps = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}
    tolerance = ulps * eps[found.dtype.name]
    wide = [x.astype(np.float64) for x in (found, expected)]
    np.testing.assert_allclose(*wide, rtol=tolerance, atol=tolerance)
