"""Which phases of a program may run at the same time.

    segment = stage stage ...        a stage begins when all chunks of the one before are done
    stage = item | item | ...        items touch nothing in common: they run in any order, at once
    item = phase                     shared: its loop is cut into chunks
         | phase phase ...           small: one chunk, the phases in order

Everything is decided from the order of the steps, the bytes that they touch, and estimated work;
nothing is timed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ...ir.program import KernelStep, ProgramBuffer, RepeatStep
from ...kernel import dims
from ...kernel.dims import Dim
from .functions import PhaseFunction
from .overlaps import Overlaps
from .phases import Phase
from .touched import Touched

SERIAL_CUTOFF = 6000
"""Estimated instructions (about 1.5 us) below which sharing a phase does not pay."""

MOST_CALLS = 64
"""Calls in one stage: each is compared with all of them."""


@dataclass(frozen=True, slots=True, eq=False)
class PhaseCall:
    """A phase of a kernel at its place in the program."""

    step: KernelStep
    function: PhaseFunction
    uses_shared: bool

    @property
    def phase(self) -> Phase:
        return self.function.phase

    @property
    def touched(self) -> tuple[Touched, ...]:
        """The elements of the kernel's buffers that this phase touches."""
        return self.function.touched


@dataclass(frozen=True, slots=True, eq=False)
class LoopCalls:
    """The calls of a loop's steps."""

    loop: RepeatStep
    calls: tuple[Call, ...]


Call = PhaseCall | LoopCalls


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """Phases that one chunk after the other, or one chunk alone, works off."""

    calls: tuple[PhaseCall, ...]
    is_shared: bool

    @property
    def cost(self) -> Dim:
        total: Dim = 0
        for call in self.calls:
            total = dims.add(total, call.phase.cost)
        return total


Stage = tuple[Item, ...]


def is_shared(phase: Phase) -> bool:
    """Whether the phase may be cut into chunks; with open extents its size decides at each call."""
    small = isinstance(phase.cost, int) and phase.cost < SERIAL_CUTOFF
    return phase.loop is not None and not small and phase.loop.extent not in (0, 1)


def stages(calls: Iterable[PhaseCall], overlaps: Overlaps) -> list[Stage]:
    """The calls in stages; a stage ends before the first call that depends on more than one of its
    items, or on a shared one."""
    done: list[Stage] = []
    items: list[Item] = []
    for call in calls:
        shared = is_shared(call.phase)
        against = [n for n, item in enumerate(items) if _conflict(item, call, overlaps)]
        follows = None if shared else _item_to_join(items, against, call)
        if follows is not None:
            items[follows] = Item((*items[follows].calls, call), False)
            continue
        if against or sum(len(item.calls) for item in items) >= MOST_CALLS:
            done.append(tuple(items))
            items = []
        items.append(Item((call,), shared))
    return [*done, tuple(items)] if items else done


def _item_to_join(items: list[Item], against: list[int], call: PhaseCall) -> int | None:
    """The item after whose phases the call may run on the same thread."""
    if sum(len(item.calls) for item in items) >= MOST_CALLS or len(against) > 1:
        return None
    if against:
        return None if items[against[0]].is_shared else against[0]
    for number, item in enumerate(items):
        total = dims.add(item.cost, call.phase.cost)
        if not item.is_shared and isinstance(total, int) and total < SERIAL_CUTOFF:
            return number
    return None


def _conflict(item: Item, call: PhaseCall, overlaps: Overlaps) -> bool:
    return any(_depends(other, call, overlaps) for other in item.calls)


def _depends(first: PhaseCall, then: PhaseCall, overlaps: Overlaps) -> bool:
    """They touch the same bytes and one of them writes there."""
    if first.step is then.step:
        return not _are_apart(first, then, overlaps)
    if first.uses_shared and then.uses_shared:
        return True

    def common(a: Iterable[ProgramBuffer], b: tuple[ProgramBuffer, ...]) -> bool:
        return any(overlaps.may_overlap(x, y) for x in a for y in b)

    touched = then.step.arguments
    return common(first.step.writes, touched) or common(first.step.reads, then.step.writes)


def _are_apart(first: PhaseCall, then: PhaseCall, overlaps: Overlaps) -> bool:
    """Two phases of one kernel: what one writes, the other does not touch."""
    places = dict(zip(first.step.kernel.params, first.step.arguments, strict=True))
    for a in first.touched:
        for b in then.touched:
            if not (a.is_written or b.is_written):
                continue
            if a.buffer is b.buffer:
                if not a.is_apart(b):
                    return False
            elif (
                a.buffer in places
                and b.buffer in places
                and overlaps.may_overlap(places[a.buffer], places[b.buffer])
            ):
                return False
    return True
