"""Which phases of a program may run at the same time.

    segment = stage stage ...        a stage begins when all chunks of the one before are done
    stage = item | item | ...        items touch nothing in common: they run in any order, at once
    item = phase                     shared: its loop is cut into chunks
         | phase phase ...           small: one chunk, the phases in order

Everything is decided from the order of the steps, the bytes that they touch, and estimated work;
nothing is timed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...ir.program import KernelStep, ProgramBuffer, RepeatStep
from ...kernel import dims
from ...kernel.dims import Dim
from .functions import PhaseFunction
from .overlaps import Overlaps, Owner
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
    open_ = _OpenStage(overlaps)
    for call in calls:
        shared = is_shared(call.phase)
        against = open_.against(call)
        follows = None if shared else _item_to_join(open_, against, call)
        if follows is not None:
            open_.join(follows, call)
            continue
        if against or open_.count >= MOST_CALLS:
            done.append(tuple(open_.items))
            open_ = _OpenStage(overlaps)
        open_.begin(call, shared)
    return [*done, tuple(open_.items)] if open_.items else done


class _OpenStage:
    """A stage that still takes in calls; it knows which item uses which bytes."""

    def __init__(self, overlaps: Overlaps) -> None:
        self.overlaps = overlaps
        self._owner, self._overlap = overlaps.owner, overlaps.may_overlap
        self.items: list[Item] = []
        self.count = 0
        """Of calls."""
        self._uses: dict[Owner, list[tuple[int, PhaseCall, ProgramBuffer, bool]]] = {}
        """By whose bytes they are: the item, the call, the buffer, whether it is written."""

    def begin(self, call: PhaseCall, shared: bool) -> None:
        """A further item of one call."""
        self.items.append(Item((call,), shared))
        self._note(len(self.items) - 1, call)

    def join(self, number: int, call: PhaseCall) -> None:
        """One call more at the end of an item."""
        self.items[number] = Item((*self.items[number].calls, call), False)
        self._note(number, call)

    def _note(self, number: int, call: PhaseCall) -> None:
        self.count += 1
        for buffer, is_written in _used(call.step).items():
            uses = self._uses.setdefault(self._owner(buffer), [])
            uses.append((number, call, buffer, is_written))

    def against(self, call: PhaseCall) -> list[int]:
        """The items that the call depends on: they touch the same bytes, and one writes there."""
        found = {
            number
            for number, item in enumerate(self.items)
            if any(self._excludes(other, call) for other in item.calls)
        }
        for buffer, is_written in _used(call.step).items():
            for number, other, place, was_written in self._uses.get(self._owner(buffer), ()):
                known = number in found or other.step is call.step
                if not known and (is_written or was_written) and self._overlap(place, buffer):
                    found.add(number)
        return sorted(found)

    def _excludes(self, first: PhaseCall, then: PhaseCall) -> bool:
        """They are phases of one kernel that are not apart, or both need the shared scratch."""
        if first.step is then.step:
            return not _are_apart(first, then, self.overlaps)
        return first.uses_shared and then.uses_shared


def _used(step: KernelStep) -> dict[ProgramBuffer, bool]:
    """What a step touches, and whether it writes there."""
    return {**dict.fromkeys(step.arguments, False), **dict.fromkeys(step.writes, True)}


def _item_to_join(stage: _OpenStage, against: Sequence[int], call: PhaseCall) -> int | None:
    """The item after whose phases the call may run on the same thread."""
    items = stage.items
    if stage.count >= MOST_CALLS or len(against) > 1:
        return None
    if against:
        return None if items[against[0]].is_shared else against[0]
    for number, item in enumerate(items):
        total = dims.add(item.cost, call.phase.cost)
        if not item.is_shared and isinstance(total, int) and total < SERIAL_CUTOFF:
            return number
    return None


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
