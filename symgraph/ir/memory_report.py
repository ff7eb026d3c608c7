"""What a memory plan costs at given extents, why, and what would lower it.

Reads a planned program and nothing else; the same data as text, as JSON and as attributes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import InputError, MemoryPlanError
from ..kernel import dims
from ..kernel.dims import Dim, DimVar
from .live_ranges import Segment, live_segments
from .program import MemoryPlan, Program, ProgramBuffer

ALIGNMENT = 64


@dataclass(frozen=True, slots=True)
class LiveTensor:
    """A tensor in the arena: the user's name and line, its bytes, and the steps it lives in.

    `part_of` names the tensor whose part it is, as what is joined into another; `made_by` is the
    step that writes it first.
    """

    name: str
    origin: str
    type: str
    offset: int
    nbytes: int
    first: int
    last: int
    over: str = ""
    """The tensor that it is written over, at its first step."""
    part_of: str = ""
    made_by: str = ""

    def title(self, tensors: Sequence[LiveTensor]) -> str:
        """Its name, or what makes it where passes gave several tensors the same name."""
        alone = sum(t.name == self.name for t in tensors) == 1
        return self.name if alone or not self.made_by else self.made_by


@dataclass(frozen=True, slots=True)
class MemoryReport:
    """A plan at fixed extents.

    `planned` is the arena; `lower_bound` the most bytes alive in one step, which no plan can beat;
    `naive` the sum of all tensors; `proved` that planned is the least possible.  `scratch` is what
    kernels need beside the arena while they run, all threads together.  `excess` is how far a plan
    for all extents is above one for a single size at the worst of the sizes tried (0.01: 1 %).
    """

    program: str
    extents: Mapping[str, int]
    planned: int
    lower_bound: int
    naive: int
    proved: bool
    method: str
    formula: str
    excess: float
    scratch: int
    inputs: int
    outputs: int
    constants: int
    peak_step: int
    peak_label: str
    peak_origin: str
    steps: int
    tensors: tuple[LiveTensor, ...]
    at_peak: tuple[LiveTensor, ...]
    advice: tuple[str, ...]

    @property
    def ratio(self) -> float:
        """Planned over lower bound: 1.0 is perfect."""
        return self.planned / self.lower_bound if self.lower_bound else 1.0

    @property
    def data(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {**asdict(self), "ratio": self.ratio}

    def to_json(self) -> str:
        """Everything as JSON text."""
        return json.dumps(self.data, indent=1, default=str)

    def __str__(self) -> str:
        return _text(self)


def memory_report(
    program: Program, extents: Mapping[str, int] | None = None, scratch: int = 0
) -> MemoryReport:
    """The plan of a program; open extents not given are those the plan was chosen by.

    Raises: InputError for an extent that the program does not have; MemoryPlanError without a plan.
    """
    plan = program.plan
    if plan is None:
        raise MemoryPlanError(f"program {program.name} has no memory plan")
    env = _extents(program, plan, extents or {})
    segments = live_segments(program)
    tensors, _ = live_tensors(program, {v.name: n for v, n in env.items()})
    alive = _alive(program, tensors, plan, env)
    bound = max(alive, default=0)
    step = alive.index(bound) if alive else 0
    touched = _touched(program, segments, env)
    used = {tensors[n] for n in touched[step]} if touched else set()
    at_peak = sorted(
        (t for t in tensors if t.first <= step <= t.last), key=lambda t: (-t.nbytes, t.offset)
    )
    planned = _value(plan.nbytes, env)
    here = program.timeline[step] if program.timeline else None
    label, origin = ("", "") if here is None else (here.label, here.origin)
    return MemoryReport(
        program.name,
        {v.name: n for v, n in env.items()},
        planned,
        bound,
        sum(_granules(t) for t in tensors),
        planned == bound or (plan.proved and env == _extents(program, plan, {})),
        plan.method,
        str(plan.nbytes),
        plan.excess,
        scratch,
        sum(_value(p.type.nbytes, env) for p in program.inputs),
        sum(_value(p.type.nbytes, env) for p in program.outputs if not p.updates),
        sum(c.array.nbytes for c in program.constants),
        step,
        label,
        origin,
        len(program.timeline),
        tensors,
        tuple(at_peak),
        _advice(at_peak, used, step, planned, bound, _without_waiting(tensors, touched, alive)),
    )


def _extents(program: Program, plan: MemoryPlan, given: Mapping[str, int]) -> dict[DimVar, int]:
    names = {v.name for v in program.dims}
    for name, size in given.items():
        if name not in names:
            known = ", ".join(sorted(names)) or "none"
            raise InputError(f"memory report: there is no open extent {name!r}; there is {known}")
        if size < 0:
            raise InputError(f"memory report: extent {name} must not be negative, got {size}")
    sample = dict(plan.sample)
    return {DimVar(n): given.get(n, sample.get(n, 1)) for n in sorted(names)}


def _value(dim: Dim, env: Mapping[DimVar, int]) -> int:
    return int(dims.evaluate(dim, dict(env)))


def _aligned(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


def _granules(tensor: LiveTensor) -> int:
    """Its share of the arena; the parts of a tensor together have as much as the whole."""
    return _aligned(tensor.offset + tensor.nbytes) - _aligned(tensor.offset)


def live_tensors(
    program: Program, extents: Mapping[str, int]
) -> tuple[tuple[LiveTensor, ...], tuple[tuple[int, int], ...]]:
    """What lies in the arena, in order of first use, and which of it is written over which: pairs
    of numbers (input, output).

    Raises: MemoryPlanError without a plan; KeyError where an extent is missing.
    """
    plan = program.plan
    if plan is None:
        raise MemoryPlanError(f"program {program.name} has no memory plan")
    env = {DimVar(name): size for name, size in extents.items()}
    segments = live_segments(program)
    over = _written_over(plan, segments, env)
    sources = {target: source for source, target in over}
    tensors = []
    for number, segment in enumerate(segments):
        buffer, root = segment.buffer, segment.root
        below = segments[sources[number]].buffer if number in sources else None
        start = _value(dims.add(plan.offset_of(root), segment.low), env)
        tensors.append(
            LiveTensor(
                _name(buffer), buffer.origin, str(buffer.type), start, _value(segment.nbytes, env),
                segment.first, segment.end - 1, "" if below is None else _name(below),
                "" if buffer is root or _name(buffer) == _name(root) else _name(root),
                program.timeline[segment.first].label,
            )
        )  # fmt: skip
    return tuple(tensors), over


def _name(buffer: ProgramBuffer) -> str:
    return buffer.source or buffer.name


def _written_over(
    plan: MemoryPlan, segments: Sequence[Segment], env: Mapping[DimVar, int]
) -> tuple[tuple[int, int], ...]:
    """The segments behind the pairs of the plan that share their bytes."""
    found = []
    for source, target in plan.shared:
        olds = _inside(source, segments, env)
        for new in _inside(target, segments, env):
            found += [(old, new) for old in olds]
    return tuple(found)


def _inside(
    buffer: ProgramBuffer, segments: Sequence[Segment], env: Mapping[DimVar, int]
) -> list[int]:
    low, high = _value(buffer.start, env), _value(buffer.end, env)
    return [
        n
        for n, s in enumerate(segments)
        if s.root is buffer.root and _value(s.low, env) < high and low < _value(s.high, env)
    ]


def _alive(
    program: Program,
    tensors: tuple[LiveTensor, ...],
    plan: MemoryPlan,
    env: Mapping[DimVar, int],
) -> list[int]:
    """Bytes alive in each step; a tensor written over another one counts from the next step."""
    change = [0] * (len(program.timeline) + 1)
    for tensor in tensors:
        size = _granules(tensor)
        change[tensor.first + bool(tensor.over)] += size
        change[tensor.last + 1] -= size
    alive, total = [], 0
    for step in range(len(program.timeline)):
        total += change[step]
        alive.append(total)
    return alive


def _without_waiting(
    tensors: Sequence[LiveTensor], touched: Sequence[Set[int]], alive: Sequence[int]
) -> int:
    """The most bytes alive in a step if none were held for later steps only."""
    waiting = [0] * len(alive)
    for number, tensor in enumerate(tensors):
        for step in range(tensor.first + 1, tensor.last):
            if number not in touched[step]:
                waiting[step] += _granules(tensor)
    return max((a - w for a, w in zip(alive, waiting, strict=True)), default=0)


def _advice(
    at_peak: list[LiveTensor],
    touched: Set[LiveTensor],
    step: int,
    planned: int,
    bound: int,
    least: int,
) -> tuple[str, ...]:
    """What the numbers say would lower the peak; `least` is what it is without what waits."""
    if not at_peak:
        return ()
    found = []
    if planned > bound:
        found.append(
            f"the plan is {planned - bound:,} bytes ({planned / bound - 1:.1%}) above the lower "
            f"bound: fixed extents (shapes=) or more planning_effort allow a tighter search"
        )
    waiting = [t for t in at_peak if t.first < step < t.last and t not in touched]
    if waiting and least < bound:
        held = sum(t.nbytes for t in waiting)
        names = ", ".join(t.name for t in waiting[:3]) + (", ..." if len(waiting) > 3 else "")
        found.append(
            f"{held:,} bytes only wait for a later step ({names}): made again there (as "
            f"memory_budget= has it done in training) or used earlier, they would leave a peak of "
            f"{least:,} bytes at best"
        )
    used = [t for t in at_peak if t in touched]
    if used:
        largest = used[0]
        found.append(
            f"step {step} itself needs {largest.name} ({largest.nbytes:,} bytes): a smaller batch, "
            f"a narrower dtype, or a fusion with its neighbour would lower it"
        )
    return tuple(found)


def _touched(
    program: Program, segments: Sequence[Segment], env: Mapping[DimVar, int]
) -> list[set[int]]:
    """For each step the numbers of the segments that it uses bytes of."""
    places: dict[ProgramBuffer, list[tuple[int, int, int]]] = {}
    for number, segment in enumerate(segments):
        low, high = _value(segment.low, env), _value(segment.high, env)
        places.setdefault(segment.root, []).append((low, high, number))
    found = []
    for step in program.timeline:
        used: set[int] = set()
        for buffer in step.arguments:
            rows = places.get(buffer.root, ())
            low, high = (_value(buffer.start, env), _value(buffer.end, env)) if rows else (0, 0)
            used.update(number for start, end, number in rows if start < high and low < end)
        found.append(used)
    return found


def _text(report: MemoryReport) -> str:
    sizes = ", ".join(f"{n}={size}" for n, size in report.extents.items())
    proof = "proved minimal" if report.proved else "not proved minimal"
    lines = [
        f"{report.program}: {report.steps} steps, {len(report.tensors)} tensors in the arena"
        + (f", at {sizes}" if sizes else ""),
        f"  planned      {report.planned:>16,} bytes  ({proof}; {report.method})",
        f"  lower bound  {report.lower_bound:>16,} bytes  (ratio {report.ratio:.4f})",
        f"  naive        {report.naive:>16,} bytes  (every tensor by itself)",
        f"  scratch      {report.scratch:>16,} bytes  (of kernels, all threads)",
        f"  outside      {report.inputs + report.outputs + report.constants:>16,} bytes  "
        f"(inputs {report.inputs:,}, outputs {report.outputs:,}, constants {report.constants:,})",
    ]
    if sizes:
        above = f"at most {report.excess:.1%} above" if report.excess else "no larger than"
        lines.append(f"  for all extents: {report.formula}")
        lines.append(f"  {above} a plan for one size, at every size tried")
    if report.at_peak:
        place = f" ({report.peak_origin})" if report.peak_origin else ""
        lines += ["", f"alive at the peak, step {report.peak_step} {report.peak_label}{place}:"]
    width = max((len(t.name) for t in report.at_peak), default=0)
    for t in report.at_peak:
        note = f"  over {t.over}" if t.over and t.first == report.peak_step else ""
        note += f"  part of {t.part_of}" if t.part_of else ""
        note += f"  by {t.made_by}" if t.made_by != t.name else ""
        lines.append(
            f"  {t.name:<{width}}  {t.nbytes:>14,}  {t.type}  steps {t.first}..{t.last}"
            f"  {t.origin}{note}"
        )
    if report.advice:
        lines += ["", "what would lower it:", *(f"  - {a}" for a in report.advice)]
    return "\n".join(lines) + "\n"
