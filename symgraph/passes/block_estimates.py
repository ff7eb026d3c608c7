"""What it takes to run kernels one after the other, and as one over blocks: time and memory.

Traffic that stays in the nearer caches against what overlapping blocks compute twice and operands
that every block reads.  Nothing is timed: the rates are those of `kernel/rates.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..ir.program import KernelStep, ProgramBuffer, RepeatStep, Step
from ..kernel import dims
from ..kernel.blocks import Blocks, Chain, Region
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

MOST_AGAIN = 6.0
"""How many times as much overlapping blocks may compute of one kernel."""

MEMORY_VALUE = 0.2
"""Cycles that one byte of memory less is worth: about as many as passing over it once more."""

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
    """

    cycles: float
    time: float
    whole: tuple[int, ...]
    kept: int
    sizes: tuple[tuple[int, int], ...]

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
        chain: Chain,
        sizes: Mapping[LoopVar, int],
        blocks: Blocks,
    ) -> BlockChoice | None:
        """The estimate of the steps as one kernel; None where a limit is broken."""
        count, shared = counts(chain, sizes)
        pairs = list(zip(chain.links, blocks.regions, strict=True))
        kept = [_kept(made, region) for (made, _), region in pairs]
        whole = [weigh(made.nbytes) for made, _ in chain.links]
        again = [count * k / max(1, w) for k, w in zip(kept, whole, strict=True)]
        held = sum(n for n, own in zip(kept, blocks.own(), strict=True) if own)
        if held > PEAK_SCRATCH or shared < LEAST_BLOCKS or max(again) > MOST_AGAIN:
            return None
        inner = {b for link in chain.links for b in link}
        near = self.rates.bytes_per_cycle(held)
        total, saved = self.rates.step, MEMORY_VALUE * sum(whole)
        for number, (step, rounds) in enumerate(zip(steps, blocks.rounds(), strict=True)):
            more = again[number] if number < len(kept) else 1.0
            narrow = NARROW if self._is_narrow(step, chain, sizes, rounds) else 1.0
            total += narrow * more * self._work(step.kernel)
            total += sum(count * k / near for k in kept[max(0, number - 1) : number + 1])
            for parameter, buffer in zip(step.kernel.params, step.arguments, strict=True):
                if parameter not in inner:
                    times = weigh(rounds.get(parameter, 1))
                    nbytes = weigh(buffer.type.nbytes)
                    rate = self.rates.bytes_per_cycle(nbytes + held)
                    total += self._once(buffer, held) + (times * more - 1) * nbytes / rate
        uneven = -(-shared // 2) * 2 / shared  # as two threads wait for the last block
        places = tuple((n, sizes[x.var]) for n, x in enumerate(chain.loops) if x.var in sizes)
        time = total * uneven
        return BlockChoice((total - saved) * uneven, time, tuple(whole), held, places)

    @staticmethod
    def _is_narrow(
        step: KernelStep, chain: Chain, sizes: Mapping[LoopVar, int], rounds: Mapping[Buffer, Dim]
    ) -> bool:
        """Blocks cut the columns of a product to one: all of them read the same rows."""
        ones = any(sizes.get(loop.var) == 1 for loop in chain.loops)
        pairs = zip(step.kernel.params, step.arguments, strict=True)
        again = (b.root.place != "constant" and weigh(rounds.get(p, 1)) > 1 for p, b in pairs)
        return ones and any(again)

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
        if loop.var in sizes:
            count *= weigh(loop.extent) / sizes[loop.var]
            shared *= loop.extent // sizes[loop.var] if isinstance(loop.extent, int) else 1
    return count, shared


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
