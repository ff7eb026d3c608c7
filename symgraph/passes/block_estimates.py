"""What it takes to run kernels one after the other, and as one over blocks: time and memory.

Traffic that stays in the nearer caches against what overlapping blocks compute twice and operands
that every block reads.  Nothing is timed: the rates are those of `kernel/rates.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from ..ir.program import KernelStep, ProgramBuffer, RepeatStep, Step
from ..kernel import dims
from ..kernel.blocks.chain import Chain
from ..kernel.blocks.cut import Cut
from ..kernel.blocks.region import Region
from ..kernel.blocks.work import Blocks
from ..kernel.dims import Dim, LoopVar
from ..kernel.functions import FUNCTIONS
from ..kernel.inlining import compared_index
from ..kernel.ir import (
    Alloc,
    Block,
    Buffer,
    Call,
    Expr,
    For,
    If,
    Kernel,
    Select,
    Stmt,
    Store,
    Update,
)  # fmt: skip
from ..kernel.printer import text_without_names
from ..kernel.rates import Rates
from ..kernel.rewrite import walk

MOST_SCRATCH = 1024 * 1024
"""Bytes of intermediates of one block: they should stay in a core's own cache."""

PEAK_SCRATCH = 2 * MOST_SCRATCH
"""The same of blocks that lower the peak."""

LEAST_BLOCKS = 6
"""Blocks to share among threads."""

NARROW = 1.25
"""What a product costs whose blocks are one vector of channels wide: operands of each row are then
read for one multiplication only."""

FEW_ROWS = 1.0
"""What it costs, against a product, that a block has one row of it only: the n-th part of n."""

MOST_AGAIN = 6.0
"""How many times as much overlapping blocks may compute of one kernel."""

MEMORY_VALUE = 0.2
"""Cycles that one byte of memory less is worth: about as many as passing over it once more."""

HELD_VALUE = 4 * MEMORY_VALUE
"""The same of what each of several threads keeps, where blocks may as well be smaller."""

PEAK_EXPONENT = 0.08
"""One percent of memory is worth so many percent of time: a peak is the size of the arena, while
memory beside the peak is only traffic."""

OPEN_EXTENT = 8
"""What an open extent counts as."""


@dataclass(frozen=True, slots=True)
class Cost:
    """A program's estimated time, and its bytes at the peak, at least those of inputs and outputs:
    the first bytes of an arena are not the most dear."""

    cycles: float
    nbytes: int

    @property
    def weighed(self) -> float:
        """What counts: the logarithm of time, and a part of that of memory."""
        return math.log(max(1.0, self.cycles)) + PEAK_EXPONENT * math.log(max(1, self.nbytes))

    @property
    def byte_value(self) -> float:
        """The cycles that one byte less at the peak is worth."""
        return PEAK_EXPONENT * self.cycles / max(1, self.nbytes)


@dataclass(frozen=True, slots=True)
class BlockChoice:
    """Sizes of blocks, by the position of the loop.

    cycles   the estimated time, less what the memory is worth that is saved
    time     the estimated time
    whole    the bytes of each intermediate
    kept     the bytes of intermediates that a block keeps
    near     those of operands that the inner blocks read again and again
    """

    cycles: float
    time: float
    whole: tuple[int, ...]
    kept: int
    sizes: tuple[tuple[int, int], ...]
    near: int = 0

    def at_peak(self, worth: Sequence[float]) -> float:
        """The cycles where a byte of each intermediate is worth so much."""
        if not any(worth):
            return self.cycles
        more = sum(max(0.0, w - MEMORY_VALUE) * n for w, n in zip(worth, self.whole, strict=True))
        return self.cycles - more + max(worth) * self.kept


class Estimates:
    """Estimates for one machine; equal kernels are looked at once."""

    def __init__(self, rates: Rates) -> None:
        self.rates = rates
        self.texts: dict[Kernel, str] = {}
        self.work: dict[Kernel, float] = {}

    def of_steps(self, steps: Sequence[Step]) -> float:
        """The cycles of steps one after the other, calls aside."""
        total = 0.0
        for step in steps:
            if isinstance(step, KernelStep):
                total += self.cycles(step)
            elif isinstance(step, RepeatStep):
                total += weigh(step.count) * self.of_steps(step.steps)
        return total

    def text(self, kernel: Kernel) -> str:
        if kernel not in self.texts:
            self.texts[kernel] = text_without_names(kernel)
        return self.texts[kernel]

    def _work(self, kernel: Kernel) -> float:
        if kernel not in self.work:
            self.work[kernel] = _operations(kernel.body) / self.rates.flops
        return self.work[kernel]

    def cycles(self, step: KernelStep) -> float:
        """The estimated time of a kernel alone."""
        traffic = sum(self._once(b, 0) for b in dict.fromkeys(step.arguments))
        return self.rates.step + self._work(step.kernel) + traffic

    def of_blocks(
        self,
        steps: Sequence[KernelStep],
        sizes: Mapping[LoopVar, int],
        blocks: Blocks,
    ) -> BlockChoice | None:
        """The estimate of the steps as one kernel; None where a limit is broken."""
        chain = blocks.chain
        count, shared = counts(chain, sizes)
        pairs = list(zip(chain.links, blocks.regions, strict=True))
        kept = [_kept(made, region) for (made, _), region in pairs]
        whole = [weigh(made.nbytes) for made, _ in chain.links]
        again = [count * k / max(1, w) for k, w in zip(kept, whole, strict=True)]
        held = sum(n for n, own in zip(kept, blocks.own(), strict=True) if own)
        if held > PEAK_SCRATCH or shared < LEAST_BLOCKS or max(again) > MOST_AGAIN:
            return None
        inner = {b for link in chain.links for b in link}
        beside = _near_operands(steps, blocks, held)
        near = self.rates.bytes_per_cycle(held + beside)
        total, saved = self.rates.step, MEMORY_VALUE * sum(whole)
        for number, (step, moving) in enumerate(zip(steps, blocks.moving(), strict=True)):
            more = again[number] if number < len(kept) else 1.0
            work = more * self._work(step.kernel)
            total += work * (NARROW if self._is_narrow(step, blocks, moving, held) else 1.0)
            total += sum(count * k / near for k in kept[max(0, number - 1) : number + 1])
            for parameter, buffer in zip(step.kernel.params, step.arguments, strict=True):
                if parameter not in inner:
                    cuts = moving.get(parameter, blocks.cuts)
                    total += self._once(buffer, held)
                    total += self._again(buffer, blocks, cuts, more, held, work)
        uneven = -(-shared // 2) * 2 / shared  # as two threads wait for the last block
        places = tuple((n, sizes[x.var]) for n, x in enumerate(chain.loops) if x.var in sizes)
        time = total * uneven
        saved *= uneven
        return BlockChoice(time - saved, time, tuple(whole), held, places, beside)

    def _again(
        self,
        buffer: ProgramBuffer,
        blocks: Blocks,
        moving: Sequence[Cut],
        more: float,
        held: int,
        work: float,
    ) -> float:
        """What it costs that blocks read an operand again.

        One that stays near they read while they multiply; but rows that a block has few of share
        less of what is loaded.
        """
        if _stays_near(buffer, blocks, moving, held):
            return work * FEW_ROWS / prod(c.size for c in blocks.cuts if c not in moving)
        nbytes, times = weigh(buffer.type.nbytes), weigh(_rounds(blocks, moving))
        return (times * more - 1) * nbytes / self.rates.bytes_per_cycle(nbytes + held)

    @staticmethod
    def _is_narrow(
        step: KernelStep, blocks: Blocks, moving: Mapping[Buffer, Sequence[Cut]], held: int
    ) -> bool:
        """Blocks cut the columns of a product to one: all of them read the same rows."""
        if all(cut.size != 1 for cut in blocks.cuts):
            return False
        pairs = zip(step.kernel.params, step.arguments, strict=True)
        found = ((b, moving.get(p, blocks.cuts)) for p, b in pairs if b.root.place != "constant")
        return any(
            weigh(_rounds(blocks, cuts)) > 1 and not _stays_near(b, blocks, cuts, held)
            for b, cuts in found
        )

    def _once(self, buffer: ProgramBuffer, beside: int) -> float:
        """The traffic of an operand that is read or written once; a constant comes from memory."""
        nbytes = weigh(buffer.type.nbytes)
        if buffer.root.place == "constant":
            return nbytes / self.rates.memory
        return nbytes / self.rates.bytes_per_cycle(nbytes + beside)


def counts(chain: Chain, sizes: Mapping[LoopVar, int]) -> tuple[float, int]:
    """How many blocks there are, and how many of them threads may share."""
    count, shared = 1.0, 1
    for loop in chain.loops:
        size = sizes.get(loop.var)
        if size is None:
            continue
        count *= weigh(loop.extent) / size
        if isinstance(loop.extent, int):
            shared *= -(-loop.extent // size)
        elif size > 1:
            shared *= LEAST_BLOCKS  # where there are many rows, there are enough blocks of them
    return count, shared


def _near_operands(steps: Sequence[KernelStep], blocks: Blocks, held: int) -> int:
    """Bytes of operands that the inner blocks read again and again."""
    total = 0
    for step, moving in zip(steps, blocks.moving(), strict=True):
        for parameter, buffer in zip(step.kernel.params, step.arguments, strict=True):
            cuts = moving.get(parameter, blocks.cuts)
            if _stays_near(buffer, blocks, cuts, held):
                total += _part(buffer, cuts)
    return total


def _part(buffer: ProgramBuffer, moving: Sequence[Cut]) -> int:
    """Bytes of an operand that one block reads."""
    parts = weigh(dims.product([cut.count for cut in moving]))
    return weigh(buffer.type.nbytes) // max(1, parts)


def _stays_near(buffer: ProgramBuffer, blocks: Blocks, moving: Sequence[Cut], held: int) -> bool:
    """The inner blocks read one part of an operand, which stays in a core's own cache."""
    still = tuple(cut for cut in blocks.cuts if cut not in moving)
    if not moving or not still or blocks.cuts[len(moving) :] != still:
        return False
    return buffer.root.place != "constant" and _part(buffer, moving) + held <= MOST_SCRATCH


def with_memory(choices: Sequence[BlockChoice]) -> tuple[BlockChoice, ...]:
    """The choices of one chain; where its operands stay near, and small blocks are about as good as
    large ones, with what each of several threads keeps counted."""
    if not any(choice.near for choice in choices):
        return tuple(choices)
    return tuple(replace(c, cycles=c.cycles + HELD_VALUE * c.kept) for c in choices)


def _rounds(blocks: Blocks, moving: Sequence[Cut]) -> Dim:
    """How many times blocks read the same part of an operand."""
    return dims.product([cut.count for cut in blocks.cuts if cut not in moving])


def _kept(buffer: Buffer, region: Region) -> int:
    return weigh(dims.mul(dims.product(list(region.shape)), buffer.dtype.nbytes))


def weigh(dim: Dim) -> int:
    """An integer expression with open extents weighed."""
    if isinstance(dim, int):
        return dim
    return int(dims.evaluate(dim, dict.fromkeys(dims.dim_vars(dim), OPEN_EXTENT)))


def _operations(stmt: Stmt) -> float:
    """About how many operations a statement takes, open extents weighed."""
    match stmt:
        case Block(stmts=stmts):
            return sum(_operations(s) for s in stmts)
        case For(extent=extent, body=body):
            return _trips(extent) * _operations(body)
        case Alloc(body=body):
            return _operations(body)
        case If(then=then, otherwise=otherwise):
            return max(_operations(then), 0.0 if otherwise is None else _operations(otherwise))
        case Store(value=value) | Update(value=value):
            return 1.0 + _calls(value)
        case _:
            return 0.0


def _trips(extent: Dim) -> float:
    atoms = set(dims.atoms(extent))
    return float(weigh(extent)) if atoms == set(dims.dim_vars(extent)) else float(OPEN_EXTENT)


def _calls(expr: Expr) -> float:
    """The operations of an expression; what is chosen among is computed once for all choices."""
    total, choices = 0, 1
    for e in walk(expr):
        if isinstance(e, Select) and compared_index(e.condition) is not None:
            choices += 1
        elif isinstance(e, Call):
            total += FUNCTIONS[e.function].flops
    return total / choices
