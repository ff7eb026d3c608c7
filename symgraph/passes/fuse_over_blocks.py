"""Run kernels that follow each other over blocks, so that what is between them stays in cache.

    t = conv(x, w)                    for each block of rows:  t' = conv(x', w)
    y = max_pool(t)             ->                             y' = max_pool(t')

Where only the next kernel reads what one writes, both run as one kernel over blocks
(`kernel/blocks`), and of the intermediate there is no more than one block for each thread.
Chains of a few kernels are cut so that the estimated time is least: traffic that stays in the
nearer caches against what overlapping blocks compute twice and operands that every block reads.

Then the peak is lowered: where the most bytes are alive, intermediates of chains are worth more
than elsewhere, then the largest blocks are made smaller; of the programs found the one is taken
whose bytes saved are worth their time most.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, product
from typing import ClassVar

from ..ir.program import KernelStep, Program, ProgramBuffer, Step
from ..kernel import dims
from ..kernel.blocks.nests import Nests, kernel_nests
from ..kernel.blocks.work import Cutting
from ..kernel.dims import LoopVar
from ..kernel.ir import Buffer, For, Kernel
from ..kernel.rates import Rates
from .block_chains import ChainForm, Chains, KnownChains, chain_form, distinct
from .block_estimates import (
    LEAST_BLOCKS,
    MOST_SCRATCH,
    PEAK_SCRATCH,
    BlockChoice,
    Cost,
    Estimates,
    counts,
    weigh,
    with_memory,
)
from .order_steps import peak_of

MOST_STAGES = 4
"""Kernels of one chain."""

LEAST_BYTES = 64 * 1024
"""Intermediates below stay in the nearer caches anyway."""

MOST_CUTS = 2
"""Parts into which the last loop but one is cut at most: what lies together stays together."""

MANY = 256
"""What an open extent is taken for where it is large."""

LEAST_UNEVEN = 8
"""Iterations of a block, where what is left at the end makes a shorter one."""

OPEN_ROWS = 32
"""Iterations of a block of an open loop next to the innermost one."""

LEAST_WEIGHTS = 4096
"""Bytes of a constant that are worth another order."""

MOST_GAP = 4
"""How many times as large as one divisor the next may be, before sizes are tried in between."""

WIDE_BYTES = 256
"""Runs of so many bytes can be far from each other."""

MOST_PEAKS = 24
"""Times that chains at a new peak are cut again."""

MOST_SMALLER = 8
"""Times that the largest blocks are made smaller."""

MOST_STEPS = 2000
"""Steps of a program whose peak is looked for."""


@dataclass(frozen=True)
class FuseOverBlocks:
    """See the module's text; for the machine of `rates`.

    What was found of a chain of kernels is remembered: programs of the same network that are judged
    one after the other share nearly all of them.
    """

    rates: Rates
    name: ClassVar[str] = "fuse_over_blocks"
    _known: KnownChains = field(init=False, repr=False, compare=False, default_factory=KnownChains)

    def run(self, program: Program) -> Program:
        """The program of naive kernels with chains of steps as one step each."""
        return self.judged(program)[0]

    def judged(self, program: Program) -> tuple[Program, Cost]:
        """The same, and what it is estimated to cost: cut so that time and peak cost least."""
        fusion = _Fusion(self.rates, program, self._known)
        if len(program.steps) > MOST_STEPS:
            return fusion.run({}, MOST_SCRATCH).judged
        best = fusion.with_least_peak()
        least = best
        for _ in range(MOST_SMALLER):
            if least.kept <= LEAST_BYTES:
                break
            least = fusion.run(best.worth, least.kept - 1)
            best = min(best, least, key=lambda f: f.cost.weighed)
        return best.judged


@dataclass(frozen=True, slots=True)
class _Fused:
    """A program with its chains cut into parts.

    worth  the cycles that a byte of some intermediates was worth
    kept   the most bytes that a block keeps
    """

    program: Program
    cost: Cost
    worth: dict[ProgramBuffer, float]
    kept: int

    @property
    def judged(self) -> tuple[Program, Cost]:
        return self.program, self.cost


@dataclass(frozen=True, slots=True)
class _Cut:
    """A chain cut into parts, one step each; their time, and the most bytes that a block keeps."""

    steps: tuple[Step, ...]
    cycles: float
    kept: int


class _Fusion:
    """Chooses for one program; equal chains are looked at once, and again only where bytes are
    worth something else."""

    def __init__(self, rates: Rates, program: Program, known: KnownChains) -> None:
        self.estimates = Estimates(rates)
        self.program = program
        self.follows = followers(program)
        self.chains = self._chains()
        self.known = known
        self.nests: dict[int, tuple[Kernel, Nests]] = {}
        self.worth: dict[ProgramBuffer, float] = {}
        self.limit = MOST_SCRATCH
        ports = (*program.inputs, *program.outputs)
        self.ports = sum(weigh(p.buffer.type.nbytes) for p in ports)
        self.kept = 0
        self.forms: dict[tuple[int, int], ChainForm] = {}
        self.joined: dict[tuple[int, int, BlockChoice], KernelStep] = {}
        self.cut: dict[tuple[int, tuple[float, ...], int], _Cut] = {}
        inside = {
            n for first, chain in self.chains.items() for n in range(first, first + len(chain))
        }
        beside = [s for n, s in enumerate(program.steps) if n not in inside]
        self.beside = self.estimates.of_steps(beside)

    def _chains(self) -> dict[int, list[KernelStep]]:
        """The steps of each chain, by the number of its first."""
        steps, found = self.program.steps, dict[int, list[KernelStep]]()
        number = 0
        while number < len(steps):
            chain = [number]
            while self.follows.get(chain[-1]) == chain[-1] + 1:
                chain.append(chain[-1] + 1)
            if len(chain) > 1:
                plain = [s for n in chain if isinstance(s := steps[n], KernelStep)]
                found[number] = distinct(plain)
            number = chain[-1] + 1
        return found

    def with_least_peak(self) -> _Fused:
        """Cut again and again, what is alive at the peak worth more each time; the best of all."""
        links = {self.program.steps[n].writes[0].root for n in self.follows}
        found = [self.run({}, PEAK_SCRATCH)]
        while len(found) < MOST_PEAKS:
            last = found[-1]
            more = [b for b in _alive_at_peak(last.program) if b in links and b not in last.worth]
            if not more:
                break
            new = dict.fromkeys(more, found[0].cost.byte_value)
            found.append(self.run({**last.worth, **new}, PEAK_SCRATCH))
        return min(found, key=lambda f: f.cost.weighed)

    def run(self, worth: dict[ProgramBuffer, float], limit: int) -> _Fused:
        """Cut so that the time is least, less what bytes are worth; no block keeps more bytes than
        the limit."""
        self.worth, self.limit, self.kept = worth, limit, 0
        new: list[Step] = []
        number, time = 0, self.beside
        while number < len(self.program.steps):
            chain = self.chains.get(number)
            if chain is None:
                new.append(self.program.steps[number])
                number += 1
            else:
                cut = self._best(number, chain)
                new += cut.steps
                time += cut.cycles
                self.kept = max(self.kept, cut.kept)
                number += len(chain)
        program = self.program.with_(steps=tuple(new))
        nbytes = peak_of(program)[1] if len(self.program.steps) <= MOST_STEPS else 0
        cost = Cost(time, max(nbytes + self.kept, self.ports))
        return _Fused(program, cost, worth, self.kept)

    def _best(self, first: int, steps: Sequence[KernelStep]) -> _Cut:
        """A chain cut into the parts that take the least time together."""
        values = tuple(self.worth.get(step.writes[0].root, 0.0) for step in steps[:-1])
        limit = self.limit if any(values) else min(self.limit, MOST_SCRATCH)
        key = first, values, limit
        if key not in self.cut:
            self.cut[key] = self._least(first, steps, values)
        return self.cut[key]

    def _least(self, first: int, steps: Sequence[KernelStep], values: Sequence[float]) -> _Cut:
        cycles = [self.estimates.cycles(step) for step in steps]
        best: list[tuple[float, tuple[tuple[int, BlockChoice | None], ...]]] = [(0.0, ())]
        for end in range(1, len(steps) + 1):
            before, parts = best[end - 1]
            options = [(before + cycles[end - 1], (*parts, (end - 1, None)))]
            chains = Chains(steps[:end], self._nests)
            for start in range(max(0, end - MOST_STAGES), end - 1):
                apart = sum(cycles[start:end])
                found = self._choice(chains, first, start, values[start : end - 1], apart)
                if found is not None:
                    before, parts = best[start]
                    options.append((before + found[0], (*parts, (start, found[1]))))
            best.append(min(options, key=lambda o: o[0]))
        parts = best[-1][1]
        ends = (*(start for start, _ in parts[1:]), len(steps))
        new: list[Step] = []
        time, kept = 0.0, 0
        for (start, choice), end in zip(parts, ends, strict=True):
            time += cycles[start] if choice is None else choice.time
            if choice is None:
                new.append(steps[start])
                continue
            kept = max(kept, choice.kept)
            new.append(self._step(first + start, steps[start:end], choice))
        return _Cut(tuple(new), time, kept)

    # -- one part ----------------------------------------------------------------------------------

    def _step(self, first: int, steps: Sequence[KernelStep], choice: BlockChoice) -> KernelStep:
        """Steps as one, the same each time that they are."""
        key = first, first + len(steps), choice
        if key not in self.joined:
            self.joined[key] = self.known.join(self._form(first, steps), steps, choice)
        return self.joined[key]

    def _form(self, first: int, steps: Sequence[KernelStep]) -> ChainForm:
        place = first, first + len(steps)
        if place not in self.forms:
            self.forms[place] = chain_form(steps, self.estimates.text)
        return self.forms[place]

    def _choice(
        self, chains: Chains, first: int, start: int, values: Sequence[float], apart: float
    ) -> tuple[float, BlockChoice] | None:
        """The cycles and the best sizes of the steps from one on as one; None where they are
        better apart."""
        steps = chains.steps[start:]
        form = self._form(first + start, steps)
        if form not in self.known.choices:
            self.known.choices[form] = with_memory(
                list(self._choices(steps, chains.cutting(start)))
            )
        limit = self.limit if any(values) else min(self.limit, MOST_SCRATCH)
        found = [(c.at_peak(values), c) for c in self.known.choices[form] if c.kept <= limit]
        best = min(found, key=lambda f: f[0], default=None)
        return best if best is not None and best[0] < apart else None

    def _choices(
        self, steps: Sequence[KernelStep], cutting: Cutting | None
    ) -> Iterator[BlockChoice]:
        """Sizes of blocks for the steps as one."""
        if cutting is None:
            return
        for sizes in _sizes(cutting):
            if counts(cutting.chain, sizes)[1] < LEAST_BLOCKS:
                continue
            blocks = cutting.blocks(sizes)
            if blocks is not None and (blocks.last is None or not _has_weights(steps)):
                found = self.estimates.of_blocks(steps, sizes, blocks)
                if found is not None:
                    yield found

    def _nests(self, kernel: Kernel) -> Nests:
        # Kernels are kept with what is known of them: ids stay their own.
        if id(kernel) not in self.nests:
            self.nests[id(kernel)] = (kernel, kernel_nests(kernel))
        return self.nests[id(kernel)][1]


def _has_weights(steps: Sequence[KernelStep]) -> bool:
    """Constants are read that a target may want in another order: the whole blocks and the shorter
    one would want one each."""
    constants = (b for step in steps for b in step.reads if b.root.place == "constant")
    return any(weigh(b.type.nbytes) >= LEAST_WEIGHTS for b in constants)


def _alive_at_peak(program: Program) -> set[ProgramBuffer]:
    """What is alive in the first step in which the most bytes are."""
    step, _ = peak_of(program)
    used: dict[ProgramBuffer, list[int]] = {}
    for number, one in enumerate(program.steps):
        for buffer in one.arguments:
            used.setdefault(buffer.root, []).append(number)
    return {b for b, numbers in used.items() if numbers[0] <= step <= numbers[-1]}


def followers(program: Program) -> dict[int, int]:
    """Which step alone reads all that a step writes, where that is one whole buffer of the arena
    that nothing else looks at."""
    uses: dict[ProgramBuffer, list[tuple[int, ProgramBuffer]]] = {}
    for number, step in enumerate(program.steps):
        for buffer in step.arguments:
            uses.setdefault(buffer.root, []).append((number, buffer))
    ports = {p.buffer.root for p in (*program.inputs, *program.outputs)}
    found: dict[int, int] = {}
    for root, used in uses.items():
        if len(used) != 2 or root.place != "arena" or root in ports:
            continue
        (first, one), (then, other) = used
        if first == then or one is not root or other is not root:
            continue
        a, b = program.steps[first], program.steps[then]
        if _sees_part(a, root) or _sees_part(b, root):
            continue
        if _is_plain(a) and _is_plain(b) and a.writes == (root,) and root in b.reads:
            nbytes = root.type.nbytes
            if dims.evaluate(nbytes, dict.fromkeys(dims.dim_vars(nbytes), MANY)) >= LEAST_BYTES:
                found[first] = then
    return found


def _is_plain(step: Step) -> bool:
    return isinstance(step, KernelStep) and not step.fixed and not step.kernel.packings


def _sees_part(step: Step, root: ProgramBuffer) -> bool:
    """The step reads or writes windows of a buffer alone."""
    windows = step.windows if isinstance(step, KernelStep) else ()
    return any(seen and b is root for b, seen in zip(step.arguments, windows, strict=False))


def _sizes(cutting: Cutting) -> Iterator[dict[LoopVar, int]]:
    """The sizes of blocks that are tried.  The innermost loop stays whole, for vectors; one loop at
    the most has a shorter block behind the others."""
    choices: list[list[tuple[For, int | None]]] = []
    loops, read = cutting.chain.loops, cutting.chain.links[-1][1]
    wide = weigh(loops[-1].extent) * read.dtype.nbytes >= WIDE_BYTES
    for number, loop in enumerate(loops[:-1]):
        if loop.extent == 1:
            continue
        whole: list[tuple[For, int | None]] = [(loop, None)]
        if not _moves(cutting, loop, read):
            if not isinstance(loop.extent, int):
                return
            choices.append(whole)
        elif not isinstance(loop.extent, int):
            rows = [OPEN_ROWS] if number == len(loops) - 2 else []
            choices.append([(loop, size) for size in (1, *rows)])
        else:
            near = number < len(loops) - 2 or wide
            found = _blocks_of(loop.extent, loop.extent if near else MOST_CUTS)
            choices.append([*((loop, n) for n in found), *whole])
    for chosen in product(*choices):
        sizes = {loop.var: size for loop, size in chosen if size is not None}
        uneven = [
            loop
            for loop, size in chosen
            if size is not None and dims.exact_quotient(loop.extent, size) is None
        ]
        if sizes and len(uneven) <= 1:
            yield sizes


def _blocks_of(extent: int, most: int) -> list[int]:
    """Sizes of at most so many blocks of a loop, each at least twice the one before: divisors, and
    where those leave a gap, sizes that leave as little less than a block as can be."""
    found: list[int] = []
    for number in range(1, extent):
        is_even = extent % number == 0 and extent <= number * most
        if is_even and (not found or number >= 2 * found[-1]):
            found.append(number)
    for low, high in pairwise([1, *found, extent]):
        size = max(2 * low, LEAST_UNEVEN)
        while MOST_GAP * low < high and size < high:
            even = -(-extent // -(-extent // size))
            found.append(even)
            size = 2 * even
    return sorted(n for n in set(found) if extent <= n * most)


def _moves(cutting: Cutting, loop: For, read: Buffer) -> bool:
    """The blocks of a loop read different parts of the intermediate."""
    extent = loop.extent
    parts = [n for n in range(2, extent + 1) if extent % n == 0] if isinstance(extent, int) else []
    size = loop.extent // parts[0] if parts and isinstance(loop.extent, int) else 1
    blocks = cutting.blocks({loop.var: size})
    return blocks is not None and blocks.regions[-1].extents != read.shape
