"""Compute values again instead of keeping them, until a program fits a memory budget.

Values that wait at the peak for a later step (activations that wait for the backward pass) are
dropped, except checkpoints; where a later step needs a dropped value, the steps that made it are
run again from the checkpoints, each at most once (Chen et al., "Training deep nets with sublinear
memory cost", 2016).  The kernels are the same ones, but for results that are not wanted again
(updated statistics of a batch normalisation), so what they compute does not change by a bit.

    a = f(x); b = g(a); ...; y = h(b', a)   ->   a = f(x); b = g(a); ...; a' = f(x); y = h(b', a')
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

from ..errors import MemoryPlanError
from ..ir.memory_report import memory_report
from ..ir.program import KernelStep, Program, ProgramBuffer, RepeatStep, Step
from ..kernel import dims
from ..kernel.dims import Dim, DimVar
from ..kernel.ir import Alloc, Block, For, If, Stmt, Store, Update
from ..kernel.transform.drop_outputs import drop_outputs
from .order_problem import SAMPLE, dims_at
from .order_steps import OrderSteps, eagerly, peak_of
from .plan_memory import PlanMemory

THRESHOLDS = 24
"""Spacings of checkpoints that are tried, in equal ratios."""

MOST_PLANNED = 3
"""Ways that are planned although their quick order does not fit."""

MOST_NAMED = 6
"""Values at the peak that are named where a budget cannot be met."""

GUESS = 16
"""Trips of a loop of which nothing is known."""


class Planning(Protocol):
    """A pass over programs that follows: ordering, placing."""

    def run(self, program: Program) -> Program: ...


@dataclass(frozen=True)
class Recompute:
    """See the module's text; the cheapest of the ways that fit the budget is taken.

    `planning` are the passes that follow: the budget holds for the arena that they plan, at open
    extents of `SAMPLE`.
    """

    budget: int
    alignment: int = 64
    planning: tuple[Planning, ...] = (OrderSteps(), PlanMemory())
    name: ClassVar[str] = "recompute"

    def run(self, program: Program) -> Program:
        """Raises: MemoryPlanError, telling what was reached, where the budget is too small."""
        best = self._planned(program)
        whole = _nbytes(best)
        if whole <= self.budget:
            return program
        program = eagerly(program, self.alignment)
        found: list[tuple[int, int, Program]] = []
        for waiting in self._choices(program):
            changed, cost = _Recomputing(program, waiting).run()
            changed = eagerly(changed, self.alignment)
            found.append((cost, peak_of(changed, self.alignment)[1], changed))
        for _, peak, changed in sorted(found, key=lambda item: item[:2]):
            # The peak of an order is a lower bound of its plan: only what may fit is planned.
            if peak <= self.budget and _nbytes(self._planned(changed)) <= self.budget:
                return changed
        # The order that follows is searched for, and may be better than the quick one here.
        for _, _, changed in sorted(found, key=lambda item: item[1::-1])[:MOST_PLANNED]:
            planned = self._planned(changed)
            if _nbytes(planned) <= self.budget:
                return changed
            best = min(best, planned, key=_nbytes)
        raise MemoryPlanError(
            f"program {program.name}: memory_budget={self.budget} bytes cannot be met by "
            f"computing values again: it needs {whole} bytes, and {_nbytes(best)} at the least\n"
            f"{_holders(best)}\n"
            f"  give memory_budget={_nbytes(best)} or more, or a smaller batch"
        )

    def _planned(self, program: Program) -> Program:
        for following in self.planning:
            program = following.run(program)
        assert program.plan is not None, "the last of the passes that follow plans the memory"
        return program

    def _choices(self, program: Program) -> list[tuple[int, frozenset[ProgramBuffer]]]:
        """(step, values to drop there): the waiting values but for checkpoints, spaced by bytes."""
        peak_step, _ = peak_of(program, self.alignment)
        waiting = _waiting(program, peak_step)
        if not waiting:
            return []
        sizes = {b: dims_at(b.type.nbytes) for b in waiting}
        whole, least = sum(sizes.values()), max(1, min(sizes.values()))
        groups = _by_writer(program, waiting)
        early = {b.root for step in program.steps[: peak_step + 1] for b in step.reads}
        dropped: dict[frozenset[ProgramBuffer], None] = {}
        for n in range(THRESHOLDS + 1):
            spacing = least * (2 * whole / least) ** (n / THRESHOLDS)
            kept: list[ProgramBuffer] = []
            since = 0
            for group in groups:
                since += sum(sizes[b] for b in group)
                if since > spacing:
                    since = 0
                    kept += group
            dropped[frozenset(waiting) - frozenset(kept)] = None
            # To start again from a checkpoint, only what the forward pass reads of it is needed.
            dropped[frozenset(waiting) - (frozenset(kept) & early)] = None
        cheap = [b for b in waiting if _iterations(_writer(program, b)) <= _elements(b)]
        dropped[frozenset(cheap)] = None
        return [(peak_step, choice) for choice in dropped if choice]


def _nbytes(program: Program) -> int:
    assert program.plan is not None
    return dims_at(program.plan.nbytes)


def _holders(program: Program) -> str:
    """The values that a planned program has at its peak, the widest first, for people."""
    report = memory_report(program, {v.name: SAMPLE for v in program.dims})
    place = f", declared at {report.peak_origin}" if report.peak_origin else ""
    lines = [f"  then alive in step {report.peak_step} ({report.peak_label}{place}):"]
    for tensor in report.at_peak[:MOST_NAMED]:
        origin = f", declared at {tensor.origin}" if tensor.origin else ""
        lines.append(f"    {tensor.name}: {tensor.type}, {tensor.nbytes} bytes{origin}")
    rest = report.at_peak[MOST_NAMED:]
    if rest:
        lines.append(f"    and {len(rest)} more of {sum(t.nbytes for t in rest)} bytes")
    return "\n".join(lines)


def _by_writer(program: Program, buffers: Sequence[ProgramBuffer]) -> list[list[ProgramBuffer]]:
    """The values that one step makes together, in order."""
    chosen = set(buffers)
    groups = [[b for b in dict.fromkeys(w.root for w in s.writes) if b in chosen]
              for s in program.steps]  # fmt: skip
    return [g for g in groups if g]


def _writer(program: Program, buffer: ProgramBuffer) -> KernelStep:
    found = [s for s in program.steps if any(b.root is buffer for b in s.writes)]
    assert len(found) == 1 and isinstance(found[0], KernelStep)
    return found[0]


def _elements(buffer: ProgramBuffer) -> int:
    total = 1
    for extent in buffer.type.shape or ():
        total *= dims_at(extent)
    return 2 * total


def _waiting(program: Program, peak_step: int) -> list[ProgramBuffer]:
    """Arena values written before the peak and read after it, in order, that kernels can make
    again: each from one step that writes all of it."""
    writers: dict[ProgramBuffer, list[Step]] = {}
    read_late: set[ProgramBuffer] = set()
    for number, step in enumerate(program.steps):
        for buffer in step.writes:
            writers.setdefault(buffer.root, []).append(step)
        if number > peak_step:
            read_late.update(b.root for b in step.reads)
    found: dict[ProgramBuffer, None] = {}
    for step in program.steps[: peak_step + 1]:
        if not isinstance(step, KernelStep):
            continue
        for buffer in step.writes:
            root = buffer.root
            if root in read_late and root.place == "arena" and _repeatable(step, {root}, writers):
                found[root] = None
    return list(found)


def _repeatable(
    step: Step, wanted: Collection[ProgramBuffer], writers: Mapping[ProgramBuffer, Sequence[Step]]
) -> KernelStep | None:
    """The step as it runs again, for some of what it writes; None where it cannot."""
    if not isinstance(step, KernelStep):
        return None
    if any(len(writers[b]) != 1 or b.place != "arena" for b in wanted):
        return None
    if all(b.root in wanted for b in step.writes):
        return step
    if step.fixed or step.windows:
        return None
    narrow = _narrowed(step, wanted)
    if any(len(writers[b.root]) != 1 or b.root.place != "arena" for b in narrow.writes):
        return None
    return narrow


def _narrowed(step: KernelStep, wanted: Collection[ProgramBuffer]) -> KernelStep:
    """The step without what it writes besides, as far as that can be left out."""
    kernel, places = step.kernel, dict(zip(step.kernel.params, step.arguments, strict=True))
    narrow = drop_outputs(kernel, [b for b in kernel.outputs if places[b].root not in wanted])
    kept = [(s, t) for s, t in step.in_place
            if kernel.params[s] in narrow.params and kernel.params[t] in narrow.params]  # fmt: skip
    number = {b: n for n, b in enumerate(narrow.params)}
    return replace(
        step,
        kernel=narrow,
        arguments=tuple(places[b] for b in narrow.params),
        in_place=tuple((number[kernel.params[s]], number[kernel.params[t]]) for s, t in kept),
    )


def _iterations(step: KernelStep) -> int:
    """Statements that a kernel runs, a measure of its cost."""
    return _count(step.kernel.body)


def _count(stmt: Stmt) -> int:
    match stmt:
        case Block(stmts=stmts):
            return sum(_count(s) for s in stmts)
        case For(extent=extent, body=body):
            return _trips(extent) * _count(body)
        case Alloc(body=body):
            return _count(body)
        case If(then=then, otherwise=otherwise):
            return _count(then) + (0 if otherwise is None else _count(otherwise))
        case Store() | Update():
            return 1
        case _:
            return 0


def _trips(extent: Dim) -> int:
    """The trips of a loop; where they depend on a loop around it, the most there are."""
    if all(a.children() or isinstance(a, DimVar) for a in dims.atoms(extent)):
        return dims_at(extent)
    _, high = dims.bounds(extent)
    return GUESS if high is None else high


class _Recomputing:
    """Rewrites the steps behind the peak to read values that are made again."""

    def __init__(self, program: Program, choice: tuple[int, frozenset[ProgramBuffer]]) -> None:
        self.program = program
        self.peak_step, self.dropped = choice
        self.writer: dict[ProgramBuffer, int] = {}
        self.writers: dict[ProgramBuffer, list[Step]] = {}
        for number, step in enumerate(program.steps):
            for buffer in step.writes:
                self.writer.setdefault(buffer.root, number)
                self.writers.setdefault(buffer.root, []).append(step)
        self.again: dict[ProgramBuffer, ProgramBuffer] = {}
        self.views: dict[ProgramBuffer, ProgramBuffer] = {}
        inputs = {p.name: p.buffer.root for p in program.inputs}
        self.place = {p.buffer.root: inputs[p.updates] for p in program.outputs if p.updates}
        self.overwritten: set[ProgramBuffer] = set()
        self.last_read: dict[ProgramBuffer, int] = {}
        for number, step in enumerate(program.steps):
            for buffer in step.reads:
                self.last_read[buffer.root] = number
        self.steps: list[Step] = []
        self.cost = 0

    def run(self) -> tuple[Program, int]:
        """The changed program, and how many statements run again."""
        for number, step in enumerate(self.program.steps):
            if number > self.peak_step:
                for buffer in step.reads:
                    self._make(buffer.root)
                step = self._reading(step)
            self.steps.append(step)
            for buffer in step.writes:
                if buffer.root in self.place:
                    self.overwritten.add(self.place[buffer.root])
        return self.program.with_(steps=self._without_unread()), self.cost

    def _without_unread(self) -> tuple[Step, ...]:
        """What is made again before it is read at all is not made the first time."""
        read = {b.root for step in self.steps for b in step.reads}
        found: list[Step] = []
        for step in self.steps:
            if isinstance(step, KernelStep) and not (step.fixed or step.windows):
                kept = [b.root for b in step.writes if b.root in read or b.root.place != "arena"]
                step = _narrowed(step, kept) if 0 < len(kept) < len(step.writes) else step
            found.append(step)
        return tuple(found)

    def _make(self, wanted: ProgramBuffer) -> None:
        """Append the steps that make a dropped value again, those it needs first."""
        if wanted not in self.dropped or wanted in self.again:
            return
        needed: dict[int, set[ProgramBuffer]] = {}
        stack = [wanted]
        while stack:
            root = stack.pop()
            number = self.writer[root]
            if root in self.again or root in needed.get(number, ()):
                continue
            results = needed.setdefault(number, self._dropped_by(number))
            results.add(root)
            step = _repeatable(self.program.steps[number], results, self.writers)
            if step is None:
                return
            stack += [b.root for b in self._lost(step)]
        steps = [
            _repeatable(self.program.steps[n], needed[n], self.writers) for n in sorted(needed)
        ]
        for step in steps:
            if step is None or any(b.root in self.overwritten for b in step.reads):
                return
        for step in filter(None, steps):
            for buffer in step.writes:
                name = f"{buffer.name}_again"
                self.again[buffer.root] = replace(buffer.root, name=name)
            self.cost += _iterations(step)
            self.steps.append(self._reading(step))

    def _dropped_by(self, number: int) -> set[ProgramBuffer]:
        """What a step writes that is to be dropped: it is all made again at once."""
        roots = {b.root for b in self.program.steps[number].writes}
        return {b for b in roots if b in self.dropped and b not in self.again}

    def _lost(self, step: Step) -> list[ProgramBuffer]:
        """What a step reads that is not alive any more once the peak is over."""
        return [
            b
            for b in step.reads
            if b.root.place == "arena"
            and (b.root in self.dropped or self.last_read[b.root] <= self.peak_step)
        ]

    def _reading(self, step: Step) -> Step:
        if isinstance(step, KernelStep):
            return replace(step, arguments=tuple(self._new(b) for b in step.arguments))
        if isinstance(step, RepeatStep):
            return replace(step, steps=tuple(self._reading(s) for s in step.steps))
        return replace(step, reads=tuple(self._new(b) for b in step.reads))

    def _new(self, buffer: ProgramBuffer) -> ProgramBuffer:
        """The buffer, or what stands for it now; views follow what they are views of."""
        if buffer.root not in self.again:
            return buffer
        if buffer.view_of is None:
            return self.again[buffer]
        if buffer not in self.views:
            self.views[buffer] = replace(
                buffer, name=f"{buffer.name}_again", view_of=self._new(buffer.view_of)
            )
        return self.views[buffer]
