"""Runs single kernels through the interpreter and through a target, as one-step programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from symgraph.codegen.interp.evaluate import Evaluator
from symgraph.codegen.target import find_target
from symgraph.ir.program import KernelStep, MemoryPlan, Port, Program, ProgramBuffer
from symgraph.ir.tensor_type import TensorType
from symgraph.kernel import dims
from symgraph.kernel.dims import DimVar
from symgraph.kernel.ir import Buffer, Kernel
from symgraph.options import Options

Array = np.ndarray[Any, np.dtype[Any]]


def program_of(kernel: Kernel) -> Program:
    """A program that runs one kernel on its ports."""
    buffers = {
        b: ProgramBuffer(f"b{n}", TensorType(b.shape, b.dtype),
                         "output" if b in kernel.outputs else "input")
        for n, b in enumerate(kernel.params)
    }  # fmt: skip
    inputs = tuple(Port(buffers[b].name, buffers[b]) for b in kernel.inputs)
    outputs = tuple(Port(buffers[b].name, buffers[b], "output") for b in kernel.outputs)
    step = KernelStep(kernel, tuple(buffers[b] for b in kernel.params), kernel.name)
    return Program("one", inputs, outputs, (), (step,), kernel.dims, (), MemoryPlan((), 0))


def empty_outputs(kernel: Kernel, env: Mapping[str, int]) -> list[Array]:
    """Arrays for the outputs, filled with a pattern that no kernel computes."""
    found = []
    for b in kernel.outputs:
        array = np.empty(shape_of(b, env), b.dtype.numpy)
        array.reshape(-1).view(np.uint8)[...] = 0xA5
        found.append(array)
    return found


def shape_of(buffer: Buffer, env: Mapping[str, int]) -> tuple[int, ...]:
    values = {DimVar(k): v for k, v in env.items()}
    return tuple(int(dims.evaluate(d, values)) for d in buffer.shape)


def interpret(kernel: Kernel, inputs: Sequence[Array], env: Mapping[str, int]) -> list[Array]:
    """The outputs by the interpreter."""
    outputs = empty_outputs(kernel, env)
    arrays = dict(zip((*kernel.inputs, *kernel.outputs), [*inputs, *outputs], strict=True))
    Evaluator(kernel, arrays, env).run()
    return outputs


def run_on(
    target: str,
    kernel: Kernel,
    inputs: Sequence[Array],
    env: Mapping[str, int],
    options: Options | None = None,
) -> list[Array]:
    """The outputs by a target, from the kernel as it is."""
    chosen = Options(cache=None, threads=1) if options is None else options
    program = program_of(kernel)
    found = find_target(target)
    outputs = empty_outputs(kernel, env)
    runner = found.load(program, found.emit(program, chosen), chosen)
    runner.run(list(inputs), outputs, env)
    return outputs
