"""The interpreter as a target: kernels run as they are, from the same memory plan."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ...ir.program import HostStep, Program, ProgramBuffer, RepeatStep, Step
from ...kernel import dims
from ...kernel.dims import Dim, DimVar
from ...kernel.dtypes import as_dtype
from ...kernel.ir import Kernel
from ...kernel.rates import Rates
from ...options import Options
from ..host import call_host
from .evaluate import Evaluator

Array = np.ndarray[Any, np.dtype[Any]]


class InterpTarget:
    """Ground truth: always available, never fast."""

    name = "interp"
    alignment = 64

    def available(self) -> str | None:
        return None

    def channel_block(self, options: Options) -> int | None:
        return None

    def rates(self, options: Options) -> Rates | None:
        return None

    def schedule(
        self, kernel: Kernel, options: Options, constants: frozenset[int] = frozenset()
    ) -> Kernel:
        return kernel

    def emit(self, program: Program, options: Options) -> str:
        return str(program)

    def load(self, program: Program, text: str, options: Options) -> InterpRunner:
        return InterpRunner(program)


class InterpRunner:
    """Runs a program step by step in one arena."""

    def __init__(self, program: Program) -> None:
        self.program = program

    def run(
        self, inputs: Sequence[Array], outputs: Sequence[Array], dims: Mapping[str, int]
    ) -> tuple[int, ...]:
        memory = _Memory(self.program, dims, inputs, outputs)
        times = [time.perf_counter_ns()]
        for step in self.program.steps:
            _run_step(step, memory, dims)
            times.append(time.perf_counter_ns())
        return tuple(after - before for before, after in pairwise(times))

    def scratch_nbytes(self, dims: Mapping[str, int]) -> int:
        return 0


def _run_step(step: Step, memory: _Memory, env: Mapping[str, int]) -> None:
    if isinstance(step, RepeatStep):
        for number in range(memory.extents((step.count,))[0]):
            for inner in step.steps:
                _run_step(inner, memory, {**env, step.counter.name: number})
        return
    arrays = [memory.array(b) for b in step.arguments]
    if isinstance(step, HostStep):
        reads = len(step.reads)
        call_host(step, arrays[:reads], arrays[reads:])
        return
    # A schedule may see an array under another shape, with axes merged.
    shaped = [
        a.reshape(memory.extents(p.shape)) for p, a in zip(step.kernel.params, arrays, strict=True)
    ]
    Evaluator(step.kernel, dict(zip(step.kernel.params, shaped, strict=True)), env).run()


class _Memory:
    """The array of every buffer for one call."""

    def __init__(
        self,
        program: Program,
        env: Mapping[str, int],
        inputs: Sequence[Array],
        outputs: Sequence[Array],
    ) -> None:
        self.env = {DimVar(k): v for k, v in env.items()}
        self.plan = program.plan
        self.roots: dict[ProgramBuffer, Array] = {}
        for port, array in zip(program.inputs, inputs, strict=True):
            self.roots[port.buffer] = array
        for port, array in zip(program.outputs, outputs, strict=True):
            self.roots[port.buffer.root] = array
        for data in program.constants:
            self.roots[data.buffer] = data.array
        total = 0 if program.plan is None else int(dims.evaluate(program.plan.nbytes, self.env))
        self.arena = np.full(total, 0xFF, np.uint8)

    def array(self, buffer: ProgramBuffer) -> Array:
        """The bytes of a buffer, as its own array or as a part of another's."""
        root, dtype = buffer.root, as_dtype(buffer.type.dtype).numpy
        if root not in self.roots:
            self.roots[root] = self._in_arena(root)
        whole = self.roots[root].reshape(-1).view(np.uint8)
        start = int(dims.evaluate(buffer.start, self.env))
        shape = self._shape(buffer)
        nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        return whole[start : start + nbytes].view(dtype).reshape(shape)

    def _in_arena(self, root: ProgramBuffer) -> Array:
        nbytes = int(dims.evaluate(root.type.nbytes, self.env))
        if self.plan is None:
            return np.full(nbytes, 0xFF, np.uint8)
        start = int(dims.evaluate(self.plan.offset_of(root), self.env))
        return self.arena[start : start + nbytes]

    def _shape(self, buffer: ProgramBuffer) -> tuple[int, ...]:
        assert buffer.type.shape is not None
        return self.extents(buffer.type.shape)

    def extents(self, shape: Sequence[Dim]) -> tuple[int, ...]:
        """The numbers that a shape stands for in this call."""
        return tuple(int(dims.evaluate(d, self.env)) for d in shape)


TARGET = InterpTarget()
