"""Packs constants in the order in which scheduled kernels read them.

    constant w: f32[64,48]                 constant w_packed: f32[2,48,32]
    y = linear(x, w)                  ->   y = linear(x, w_packed)

A constant that is read in several orders is carried in each of them; one that nothing reads any
longer as it was is dropped.
"""

from __future__ import annotations

from dataclasses import replace

from ..ir.program import (
    ConstantData,
    KernelStep,
    Leaf,
    Program,
    ProgramBuffer,
    leaves,
    map_leaves,
)
from ..ir.tensor_type import TensorType
from ..kernel.packing import Packing


class PackConstants:
    """Gives kernels their constants as `Kernel.packings` ask for."""

    name = "pack_constants"

    def run(self, program: Program) -> Program:
        """The program with packed constants."""
        if not any(kernel.packings for kernel in program.kernels):
            return program
        packer = _Packer(program)
        steps = map_leaves(program.steps, packer.step)
        used = {b.root for step in leaves(steps) for b in step.arguments}
        used |= {p.buffer.root for p in program.outputs}
        constants: list[ConstantData] = []
        for data in program.constants:
            constants += [data] if data.buffer in used else []
            constants += [made for (root, _), made in packer.made.items() if root is data.buffer]
        return program.with_(steps=steps, constants=tuple(constants))


class _Packer:
    def __init__(self, program: Program) -> None:
        self.constants = {c.buffer: c for c in program.constants}
        self.names = {b.name for b in program.buffers}
        self.made: dict[tuple[ProgramBuffer, Packing], ConstantData] = {}

    def step(self, step: Leaf) -> Leaf:
        if not isinstance(step, KernelStep) or not step.kernel.packings:
            return step
        arguments = list(step.arguments)
        for position, packing in step.kernel.packings:
            arguments[position] = self._packed(arguments[position].root, packing).buffer
        return replace(step, arguments=tuple(arguments))

    def _packed(self, root: ProgramBuffer, packing: Packing) -> ConstantData:
        if (root, packing) not in self.made:
            data = self.constants[root]
            name, number = f"{root.name}_packed", 1
            while name in self.names:
                name, number = f"{root.name}_packed{number}", number + 1
            self.names.add(name)
            array = packing.apply(data.array)
            buffer = ProgramBuffer(
                name, TensorType(packing.shape, root.type.dtype), "constant",
                source=root.source or root.name,
            )  # fmt: skip
            shape = tuple(int(n) for n in data.array.shape)
            self.made[root, packing] = ConstantData(buffer, array, packing, shape, data.recipe)
        return self.made[root, packing]
