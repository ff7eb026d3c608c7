"""Run kernels that follow each other over blocks, so that what is between them stays in cache.

    t = conv(x, w)                    for each block of rows:  t' = conv(x', w)
    y = max_pool(t)             ->                             y' = max_pool(t')

Where only the next kernel reads what one writes, both run as one kernel over blocks
(`kernel/blocks.py`), and of the intermediate there is no more than one block for each thread.
Chains of a few kernels are cut so that the estimated time is least: traffic that stays in the
nearer caches against what overlapping blocks compute twice and operands that every block reads.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product
from typing import ClassVar

from ..ir.program import KernelStep, Program, ProgramBuffer, Step
from ..kernel import dims
from ..kernel.blocks import Blocks, Chain, Link, Nests, Region, chain_of, kernel_nests
from ..kernel.copies import fresh_kernel
from ..kernel.dims import Dim, LoopVar
from ..kernel.functions import FUNCTIONS
from ..kernel.in_place import in_place_positions
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

MOST_STAGES = 4
"""Kernels of one chain."""

LEAST_BYTES = 64 * 1024
"""Intermediates below stay in the nearer caches anyway."""

MOST_SCRATCH = 1024 * 1024
"""Bytes of intermediates of one block: they should stay in a core's own cache."""

LEAST_BLOCKS = 6
"""Blocks to share among threads."""

NARROW = 1.25
"""What a product costs whose blocks are one vector of channels wide: operands of each row are then
read for one multiplication only."""

MOST_AGAIN = 6.0
"""How many times as much overlapping blocks may compute of one kernel."""

MEMORY_VALUE = 0.2
"""Cycles that one byte of memory less is worth: about as many as passing over it once more."""

MOST_CUTS = 2
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
        return program.with_(steps=tuple(_Fusion(self.rates).steps(program)))


@dataclass(frozen=True, slots=True)
class _Choice:
    """Sizes of blocks, by the position of the loop, and the estimated time of all kernels."""

    cycles: float
    sizes: tuple[tuple[int, int], ...]


class _Fusion:
    """Chooses for one program; equal chains are looked at once."""

    def __init__(self, rates: Rates) -> None:
        self.rates = rates
        self.texts: dict[Kernel, str] = {}
        self.work: dict[Kernel, float] = {}
        self.known: dict[Hashable, _Choice | None] = {}
        self.nests: dict[int, tuple[Kernel, Nests]] = {}

    def steps(self, program: Program) -> list[Step]:
        """The steps of the program, chains cut into parts."""
        steps = list(program.steps)
        follows = _followers(program)
        new: list[Step] = []
        number = 0
        while number < len(steps):
            chain = [number]
            while follows.get(chain[-1]) == chain[-1] + 1:
                chain.append(chain[-1] + 1)
            plain = [s for n in chain if isinstance(s := steps[n], KernelStep)]
            new += self._best(_distinct(plain)) if len(chain) > 1 else [steps[number]]
            number = chain[-1] + 1
        return new

    def _best(self, steps: Sequence[KernelStep]) -> list[Step]:
        """A chain cut into parts that take the least time together."""
        best: list[tuple[float, tuple[tuple[int, _Choice | None], ...]]] = [(0.0, ())]
        for end in range(1, len(steps) + 1):
            before, parts = best[end - 1]
            options = [(before + self._cycles(steps[end - 1]), (*parts, (end - 1, None)))]
            chains = _Chains(steps[:end], self._nests)
            for start in range(max(0, end - MOST_STAGES), end - 1):
                choice = self._choice(chains, start)
                if choice is not None:
                    before, parts = best[start]
                    options.append((before + choice.cycles, (*parts, (start, choice))))
            best.append(min(options, key=lambda o: o[0]))
        parts = best[-1][1]
        ends = (*(start for start, _ in parts[1:]), len(steps))
        return [
            steps[start] if choice is None else _joined(steps[start:end], choice)
            for (start, choice), end in zip(parts, ends, strict=True)
        ]

    # -- one part ----------------------------------------------------------------------------------

    def _choice(self, chains: _Chains, start: int) -> _Choice | None:
        """The best sizes of the steps from one on as one; None where they are better apart."""
        steps = chains.steps[start:]
        key = tuple(
            (self._text(s.kernel), tuple(b.root.place == "constant" for b in s.arguments))
            for s in steps
        )
        if key not in self.known:
            chain = chains.chain(start)
            self.known[key] = None if chain is None else self._chosen(steps, chain)
        return self.known[key]

    def _chosen(self, steps: Sequence[KernelStep], chain: Chain) -> _Choice | None:
        best: _Choice | None = None
        for sizes in _sizes(chain):
            if _counts(chain, sizes)[1] < LEAST_BLOCKS:
                continue
            blocks = chain.blocks(sizes)
            cycles = None if blocks is None else self._cycles_of_blocks(steps, chain, sizes, blocks)
            if cycles is not None and (best is None or cycles < best.cycles):
                places = enumerate(chain.loops)
                best = _Choice(
                    cycles, tuple((n, sizes[x.var]) for n, x in places if x.var in sizes)
                )
        apart = sum(self._cycles(s) for s in steps)
        return best if best is not None and best.cycles < apart else None

    def _text(self, kernel: Kernel) -> str:
        if kernel not in self.texts:
            self.texts[kernel] = text_without_names(kernel)
        return self.texts[kernel]

    def _nests(self, kernel: Kernel) -> Nests:
        # Kernels are kept with what is known of them: ids stay their own.
        if id(kernel) not in self.nests:
            self.nests[id(kernel)] = (kernel, kernel_nests(kernel))
        return self.nests[id(kernel)][1]

    def _work(self, kernel: Kernel) -> float:
        if kernel not in self.work:
            self.work[kernel] = _operations(kernel.body) / self.rates.flops
        return self.work[kernel]

    def _cycles(self, step: KernelStep) -> float:
        """The estimated time of a kernel alone."""
        traffic = sum(self._once(b, 0) for b in dict.fromkeys(step.arguments))
        return self.rates.step + self._work(step.kernel) + traffic

    def _cycles_of_blocks(
        self,
        steps: Sequence[KernelStep],
        chain: Chain,
        sizes: Mapping[LoopVar, int],
        blocks: Blocks,
    ) -> float | None:
        """The estimated time of the steps as one kernel, less what the memory is worth that it
        saves; None where a limit is broken."""
        count, shared = _counts(chain, sizes)
        pairs = list(zip(chain.links, blocks.regions, strict=True))
        kept = [_nbytes(made, region) for (made, _), region in pairs]
        whole = [_weigh(made.nbytes) for made, _ in chain.links]
        again = [count * k / max(1, w) for k, w in zip(kept, whole, strict=True)]
        if sum(kept) > MOST_SCRATCH or max(again) > MOST_AGAIN:
            return None
        inner = {b for link in chain.links for b in link}
        near = self.rates.bytes_per_cycle(sum(kept))
        total = self.rates.step - MEMORY_VALUE * sum(whole)
        for number, (step, rounds) in enumerate(zip(steps, blocks.rounds(), strict=True)):
            more = again[number] if number < len(kept) else 1.0
            narrow = NARROW if self._is_narrow(step, chain, sizes, rounds) else 1.0
            total += narrow * more * self._work(step.kernel)
            total += sum(count * k / near for k in kept[max(0, number - 1) : number + 1])
            for parameter, buffer in zip(step.kernel.params, step.arguments, strict=True):
                if parameter not in inner:
                    times = _weigh(rounds.get(parameter, 1))
                    nbytes = _weigh(buffer.type.nbytes)
                    rate = self.rates.bytes_per_cycle(nbytes + sum(kept))
                    total += self._once(buffer, sum(kept)) + (times * more - 1) * nbytes / rate
        return total * -(-shared // 2) * 2 / shared  # as two threads wait for the last block

    @staticmethod
    def _is_narrow(
        step: KernelStep, chain: Chain, sizes: Mapping[LoopVar, int], rounds: Mapping[Buffer, Dim]
    ) -> bool:
        """Blocks cut the columns of a product to one: all of them read the same rows."""
        ones = any(sizes.get(loop.var) == 1 for loop in chain.loops)
        pairs = zip(step.kernel.params, step.arguments, strict=True)
        again = (b.root.place != "constant" and _weigh(rounds.get(p, 1)) > 1 for p, b in pairs)
        return ones and any(again)

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


def _distinct(steps: Sequence[KernelStep]) -> list[KernelStep]:
    """The steps with kernels that share no buffers: equal layers of a network share one kernel."""
    seen: set[Buffer] = set()
    found: list[KernelStep] = []
    for step in steps:
        if not seen.isdisjoint(step.kernel.params):
            step = replace(step, kernel=fresh_kernel(step.kernel))
        seen.update(step.kernel.params)
        found.append(step)
    return found


def _link(a: KernelStep, b: KernelStep) -> Link:
    (made,) = a.writes
    places = dict(zip(b.arguments, b.kernel.params, strict=True))
    return a.kernel.outputs[0], places[made]


class _Chains:
    """The chains of steps up to the last one, each built on the one that is shorter by a step."""

    def __init__(
        self, steps: Sequence[KernelStep], nests_of: Callable[[Kernel], Nests] | None = None
    ) -> None:
        self.steps = steps
        self._nests_of = nests_of
        self._known: dict[int, Chain | None] = {}

    def chain(self, start: int) -> Chain | None:
        """That of the steps from one on; None where a kernel is no nest of loops."""
        if start not in self._known:
            longer = start < len(self.steps) - 2
            rest = self.chain(start + 1) if longer else None
            steps = self.steps[start:]
            links = [_link(a, b) for a, b in pairwise(steps)]
            kernels = [s.kernel for s in steps]
            missing = longer and rest is None
            self._known[start] = None if missing else chain_of(kernels, links, rest, self._nests_of)
        return self._known[start]


def _counts(chain: Chain, sizes: Mapping[LoopVar, int]) -> tuple[float, int]:
    """How many blocks there are, and how many of them threads may share."""
    count, shared = 1.0, 1
    for loop in chain.loops:
        if loop.var in sizes:
            count *= _weigh(loop.extent) / sizes[loop.var]
            shared *= loop.extent // sizes[loop.var] if isinstance(loop.extent, int) else 1
    return count, shared


def _joined(steps: Sequence[KernelStep], choice: _Choice) -> KernelStep:
    """One step in place of several."""
    chain = _Chains(steps).chain(0)
    assert chain is not None
    blocks = chain.blocks({chain.loops[n].var: size for n, size in choice.sizes})
    assert blocks is not None
    last = steps[-1]
    places = {
        parameter: argument
        for step in steps
        for parameter, argument in zip(step.kernel.params, step.arguments, strict=True)
    }
    kernel = blocks.kernel(last.kernel.name, last.kernel.origin)
    return replace(
        last,
        kernel=kernel,
        arguments=tuple(places[b] for b in kernel.params),
        label=" + ".join(step.label for step in steps),
        in_place=in_place_positions(kernel),
        before=tuple(n for step in steps for n in step.nodes)[:-1],
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
            divisors = [
                n for n in range(1, loop.extent) if loop.extent % n == 0 and loop.extent <= n * most
            ]
            choices.append([*((loop.var, n) for n in _spread(divisors)), *whole])
    for chosen in product(*choices):
        sizes = {var: size for var, size in chosen if size is not None}
        if sizes:
            yield sizes


def _spread(numbers: Sequence[int]) -> list[int]:
    """A few of many numbers, each at least twice the one before."""
    found: list[int] = []
    for number in numbers:
        if not found or number >= 2 * found[-1]:
            found.append(number)
    return found


def _moves(chain: Chain, loop: For, read: Buffer) -> bool:
    """The blocks of a loop read different parts of the intermediate."""
    extent = loop.extent
    parts = [n for n in range(2, extent + 1) if extent % n == 0] if isinstance(extent, int) else []
    size = loop.extent // parts[0] if parts and isinstance(loop.extent, int) else 1
    blocks = chain.blocks({loop.var: size})
    return blocks is not None and blocks.regions[-1].extents != read.shape


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
