"""Kernels of which each reads what the one before writes, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..dims import Dim
from ..ir import Buffer, For, Kernel
from .nests import Nest, Nests, kernel_nests

Link = tuple[Buffer, Buffer]
"""What one kernel writes, and what the next one calls it."""


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """`stages` are the nests of the kernels; `after` is what the last one does beside reading."""

    kernels: tuple[Kernel, ...]
    links: tuple[Link, ...]
    stages: tuple[tuple[Nest, ...], ...]
    after: tuple[Nest, ...]
    reads: tuple[tuple[tuple[tuple[Dim, ...], ...], ...], ...] = ()
    """For each link and nest behind it, and each axis, where that is read."""
    over: tuple[bool, ...] = ()
    """For each link, whether what it is made of, the link before, may lie in the same place."""

    @property
    def loops(self) -> tuple[For, ...]:
        """The loops of the last kernel that can be cut, the outermost first."""
        return self.stages[-1][0].loops


def chain_of(
    kernels: Sequence[Kernel],
    links: Sequence[Link],
    over: Sequence[bool] | None = None,
    nests_of: Callable[[Kernel], Nests] = kernel_nests,
) -> Chain | None:
    """The chain of these kernels; None where one of them is no nest of loops.

    `nests_of` is `kernel_nests`, remembered.
    """
    stages: list[tuple[Nest, ...]] = []
    after: tuple[Nest, ...] = ()
    for number, kernel in enumerate(kernels):
        nests = nests_of(kernel)
        if nests is None:
            return None
        if number:
            source = links[number - 1][1]
            reading = tuple(n for n in nests if source in n.operands)
            if len(reading) != 1:
                return None
            if number == len(kernels) - 1:
                after = tuple(n for n in nests if n is not reading[0])
                nests = reading
        if number < len(links) and not all(n.makes(links[number][0]) for n in nests):
            return None
        stages.append(nests)
    reads = tuple(
        tuple(nest.places(source) for nest in nests)
        for (_, source), nests in zip(links, stages[1:], strict=True)
    )
    overs = (False,) * len(links) if over is None else tuple(over)
    return Chain(tuple(kernels), tuple(links), tuple(stages), after, reads, overs)
