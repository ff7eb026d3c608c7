"""The self-test of an artefact: the program with a checksum after each operator, on a seeded case.

The expected checksums are the interpreter's, of the same program.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..codegen.interp.target import InterpTarget
from ..codegen.llvm.selftest import Selftest, TestArray, test_bits, test_value
from ..errors import TargetError
from ..ir.program import KernelStep, Port, Program, ProgramBuffer, RepeatStep, Step
from ..ir.tensor_type import TensorType
from ..kernel import dims, loops
from ..kernel.compute import compute, placeholder, reduce
from ..kernel.dims import Dim, DimVar
from ..kernel.dtypes import as_dtype, float32
from ..kernel.ir import call, cast
from ..options import Options
from .signature import ALIGNMENT, Signature

CANDIDATES = (2, 3, 1, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Plan:
    """The program with checksums, the operators they are of, and the extents of the case."""

    program: Program
    names: tuple[str, ...]
    extents: Mapping[str, int]


def plan_selftest(program: Program, signature: Signature) -> Plan:
    """Raises: TargetError when no small extents are legal."""
    steps: list[Step] = []
    ports: list[Port] = []
    names: list[str] = []
    for step in program.steps:
        steps.append(step)
        for buffer in _results(step, program):
            number = len(ports)
            total = ProgramBuffer(f"checksum{number}", TensorType((), float32), "output")
            steps.append(_checksum(buffer, total, number))
            ports.append(Port(total.name, total, "output"))
            names.append(step.label or buffer.source or buffer.name)
    changed = program.with_(steps=tuple(steps), outputs=(*program.outputs, *ports))
    return Plan(changed, tuple(names), _extents(signature))


def _results(step: Step, program: Program) -> Sequence[ProgramBuffer]:
    """What a step leaves behind; of a loop what it neither carries nor keeps to itself."""
    if not isinstance(step, RepeatStep):
        return step.writes
    outside = {b.root for s in program.steps if s is not step for b in s.arguments}
    outside |= {p.buffer.root for p in program.outputs}
    read = {b.root for b in step.reads}
    return [b for b in step.writes if b.root in outside - read]


def _checksum(buffer: ProgramBuffer, total: ProgramBuffer, number: int) -> KernelStep:
    """The sum of the absolute values, in order; other types as float32."""
    nelems, dtype = buffer.type.nelems, as_dtype(buffer.type.dtype)
    flat = ProgramBuffer(
        f"flat{number}", TensorType((nelems,), dtype), buffer.root.place, buffer, buffer.source
    )
    x = placeholder("x", (nelems,), dtype)
    body = reduce("sum", nelems, lambda r: call("abs", cast(x[r], float32)))
    summed = compute((), lambda: body, name="y")
    kernel = loops.lower("checksum", (x,), ((placeholder("y", (), float32), summed),), total.name)
    return KernelStep(kernel, (flat, total), total.name)


def _extents(signature: Signature) -> dict[str, int]:
    for candidate in CANDIDATES:
        values = {
            e.name: min(max(candidate + i, e.low), e.high) for i, e in enumerate(signature.extents)
        }
        if _all_hold(signature, values):
            return values
    raise TargetError(
        "export: selftest=True finds no small extents that are legal; leave it out, or fix the "
        "shapes"
    )


def _all_hold(signature: Signature, values: Mapping[str, int]) -> bool:
    for condition in signature.conditions:
        left, right = _value(condition.left, values), _value(condition.right, values)
        if not (left == right if condition.relation == "==" else left >= right):
            return False
    return True


def _value(dim: Dim, values: Mapping[str, int]) -> int:
    return int(dims.evaluate(dim, {DimVar(k): v for k, v in values.items()}))


def make_selftest(plan: Plan, workspace: int, symbol: str) -> Selftest:
    """Lay out the case and run it in the interpreter."""
    position = 0

    def place(type: TensorType) -> int:
        nonlocal position
        start = position
        end = dims.align(start + _value(type.nbytes, plan.extents), ALIGNMENT)
        assert isinstance(end, int)
        position = end
        return start

    program, count = plan.program, len(plan.names)
    inputs = [
        TestArray(place(p.type), _value(p.type.nelems, plan.extents), as_dtype(p.type.dtype))
        for p in program.inputs
    ]
    where = {p.name: array.offset for p, array in zip(program.inputs, inputs, strict=True)}
    outputs = [where[p.updates] if p.updates else place(p.type) for p in program.outputs[:-count]]
    checksums = position
    outputs += [checksums + 4 * n for n in range(count)]
    end = dims.align(checksums + 4 * count, ALIGNMENT)
    assert isinstance(end, int)
    return Selftest(
        symbol=symbol,
        inputs=tuple(inputs),
        extents=tuple(plan.extents[v.name] for v in program.dims),
        outputs=tuple(outputs),
        checksums=checksums,
        expected=_expected(plan, inputs),
        names=plan.names,
        workspace=end,
        nbytes=end + workspace,
    )


def _expected(plan: Plan, inputs: list[TestArray]) -> tuple[float, ...]:
    program = plan.program
    arrays = []
    for number, (port, row) in enumerate(zip(program.inputs, inputs, strict=True)):
        assert port.type.shape is not None
        shape = tuple(_value(d, plan.extents) for d in port.type.shape)
        values = [test_value(test_bits(i, number), row.dtype) for i in range(row.nelems)]
        arrays.append(np.array(values).astype(row.dtype.numpy).reshape(shape))
    given = dict(zip((p.name for p in program.inputs), arrays, strict=True))
    results = []
    for port in program.outputs:
        if port.updates:
            results.append(given[port.updates])
            continue
        assert port.type.shape is not None
        shape = tuple(_value(d, plan.extents) for d in port.type.shape)
        results.append(np.zeros(shape, as_dtype(port.type.dtype).numpy))
    runner = InterpTarget().load(program, "", Options())
    runner.run(arrays, results, plan.extents)
    return tuple(float(total) for total in results[-len(plan.names) :])
