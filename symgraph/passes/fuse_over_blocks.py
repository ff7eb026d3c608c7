"""Run kernels that follow each other over blocks, so that what is between them stays in cache.

    t = conv(x, w)                    for each block of rows:  t' = conv(x', w)
    y = max_pool(t)             ->                             y' = max_pool(t')

Where only the next kernel reads what one writes, both run as one kernel over blocks
(`kernel/blocks.py`), and of the intermediate there is no more than one block for each thread.
Chains of a few kernels are cut so that the estimated time is least: traffic that stays in the
nearer caches against what overlapping blocks compute twice and operands that every block reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import ClassVar

from ..ir.program import KernelStep, Program, ProgramBuffer, Step
from ..kernel import dims
from ..kernel.blocks import Chain, Link, Region, chain_of
from ..kernel.dims import Dim, LoopVar
from ..kernel.functions import FUNCTIONS
from ..kernel.in_place import in_place_positions
from ..kernel.ir import (
    Alloc, Block, Buffer, Call, Expr, For, If, Kernel, Select, Stmt, Store, Update,
)  # fmt: skip
from ..kernel.loops import compared_index
from ..kernel.rates import Rates
from ..kernel.rewrite import walk

MOST_STAGES = 5
"""Kernels of one chain."""

LEAST_BYTES = 64 * 1024
"""Intermediates below stay in the nearer caches anyway."""

MOST_SCRATCH = 1024 * 1024
"""Bytes of intermediates of one block: they should stay in a core's own cache."""

LEAST_BLOCKS = 12
"""Blocks to share among threads, so that none waits long for the last one."""

MOST_AGAIN = 6.0
"""How many times as much overlapping blocks may compute of one kernel."""

MEMORY_VALUE = 0.15
"""Cycles that one byte of memory less is worth: about as many as passing over it once more."""

MOST_CUTS = 4
"""Parts into which the last loop but one is cut at most: what lies together stays together."""

OPEN_EXTENT = 8
"""What an open extent counts as."""


@dataclass(frozen=True)
class FuseOverBlocks:
    """See the module's text; for the machine of `rates`."""

    rates: Rates
    name: ClassVar[str] = "fuse_over_blocks"

    def run(self, program: Program) -> Program:
        """The program of naive kernels with chains of steps as one step each."""
        steps = list(program.steps)
        follows = _followers(program)
        new: list[Step] = []
        number = 0
        while number < len(steps):
            chain = [number]
            while chain[-1] + 1 < len(steps) and follows.get(chain[-1]) == chain[-1] + 1:
                chain.append(chain[-1] + 1)
            new += self._best([steps[n] for n in chain])
            number = chain[-1] + 1
        return program.with_(steps=tuple(new))

    def _best(self, steps: Sequence[Step]) -> list[Step]:
        """A chain cut into parts that take the least time together."""
        if len(steps) == 1:
            return list(steps)
        kernels = [s for s in steps if isinstance(s, KernelStep)]
        best: list[tuple[float, list[Step]]] = [(0.0, [])]
        for end in range(1, len(kernels) + 1):
            alone = self._cycles(kernels[end - 1])
            options = [(best[end - 1][0] + alone, [*best[end - 1][1], kernels[end - 1]])]
            for start in range(max(0, end - MOST_STAGES), end - 1):
                part = kernels[start:end]
                found = self._joined(part)
                if found is not None:
                    cycles, step = found
                    apart = sum(self._cycles(s) for s in part)
                    if cycles < apart:
                        options.append((best[start][0] + cycles, [*best[start][1], step]))
            best.append(min(options, key=lambda o: o[0]))
        return best[-1][1]

    # -- one part ----------------------------------------------------------------------------------

    def _joined(self, steps: Sequence[KernelStep]) -> tuple[float, KernelStep] | None:
        """The steps as one with the best sizes, and its estimated time."""
        links = [_link(a, b) for a, b in zip(steps, steps[1:], strict=False)]
        chain = chain_of([s.kernel for s in steps], links)
        if chain is None:
            return None
        best: tuple[float, dict[LoopVar, int]] | None = None
        for sizes in _sizes(chain):
            regions = chain.regions(sizes)
            if regions is None:
                continue
            cycles = self._cycles_of_blocks(steps, chain, sizes, regions)
            if cycles is not None and (best is None or cycles < best[0]):
                best = cycles, sizes
        return None if best is None else (best[0], _step(steps, chain, best[1]))

    def _cycles(self, step: KernelStep) -> float:
        """The estimated time of a kernel alone."""
        traffic = sum(self._once(b, 0) for b in dict.fromkeys(step.arguments))
        return self.rates.step + self._work(step.kernel) + traffic

    def _work(self, kernel: Kernel) -> float:
        return _operations(kernel.body) / self.rates.flops

    def _cycles_of_blocks(
        self,
        steps: Sequence[KernelStep],
        chain: Chain,
        sizes: dict[LoopVar, int],
        regions: Sequence[Region],
    ) -> float | None:
        """The estimated time of the steps as one kernel, less what the memory is worth that it
        saves; None where a limit is broken."""
        count, shared = 1.0, 1
        for loop in chain.loops:
            if loop.var in sizes:
                count *= _weigh(loop.extent) / sizes[loop.var]
                shared *= loop.extent // sizes[loop.var] if isinstance(loop.extent, int) else 1
        kept = [_nbytes(link[0], region) for link, region in zip(chain.links, regions, strict=True)]
        whole = [_weigh(link[0].nbytes) for link in chain.links]
        again = [count * k / max(1, w) for k, w in zip(kept, whole, strict=True)]
        if sum(kept) > MOST_SCRATCH or shared < LEAST_BLOCKS or max(again) > MOST_AGAIN:
            return None
        inner = {b for link in chain.links for b in link}
        near = self.rates.bytes_per_cycle(sum(kept))
        rounds = chain.rounds(sizes)
        total = self.rates.step - MEMORY_VALUE * sum(whole)
        for number, step in enumerate(steps):
            more = again[number] if number < len(kept) else 1.0
            beside = kept[max(0, number - 1) : number + 1]
            traffic = sum(count * k / near for k in beside)
            for parameter, buffer in zip(step.kernel.params, step.arguments, strict=True):
                if parameter not in inner:
                    times = _weigh(rounds[number].get(parameter, 1))
                    nbytes = _weigh(buffer.type.nbytes)
                    rate = self.rates.bytes_per_cycle(nbytes + sum(kept))
                    traffic += self._once(buffer, sum(kept)) + (times * more - 1) * nbytes / rate
            total += more * self._work(step.kernel) + traffic
        return total

    def _once(self, buffer: ProgramBuffer, beside: int) -> float:
        """The traffic of an operand that is read or written once; a constant comes from memory."""
        nbytes = _weigh(buffer.type.nbytes)
        if buffer.root.place == "constant":
            return nbytes / self.rates.memory
        return nbytes / self.rates.bytes_per_cycle(nbytes + beside)


def _followers(program: Program) -> dict[int, int]:
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
        if _is_plain(a) and _is_plain(b) and a.writes == (root,) and root in b.reads:
            nbytes = root.type.nbytes
            if not isinstance(nbytes, int) or nbytes >= LEAST_BYTES:
                found[first] = then
    return found


def _is_plain(step: Step) -> bool:
    return isinstance(step, KernelStep) and not step.fixed and not step.kernel.packings


def _link(a: KernelStep, b: KernelStep) -> Link:
    (made,) = a.writes
    places = dict(zip(b.arguments, b.kernel.params, strict=True))
    return a.kernel.outputs[0], places[made]


def _step(steps: Sequence[KernelStep], chain: Chain, sizes: dict[LoopVar, int]) -> KernelStep:
    """One step in place of several."""
    last = steps[-1]
    places = {
        parameter: argument
        for step in steps
        for parameter, argument in zip(step.kernel.params, step.arguments, strict=True)
    }
    kernel = chain.over_blocks(sizes, last.kernel.name, last.kernel.origin)
    arguments = tuple(places[b] for b in kernel.params)
    label = " + ".join(step.label for step in steps)
    return replace(
        last, kernel=kernel, arguments=arguments, label=label, in_place=in_place_positions(kernel)
    )


def _sizes(chain: Chain) -> Iterator[dict[LoopVar, int]]:
    """The sizes of blocks that are tried.  The innermost loop stays whole, for vectors."""
    choices: list[list[tuple[LoopVar, int | None]]] = []
    read = chain.links[-1][1]
    for number, loop in enumerate(chain.loops[:-1]):
        if loop.extent == 1:
            continue
        whole: list[tuple[LoopVar, int | None]] = [(loop.var, None)]
        if not _moves(chain, loop, read):
            if not isinstance(loop.extent, int):
                return
            choices.append(whole)
        elif not isinstance(loop.extent, int):
            choices.append([(loop.var, 1)])
        else:
            most = MOST_CUTS if number == len(chain.loops) - 2 else loop.extent
            divisors = [n for n in range(1, loop.extent) if loop.extent % n == 0 and loop.extent <= n * most]
            choices.append([*((loop.var, n) for n in _spread(divisors)), *whole])
    for chosen in product(*choices):
        sizes = {var: size for var, size in chosen if size is not None}
        if sizes:
            yield sizes


def _spread(numbers: Sequence[int]) -> list[int]:
    """A few of many numbers, each at least half as much again as the one before."""
    found: list[int] = []
    for number in numbers:
        if not found or 2 * number >= 3 * found[-1]:
            found.append(number)
    return found


def _moves(chain: Chain, loop: For, read: Buffer) -> bool:
    """The blocks of a loop read different parts of the intermediate."""
    extent = loop.extent
    parts = [n for n in range(2, extent + 1) if extent % n == 0] if isinstance(extent, int) else []
    regions = chain.regions({loop.var: extent // parts[0] if parts else 1})  # type: ignore[operator]
    return regions is not None and regions[-1].extents != read.shape


def _nbytes(buffer: Buffer, region: Region) -> int:
    return _weigh(dims.mul(dims.product(list(region.shape)), buffer.dtype.nbytes))


def _weigh(dim: Dim) -> int:
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
    return float(_weigh(extent)) if atoms == set(dims.dim_vars(extent)) else float(OPEN_EXTENT)


def _calls(expr: Expr) -> float:
    """The operations of an expression; what is chosen among is computed once for all choices."""
    total, choices = 0, 1
    for e in walk(expr):
        if isinstance(e, Select) and compared_index(e.condition) is not None:
            choices += 1
        elif isinstance(e, Call):
            total += FUNCTIONS[e.function].flops
    return total / choices
