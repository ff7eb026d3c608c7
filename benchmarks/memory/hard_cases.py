"""Hard memory planning instances whose optimum is known by construction.

A rectangle of time x offset is cut into buffers by guillotine cuts and by pinwheels (five pieces
around a centre, which no sequence of straight cuts produces), so the pieces fit back into the
rectangle without a gap: the optimum is the height of the rectangle, and it equals the lower bound.
Two things then make an instance more like a real one without losing that knowledge: dropping whole
buffers, and ending or starting lives early. One column of time is never touched, so the lower
bound stays at the capacity.

The number of buffers and the capacity follow the public benchmark of MiniMalloc (Moffitt, ASPLOS
2023): 154 to 454 buffers in 2^20 bytes. Cases A to K are harder than those in one respect: they are
cut to 64 bytes and most steps are full. Cases L to P resemble them more: sizes are multiples of
1024 bytes as there, many thin slabs live long together, and a few buffers that live for a short
time take most of the memory (up to 0.84 of it). All instances are our own, and prove nothing about
the public ones.

    python -m benchmarks.memory.hard_cases [ABC] [--seed 0] [--shift 700]
    python -m benchmarks.memory.hard_cases --csv A.1048576.csv B.1048576.csv

The second form reads files of the public benchmark (github.com/google/minimalloc, Apache-2.0,
folder benchmarks/asplos2024), whose names tell the capacity that a plan must not pass; for a file
named otherwise that is the lower bound.

The planner's constants were chosen while looking at the cases as they are (shift 0) and at shifts
700 and 2100; any other shift gives instances that nobody tuned for.
"""

from __future__ import annotations

import argparse
import csv
import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from symgraph.codegen.native import NativeEngine
from symgraph.kernel.memory import Interval, Means, lower_bound, place
from symgraph.kernel.memory.grow import HELPERS, grow
from symgraph.kernel.memory.heuristics import portfolio
from symgraph.kernel.memory.interval import granule
from symgraph.kernel.memory.problem import components

NATIVE = NativeEngine()

CAPACITY = 1 << 20
THIN = 0.06
"""Height of the thickest slab, as a fraction of the capacity."""


@dataclass(frozen=True, slots=True)
class HardCase:
    """How to cut one instance: `dropped` and `trimmed` are fractions of the buffers.

    `slabs` is how often a thin slab is cut off the bottom or the top of a rectangle; `granule` and
    `largest` are bytes.
    """

    name: str
    count: int
    steps: int
    pinwheels: float
    dropped: float
    trimmed: float
    seed: int
    slabs: float = 0.0
    granule: int = 64
    largest: int = 200 * 1024


@dataclass(frozen=True, slots=True)
class _Rectangle:
    """Half-open ranges of time and of offset, the latter in granules."""

    start: int
    end: int
    low: int
    high: int

    @property
    def duration(self) -> int:
        return self.end - self.start

    @property
    def height(self) -> int:
        return self.high - self.low


CASES: tuple[HardCase, ...] = (
    HardCase("A", 154, 120, 0.2, 0.00, 0.00, 1),
    HardCase("B", 170, 400, 0.3, 0.05, 0.10, 2),
    HardCase("C", 203, 100, 0.3, 0.03, 0.00, 3),
    HardCase("D", 216, 160, 0.2, 0.10, 0.30, 4),
    HardCase("E", 238, 500, 0.5, 0.00, 0.00, 5),
    HardCase("F", 287, 150, 0.3, 0.02, 0.05, 6),
    HardCase("G", 308, 200, 0.3, 0.05, 0.20, 7),
    HardCase("H", 316, 90, 0.4, 0.00, 0.00, 8),
    HardCase("I", 374, 220, 0.3, 0.03, 0.10, 9),
    HardCase("J", 409, 300, 0.2, 0.10, 0.10, 10),
    HardCase("K", 454, 250, 0.3, 0.01, 0.02, 11),
    HardCase("L", 154, 1000, 0.1, 0.05, 0.05, 12, 0.5, 1024, 860 * 1024),
    HardCase("M", 216, 1000, 0.1, 0.05, 0.10, 13, 0.5, 1024, 860 * 1024),
    HardCase("N", 308, 1000, 0.2, 0.02, 0.05, 14, 0.4, 1024, 860 * 1024),
    HardCase("O", 374, 1000, 0.1, 0.10, 0.10, 15, 0.5, 1024, 860 * 1024),
    HardCase("P", 454, 1000, 0.1, 0.02, 0.02, 16, 0.4, 1024, 860 * 1024),
)


def build(case: HardCase) -> tuple[Interval, ...]:
    """The buffers of one instance in shuffled order; a packing into `CAPACITY` bytes exists."""
    rng = random.Random(case.seed)
    rectangles = _cut_all(case, rng)
    kept_column = rng.randrange(case.steps)
    touchable = [r for r in rectangles if not r.start <= kept_column < r.end]
    dropped = set(rng.sample(touchable, min(len(touchable), round(case.dropped * case.count))))
    trimmed = set(rng.sample(touchable, min(len(touchable), round(case.trimmed * case.count))))
    pieces = [_trim(r, rng) if r in trimmed else r for r in rectangles if r not in dropped]
    rng.shuffle(pieces)
    return tuple(
        Interval(f"b{i}", r.start, r.end, r.height * case.granule, case.granule)
        for i, r in enumerate(pieces)
    )


def _cut_all(case: HardCase, rng: random.Random) -> list[_Rectangle]:
    target = round(case.count / (1.0 - case.dropped))
    pieces = [_Rectangle(0, case.steps, 0, CAPACITY // case.granule)]
    tallest = case.largest // case.granule
    while len(pieces) < target or any(r.height > tallest for r in pieces):
        index = _choose(pieces, tallest, rng)
        pieces[index : index + 1] = _cut(pieces[index], case, tallest, rng)
    return pieces


def _choose(pieces: list[_Rectangle], tallest: int, rng: random.Random) -> int:
    """The tallest while some are too tall, else one at random with a taste for large areas."""
    candidate = max(range(len(pieces)), key=lambda i: pieces[i].height)
    if pieces[candidate].height > tallest:
        return candidate
    weights = [(r.height * r.duration) ** 0.7 if r.height > 1 else 0.0 for r in pieces]
    return rng.choices(range(len(pieces)), weights)[0]


def _cut(r: _Rectangle, case: HardCase, tallest: int, rng: random.Random) -> list[_Rectangle]:
    if r.duration >= 3 and r.height >= 3 and rng.random() < case.pinwheels:
        return _pinwheel(r, rng)
    too_tall = r.height > tallest
    if r.duration < 2 or (r.height > 1 and rng.random() < (0.75 if too_tall else 0.5)):
        middle = _slab(r, case, rng) if case.slabs else _between(r.low, r.high, rng)
        return [
            _Rectangle(r.start, r.end, r.low, middle),
            _Rectangle(r.start, r.end, middle, r.high),
        ]
    middle = _between(r.start, r.end, rng)
    return [
        _Rectangle(r.start, middle, r.low, r.high),
        _Rectangle(middle, r.end, r.low, r.high),
    ]


def _slab(r: _Rectangle, case: HardCase, rng: random.Random) -> int:
    """Where to cut a thin slab off the bottom or the top, or else anywhere."""
    if rng.random() >= case.slabs:
        return _between(r.low, r.high, rng)
    thickest = max(1, min(r.height - 1, round(THIN * CAPACITY / case.granule)))
    height = rng.randint(1, thickest)
    return r.low + height if rng.random() < 0.5 else r.high - height


def _between(low: int, high: int, rng: random.Random) -> int:
    """A cut strictly inside: anywhere from a sliver to the middle."""
    return min(high - 1, max(low + 1, low + round((high - low) * rng.betavariate(1.3, 1.3))))


def _pinwheel(r: _Rectangle, rng: random.Random) -> list[_Rectangle]:
    left, right = sorted(rng.sample(range(r.start + 1, r.end), 2))
    bottom, top = sorted(rng.sample(range(r.low + 1, r.high), 2))
    if rng.random() < 0.5:
        return [
            _Rectangle(r.start, right, r.low, bottom),
            _Rectangle(right, r.end, r.low, top),
            _Rectangle(left, r.end, top, r.high),
            _Rectangle(r.start, left, bottom, r.high),
            _Rectangle(left, right, bottom, top),
        ]
    return [
        _Rectangle(left, r.end, r.low, bottom),
        _Rectangle(right, r.end, bottom, r.high),
        _Rectangle(r.start, right, top, r.high),
        _Rectangle(r.start, left, r.low, top),
        _Rectangle(left, right, bottom, top),
    ]


def _trim(r: _Rectangle, rng: random.Random) -> _Rectangle:
    if r.duration < 2:
        return r
    cut = rng.randrange(1, max(2, r.duration // 2))
    if rng.random() < 0.5:
        return _Rectangle(r.start + cut, r.end, r.low, r.high)
    return _Rectangle(r.start, r.end - cut, r.low, r.high)


def from_csv(path: Path) -> tuple[Interval, ...]:
    """The buffers of a file of the public benchmark: a heading, then rows `id,lower,upper,size`.

    Headings differ between its versions (`buffer,start,end,size`), so the columns' order counts.
    """
    with path.open(newline="") as file:
        rows = [(row[0], *map(int, row[1:4])) for row in list(csv.reader(file))[1:] if row]
    unit = math.gcd(*(size for *_, size in rows))
    return tuple(Interval(name, start, end, size, unit) for name, start, end, size in rows)


def measured(name: str, buffers: Sequence[Interval], capacity: int, seed: int) -> str:
    """One row of the table; seconds are processor time of this process."""
    problems = components(buffers)
    unit = granule(buffers)
    greedy = max(portfolio(problem).peak * unit for problem in problems) / capacity
    began = time.process_time()
    plan = place(buffers, seed=seed, means=Means(NATIVE))
    seconds = time.process_time() - began
    sections = sum(problem.sections for problem in problems)
    return (
        f"{name:12} {len(buffers):7} {sections:8} {plan.lower_bound:8} {plan.total_nbytes:8} "
        f"{greedy:7.3f} {plan.ratio:7.4f} {plan.total_nbytes / capacity:8.4f} {plan.proved!s:6} "
        f"{seconds:7.2f}  {plan.method}"
    )


def main() -> None:
    """Print one row per case, our own or those of files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="?", default="".join(case.name for case in CASES))
    parser.add_argument("--seed", type=int, default=0, help="of the planner")
    parser.add_argument("--shift", type=int, default=0, help="added to the seed of each case")
    parser.add_argument("--csv", type=Path, nargs="+", default=[], metavar="NAME.CAPACITY.csv",
                        help="files of the public benchmark instead")  # fmt: skip
    given = parser.parse_args()
    NATIVE(grow, HELPERS)  # compiled before the first case
    print("case         buffers sections    bound     ours  greedy   ratio capacity proved seconds")
    for path in given.csv:
        buffers = from_csv(path)
        told = path.name.split(".")[1]
        capacity = int(told) if told.isdigit() else lower_bound(buffers)
        print(measured(path.name.split(".")[0], buffers, capacity, given.seed), flush=True)
    for case in () if given.csv else CASES:
        if case.name in given.names:
            buffers = build(replace(case, seed=case.seed + given.shift))
            print(measured(case.name, buffers, CAPACITY, given.seed), flush=True)


if __name__ == "__main__":
    main()
