"""Beam search over unfinished packings: the inner loops, as plain functions (`kernel.plain`).

Packings grow from the ground. A round takes in each packing one valley of the skyline, the one that
leaves the fewest choices, and lets every buffer rest there that can, or raises the floor to its
surroundings. A packing is a vector of *levels*, the lowest offset each unplaced buffer can still
have; `FAR` for those placed. In each section the unplaced buffers are jobs of one machine with
release times (the levels) and processing times (the sizes): the makespan is a height that no
completion can stay below (it subsumes the section inference of MiniMalloc, Moffitt, ASPLOS 2023).
A packing one of whose makespans passes the capacity is dropped; the `width` best others go on,
scored by a weighted sum of

  waste      bytes per section that nothing can fill any more, relative to the spare bytes there
  steps, walls   how rough the skyline is: how often, and by how much, it changes between sections
  lifted     how high the unplaced buffers have been lifted, weighted by area
  height     the highest makespan
  progress   how much of the difficult has been placed, less `raised` for each floor raised

Only the sections that a step touches are looked at again, so a successor costs microseconds.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from ..plain import Floats, Ints, SmallInts

FAR = 1 << 29
"""Above every level."""
DIGEST_BITS = (1 << 62) - 1
ENDLESS = 1e300
COPIED_AT_ONCE = 4
RENEW_EVERY = 8


class Tables(NamedTuple):
    """A problem in granules. `residents` lists who is live in a section, `neighbours` who shares
    one with a buffer, both from `..._start`; equal `kinds` mark interchangeable buffers."""

    buffers: int
    sections: int
    capacity: int
    aligned: bool
    first: SmallInts
    last: SmallInts
    sizes: SmallInts
    alignments: SmallInts
    kinds: SmallInts
    load: SmallInts
    resident_start: Ints
    residents: SmallInts
    neighbour_start: Ints
    neighbours: SmallInts
    keys: Ints
    areas: Floats
    relief: Floats
    difficulty: Floats
    total_area: float


class Weights(NamedTuple):
    """Of the features above; `depth` is how much a lower valley is preferred."""

    waste: float
    steps: float
    walls: float
    lifted: float
    height: float
    progress: float
    raised: float
    depth: float


class States(NamedTuple):
    """Unfinished packings, one per slot: rows of buffers or of sections, and a number each."""

    levels: SmallInts
    offsets: SmallInts
    floor: SmallInts
    left: SmallInts
    height: SmallInts
    resting: SmallInts
    digest: Ints
    waste: Floats
    lifted: Floats
    progress: Floats
    score: Floats
    filled: Floats


class Lists(NamedTuple):
    """Room to work in: slots of this round, of the next, and free ones; one section's buffers;
    `trouble` counts how often a section overflowed, `factor` makes of it a preference; `work` is a
    count of the entries examined. `waiting` lists the residents of each section that some packing
    has still to place, `wanted` marks them."""

    current: Ints
    following: Ints
    free: Ints
    heights: Ints
    sizes: Ints
    trouble: Floats
    factor: Floats
    work: Ints
    waiting_start: Ints
    waiting: SmallInts
    wanted: SmallInts


def look_at(t: int, top: int, slot: int, tables: Tables, states: States, lists: Lists) -> bool:
    """Work out one section anew after some of its levels rose to `top`; False if it must pass the
    capacity.

    Of those at `top` and above only the sum matters: the makespan they alone need is no more than
    before or `top` plus that sum. So only the lower ones, mostly few, are sorted. Where levels are
    rounded up beyond `top`, all count as lower.
    """
    levels = slot * tables.buffers
    at = slot * tables.sections + t
    lists.work[0] += lists.waiting_start[t + 1] - lists.waiting_start[t]
    limit = FAR if tables.aligned else top
    lower = 0
    left = 0
    lowest = FAR
    resting = 0
    for place in range(lists.waiting_start[t], lists.waiting_start[t + 1]):
        j = lists.waiting[place]
        level = states.levels[levels + j]
        if level < limit:
            k = lower
            while k > 0 and lists.heights[k - 1] < level:
                lists.heights[k] = lists.heights[k - 1]
                lists.sizes[k] = lists.sizes[k - 1]
                k -= 1
            lists.heights[k] = level
            lists.sizes[k] = tables.sizes[j]
            lower += 1
        elif level < FAR:
            left += tables.sizes[j]
            if level < lowest:
                lowest = level
                resting = 0
            if level == lowest:
                resting += 1
    before = states.height[at]
    height = before
    if left > 0:
        height = max(height, top + left)
    for k in range(lower):
        left += lists.sizes[k]
        height = max(height, lists.heights[k] + left)
    if lower > 0:
        lowest = lists.heights[lower - 1]
        resting = 0
        k = lower - 1
        while k >= 0 and lists.heights[k] == lowest:
            resting += 1
            k -= 1
    if left > 0:
        states.floor[at] = lowest
    else:
        height = states.floor[at]
    wasted = max(0, height - tables.load[t]) - max(0, before - tables.load[t])
    states.waste[slot] += wasted * tables.relief[t]
    states.left[at] = left
    states.height[at] = height
    states.resting[at] = resting
    return bool(height <= tables.capacity)


def lift(k: int, height: int, slot: int, tables: Tables, states: States) -> bool:
    """Raise a waiting buffer's level; False if it is as high already."""
    at = slot * tables.buffers + k
    level = states.levels[at]
    if level >= height:
        return False
    to = height
    if tables.aligned:
        to = (height + tables.alignments[k] - 1) // tables.alignments[k] * tables.alignments[k]
    moved = to - level
    states.digest[slot] = (states.digest[slot] + tables.keys[k] * moved) & DIGEST_BITS
    states.lifted[slot] += tables.areas[k] * moved
    states.levels[at] = to
    return True


def look_between(
    low: int, high: int, top: int, slot: int, tables: Tables, states: States, lists: Lists
) -> bool:
    """Work out anew the unfinished sections of a range, in each of which levels rose to `top`."""
    base = slot * tables.sections
    for t in range(low, high):
        if states.left[base + t] > 0 and not look_at(t, top, slot, tables, states, lists):
            lists.trouble[t] += 1.0
            return False
    return True


def put(j: int, level: int, slot: int, tables: Tables, states: States, lists: Lists) -> bool:
    """Let a buffer rest on a level; False if the packing must then pass the capacity."""
    at = slot * tables.buffers + j
    base = slot * tables.sections
    top = level + tables.sizes[j]
    own = states.levels[at]
    states.digest[slot] = (states.digest[slot] + tables.keys[j] * (FAR - own)) & DIGEST_BITS
    states.lifted[slot] -= tables.areas[j] * own
    states.levels[at] = FAR
    states.offsets[at] = level
    states.progress[slot] += tables.difficulty[j]
    states.filled[slot] += tables.areas[j]
    low = tables.first[j]
    high = tables.last[j]
    for t in range(tables.first[j], tables.last[j]):
        states.floor[base + t] = top
    for place in range(tables.neighbour_start[j], tables.neighbour_start[j + 1]):
        k = tables.neighbours[place]
        if lift(k, top, slot, tables, states):
            low = min(low, tables.first[k])
            high = max(high, tables.last[k])
    return look_between(low, high, top, slot, tables, states, lists)


def raise_floor(
    t: int, height: int, price: float, slot: int, tables: Tables, states: States, lists: Lists
) -> bool:
    """Let nothing of a section rest below a height; False if that passes the capacity."""
    low = t
    high = t + 1
    for place in range(lists.waiting_start[t], lists.waiting_start[t + 1]):
        k = lists.waiting[place]
        if lift(k, height, slot, tables, states):
            low = min(low, tables.first[k])
            high = max(high, tables.last[k])
    states.progress[slot] -= price
    return look_between(low, high, height, slot, tables, states, lists)


def rate(slot: int, tables: Tables, weights: Weights, states: States) -> float:
    """The score of a packing, lower is better."""
    base = slot * tables.sections
    highest = 0
    steps = 0
    walls = 0
    for t in range(tables.sections):
        highest = max(highest, states.height[base + t])
    for t in range(tables.sections - 1):
        slope = states.floor[base + t + 1] - states.floor[base + t]
        steps += 1 if slope != 0 else 0
        walls += abs(slope)
    capacity = float(tables.capacity)
    return float(
        weights.waste * states.waste[slot] / tables.sections
        + weights.steps * steps / tables.sections
        + weights.walls * walls / (capacity * tables.sections)
        + weights.lifted * states.lifted[slot] / tables.total_area / capacity
        + weights.height * highest / capacity
        - weights.progress * states.progress[slot]
    )


def choose_section(
    slot: int, tables: Tables, weights: Weights, states: States, lists: Lists
) -> int:
    """The section of a valley where the fewest buffers can rest, lower ones first.

    Whoever can rest in a run of equal floor with higher neighbours lies inside it. Sections that
    overflowed often are decided early (Boussemart et al., ECAI 2004).
    """
    base = slot * tables.sections
    best = ENDLESS
    found = -1
    t = 0
    while t < tables.sections:
        if states.left[base + t] <= 0:
            t += 1
            continue
        floor = states.floor[base + t]
        end = t + 1
        while (
            end < tables.sections
            and states.left[base + end] > 0
            and states.floor[base + end] == floor
        ):
            end += 1
        walled = t == 0 or states.left[base + t - 1] <= 0 or states.floor[base + t - 1] > floor
        if walled and (
            end == tables.sections or states.left[base + end] <= 0
            or states.floor[base + end] > floor
        ):  # fmt: skip
            for s in range(t, end):
                spare = floor + states.left[base + s] < tables.capacity
                ways = float(states.resting[base + s] + int(spare))
                ways += weights.depth * floor / tables.capacity
                ways *= lists.factor[s]
                if ways < best:
                    best = ways
                    found = s
        t = end
    return found


def surroundings(slot: int, t: int, tables: Tables, states: States, lists: Lists) -> int:
    """The next height at which something can rest if nothing does on the floor of a section."""
    base = slot * tables.sections
    floor = states.floor[base + t]
    height = FAR
    for place in range(lists.waiting_start[t], lists.waiting_start[t + 1]):
        level = states.levels[slot * tables.buffers + lists.waiting[place]]
        if level > floor:
            height = min(height, level)
    for s in range(tables.sections):
        if states.left[base + s] > 0 and states.floor[base + s] > floor:
            height = min(height, states.floor[base + s])
    return height


def copy(source: int, target: int, tables: Tables, states: States) -> None:
    """Overwrite one slot by another."""
    start = source * tables.buffers
    to = target * tables.buffers
    for i in range(tables.buffers):
        states.levels[to + i] = states.levels[start + i]
    for i in range(tables.buffers):
        states.offsets[to + i] = states.offsets[start + i]
    start = source * tables.sections
    to = target * tables.sections
    for t in range(tables.sections):
        states.floor[to + t] = states.floor[start + t]
    for t in range(tables.sections):
        states.left[to + t] = states.left[start + t]
    for t in range(tables.sections):
        states.height[to + t] = states.height[start + t]
    for t in range(tables.sections):
        states.resting[to + t] = states.resting[start + t]
    states.digest[target] = states.digest[source]
    states.waste[target] = states.waste[source]
    states.lifted[target] = states.lifted[source]
    states.progress[target] = states.progress[source]
    states.filled[target] = states.filled[source]


def is_repeated(
    slot: int, t: int, place: int, tables: Tables, states: States, lists: Lists
) -> bool:
    """Whether an interchangeable buffer waits earlier in the list of the section."""
    j = lists.waiting[place]
    for earlier in range(lists.waiting_start[t], place):
        k = lists.waiting[earlier]
        if tables.kinds[k] == tables.kinds[j] and states.levels[slot * tables.buffers + k] < FAR:
            return True
    return False


def renew(current: int, tables: Tables, states: States, lists: Lists) -> None:
    """List anew, for each section, who waits in some packing of this round."""
    for j in range(tables.buffers):
        lists.wanted[j] = 0
        for c in range(current):
            if states.levels[lists.current[c] * tables.buffers + j] < FAR:
                lists.wanted[j] = 1
    end = 0
    for t in range(tables.sections):
        lists.waiting_start[t] = end
        for place in range(tables.resident_start[t], tables.resident_start[t + 1]):
            j = tables.residents[place]
            if lists.wanted[j] != 0:
                lists.waiting[end] = j
                end += 1
    lists.waiting_start[tables.sections] = end


def insert(slot: int, kept: int, width: int, free: int, states: States, lists: Lists) -> int:
    """Put a free slot among the best of the next round, in order; how many those are then.

    Whoever falls out takes the slot's place in the free list, whose length is `free`.
    """
    score = states.score[slot]
    if kept == width and score >= states.score[lists.following[kept - 1]]:
        return kept
    for place in range(kept):
        other = lists.following[place]
        if states.digest[other] == states.digest[slot]:
            if score < states.score[other]:
                k = place
                while k > 0 and states.score[lists.following[k - 1]] > score:
                    lists.following[k] = lists.following[k - 1]
                    k -= 1
                lists.following[k] = slot
                lists.free[free - 1] = other
            return kept
    k = kept
    if kept == width:
        lists.free[free - 1] = lists.following[kept - 1]
        k = kept - 1
    while k > 0 and states.score[lists.following[k - 1]] > score:
        lists.following[k] = lists.following[k - 1]
        k -= 1
    lists.following[k] = slot
    return min(kept + 1, width)


def grow(
    width: int, work: int, tables: Tables, weights: Weights, states: States, lists: Lists,
    report: Ints,
) -> bool:  # fmt: skip
    """From slot 0, which holds the start: whether a packing was completed.

    `report` tells the slot of that, or of the fullest that overflowed. The search ends unfinished
    when it has done `work`.
    """
    price = weights.raised / tables.buffers
    copied = (tables.buffers + 2 * tables.sections) // COPIED_AT_ONCE
    current = 1
    lists.current[0] = 0
    free = 2 * width + 1
    for k in range(free):
        lists.free[k] = k + 1
    lists.work[0] = 0
    rounds = 0
    while current > 0:
        if rounds % RENEW_EVERY == 0:
            renew(current, tables, states, lists)
        rounds += 1
        total = 0.0
        for t in range(tables.sections):
            total += lists.trouble[t]
        for t in range(tables.sections):
            lists.factor[t] = math.sqrt(total / tables.sections / lists.trouble[t])
        kept = 0
        for c in range(current):
            parent = lists.current[c]
            t = choose_section(parent, tables, weights, states, lists)
            floor = states.floor[parent * tables.sections + t]
            end = lists.waiting_start[t + 1]
            for place in range(lists.waiting_start[t], end + 1):
                slot = lists.free[free - 1]
                fits = False
                if place < end:
                    j = lists.waiting[place]
                    if states.levels[parent * tables.buffers + j] != floor:
                        continue
                    if is_repeated(parent, t, place, tables, states, lists):
                        continue
                    copy(parent, slot, tables, states)
                    fits = put(j, floor, slot, tables, states, lists)
                else:
                    height = surroundings(parent, t, tables, states, lists)
                    if height + states.left[parent * tables.sections + t] > tables.capacity:
                        continue
                    copy(parent, slot, tables, states)
                    fits = raise_floor(t, height, price, slot, tables, states, lists)
                lists.work[0] += copied
                if not fits:
                    continue
                if states.filled[slot] >= tables.total_area:
                    report[0] = slot
                    return True
                states.score[slot] = rate(slot, tables, weights, states)
                before = kept
                kept = insert(slot, kept, width, free, states, lists)
                if kept > before:
                    free -= 1
        if kept == 0 or lists.work[0] > work:
            break
        for c in range(current):
            lists.free[free] = lists.current[c]
            free += 1
        for c in range(kept):
            lists.current[c] = lists.following[c]
        current = kept
    best = lists.current[0]
    for c in range(current):
        if states.filled[lists.current[c]] > states.filled[best]:
            best = lists.current[c]
    report[0] = best
    return False


HELPERS = (look_at, lift, look_between, put, raise_floor, rate, choose_section, surroundings, copy,
           is_repeated, renew, insert)  # fmt: skip
