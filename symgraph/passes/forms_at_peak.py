"""Which operators better stay as they are because their forms need too much memory.

Equivalent forms of operators are chosen by time (choose_algorithms.py), before anybody knows which
intermediates run over blocks and what is alive beside them.  Afterwards it is known whose forms
make the program's peak; they are given up where the memory saved is worth the time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..ir.alternative import STANDS_FOR
from ..ir.fused import Fused
from ..ir.node import Node
from ..ir.program import KernelStep, Program
from .block_estimates import Cost
from .order_steps import alive_at_steps

BESIDE = 0.5
"""The part that is left of what other steps need, at best: without those forms they are the peak,
and are cut into blocks for it."""


def forms_at_peak(program: Program, cost: Cost) -> frozenset[str]:
    """The names of the operators whose forms should be given up, none where all should be kept.

    `cost` is the program's.  Programs with open extents keep their forms: no one size tells what
    their memory is worth.
    """
    if program.dims:
        return frozenset()
    highest: dict[str, int] = {}
    saved: dict[str, float] = {}
    beside = 0
    for step, nbytes in zip(program.steps, alive_at_steps(program), strict=True):
        forms = dict(_forms(step.nodes)) if isinstance(step, KernelStep) else {}
        saved.update(forms)
        for name in forms:
            highest[name] = max(highest.get(name, 0), nbytes)
        if not forms:
            beside = max(beside, nbytes)
    order = sorted(highest, key=lambda name: -highest[name])
    peak = max(highest.values(), default=0)
    if peak <= beside:
        return frozenset()
    best, given_up = cost.weighed, 0
    for count in range(1, len(order) + 1):
        left = max(round(BESIDE * beside), *(highest[n] for n in order[count:]), 0)
        cycles = cost.cycles + sum(saved[n] for n in order[:count])
        weighed = replace(cost, cycles=cycles, nbytes=cost.nbytes - peak + left).weighed
        if weighed < best:
            best, given_up = weighed, count
    return frozenset(order[:given_up])


def _forms(nodes: tuple[Node, ...]) -> Iterator[tuple[str, float]]:
    """The operators in whose places forms stand, and the cycles that each saves."""
    for node in nodes:
        inner = node.op.graph.nodes if isinstance(node.op, Fused) else (node,)
        for part in inner:
            for name, value in part.attributes:
                if name == STANDS_FOR:
                    yield value
