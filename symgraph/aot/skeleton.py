"""The interface of a shipped program, read back from its description: ports, checks, memory plan.

The steps say which buffers they touch, for memory reports; their kernels are empty: the code itself
is in the object alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..ir.program import Check, ConstantData, KernelStep, MemoryPlan, Port, Program, ProgramBuffer
from ..ir.tensor_type import TensorType
from ..kernel.dims import DimVar
from ..kernel.dtypes import as_dtype, uint8
from ..kernel.ir import Block, Kernel
from .extents_text import decode_dim


class ShippedStep(KernelStep):
    """A step whose code is in the object; its empty kernel tells the line that declared it."""

    __slots__ = ()

    @property
    def origin(self) -> str:
        return self.kernel.origin


def skeleton(made: Mapping[str, Any]) -> Program:
    """The program of a description.  Raises: KeyError, TypeError, ValueError for a damaged one."""
    buffers = tuple(_buffer(row) for row in made["memory"]["buffers"])
    steps = []
    for row in made["memory"]["steps"]:
        touched = tuple(buffers[number] for number in row["buffers"])
        kernel = Kernel("shipped", (), (), (), Block(()), origin=row["origin"])
        steps.append(ShippedStep(kernel, touched, row["label"]))
    return Program(
        name=made["name"],
        inputs=tuple(_port(row, "input") for row in made["inputs"]),
        outputs=tuple(_port(row, "output") for row in made["outputs"]),
        constants=_constants(made["weights"]["nbytes"]),
        steps=tuple(steps),
        dims=tuple(DimVar(row["name"]) for row in made["extents"]),
        checks=tuple(
            Check(decode_dim(c["left"]), c["relation"], decode_dim(c["right"]), c["message"])
            for c in made["conditions"]
        ),
        plan=_plan(made["memory"], buffers),
    )


def _port(row: Mapping[str, Any], place: str) -> Port:
    shape = tuple(decode_dim(d) for d in row["shape"])
    type = TensorType(shape, as_dtype(row["dtype"]))
    buffer = ProgramBuffer(row["name"], type, place)
    return Port(row["name"], buffer, row["role"], row.get("updates", ""))


def _buffer(row: Mapping[str, Any]) -> ProgramBuffer:
    type = TensorType(tuple(decode_dim(d) for d in row["shape"]), as_dtype(row["dtype"]))
    return ProgramBuffer(row["name"], type, "arena", source=row["source"], origin=row["origin"])


def _constants(nbytes: int) -> tuple[ConstantData, ...]:
    """The size of the weights alone: they lie in the object, or where the caller says."""
    if not nbytes:
        return ()
    buffer = ProgramBuffer("weights", TensorType((nbytes,), uint8), "constant")
    return (ConstantData(buffer, np.broadcast_to(np.zeros((), np.uint8), (nbytes,))),)


def _plan(memory: Mapping[str, Any], buffers: tuple[ProgramBuffer, ...]) -> MemoryPlan:
    rows = zip(buffers, memory["buffers"], strict=True)
    return MemoryPlan(
        offsets=tuple((buffer, decode_dim(row["offset"])) for buffer, row in rows),
        nbytes=decode_dim(memory["arena"]),
        lower_bound=memory["lower_bound"],
        naive=memory["naive"],
        proved=memory["proved"],
        method=memory["method"],
        sample=tuple(memory["sample"].items()),
        shared=tuple((buffers[a], buffers[b]) for a, b in memory["shared"]),
        excess=memory.get("excess", 0.0),
    )
