"""What a finished program keeps in memory: every byte of its constants once.

While a graph is compiled, its nodes hold the given parameters, what was folded from them, and what
was packed from that.  `release_graph` cuts the steps off the graph, so that only the program's own
constants remain; `gather_constants` moves these into the one block that targets run from.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

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

    Arrays that nothing else holds are given back one by one, as they are copied.
    """
    offsets, nbytes = constant_layout(program, alignment)
    block = aligned_bytes(nbytes, alignment)
    waiting: list[ConstantData] = list(reversed(program.constants))
    program = program.with_(constants=())
    moved: list[ConstantData] = []
    for offset in offsets:
        data = waiting.pop()
        size = data.array.nbytes
        place = block[offset : offset + size].view(data.array.dtype).reshape(data.array.shape)
        place[...] = data.array
        place.flags.writeable = False
        moved.append(replace(data, array=place))
    return program.with_(constants=tuple(moved))


def aligned_bytes(nbytes: int, alignment: int) -> Array:
    """Memory that begins at a multiple of `alignment`."""
    memory = np.empty(nbytes + alignment, np.uint8)
    skip = -memory.ctypes.data % alignment
    return memory[skip : skip + nbytes]
