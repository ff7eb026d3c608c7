"""How fast a machine is, in round numbers, for choices that weigh work against traffic.

Nothing here is measured on the machine at hand: a choice depends on what code is made for, never on
what else runs there.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rates:
    """A core for one cycle: `flops` of float32, and bytes from each level of memory.

    `caches` are (bytes, bytes per cycle) from the nearest one outwards; `memory` is what is behind.
    `step` is the cycles that starting one more kernel takes.
    """

    flops: float
    caches: tuple[tuple[int, float], ...]
    memory: float
    step: float = 3000.0

    def bytes_per_cycle(self, nbytes: int) -> float:
        """The rate at which so many bytes pass that were used a while ago: half of a cache is
        taken by other things."""
        for size, rate in self.caches:
            if nbytes <= size // 2:
                return rate
        return self.memory

    def cycles(self, flops: float, element_bytes: int, traffic: float) -> float:
        """One kernel: operations on elements of a size, and cycles of traffic beside them."""
        return self.step + max(flops * element_bytes / 4 / self.flops, traffic)
