"""Whether a set of nodes makes one good kernel, decided on its composed index expressions.

The stages that stay, the loops they share and the scratch they need come from the kernel level
(`loops.plan_stages`), the same plan that lowering will follow.  A group is good when

    it fits       few enough buffers, expressions not too deep for anything that walks them
    contractions  at most one, which stays `accumulate over serial loops; epilogue`, with nothing
                  added to its inner loop, so that a target can tile it
    rows          several stages share outer loops that leave enough to run in parallel, do not
                  stride through rows, and need little scratch for an iteration
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from ...ir.compose import apply_forward, literal, literal_tensor
from ...ir.form import op_key
from ...ir.node import Node, Value
from ...kernel import dims
from ...kernel.compute import Compute, Tensor
from ...kernel.dims import Dim, DimVar, LoopVar
from ...kernel.dtypes import as_dtype
from ...kernel.inlining import has_reduce
from ...kernel.ir import Buffer, Expr, Load, Reduce
from ...kernel.loops import StagePlan, plan_stages
from ...kernel.picked_sums import picked_terms, visited
from ...kernel.rewrite import operands, walk
from .profile import contraction, expression_depth, inner_operations

SCRATCH_BYTES = 32 * 1024
"""Intermediates of one iteration of the shared loops stay in the nearest cache."""

TINY_WORK = 64 * 1024
"""Below so many iterations in all, one thread is faster than a second kernel."""

PARALLEL_ITERATIONS = 8
"""Shared loops of fewer iterations leave too little to run in parallel."""

MAX_BUFFERS = 24
MAX_DEPTH = 120

FEW_APART = 2
"""Operands that what follows a contraction may read lane by lane: resizing reads one or two."""

OPEN_EXTENT = 64
"""An open extent counts as this many where work is weighed."""

LARGE_OPEN_EXTENT = 4096
"""An open extent counts as this many where only small work is allowed."""


@dataclass(frozen=True)
class Limits:
    """What a group may cost; targets with other caches may pass their own."""

    scratch_bytes: int = SCRATCH_BYTES
    tiny_work: int = TINY_WORK
    parallel_iterations: int = PARALLEL_ITERATIONS
    parts: int = 1
    """In how many parts the rest of a group may read its contraction (see kernel/parts.py)."""
    open_scratch: bool = False
    """The target has memory for intermediates of open extents; small ones are taken to fit."""


MOST_KNOWN = 1 << 14
_known: dict[tuple[Limits, Hashable], bool] = {}
"""What was judged of groups, by limits and signature: a network whose forms are tried a second time
asks again about nearly all of its groups."""


class Judge:
    """Judges groups; equal groups (repeated blocks of a network) are judged once."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits

    def approves(self, nodes: Sequence[Node], exported: Sequence[Value]) -> bool:
        """The nodes, in order, as one kernel that stores the exported values."""
        # First of all: what reads hundreds of values would be composed for each of them.
        if _reads(nodes) + len(exported) > MAX_BUFFERS:
            return False
        signature = _signature(nodes, exported)
        if signature is None:
            return self._judge(nodes, exported)
        key = self.limits, signature
        if key not in _known:
            if len(_known) >= MOST_KNOWN:
                _known.clear()
            _known[key] = self._judge(nodes, exported)
        return _known[key]

    def _judge(self, nodes: Sequence[Node], exported: Sequence[Value]) -> bool:
        values, _ = compose(nodes)
        outputs = []
        for value in exported:
            compute = values[value]
            assert isinstance(compute, Compute)
            outputs.append((Buffer("out", compute.shape, compute.dtype), compute))
        plan = plan_stages(outputs)
        if any(expression_depth(s.compute.body) > MAX_DEPTH for s in plan.stages):
            return False
        if any(contraction(c) for c in _own_computes(values)):
            return _is_plain_contraction(plan, values, self.limits.parts)
        return len(plan.stages) == 1 or self._shares_rows(plan)

    def _shares_rows(self, plan: StagePlan) -> bool:
        looped = [s for s in range(len(plan.stages)) if _inner_axes(plan, s)]
        if not looped and not any(has_reduce(s.compute.body) for s in plan.stages):
            return True  # several results of one elementwise kernel
        if not self._fits_scratch(plan):
            return False
        work = sum(_work(stage.compute) for stage in plan.stages)
        outer = weigh(dims.product(list(plan.outer_extents)))
        if work > self.limits.tiny_work and outer < self.limits.parallel_iterations:
            return False
        return work <= self.limits.tiny_work or not any(_strides(plan, s) for s in looped)

    def _fits_scratch(self, plan: StagePlan) -> bool:
        total: Dim = 0
        kept = [s for s in plan.stages if not s.targets]
        for stage, shape in zip(kept, plan.scratch_shapes, strict=True):
            total = dims.add(total, dims.mul(dims.product(list(shape)), stage.compute.dtype.nbytes))
        if not isinstance(total, int) and not self.limits.open_scratch:
            return False
        return weigh(total, LARGE_OPEN_EXTENT) <= self.limits.scratch_bytes


def _reads(nodes: Sequence[Node]) -> int:
    """How many values the nodes read from outside, literals aside."""
    made: set[Value] = set()
    outside: set[Value] = set()
    for node in nodes:
        outside.update(v for v in node.inputs if v not in made and literal(v) is None)
        made.update(node.values)
    return len(outside)


def compose(nodes: Sequence[Node]) -> tuple[dict[Value, Tensor], dict[Value, Buffer]]:
    """The tensor of every value that the nodes read or make, and the buffers of those from outside.

    Literals become part of the expressions.
    """
    values: dict[Value, Tensor] = {}
    inputs: dict[Value, Buffer] = {}
    for node in nodes:
        for value in node.inputs:
            if value in values:
                continue
            number = literal(value)
            if number is not None:
                values[value] = literal_tensor(number)
                continue
            assert value.type.shape is not None
            buffer = Buffer("x", value.type.shape, as_dtype(value.type.dtype))
            values[value] = inputs[value] = buffer
        results = apply_forward(node, [values[v] for v in node.inputs])
        values.update(zip(node.values, results, strict=True))
    return values, inputs


def weigh(dim: Dim, open_extent: int = OPEN_EXTENT) -> int:
    """A size with every open extent counted as one number."""
    env = dict.fromkeys(dims.dim_vars(dim), open_extent)
    return int(dims.evaluate(dim, env))


def _own_computes(values: Mapping[Value, Tensor]) -> list[Compute]:
    return [t for t in values.values() if isinstance(t, Compute)]


def _is_parts(plan: StagePlan, stage: int, most: int) -> bool:
    """The stage is the sum, and its own loop the few parts in which the rest reads it."""
    own = plan.stages[stage]
    inner = _inner_axes(plan, stage)
    extent = own.compute.axes[inner[0]].extent if len(inner) == 1 else None
    few = isinstance(extent, int) and extent <= most
    return few and not own.targets and has_reduce(own.compute.body)


def _is_plain_contraction(plan: StagePlan, values: Mapping[Value, Tensor], most_parts: int) -> bool:
    """One accumulation, the rest follows from its result and runs in the same loops."""
    summed = [s.compute for s in plan.stages if has_reduce(s.compute.body)]
    if len(summed) != 1 or any(
        _inner_axes(plan, n) and not _is_parts(plan, n, most_parts) for n in range(len(plan.stages))
    ):
        return False
    if any(_reads_lanes_apart(s.compute) for s in plan.stages):
        return False
    reduces = [e for e in walk(summed[0].body) if isinstance(e, Reduce)]
    own = max(inner_operations(c.body) for c in _own_computes(values))
    return len(reduces) == 1 and inner_operations(summed[0].body) <= own


def _reads_lanes_apart(compute: Compute) -> bool:
    """Beside the sum, neighbours along the last axis read what divisions of their index tell, many
    values each: a target loads these lane by lane, for every vector of a register tile again."""
    last = next((a.var for a in reversed(compute.axes) if a.extent != 1), None)
    seen: set[int] = set()
    stack: list[Expr] = [compute.body]
    apart = 0
    while stack:
        e = stack.pop()
        if id(e) not in seen and not isinstance(e, Reduce):
            seen.add(id(e))
            stack += operands(e)
            apart += isinstance(e, Load) and any(_divides(d, last) for d in e.index)
    return apart > FEW_APART


def _divides(dim: Dim, variable: LoopVar | None) -> bool:
    divisions = (a for a in dims.atoms(dim) if isinstance(a, (dims.FloorDiv, dims.Mod)))
    return any(variable in dims.atoms(d) for d in divisions)


def _inner_axes(plan: StagePlan, stage: int) -> list[int]:
    """The axes of a stage that are loops of its own."""
    axes = plan.stages[stage].compute.axes
    return [n for n, a in enumerate(axes) if n not in plan.outer[stage] and a.extent != 1]


def _strides(plan: StagePlan, stage: int) -> bool:
    """The stage's own loops leave out its last axis, so they jump from row to row."""
    axes = [n for n, a in enumerate(plan.stages[stage].compute.axes) if a.extent != 1]
    return axes[-1] not in _inner_axes(plan, stage)


def _work(compute: Compute) -> int:
    """The iterations of a computation, those of its deepest reduction included."""
    picked = picked_terms(compute)
    if picked is not None:
        return _large(visited(compute, picked)) + _large(dims.product(list(compute.shape)))
    most = 1
    for e in walk(compute.body):
        if isinstance(e, Reduce):
            most = max(most, _large(dims.product([a.extent for a in e.axes])))
    return most * _large(dims.product(list(compute.shape)))


def _large(size: Dim) -> int:
    return weigh(size, LARGE_OPEN_EXTENT)


def _signature(nodes: Sequence[Node], exported: Sequence[Value]) -> Hashable | None:
    """The same for groups that differ in names only; None where an operator does not compare."""
    number = {node: n for n, node in enumerate(nodes)}
    outside: dict[Value, int] = {}
    rows = []
    for node in nodes:
        key = op_key(node.op)
        if key is None:
            return None
        inputs: list[Hashable] = []
        for value in node.inputs:
            if value.node in number:
                inputs.append((number[value.node], value.index))
                continue
            known = literal(value)
            if known is not None:
                inputs.append((known.dtype.str, known.tobytes()))
            else:
                inputs.append((-1, outside.setdefault(value, len(outside)), value.type))
        rows.append((key, tuple(inputs), node.types))
    return (tuple(rows), tuple((number[v.node], v.index) for v in exported))


__all__ = ["DimVar", "Judge", "Limits", "compose", "weigh"]
