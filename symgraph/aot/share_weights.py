"""The versions of a program made to read the same weights.

Each version is scheduled by itself, so that it gives the bits of its own compile; its schedule
decides in which order, and in panels of which width, it reads a constant.  Here versions that read
one array in panels along the same axis agree on one width: that of the version for all extents at
the highest level, where all can read it.  Only addresses change by that.  What is read in another
way (as it was, along another axis, in blocks of other channels) is carried once for each way.

Afterwards every version has the same constants in the same order, so one block serves all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..ir.program import ConstantData, KernelStep, Program, ProgramBuffer
from ..ir.tensor_type import TensorType
from ..kernel.ir import Kernel
from ..kernel.packing import Packing
from ..kernel.transform.repack import repack

Array = np.ndarray[Any, np.dtype[Any]]
Content = tuple[str, tuple[int, ...], bytes]
Key = tuple[Content, Packing | None, int]


@dataclass(frozen=True, slots=True)
class _Use:
    """One version's reading of a packed constant: the kernels, and the position of the constant."""

    data: ConstantData
    kernels: tuple[tuple[Kernel, int], ...]

    def can_read(self, packing: Packing) -> bool:
        return all(repack(kernel, place, packing) is not None for kernel, place in self.kernels)


def share_weights(programs: Sequence[Program], preferred: Sequence[int]) -> list[Program]:
    """The programs with the same constants.

    preferred   the positions of the programs, the one whose packing is best kept first
    """
    if len(programs) < 2:
        return list(programs)
    uses = [_uses(program) for program in programs]
    chosen = [_choose(uses, preferred, number) for number in range(len(programs))]
    changed = [_repacked(p, c) for p, c in zip(programs, chosen, strict=True)]
    return _with_all_constants(changed)


def content(data: ConstantData) -> Content:
    """What an array holds, whichever way it is packed."""
    array, shape = data.array, data.array.shape
    if data.packing is not None:
        array, shape = data.packing.restore(array, data.original), data.original
    raw = np.ascontiguousarray(array)
    return array.dtype.str, tuple(shape), hashlib.sha256(raw.reshape(-1).view(np.uint8)).digest()


def _uses(program: Program) -> dict[ProgramBuffer, tuple[Content, _Use]]:
    """Each packed constant of a program, with what reads it."""
    found: dict[ProgramBuffer, list[tuple[Kernel, int]]] = {}
    for step in program.steps:
        if isinstance(step, KernelStep):
            for position, _ in step.kernel.packings:
                found.setdefault(step.arguments[position].root, []).append((step.kernel, position))
    by_buffer = {data.buffer: data for data in program.constants}
    return {
        buffer: (content(by_buffer[buffer]), _Use(by_buffer[buffer], tuple(dict.fromkeys(readers))))
        for buffer, readers in found.items()
    }


def _choose(
    uses: Sequence[dict[ProgramBuffer, tuple[Content, _Use]]], preferred: Sequence[int], own: int
) -> dict[ProgramBuffer, Packing]:
    """The packing in which a version shall read each of its packed constants.

    The same for all versions that read an array along the same axis, when there is one that all of
    them can read.
    """
    result: dict[ProgramBuffer, Packing] = {}
    for buffer, (key, use) in uses[own].items():
        assert use.data.packing is not None
        alike = [
            other
            for number in preferred
            for same, other in uses[number].values()
            if same == key and _is_alike(other.data.packing, use.data.packing)
        ]
        candidates = dict.fromkeys(u.data.packing for u in alike if u.data.packing is not None)
        fitting = (p for p in candidates if all(u.can_read(p) for u in alike))
        result[buffer] = next(fitting, use.data.packing)
    return result


def _is_alike(a: Packing | None, b: Packing | None) -> bool:
    return a is not None and b is not None and (a.view, a.order[-1]) == (b.view, b.order[-1])


def _repacked(program: Program, chosen: dict[ProgramBuffer, Packing]) -> Program:
    """The program with those constants packed as chosen."""
    moved: dict[ProgramBuffer, ProgramBuffer] = {}
    constants = []
    for data in program.constants:
        packing = chosen.get(data.buffer, data.packing)
        if packing is not None and packing != data.packing:
            assert data.packing is not None
            array = packing.apply(data.packing.restore(data.array, data.original))
            type = TensorType(packing.shape, data.buffer.type.dtype)
            moved[data.buffer] = replace(data.buffer, type=type)
            data = replace(data, buffer=moved[data.buffer], array=array, packing=packing)
        constants.append(data)
    done: dict[tuple[Kernel, tuple[Packing, ...]], Kernel] = {}
    steps = []
    for step in program.steps:
        if isinstance(step, KernelStep) and step.kernel.packings:
            step = _with_packings(step, moved, chosen, done)
        steps.append(step)
    return program.with_(steps=tuple(steps), constants=tuple(constants))


def _with_packings(
    step: KernelStep,
    moved: dict[ProgramBuffer, ProgramBuffer],
    chosen: dict[ProgramBuffer, Packing],
    done: dict[tuple[Kernel, tuple[Packing, ...]], Kernel],
) -> KernelStep:
    places = [position for position, _ in step.kernel.packings]
    wanted = tuple(chosen[step.arguments[position].root] for position in places)
    key = (step.kernel, wanted)
    if key not in done:
        kernel = step.kernel
        for position, packing in zip(places, wanted, strict=True):
            new = repack(kernel, position, packing)
            assert new is not None, "was asked before"
            kernel = new
        done[key] = kernel
    arguments = tuple(moved.get(b, b) for b in step.arguments)
    return replace(step, kernel=done[key], arguments=arguments)


def _with_all_constants(programs: Sequence[Program]) -> list[Program]:
    """Every program with the constants of all, in one order; what several have is there once."""
    every: dict[Key, ConstantData] = {}
    own: list[dict[Key, ConstantData]] = []
    for program in programs:
        mine: dict[Key, ConstantData] = {}
        for data in program.constants:
            what, number = content(data), 0
            # A program may hold equal arrays twice, and swapped weights may differ in them.
            while (what, data.packing, number) in mine:
                number += 1
            mine[what, data.packing, number] = data
            every.setdefault((what, data.packing, number), data)
        own.append(mine)
    return [
        program.with_(constants=tuple(mine.get(key, data) for key, data in every.items()))
        for program, mine in zip(programs, own, strict=True)
    ]
