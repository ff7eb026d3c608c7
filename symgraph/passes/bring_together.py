"""Put a step directly before the only one that reads what it writes.

    scores = matmul(q, k)              values = linear(x, v)
    values = linear(x, v)       ->     scores = matmul(q, k)
    mixed = attend(scores, values)     mixed = attend(scores, values)

Kernels are fused over blocks where they follow each other (`fuse_over_blocks.py`), and of several
that one step reads only one can: the one that writes most.  The order in which steps run in the end
is chosen by another pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ..ir.program import Program, ProgramBuffer, Step
from .block_estimates import weigh
from .fuse_over_blocks import followers


@dataclass(frozen=True)
class BringTogether:
    """See the module's text."""

    name: ClassVar[str] = "bring_together"

    def run(self, program: Program) -> Program:
        """The program with its steps in another order, each of them after all that it needs."""
        before = _before(program)
        if all(reader == step + 1 for reader, step in before.items()):
            return program
        waiting = set(before.values())
        steps: list[Step] = []
        for number in range(len(program.steps)):
            if number not in waiting:
                chain = [number]
                while chain[-1] in before:
                    chain.append(before[chain[-1]])
                steps += [program.steps[n] for n in reversed(chain)]
        return program.with_(steps=tuple(steps))


def _before(program: Program) -> dict[int, int]:
    """For a step, the one that is to stand directly before it."""
    sizes: dict[int, list[tuple[int, int]]] = {}
    for step, reader in followers(program).items():
        (made,) = program.steps[step].writes
        sizes.setdefault(reader, []).append((weigh(made.type.nbytes), step))
    writers = _writers(program.steps)
    chosen: dict[int, int] = {}
    for reader in sorted(sizes):
        _, step = max(sizes[reader])
        chain = [step]
        while chain[-1] in chosen:
            chain.append(chosen[chain[-1]])
        if all(_can_wait(program.steps, n, reader, writers, chain) for n in chain):
            chosen[reader] = step
    return chosen


def _writers(steps: Sequence[Step]) -> dict[ProgramBuffer, list[int]]:
    found: dict[ProgramBuffer, list[int]] = {}
    for number, step in enumerate(steps):
        for buffer in step.writes:
            found.setdefault(buffer.root, []).append(number)
    return found


def _can_wait(
    steps: Sequence[Step],
    number: int,
    until: int,
    writers: Mapping[ProgramBuffer, Sequence[int]],
    together: Sequence[int],
) -> bool:
    """No step in between changes what this one reads, but those that wait as well."""
    return not any(
        number < n < until and n not in together
        for buffer in steps[number].reads
        for n in writers.get(buffer.root, ())
    )
