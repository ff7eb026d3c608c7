"""What a finished program keeps in memory: every byte of its constants once.

While a graph is compiled, its nodes hold the given parameters, what was folded from them, and what
was packed from that.  `release_graph` cuts the steps off the graph, so that only the program's own
constants remain; `gather_constants` moves these into the one block that targets run from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from ..garbage import GivenBack
from ..pages import aligned_bytes
from .node import Node, Value
from .op import Variable
from .program import ConstantData, Program, Step, constant_layout, map_leaves

Array = np.ndarray[Any, np.dtype[Any]]


def release_graph(program: Program) -> Program:
    """The program whose steps know their operators and types, but not where inputs came from."""

    def released(step: Step) -> Any:
        node = step.node
        return step if node is None else replace(step, node=without_inputs(node))

    steps = map_leaves(program.steps, released)
    return program.with_(steps=tuple(_loop_released(step) for step in steps))


def _loop_released(step: Step) -> Step:
    if step.node is None or all(isinstance(v.node.op, Variable) for v in step.node.inputs):
        return step
    return replace(step, node=without_inputs(step.node))


def without_inputs(node: Node) -> Node:
    """The node over variables of the types of its inputs."""
    known: dict[Value, Value] = {}
    for value in node.inputs:
        if value not in known:
            known[value] = Node(Variable(value.type), (), (value.type,), value.node.name)[0]
    return replace(node, inputs=tuple(known[v] for v in node.inputs))


def gather_constants(program: Program, alignment: int) -> Program:
    """The program with its constants in one aligned block, at the places of `constant_layout`.

    Arrays that nothing else holds are given back one by one, as they are copied.  Where the
    constants lie so already, they stay.
    """
    if is_gathered(program, alignment):
        return program
    block = ConstantBlock([data.array.nbytes for data in program.constants], alignment)
    # The largest last, when most of the others have gone.
    waiting = sorted(enumerate(program.constants), key=lambda item: -item[1].array.nbytes)
    program = program.with_(constants=())
    moved: dict[int, ConstantData] = {}
    while waiting:
        number, data = waiting.pop()
        moved[number] = block.copy(number, data)
        del data
        block.given_back.freed(moved[number].array.nbytes)
    return program.with_(constants=tuple(moved[number] for number in range(len(moved))))


def is_gathered(program: Program, alignment: int) -> bool:
    """Every constant lies at its place of `constant_layout`, from an aligned address on, and is the
    program's own: what is the user's may lie so by chance."""
    if not all(data.is_own for data in program.constants):
        return False
    offsets, _ = constant_layout(program, alignment)
    arrays = [data.array for data in program.constants]
    places = [array.__array_interface__["data"][0] for array in arrays]
    return (
        all(array.flags.c_contiguous for array in arrays)
        and all(place == places[0] + at for place, at in zip(places, offsets, strict=True))
        and (not places or places[0] % alignment == 0)
    )


def gathered_bytes(program: Program, alignment: int) -> Array | None:
    """The block that holds a program's constants, as read-only bytes; None where they lie apart."""
    if not program.constants or not is_gathered(program, alignment):
        return None
    first = program.constants[0].array
    owner = first.base
    if not isinstance(owner, np.ndarray) or owner.ndim != 1 or owner.dtype != np.uint8:
        return None
    start = first.__array_interface__["data"][0] - owner.__array_interface__["data"][0]
    found = owner[start : start + constant_layout(program, alignment)[1]]
    found.flags.writeable = False
    return found


class ConstantBlock:
    """One aligned block for arrays of these sizes, at the places of `constant_layout`, with zeros
    between them."""

    def __init__(self, sizes: Sequence[int], alignment: int) -> None:
        self._offsets: list[int] = []
        end = 0
        for size in sizes:
            self._offsets.append(end)
            end += -(-size // alignment) * alignment
        self._bytes = aligned_bytes(end, alignment)
        for start, size in zip(self._offsets, sizes, strict=True):
            self._bytes[start + size : start + -(-size // alignment) * alignment] = 0
        self.given_back = GivenBack()
        """Of the arrays that are moved here."""

    def place(self, number: int, shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
        """Where an array shall lie."""
        start, size = self._offsets[number], prod(shape) * dtype.itemsize
        return self._bytes[start : start + size].view(dtype).reshape(shape)

    def copy(self, number: int, data: ConstantData) -> ConstantData:
        """A constant moved to its place."""
        place = self.place(number, data.array.shape, data.array.dtype)
        place[...] = data.array
        place.flags.writeable = False
        return replace(data, array=place, is_own=True)
