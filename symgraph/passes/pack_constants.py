"""Packs constants in the order in which scheduled kernels read them.

    constant w: f32[64,48]                 constant w_packed: f32[2,48,32]
    y = linear(x, w)                  ->   y = linear(x, w_packed)

A constant that is read in several orders is carried in each of them; one that nothing reads any
longer as it was is dropped.  All lie in one block from then on, each packed where it stays: there
is no time at which weights exist packed and once more.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar

from ..ir.program import (
    ConstantData,
    KernelStep,
    Leaf,
    Program,
    ProgramBuffer,
    leaves,
    map_leaves,
)
from ..ir.release import ConstantBlock
from ..ir.tensor_type import TensorType
from ..kernel.packing import Packing


@dataclass(frozen=True)
class PackConstants:
    """Gives kernels their constants as `Kernel.packings` ask for; the block of constants begins at
    a multiple of `alignment`, and so does each of them."""

    alignment: int = 64
    name: ClassVar[str] = "pack_constants"

    def run(self, program: Program) -> Program:
        """The program with packed constants."""
        if not any(kernel.packings for kernel in program.kernels):
            return program
        packer = _Packer(program)
        steps = map_leaves(program.steps, packer.step)
        used = {b.root for step in leaves(steps) for b in step.arguments}
        used |= {p.buffer.root for p in program.outputs}
        wanted: list[tuple[ProgramBuffer, ProgramBuffer, Packing | None]] = []
        for data in program.constants:
            root = data.buffer
            wanted += [(root, root, None)] if root in used else []
            wanted += [(root, b, p) for (of, p), b in packer.made.items() if of is root]
        sources = {c.buffer: c for c in program.constants}
        program = program.with_(steps=steps, constants=())
        return program.with_(constants=_placed(wanted, sources, self.alignment))


def _placed(
    wanted: list[tuple[ProgramBuffer, ProgramBuffer, Packing | None]],
    sources: dict[ProgramBuffer, ConstantData],
    alignment: int,
) -> tuple[ConstantData, ...]:
    """The constants that are wanted of sources, which are given back as soon as all of theirs are
    made."""
    sizes = [
        sources[root].array.nbytes
        if packing is None
        else prod(packing.shape) * sources[root].array.itemsize
        for root, _, packing in wanted
    ]
    block = ConstantBlock(sizes, alignment)
    left = Counter(root for root, _, _ in wanted)
    for root in [r for r in sources if not left[r]]:
        del sources[root]
    found: dict[int, ConstantData] = {}
    # The largest last, when most of the others have gone.
    for number in sorted(range(len(wanted)), key=lambda n: (sizes[n], n)):
        root, buffer, packing = wanted[number]
        if packing is None:
            found[number] = block.copy(number, sources[root])
        else:
            data = sources[root]
            place = block.place(number, packing.shape, data.array.dtype)
            packing.write(data.array, place)
            place.flags.writeable = False
            shape = tuple(int(n) for n in data.array.shape)
            found[number] = ConstantData(buffer, place, packing, shape, data.recipe, is_own=True)
            del data
        left[root] -= 1
        if not left[root]:
            block.given_back.freed(sources.pop(root).array.nbytes)
    return tuple(found[number] for number in range(len(wanted)))


class _Packer:
    def __init__(self, program: Program) -> None:
        self.names = {b.name for b in program.buffers}
        self.made: dict[tuple[ProgramBuffer, Packing], ProgramBuffer] = {}

    def step(self, step: Leaf) -> Leaf:
        if not isinstance(step, KernelStep) or not step.kernel.packings:
            return step
        arguments = list(step.arguments)
        for position, packing in step.kernel.packings:
            arguments[position] = self._packed(arguments[position].root, packing)
        return replace(step, arguments=tuple(arguments))

    def _packed(self, root: ProgramBuffer, packing: Packing) -> ProgramBuffer:
        if (root, packing) not in self.made:
            name, number = f"{root.name}_packed", 1
            while name in self.names:
                name, number = f"{root.name}_packed{number}", number + 1
            self.names.add(name)
            self.made[root, packing] = ProgramBuffer(
                name, TensorType(packing.shape, root.type.dtype), "constant",
                source=root.source or root.name,
            )  # fmt: skip
        return self.made[root, packing]
