"""What each step of a program took, against the work it does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..ir.alternative import ALGORITHM
from ..ir.cost import node_flops
from ..ir.fused import Fused
from ..ir.layout import InLayout
from ..ir.node import Node
from ..ir.program import HostStep, KernelStep, Program, Step
from ..ir.read_inside import ReadInside
from ..kernel import dims
from ..kernel.dims import Dim, DimVar


@dataclass(frozen=True, slots=True)
class StepTime:
    """One step of a call.

    `nodes` are the names of the operators that it computes, `operators` their kinds; `flops` is 0
    where nothing tells; `nbytes` is the size of every array it reads or writes, each once.
    `algorithm` is the equivalent form that one of the operators is part of, "" for none.
    """

    name: str
    nodes: tuple[str, ...]
    operators: tuple[str, ...]
    time_ns: int
    flops: int
    nbytes: int
    algorithm: str = ""

    @property
    def gflops(self) -> float:
        """Billions of floating-point operations a second."""
        return self.flops / max(self.time_ns, 1)

    @property
    def gbytes(self) -> float:
        """Billions of bytes a second."""
        return self.nbytes / max(self.time_ns, 1)

    def part_of(self, flops_per_second: float, bytes_per_second: float) -> float:
        """What part this step reaches of a machine that can do so much.

        1 is the least time in which its operations, or its bytes, are possible; more means that its
        bytes came from a cache nearer than that of the rate.
        """
        least = max(self.flops / flops_per_second, self.nbytes / bytes_per_second)
        return least * 1e9 / max(self.time_ns, 1)


def step_times(
    program: Program, times: Sequence[int], sizes: Mapping[str, int]
) -> tuple[StepTime, ...]:
    """The steps with their nanoseconds, at the extents of one call."""
    env = {DimVar(name): size for name, size in sizes.items()}
    return tuple(
        _step_time(step, time_ns, env) for step, time_ns in zip(program.steps, times, strict=True)
    )


def _step_time(step: Step, time_ns: int, env: Mapping[DimVar, int]) -> StepTime:
    def value(dim: Dim) -> int:
        return int(dims.evaluate(dim, env))

    nodes = (
        step.nodes if isinstance(step, KernelStep) else () if step.node is None else (step.node,)
    )
    parts = [part for node in nodes for part in _parts(node)]
    flops: Dim = 0
    for node in () if isinstance(step, HostStep) else nodes:
        flops = dims.add(flops, _flops(node))
    nbytes = sum(value(b.type.nbytes) for b in {b.root: b for b in step.arguments}.values())
    return StepTime(
        step.label,
        tuple(n.label for n in parts),
        tuple(_kind(n) for n in parts),
        time_ns,
        value(flops),
        nbytes,
        next((str(v) for n in parts for k, v in n.attributes if k == ALGORITHM), ""),
    )


def _parts(node: Node) -> Iterator[Node]:
    """The operators in a node, those of a fused group one by one."""
    if not isinstance(node.op, Fused):
        yield node
        return
    for inner in node.op.graph.nodes:
        if inner.inputs:
            yield inner


def _kind(node: Node) -> str:
    """The operator's name; what works in another layout or place is still that operator."""
    op = node.op
    while isinstance(op, (InLayout, ReadInside)):
        op = op.op
    return op.name


def _flops(node: Node) -> Dim:
    types = {v: v.node.types[v.index] for v in (*node.inputs, *node.values)}
    found = node_flops(node, types)
    return 0 if found is None else found
