"""From computations to a kernel of plain loops.

A kernel gets the computations of one fused group.  Four decisions are made here, by rule:

inline      a computation without a reduction is written into its readers when it is cheap or read
            once; a reduction is written into a reader that only post-processes its elements
outer axes  axes that run through all remaining stages alike become shared parallel loops, so that
            intermediates shrink to what one iteration needs (the row of a softmax)
stages      what is left runs one after the other inside the shared loops, intermediates in
            private scratch; a reduction over picked terms visits each of them once (picked_sums)
placement   a result inside a border is written where it belongs, the border beside it

    softmax over the last axis  ->  for n in parallel:
                                        m = max_k x[n,k];  e[k] = exp(x[n,k]-m)
                                        s = sum_k e[k];    y[n,k] = e[k] / s
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from . import dims
from .compute import Compute
from .dims import Dim, DimVar, LoopVar
from .dtypes import DType
from .functions import REDUCTIONS
from .groups import split_groups
from .inlining import Inliner, producers
from .ir import (
    Alloc,
    Axis,
    Buffer,
    Call,
    Cast,
    DataIndex,
    Expr,
    IndexValue,
    Kernel,
    Load,
    Reduce,
    Stmt,
    Store,
    Tensor,
    Update,
    block,
    cast,
    neutral,
)
from .parts import split_parts
from .picked_sums import Loops, nest, picked_terms
from .placement import Target, fill_border, placed, whole
from .rewrite import ExprRewriter, LoadRewriter, walk
from .transform.locate import expr_uses, uses


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """One computation that gets loops of its own.  `targets` are the outputs it writes, if any."""

    compute: Compute
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True, eq=False)
class StagePlan:
    """The stages in order and, for each, which of its axes are shared outer loops.

    `outer[s]` maps each shared loop, in order, to an axis number of stage s.
    """

    stages: tuple[Stage, ...]
    outer: tuple[tuple[int, ...], ...]

    @property
    def outer_extents(self) -> tuple[Dim, ...]:
        """The extents of the shared outer loops."""
        return tuple(self.stages[-1].compute.shape[axis] for axis in self.outer[-1])

    @property
    def scratch_shapes(self) -> tuple[tuple[Dim, ...], ...]:
        """The shape of each intermediate that needs memory inside the kernel."""
        return tuple(
            tuple(e for n, e in enumerate(stage.compute.shape) if n not in shared)
            for stage, shared in zip(self.stages, self.outer, strict=True)
            if not stage.targets
        )


def plan_stages(outputs: Sequence[tuple[Buffer, Compute]]) -> StagePlan:
    """Decide what is inlined, which stages remain, and which loops they share."""
    made = [placed(buffer, compute) for buffer, compute in outputs]
    computes = split_parts([c for _, c in made])
    inliner = Inliner(computes)
    kept = inliner.run()
    written: dict[Compute, list[Target]] = {}
    for (target, _), compute in zip(made, computes, strict=True):
        written.setdefault(inliner.result(compute), []).append(target)
    stages = tuple(Stage(c, tuple(written.get(c, ()))) for c in kept)
    return StagePlan(stages, _outer_axes(stages))


def lower(
    name: str, inputs: Sequence[Buffer], outputs: Sequence[tuple[Buffer, Compute]], origin: str = ""
) -> Kernel:
    """The naive kernel that fills `outputs` from `inputs`."""
    plan = plan_stages(outputs)
    targets = [t for stage in plan.stages for t in stage.targets]
    borders = [border for t in targets if (border := fill_border(t)) is not None]
    body = block(split_groups(_Emitter(plan).run()), *borders)
    buffers = tuple(b for b, _ in outputs)
    return Kernel(name, tuple(inputs), buffers, _dims_of(inputs, buffers, plan), body, origin)


def _dims_of(
    inputs: Sequence[Buffer], outputs: Sequence[Buffer], plan: StagePlan
) -> tuple[DimVar, ...]:
    found: set[DimVar] = set()
    for tensor in (*inputs, *outputs):
        for extent in tensor.shape:
            found.update(dims.dim_vars(extent))
    for stage in plan.stages:
        found.update(_expr_dims(stage.compute.body))
        for extent in stage.compute.shape:
            found.update(dims.dim_vars(extent))
    return tuple(sorted(found, key=lambda v: v.name))


def _expr_dims(expr: Expr) -> set[DimVar]:
    found: set[DimVar] = set()
    for e in walk(expr):
        index: tuple[Dim, ...] = ()
        if isinstance(e, Load):
            index = e.index
        elif isinstance(e, IndexValue):
            index = (e.dim,)
        elif isinstance(e, Reduce):
            index = tuple(a.extent for a in e.axes)
        for dim in index:
            found.update(dims.dim_vars(dim))
            for atom in dims.atoms(dim):
                if isinstance(atom, DataIndex):
                    found.update(dims.dim_vars(atom.extent))
    return found


def _outer_axes(stages: tuple[Stage, ...]) -> tuple[tuple[int, ...], ...]:
    """For each stage the axes that are shared by all stages, in the order of the last stage."""
    groups = _AxisGroups(stages)
    last = len(stages) - 1
    found = {s: picked_terms(stage.compute) for s, stage in enumerate(stages)}
    picked = {s: terms.axis for s, terms in found.items() if terms is not None}
    shared = [
        members
        for axis in range(len(stages[last].compute.axes))
        if (members := groups.members(last, axis)) is not None
        and groups.consistent(members)
        and not any(members[s] == along for s, along in picked.items())
    ]
    return tuple(tuple(members[s] for members in shared) for s in range(len(stages)))


class _AxisGroups:
    """Union-find over (stage, axis): which axes of different stages run together."""

    def __init__(self, stages: tuple[Stage, ...]) -> None:
        self.stages = stages
        self.number = {stage.compute: s for s, stage in enumerate(stages)}
        self.parent: dict[tuple[int, int], tuple[int, int]] = {}
        for s, stage in enumerate(stages):
            for axis in range(len(stage.compute.axes)):
                self.parent[s, axis] = (s, axis)
        self.edges = self._find_edges()
        for s, p, load in self.edges:
            variables = [a.var for a in stages[s].compute.axes]
            for axis, position in enumerate(load.index):
                if isinstance(position, LoopVar) and position in variables:
                    self._union((p, axis), (s, variables.index(position)))
        self._join_siblings()

    def _find_edges(self) -> list[tuple[int, int, Load]]:
        """(reader, producer, load) for every load between stages."""
        return [
            (s, self.number[load.tensor], load)
            for s, stage in enumerate(self.stages)
            for load in producers(stage.compute.body)
            if isinstance(load.tensor, Compute)
        ]

    def _find(self, item: tuple[int, int]) -> tuple[int, int]:
        while self.parent[item] != item:
            self.parent[item] = self.parent[self.parent[item]]
            item = self.parent[item]
        return item

    def _union(self, a: tuple[int, int], b: tuple[int, int]) -> None:
        self.parent[self._find(a)] = self._find(b)

    def _join_siblings(self) -> None:
        """Stages without a path between them run together when their shapes agree."""
        component = list(range(len(self.stages)))
        for s, p, _ in self.edges:
            old, new = component[p], component[s]
            component = [new if c == old else c for c in component]
        last = len(self.stages) - 1
        for s in range(last):
            if component[s] == component[last]:
                continue
            if self.stages[s].compute.shape == self.stages[last].compute.shape:
                old = component[s]
                component = [component[last] if c == old else c for c in component]
                for axis in range(len(self.stages[s].compute.axes)):
                    self._union((s, axis), (last, axis))

    def members(self, stage: int, axis: int) -> tuple[int, ...] | None:
        """The one axis of each stage in the group of (stage, axis), or None."""
        root = self._find((stage, axis))
        found: list[int] = []
        for s, other in enumerate(self.stages):
            axes = [a for a in range(len(other.compute.axes)) if self._find((s, a)) == root]
            if len(axes) != 1:
                return None
            found.append(axes[0])
        extents = [st.compute.axes[a].extent for st, a in zip(self.stages, found, strict=True)]
        return tuple(found) if all(e == extents[0] for e in extents) else None

    def consistent(self, members: tuple[int, ...]) -> bool:
        """Every load between stages stays in the same iteration of the shared loop."""
        return all(
            load.index[members[p]] == self.stages[s].compute.axes[members[s]].var
            for s, p, load in self.edges
        )


class _Emitter:
    """Writes the loops of a stage plan."""

    def __init__(self, plan: StagePlan) -> None:
        self.plan = plan
        self.scratch: dict[Tensor, tuple[Target, tuple[int, ...] | None]] = {}
        self.allocated: list[Buffer] = []
        self.read_later = {x.tensor for s in plan.stages for x in producers(s.compute.body)}

    def run(self) -> Stmt:
        last = self.plan.stages[-1].compute
        shared = self.plan.outer[-1]
        outer = [Axis(LoopVar(last.axes[a].var.hint), last.axes[a].extent) for a in shared]
        parts = [
            self._stage(n, stage, axes, outer)
            for n, (stage, axes) in enumerate(zip(self.plan.stages, self.plan.outer, strict=True))
        ]
        body = block(*parts)
        for buffer in reversed(self.allocated):
            body = Alloc(buffer, body)
        return nest(outer, "parallel", body)

    def _stage(
        self, number: int, stage: Stage, shared: tuple[int, ...], outer: Sequence[Axis]
    ) -> Stmt:
        compute = stage.compute
        inner = [a for n, a in enumerate(compute.axes) if n not in shared]
        values: dict[object, Dim] = {
            compute.axes[axis].var: loop.var for axis, loop in zip(shared, outer, strict=True)
        }
        fresh = [Axis(LoopVar(a.var.hint), a.extent) for a in inner if a.extent != 1]
        values |= {a.var: 0 for a in inner if a.extent == 1}
        looped = [a for a in inner if a.extent != 1]
        values |= {a.var: f.var for a, f in zip(looped, fresh, strict=True)}
        index = tuple(values[a.var] for a in compute.axes)
        targets: list[tuple[Buffer, tuple[Dim, ...]]] = [
            (t.buffer, t.index(index)) for t in stage.targets
        ]
        if stage.targets and (fresh or compute not in self.read_later):
            self.scratch[compute] = (stage.targets[0], None)
        else:
            kept = tuple(n for n, a in enumerate(compute.axes) if a in looped)
            scope = "local" if kept else "register"
            shape = tuple(a.extent for a in looped)
            buffer = Buffer(f"{compute.name}{number}", shape, compute.dtype, scope)
            self.allocated.append(buffer)
            self.scratch[compute] = (whole(buffer), kept)
            targets = [(buffer, tuple(f.var for f in fresh)), *targets]
        picked = picked_terms(compute)
        if picked is None:
            body = LoadRewriter(self._read, values)(compute.body)
            return nest(fresh, "parallel", element(targets, body, loop_ranges([*outer, *fresh])))
        along = values[compute.axes[picked.axis].var]
        assert isinstance(along, LoopVar)
        loops = Loops(
            targets,
            fresh,
            lambda terms: LoadRewriter(self._read, values | terms),
            lambda axes, expr: _Simplify(loop_ranges([*outer, *axes]))(expr),
        )
        return loops.write(picked, along)

    def _read(self, load: Load) -> Expr | None:
        entry = self.scratch.get(load.tensor)
        if entry is None:
            return None
        target, kept = entry
        index = load.index if kept is None else tuple(load.index[n] for n in kept)
        return Load(target.buffer, target.index(index))


def loop_ranges(axes: Sequence[Axis]) -> dict[object, tuple[int | None, int | None]]:
    """The interval of each loop variable."""
    result: dict[object, tuple[int | None, int | None]] = {}
    for axis in axes:
        _, high = dims.bounds(axis.extent)
        result[axis.var] = (0, None if high is None else max(high - 1, 0))
    return result


class _Simplify(ExprRewriter):
    """Simplifies indices by the intervals of the loops around."""

    def __init__(self, ranges: dict[object, tuple[int | None, int | None]]) -> None:
        super().__init__()
        self.ranges = ranges

    def dim(self, dim: Dim) -> Dim:
        if isinstance(dim, int):
            return dim
        return dims.simplify(super().dim(dim), self.ranges)


def element(
    targets: Sequence[tuple[Buffer, tuple[Dim, ...]]],
    body: Expr,
    ranges: dict[object, tuple[int | None, int | None]],
) -> Stmt:
    """Statements that compute `body` once and store it: reductions become accumulator loops."""
    collected: list[tuple[Buffer, Reduce]] = []
    value = _extract_reductions(body, collected)
    value = _Simplify(ranges)(value)
    stores = block(*(Store(b, index, value) for b, index in targets))
    if len(targets) > 1:
        (first, index), rest = targets[0], targets[1:]
        copies = [Store(b, i, Load(first, index)) for b, i in rest]
        stores = block(Store(first, index, value), *copies)
    parts = [_accumulate(buffer, node, ranges) for buffer, node in collected]
    result = block(*parts, stores)
    for buffer, _ in reversed(collected):
        result = Alloc(buffer, result)
    return result


def _extract_reductions(body: Expr, collected: list[tuple[Buffer, Reduce]]) -> Expr:
    """Replace each outermost reduction by a load of an accumulator."""

    class Extract(ExprRewriter):
        def leaf(self, expr: Expr) -> Expr | None:
            if not isinstance(expr, Reduce):
                return None
            kind = expr.dtype.accumulator
            accumulator = Buffer(f"acc{len(collected)}", (), kind, "register")
            collected.append((accumulator, expr))
            return cast(Load(accumulator, ()), expr.dtype)

    return Extract()(body)


def _accumulate(
    buffer: Buffer, node: Reduce, ranges: dict[object, tuple[int | None, int | None]]
) -> Stmt:
    inner_ranges = {**ranges, **loop_ranges(node.axes)}
    start = Store(buffer, (), neutral(node.kind, buffer.dtype))
    nested: list[tuple[Buffer, Reduce]] = []
    body = _extract_reductions(node.body, nested)
    value = _Simplify(inner_ranges)(body)
    if value.dtype != buffer.dtype:
        value = _widened(value, buffer.dtype)
    update: Stmt = Update(buffer, (), REDUCTIONS[node.kind], value)
    # What is the same for all terms is worked out once, or argmax would be quadratic.
    steady = [pair for pair in nested if not any(_depends(pair[1], a.var) for a in node.axes)]
    moving = [pair for pair in nested if pair not in steady]
    update = block(*(_accumulate(b, r, inner_ranges) for b, r in moving), update)
    for inner, _ in reversed(moving):
        update = Alloc(inner, update)
    before = [_accumulate(b, r, ranges) for b, r in steady]
    result = block(*before, start, nest(node.axes, "serial", update))
    for inner, _ in reversed(steady):
        result = Alloc(inner, result)
    return result


def _widened(value: Expr, kind: DType) -> Expr:
    """A value in the type of its accumulator; a product of narrow floats is exact there, and need
    not be rounded before."""
    if isinstance(value, Call) and value.function == "mul" and value.dtype.is_float:
        return Call("mul", tuple(cast(arg, kind) for arg in value.args), kind)
    return Cast(value, kind)


def _depends(node: Reduce, var: LoopVar) -> bool:
    """A term or an extent of a reduction moves with a loop around it."""
    return expr_uses(node, var) or any(
        uses(axis.extent, var) for e in walk(node) if isinstance(e, Reduce) for axis in e.axes
    )
