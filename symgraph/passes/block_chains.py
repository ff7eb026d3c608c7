"""Steps that follow each other as chains of kernels over blocks, and what is known of them.

Networks repeat their layers, and one network is judged with several choices of forms: what was
found of some steps is remembered by what their kernels compute (`ChainForm`), for all steps of that
form.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from ..ir.program import KernelStep
from ..kernel.blocks.chain import Chain, Link, chain_of
from ..kernel.blocks.joined import joined
from ..kernel.blocks.nests import Nests, kernel_nests
from ..kernel.blocks.work import Cutting
from ..kernel.copies import fresh_kernel
from ..kernel.in_place import in_place_positions
from ..kernel.ir import Buffer, Kernel
from .block_estimates import BlockChoice

ChainForm = Hashable
"""Equal for chains of steps that compute the same on operands of the same kinds."""


@dataclass(frozen=True, slots=True)
class Joined:
    """Several kernels as one over blocks.

    places   for each of its parameters, whose it was: the kernel and the position there
    """

    kernel: Kernel
    places: tuple[tuple[int, int], ...]
    in_place: tuple[tuple[int, int], ...]


@dataclass(slots=True)
class KnownChains:
    """The choices of blocks there are for chains of each form, and kernels made of them."""

    choices: dict[ChainForm, tuple[BlockChoice, ...]] = field(default_factory=dict)
    joined: dict[tuple[ChainForm, BlockChoice], Joined] = field(default_factory=dict)

    def join(self, form: ChainForm, steps: Sequence[KernelStep], choice: BlockChoice) -> KernelStep:
        """One step in place of several of this form."""
        key = form, choice
        if key not in self.joined:
            self.joined[key] = _joined(steps, choice)
        made, last = self.joined[key], steps[-1]
        windows = tuple(steps[n].windows[at] if steps[n].windows else () for n, at in made.places)
        return replace(
            last,
            kernel=replace(made.kernel, name=last.kernel.name, origin=last.kernel.origin),
            arguments=tuple(steps[n].arguments[at] for n, at in made.places),
            label=" + ".join(step.label for step in steps),
            in_place=made.in_place,
            before=tuple(n for step in steps for n in step.nodes)[:-1],
            windows=windows if any(windows) else (),
        )


def chain_form(steps: Sequence[KernelStep], text: Callable[[Kernel], str]) -> ChainForm:
    """What chains have in common of which the same is known: kernels, by their text, which operands
    are constants, and which operand of each is what the step before makes."""
    links = (None, *(b.arguments.index(a.writes[0]) for a, b in pairwise(steps)))
    return tuple(
        (text(s.kernel), tuple(b.root.place == "constant" for b in s.arguments), s.in_place, link)
        for s, link in zip(steps, links, strict=True)
    )


def distinct(steps: Sequence[KernelStep]) -> list[KernelStep]:
    """The steps with kernels that share no buffers: equal layers of a network share one kernel."""
    seen: set[Buffer] = set()
    found: list[KernelStep] = []
    for step in steps:
        if not seen.isdisjoint(step.kernel.params):
            step = replace(step, kernel=fresh_kernel(step.kernel))
        seen.update(step.kernel.params)
        found.append(step)
    return found


class Chains:
    """The chains of steps up to the last one, each built on the one that is shorter by a step."""

    def __init__(
        self, steps: Sequence[KernelStep], nests_of: Callable[[Kernel], Nests] = kernel_nests
    ) -> None:
        self.steps = steps
        self._nests_of = nests_of
        self._known: dict[int, Cutting | None] = {}

    def cutting(self, start: int) -> Cutting | None:
        """That of the steps from one on; None where a kernel is no nest of loops."""
        if start not in self._known:
            longer = start < len(self.steps) - 2
            rest = self.cutting(start + 1) if longer else None
            chain = None if longer and rest is None else self._chain(self.steps[start:])
            self._known[start] = None if chain is None else Cutting(chain, rest)
        return self._known[start]

    def _chain(self, steps: Sequence[KernelStep]) -> Chain | None:
        links = [_link(a, b) for a, b in pairwise(steps)]
        over = (_is_over(s, a, b) for s, (a, b) in zip(steps[1:], pairwise(links), strict=False))
        return chain_of([s.kernel for s in steps], links, [False, *over], self._nests_of)


def _link(a: KernelStep, b: KernelStep) -> Link:
    (made,) = a.writes
    places = dict(zip(b.arguments, b.kernel.params, strict=True))
    return a.kernel.outputs[0], places[made]


def _is_over(step: KernelStep, link: Link, after: Link) -> bool:
    """What the step writes may lie over what it reads of the one before."""
    positions = {b: n for n, b in enumerate(step.kernel.params)}
    return (positions[link[1]], positions[after[0]]) in step.in_place


def _joined(steps: Sequence[KernelStep], choice: BlockChoice) -> Joined:
    cutting = Chains(steps).cutting(0)
    assert cutting is not None
    loops = cutting.chain.loops
    blocks = cutting.blocks({loops[n].var: size for n, size in choice.sizes})
    assert blocks is not None
    last = steps[-1].kernel
    kernel = joined(blocks, last.name, last.origin)
    places = {b: (n, at) for n, s in enumerate(steps) for at, b in enumerate(s.kernel.params)}
    return Joined(kernel, tuple(places[b] for b in kernel.params), in_place_positions(kernel))
